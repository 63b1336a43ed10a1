"""What the doctor says: findings, each of a kind that is declared once, with its code and remedy.

A sentence may hold a stranger's words; whoever shows it makes them harmless. Credentials and keys
are in none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["ok", "warning", "fault", "unchecked"]

#: Every kind that was declared, by its code.
KINDS: dict[str, Kind] = {}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding; to declare one is to make it.

    Args:
        code: its stable name.
        severity: `ok`, nothing to do; `warning`, works, and is not as it should be; `fault`, does
            not work; `unchecked`, cannot be told.
        remedy: what to do, where that is always the same.
    """

    code: str
    severity: Severity
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.code in KINDS:
            raise ValueError(f"{self.code} is declared twice")
        KINDS[self.code] = self

    def __call__(self, sentence: str, remedy: str = "") -> Finding:
        """Return a finding of this kind.

        Args:
            sentence: what was found, without a full stop.
            remedy: in the place of the kind's own.
        """
        return Finding(self, sentence, remedy or self.remedy)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Args:
        kind: what it is.
        sentence: what exactly was found.
        remedy: what to do; empty where there is nothing.
    """

    kind: Kind
    sentence: str
    remedy: str

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.kind.severity


@dataclass(frozen=True, slots=True)
class Group:
    """What was found about one thing: `settings`, `license`, `environment`, or an address."""

    about: str
    findings: list[Finding]


OUT_OF_TIME = Kind("out_of_time", "unchecked", "run it again, with one URL")
UNREACHED = Kind(
    "unreached", "unchecked", "do what is said above, and run it again: the rest needs that first"
)
