"""What a receiver of webhooks is told: one message of each event, as Standard Webhooks has it."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from math import isfinite

from licet.core.events.event import Event
from licet.core.moments import rfc3339

#: Characters of a text that are told.
LONGEST = 1024


@dataclass(slots=True)
class Message:
    """One message; it stays the same at each attempt.

    Args:
        id: by which a receiver knows it again.
        body: what is said.
        attempts: how often it was sent.
        filed: whether it is in a file that outlives this process.
    """

    id: str
    body: bytes = field(repr=False)
    attempts: int = 0
    filed: bool = False


def new_id() -> str:
    """Return what no other message is known by: 96 random bits."""
    return f"msg_{secrets.token_hex(12)}"


def written(event: Event, at: float) -> bytes:
    """Return what is said of `event`: `type`, `timestamp` (RFC 3339, UTC) and `data`, as JSON.

    Args:
        event: what happened.
        at: when, seconds since the epoch.
    """
    data = {name: _plain(value) for name, value in event.data.items() if value is not None}
    told = {"type": event.name, "timestamp": rfc3339(at), "data": data}
    return json.dumps(told).encode()


def _plain(value: object) -> object:
    if isinstance(value, float) and not isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return str(value)[:LONGEST]
