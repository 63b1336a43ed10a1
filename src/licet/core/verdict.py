"""What an operator is told of a license at a terminal: by the frameworks' commands alike.

The exit status of such a command: 0 the license holds, or the settings do and there is no
installation license to judge; 1 the license does not hold; 2 that cannot be told. Where a license
holds for some requests only there is no request here to hold it against: it is said for which.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from licet.core import flow
from licet.core.constraints.registry import narrowing
from licet.core.entitlements import Entitlements
from licet.core.errors import LicenseUnavailable
from licet.core.events.log import printable
from licet.core.flow import Flow
from licet.core.gate import Gate
from licet.core.stores import StoreUnavailable

NOTHING_TO_JUDGE = "The settings hold. Each request brings its own license: give one to --token."


class Verdict(NamedTuple):
    """What came of judging a license.

    Attributes:
        holds: None where that cannot be told, or where there is nothing to judge.
        status: the exit status.
        members: what is told: of the license, or of the refusal; empty with nothing to judge.
        reported: how often what would have been refused, by code; None where it is refused.
    """

    holds: bool | None
    status: int
    members: dict[str, Any]
    reported: Mapping[str, int] | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The verdict for programs, as JSON has it."""
        told = {"holds": self.holds, **self.members}
        return told if self.reported is None else {**told, "would_refuse": {**self.reported}}

    @property
    def lines(self) -> list[str]:
        """The verdict for people."""
        lines = [f"{name + ':':<12} {_text(value)}" for name, value in self.members.items()]
        return [*(lines or [NOTHING_TO_JUDGE]), *self.summary]

    @property
    def summary(self) -> list[str]:
        """What would have been refused, for people; nothing where it is refused."""
        if self.reported is None:
            return []
        total = sum(self.reported.values())
        counts = sorted(self.reported.items(), key=lambda each: (-each[1], each[0]))
        return [
            f"Nothing is enforced (mode is report); {total} would have been refused"
            + (" in the last 30 days at most:" if counts else "."),
            *(f"{count:>12} {code}" for code, count in counts),
        ]


def judge(gate: Gate, token: str | None) -> Verdict:
    """Judge a license for whoever runs this installation.

    Args:
        gate: judges it.
        token: the license; `-` reads it from standard input, None takes the installation's.
    """
    found = _verdict(gate, token)
    return found._replace(reported=_reported(gate)) if gate.settings.mode == "report" else found


def _reported(gate: Gate) -> Mapping[str, int]:
    try:
        return flow.run(gate.enforcement.tally.everywhere())
    except StoreUnavailable:
        # What can be told is told; the store is somebody else's to look after.
        return gate.would_refuse()


def _verdict(gate: Gate, token: str | None) -> Verdict:
    try:
        entitlements = flow.run(_judged(gate, token))
    except Exception as error:
        refusal = gate.as_refusal(error)
        # To the operator, at a terminal of this machine, the reason may be told.
        members = {"code": refusal.code, "reason": refusal.reason, "detail": refusal.detail}
        undecided = isinstance(refusal, LicenseUnavailable)
        return Verdict(None, 2, members) if undecided else Verdict(False, 1, members)
    if entitlements is None:
        return Verdict(None, 0, {"mode": "off"} if gate.settings.mode == "off" else {})
    holds = bool(entitlements)
    return Verdict(holds, 0 if holds else 1, license_members(entitlements))


def _judged(gate: Gate, token: str | None) -> Flow[Entitlements | None]:
    if token is not None:
        text = sys.stdin.read() if token == "-" else token  # noqa: S105 - the word for stdin
        # What is no ASCII is no license, and is refused as such by its characters.
        credential = text.strip().encode(errors="replace")
        return Entitlements((yield from gate.judge(credential)), credential)
    if gate.installation is None:
        return None
    held = yield from gate.installation.held()
    if held is None:
        raise gate.installation.missing()
    return Entitlements(*held)


def license_members(entitlements: Entitlements) -> dict[str, Any]:
    """Return what is told of a license that was verified; its claims must still be there."""
    claims = json.loads(json.dumps(entitlements.claims, default=dict))
    return {
        "license_id": entitlements.license_id,
        "customer": entitlements.customer,
        "plan": entitlements.plan,
        "status": entitlements.status.name,
        "expires_at": _moment(entitlements.expires_at),
        "grace_until": _moment(entitlements.grace_until),
        "features": sorted(entitlements.features),
        "limits": dict(entitlements.limits),
        "scopes": sorted(entitlements.scopes),
        "roles": sorted(entitlements.roles),
        "only_for": {name: claims[name] for name in sorted(narrowing(claims))},
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _text(value: Any) -> str:
    if isinstance(value, dict):
        # As JSON, which also keeps what is in a claim from steering the terminal.
        told = [f"{name} {json.dumps(each)}" for name, each in sorted(value.items())]
        return ", ".join(told) or "-"
    if isinstance(value, list):
        return printable(", ".join(value)) or "-"
    return "-" if value is None else printable(str(value))
