"""What may happen that somebody wants to hear of: one type, a closed list of names.

name                         members                                          label
license.verified             license_id issuer verified_by requests           verified_by
license.denied               code reason license_id issuer mode               code
license.expiring             license_id issuer days expires_at                days
license.grace_entered        license_id issuer until                          -
license.revoked              license_id issuer word                           word
license.suspicious_activity  kind license_id issuer requested_domain reason   kind
                             requests usual networks seconds
keys.rotated                 issuer added removed                             -
keys.stale keys.unavailable  issuer state reason age retry_after              state
keys.refused                 issuer reasons                                   -
keys.snapshot                issuer reason                                    -
tls.failure                  kind problem issuer host                         kind
online.unavailable           reason issuer host retry_after                   -
usage.exceeded               license_id issuer limit code maximum             code
clock.suspicious             issuer difference reason                         -

The `difference` is how many seconds this machine's clock is behind what was signed or seen; the
`reason` is one of `Doubt`, where an installation's state says so.

Each may carry `correlation_id`, which ties it to the failure that it comes of. A member that is not
known, or says nothing, may be absent. `license.verified` is sampled: at most once a minute and
license, with about how many `requests` the last minute of its use had.

Beyond lifecycle.md's list there is `keys.snapshot`: a snapshot that cannot be read or written is
trouble with a disk, while the keys may be neither stale, unavailable nor refused. And
`license.suspicious_activity` has `state_damaged` and `state_copied`, of `license_state`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from licet.core.errors import LicenseError

EventName: TypeAlias = Literal[
    "license.verified",
    "license.denied",
    "license.expiring",
    "license.grace_entered",
    "license.revoked",
    "license.suspicious_activity",
    "keys.rotated",
    "keys.stale",
    "keys.unavailable",
    "keys.refused",
    "keys.snapshot",
    "tls.failure",
    "online.unavailable",
    "usage.exceeded",
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


class Kind(NamedTuple):
    """What there is to know of all events of one name.

    Attributes:
        incident: the members that tell one incident from another.
        label: the member that events are counted by; empty for none.
        values: all that this member may say, so that nobody can make a metric grow.
        once: whether nobody is told of an incident twice within its window. Else all but webhooks
            tell of each time.
        window: how long that is, seconds.
    """

    incident: tuple[str, ...] = ("issuer",)
    label: str = ""
    values: frozenset[str] = frozenset()
    once: bool = False
    window: float = 3600.0


_DAY = 86_400.0


def _codes(error: type[LicenseError]) -> set[str]:
    return {*error.codes}.union(*map(_codes, error.__subclasses__()))


_CODES = frozenset().union(*map(_codes, LicenseError.__subclasses__()))
_KEYS = Kind(label="state", values=frozenset("empty fresh due stale dead".split()))

KINDS: Mapping[EventName, Kind] = {
    "license.verified": Kind(
        ("issuer", "license_id"), "verified_by", frozenset(("local", "online"))
    ),
    "license.denied": Kind(("code", "license_id"), "code", _CODES),
    "license.expiring": Kind(
        ("issuer", "license_id", "days"),
        "days",
        frozenset(("30", "15", "7", "2", "1")),
        True,
        31 * _DAY,
    ),
    "license.grace_entered": Kind(("issuer", "license_id"), once=True, window=_DAY),
    "license.revoked": Kind(
        ("issuer", "license_id", "word"), "word", frozenset(("revoked", "suspended"))
    ),
    "license.suspicious_activity": Kind(
        ("kind", "issuer", "license_id"),
        "kind",
        frozenset("domain_mismatch burst many_addresses replay state_damaged state_copied".split()),
        once=True,
    ),
    "keys.rotated": Kind(("issuer", "added", "removed")),
    "keys.stale": _KEYS,
    "keys.unavailable": _KEYS,
    "keys.refused": Kind(("issuer", "reasons")),
    "keys.snapshot": Kind(("issuer", "reason")),
    "tls.failure": Kind(
        ("issuer", "host", "kind"),
        "kind",
        frozenset(("handshake", "certificate", "protocol", "pin")),
    ),
    "online.unavailable": Kind(("issuer", "host")),
    "usage.exceeded": Kind(
        ("issuer", "license_id", "limit"),
        "code",
        frozenset(("limit_exceeded", "seat_limit_exceeded")),
    ),
    "clock.suspicious": Kind(("issuer", "reason"), once=True),
}


def label(event: Event) -> str:
    """Return what `event` is counted by: a word of a closed list, `other`, or nothing."""
    kind = KINDS[event.name]
    if not kind.label:
        return ""
    said = str(event.data.get(kind.label))
    return said if said in kind.values else "other"


def incident(event: Event) -> tuple[str, ...]:
    """Return what tells the incident that `event` is of from all others."""
    return (event.name, *(str(event.data.get(name)) for name in KINDS[event.name].incident))


def correlation_id() -> str:
    """Return what ties a failure to the decisions that came of it: 64 random bits, hexadecimal."""
    return secrets.token_hex(8)
