"""What may happen that somebody wants to hear of: one type, a closed list of names."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

EventName: TypeAlias = Literal[
    "license.verified",
    "license.denied",
    "license.revoked",
    "license.suspicious_activity",
    "keys.rotated",
    "keys.stale",
    "keys.unavailable",
    "keys.refused",
    "keys.snapshot",
    "tls.failure",
    "online.unavailable",
    "clock.suspicious",
]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Args:
        name: one of `EventName`.
        data: what is known of it; plain values, no credential, and nothing unescaped that a
            stranger chose is ever put into a log line.
    """

    name: EventName
    data: Mapping[str, object] = field(default_factory=dict)


def correlation_id() -> str:
    """Return what ties a failure to the decisions that came of it: 64 random bits, hexadecimal."""
    return secrets.token_hex(8)
