"""Puts a license file into place: only what holds here, and nothing worse than what is held.

The license comes from whoever runs the installation, as text; it is judged like any license. Exit
status of such a command: 0 it is in place, 1 it is refused, 2 that cannot be told or done.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from licet.core import files, flow
from licet.core.errors import LicenseError, LicenseInvalid, LicenseUnavailable
from licet.core.installation.source import MAX_FILE
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
    except (OSError, UnicodeDecodeError) as error:
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
    owned = _is_own(path)
    try:
        files.replace(path, credential + b"\n")
    except OSError as error:
        return Installed(2, f"The license file cannot be written ({type(error).__name__}).")
    told = "The license is in place; running processes read it within a second"
    if not owned:
        told = f"{told}, if they run as this user: nobody else can"
    return Installed(0, f"{told}.")


def _is_own(path: str) -> bool:
    """Return whether what is in place, or else where it is to be, belongs to this user."""
    if os.name != "posix":  # pragma: no cover - files have other owners there
        return True
    for place in (path, os.path.dirname(os.path.abspath(path))):
        with suppress(OSError):
            return os.lstat(place).st_uid == os.geteuid()
    return True


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
    same = (grant.issuer, grant.license_id) == (present.issuer, present.license_id)
    if same and grant.issued_at < present.issued_at:
        worse.append("was issued earlier")
    if not present.terms.features <= grant.terms.features:
        worse.append("names fewer features")
    limits = present.terms.limits.items()
    if any(grant.terms.limits.get(name, 0) < limit for name, limit in limits):
        worse.append("has lower limits")
    return worse
