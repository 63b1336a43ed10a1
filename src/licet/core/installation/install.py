"""Puts a license file into place: only what holds here, and nothing worse than what is held.

The license comes from whoever runs the installation, as text; it is judged like any license. Exit
status of such a command: 0 it is in place, 1 it is refused, 2 that cannot be told or done.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from licet.core import files, flow
from licet.core.errors import LicenseError, LicenseInvalid, LicenseUnavailable
from licet.core.installation.license import MAX_FILE
from licet.core.lifecycle import AFTER_END

if TYPE_CHECKING:
    from licet.core.gate import Gate
    from licet.core.grants import Grant


class Installed(NamedTuple):
    """What came of installing a license.

    Attributes:
        status: the exit status.
        told: one sentence for whoever installs it.
    """

    status: int
    told: str


def install(gate: Gate, place: str, *, force: bool = False) -> Installed:
    """Verify a license and write it where the setting `license` says.

    Args:
        gate: judges it.
        place: the file it comes in; `-` reads it from standard input.
        force: put it into place also where what is there is better.
    """
    kind, _, path = (gate.settings.license or "").partition(":")
    if kind != "file":
        return Installed(2, "The setting license names no file: write file:PATH.")
    try:
        credential = _read(place)
    except OSError as error:
        return Installed(2, f"The license cannot be read ({type(error).__name__}).")
    try:
        grant = flow.run(gate.judge(credential))
        if (conditions := grant.terms.conditions) is not None and conditions.binding is not None:
            raise LicenseInvalid("bound")
        worse = [] if force else _worse(grant, _present(gate))
    except Exception as error:
        refusal = gate.as_refusal(error)
        undecided = isinstance(refusal, LicenseUnavailable)
        told = f"{refusal.detail} ({refusal.code}: {refusal.reason})"
        return Installed(2 if undecided else 1, told)
    if worse:
        return Installed(
            1, f"The license in place is better: this one {', '.join(worse)}. --force installs it."
        )
    try:
        files.replace(path, credential + b"\n")
    except OSError as error:
        return Installed(2, f"The license file cannot be written ({type(error).__name__}).")
    return Installed(0, "The license is in place; running processes read it within a second.")


def _read(place: str) -> bytes:
    if place == "-":
        return sys.stdin.read(MAX_FILE).strip().encode(errors="replace")
    with open(place, "rb") as file:
        return file.read(MAX_FILE).strip()


def _present(gate: Gate) -> Grant | None:
    """Return what is in place now, None where nothing is that holds."""
    if gate.installation is None:
        return None
    try:
        held = flow.run(gate.installation.held())
    except LicenseUnavailable:
        raise
    except LicenseError:
        return None
    return None if held is None else held[0]


def _worse(grant: Grant, present: Grant | None) -> list[str]:
    """Return in what a license is worse than the one in place."""
    worse = []
    if grant.stage.status in AFTER_END:
        worse.append("has ended")
    if present is None or present.stage.status in AFTER_END:
        return worse
    if grant.expires_at < present.expires_at:
        worse.append("ends earlier")
    if not present.terms.features <= grant.terms.features:
        worse.append("names fewer features")
    limits = present.terms.limits.items()
    if any(grant.terms.limits.get(name, 0) < limit for name, limit in limits):
        worse.append("has lower limits")
    return worse
