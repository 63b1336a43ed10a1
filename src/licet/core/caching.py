"""What is told with answers that depend on a license: to caches (RFC 9111), and to callers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from licet.core.lifecycle import Status
from licet.core.token.claims import LATEST

if TYPE_CHECKING:
    from licet.core.grants import Grant

#: The stage of which who presented a license is told; by a name of its own, for the hot path.
GRACE = Status.GRACE


def vary(sources: Sequence[str]) -> str:
    """Return the request fields that `sources` read, for `Vary` (RFC 9110, section 12.5.5)."""
    fields = []
    for source in sources:
        kind, _, name = source.rpartition(":")
        if kind == "":
            fields.append("-".join(word.capitalize() for word in name.split("-")))
        elif kind == "cookie":
            fields.append("Cookie")
    return ", ".join(dict.fromkeys(fields))


class InGrace(NamedTuple):
    """Where the credential of a license came from that serves after its end.

    Attributes:
        source: the entry of `sources`.
        until: when it serves no longer, in seconds since the epoch.
    """

    source: str
    until: float


def presented(grant: Grant, source: str) -> str | InGrace:
    """Return where a license came from; of an installation's license nobody is told more.

    Args:
        grant: of the license.
        source: the entry of `sources`; empty for an installation license.
    """
    if source and grant.stage.status is GRACE:
        return InGrace(source, min(grant.ends_at, LATEST))
    return source


@lru_cache(maxsize=64)
def licensed_headers(source: str | InGrace) -> tuple[tuple[str, str], ...]:
    """Return what a licensed answer needs, by where the credential came from.

    `Vary` is added beside what the application set; the others only where it set none. Nothing
    is needed for `Authorization`, whose answers shared caches keep out (RFC 9111, section 3.5),
    nor for an installation license (an empty `source`), which no request carries. Who presented a
    license in grace is told so; the moment is as RFC 3339 writes it.
    """
    if isinstance(source, InGrace):
        until = datetime.fromtimestamp(source.until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        # What an application lets shared caches keep all the same is the caller's alone by this.
        usual = licensed_headers(source.source) or (("Vary", vary((source.source,))),)
        return (*usual, ("License-Status", f"grace; until={until}"))
    if source in ("", "authorization"):
        return ()
    if source.startswith("query:"):
        return (("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"))
    return (("Vary", vary((source,))), ("Cache-Control", "private"))
