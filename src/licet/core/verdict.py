"""What an operator is told of a license at a terminal: by the frameworks' commands alike.

The exit status of such a command: 0 the license holds, or the settings do and there is no
installation license to judge; 1 the license does not hold; 2 that cannot be told.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from licet.core import flow
from licet.core.entitlements import Entitlements
from licet.core.environ import EnvironFacts
from licet.core.errors import LicenseError, LicenseUnavailable
from licet.core.gate import Gate

NOTHING_TO_JUDGE = "The settings hold. Each request brings its own license: give one to --token."


class Verdict(NamedTuple):
    """What came of judging a license.

    Attributes:
        holds: None where that cannot be told, or where there is nothing to judge.
        status: the exit status.
        members: what is told: of the license, or of the refusal; empty with nothing to judge.
    """

    holds: bool | None
    status: int
    members: dict[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        """The verdict for programs, as JSON has it."""
        return {"holds": self.holds, **self.members}

    @property
    def lines(self) -> list[str]:
        """The verdict for people."""
        if not self.members:
            return [NOTHING_TO_JUDGE]
        return [f"{name + ':':<12} {_text(value)}" for name, value in self.members.items()]


def judge(gate: Gate, token: str | None) -> Verdict:
    """Judge a license for whoever runs this installation.

    Args:
        gate: judges it.
        token: the license; `-` reads it from standard input, None takes the installation's.
    """
    try:
        entitlements = _entitlements(gate, token)
    except LicenseUnavailable as error:
        return Verdict(None, 2, _refusal(error))
    except LicenseError as error:
        return Verdict(False, 1, _refusal(error))
    if entitlements is None:
        return Verdict(None, 0, {})
    holds = bool(entitlements)
    return Verdict(holds, 0 if holds else 1, _license(entitlements))


def _entitlements(gate: Gate, token: str | None) -> Entitlements | None:
    if token is not None:
        text = sys.stdin.read() if token == "-" else token  # noqa: S105 - the word for stdin
        # What is no ASCII is no license, and is refused as such by its characters.
        return flow.run(gate.verify(text.strip().encode(errors="replace")))
    if gate.installation is None:
        return None
    return flow.run(gate.decide(EnvironFacts({})))


def _refusal(error: LicenseError) -> dict[str, Any]:
    # To the operator, at a terminal of this machine, the reason may be told.
    return {"code": error.code, "reason": error.reason, "detail": error.detail}


def _license(entitlements: Entitlements) -> dict[str, Any]:
    return {
        "license_id": entitlements.license_id,
        "customer": entitlements.customer,
        "plan": entitlements.plan,
        "status": entitlements.status.name,
        "expires_at": entitlements.expires_at.isoformat() if entitlements.expires_at else None,
        "features": sorted(entitlements.features),
        "limits": dict(entitlements.limits),
        "scopes": sorted(entitlements.scopes),
        "roles": sorted(entitlements.roles),
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in sorted(value.items())) or "-"
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return "-" if value is None else str(value)
