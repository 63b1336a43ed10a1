"""Parts of a license as they are typed, in the form in which they are signed.

Decides how they are written, not whether a gate accepts them. Each function raises ValueError with
a sentence that shows how.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any


def limits(entries: Iterable[str] | None) -> dict[str, object] | None:
    """Read limits: `seats=10`, `apiCalls=50000/month`, `exports=unlimited`."""
    if entries is None:
        return None
    limits: dict[str, object] = {}
    for entry in entries:
        match = re.fullmatch(r"([^=]+)=(?:([0-9]{1,16})(?:/([a-z]+))?|(unlimited))", entry)
        if match is None:
            raise ValueError(
                "a limit is written as seats=10, apiCalls=50000/month or exports=unlimited"
            )
        name, number, period, unlimited = match.groups()
        if name in limits:
            raise ValueError(f"the limit {name} is given twice")
        most = unlimited or int(number)
        limits[name] = {"max": most, "per": period} if period else most
    return limits


def windows(texts: Iterable[str] | None) -> list[dict[str, str]] | None:
    """Read time windows: `mon-fri 07:00-19:00 Europe/Berlin`, or without the days."""
    return None if texts is None else [_window(text) for text in texts]


def _window(text: str) -> dict[str, str]:
    match = re.fullmatch(r"(?:(\S+) +)?([0-9:]{5})-([0-9:]{5}) +(\S+)", text.strip())
    if match is None:
        raise ValueError('a time window is written as "mon-fri 07:00-19:00 Europe/Berlin"')
    days, begin, end, zone = match.groups()
    return {**({"days": days} if days else {}), "from": begin, "to": end, "tz": zone}


def binding(jkt: str | None, certificate: str | None) -> dict[str, str] | None:
    """Return what the holder of a license has to prove, None where that is nothing."""
    given = {"jkt": jkt, "x5t#S256": certificate}
    return {name: value for name, value in given.items() if value is not None} or None


def status(text: str | None) -> dict[str, object] | None:
    """Read where the status of a license stands: the address of a list, `#`, and its place."""
    if text is None:
        return None
    uri, _, idx = text.rpartition("#")
    if not re.fullmatch(r"[0-9]{1,10}", idx, re.ASCII):
        raise ValueError("a status list is written as https://licenses.acme.example/status/1#412")
    return {"status_list": {"idx": int(idx), "uri": uri}}


def claims(entries: Iterable[str] | None, taken: frozenset[str]) -> dict[str, Any]:
    """Read claims: `name=JSON` each.

    Args:
        entries: what was typed.
        taken: names that no claim may have here, because they have an option.
    """
    read: dict[str, Any] = {}
    for entry in entries or ():
        name, _, text = entry.partition("=")
        if name in taken:
            raise ValueError(f"the claim {name} has an option of its own")
        if name in read:
            raise ValueError(f"the claim {name} is given twice")
        try:
            read[name] = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError(
                f"the claim {name} is no JSON; a text takes quotes: --claim '{name}=\"…\"'"
            ) from None
    return read
