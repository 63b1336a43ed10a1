"""What was found, for people and for programs.

Half of it is strangers' words: none of them reaches the terminal as it came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from licet.cli.doctor import judgement
from licet.cli.doctor.credential import OPAQUE
from licet.cli.doctor.finding import OUT_OF_TIME, Finding, Group, Severity
from licet.cli.output import DONE, NOT, UNDECIDED, printable

_MARKS = {"ok": " ", "warning": "!", "fault": "!", "unchecked": "?"}
_WORDS: dict[Severity, tuple[str, str]] = {
    "fault": ("fault", "faults"),
    "warning": ("warning", "warnings"),
    "unchecked": ("thing not checked", "things not checked"),
}
_UNDECIDED = (OUT_OF_TIME, OPAQUE, judgement.UNDECIDED)
#: Characters of one sentence: a server may have much to say.
_LONGEST = 600


def status(groups: Sequence[Group]) -> int:
    """Return the exit status: no for a fault; undecided where what was asked cannot be told."""
    found = _all(groups)
    if any(finding.severity == "fault" for finding in found):
        return NOT
    if any(finding.kind in _UNDECIDED for finding in found):
        return UNDECIDED
    return DONE


def show(group: Group) -> None:
    """Print what was found about one thing."""
    print(printable(group.about))
    for finding in group.findings:
        word = {"fault": "FAULT ", "unchecked": "not checked: "}.get(finding.severity, "")
        code = "" if finding.severity == "ok" else f"{word}{finding.kind.code}: "
        print(f"{_MARKS[finding.severity]} {code}{_cut(finding.sentence)}")
        if finding.remedy:
            print(f"    remedy: {_cut(finding.remedy)}")
    print()


def summary(groups: Sequence[Group]) -> str:
    """Return how much was found."""
    counts = Counter(finding.severity for finding in _all(groups))
    parts = [
        f"{counts[severity]} {words[counts[severity] > 1]}"
        for severity, words in _WORDS.items()
        if counts[severity]
    ]
    return ", ".join(parts) or "nothing wrong was found"


def document(groups: Sequence[Group]) -> dict[str, Any]:
    """Return everything for programs."""
    healthy = {DONE: True, NOT: False}.get(status(groups))
    found = [
        {"about": printable(group.about), **_document(finding)}
        for group in groups
        for finding in group.findings
    ]
    return {"healthy": healthy, "findings": found}


def _document(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.kind.code,
        "severity": finding.severity,
        "detail": _cut(finding.sentence),
        "remedy": _cut(finding.remedy),
    }


def _all(groups: Sequence[Group]) -> list[Finding]:
    return [finding for group in groups for finding in group.findings]


def _cut(text: str) -> str:
    return printable(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")
