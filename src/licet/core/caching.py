"""What caches must be told of answers that depend on a license (RFC 9111)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache


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


@lru_cache(maxsize=64)
def licensed_headers(source: str) -> tuple[tuple[str, str], ...]:
    """Return what a licensed answer needs, by where the credential came from.

    `Vary` is added beside what the application set; the others only where it set none. Nothing
    is needed for `Authorization`, whose answers shared caches keep out (RFC 9111, section 3.5),
    nor for an installation license (an empty `source`), which no request carries.
    """
    if source in ("", "authorization"):
        return ()
    if source.startswith("query:"):
        return (("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"))
    return (("Vary", vary((source,))), ("Cache-Control", "private"))
