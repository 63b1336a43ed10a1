"""What happens to licenses, as signals of Django: one for each event.

    from django.dispatch import receiver
    from licet.django.signals import license_revoked

    @receiver(license_revoked)
    def page_somebody(sender, event, **kwargs): ...

Receivers hear all of this process, one after the other, in a thread of Licet's own: no request
waits for one, and what one raises goes to Django's log and no further. `event` is a
`licet.events.Event`, and that class the sender.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import close_old_connections
from django.dispatch import Signal

from licet.core.events.bus import EVERY_GATE
from licet.core.events.event import Event, EventName
from licet.core.events.relay import Relay

license_verified = Signal()
license_denied = Signal()
license_expiring = Signal()
license_grace_entered = Signal()
license_revoked = Signal()
license_suspicious_activity = Signal()
keys_rotated = Signal()
keys_stale = Signal()
keys_unavailable = Signal()
keys_refused = Signal()
keys_snapshot = Signal()
tls_failure = Signal()
online_unavailable = Signal()
usage_exceeded = Signal()
clock_suspicious = Signal()

SIGNALS: Mapping[EventName, Signal] = {
    "license.verified": license_verified,
    "license.denied": license_denied,
    "license.expiring": license_expiring,
    "license.grace_entered": license_grace_entered,
    "license.revoked": license_revoked,
    "license.suspicious_activity": license_suspicious_activity,
    "keys.rotated": keys_rotated,
    "keys.stale": keys_stale,
    "keys.unavailable": keys_unavailable,
    "keys.refused": keys_refused,
    "keys.snapshot": keys_snapshot,
    "tls.failure": tls_failure,
    "online.unavailable": online_unavailable,
    "usage.exceeded": usage_exceeded,
    "clock.suspicious": clock_suspicious,
}


def _send(event: Event) -> None:
    # As Django does around each request: a thread that lives on must not keep a dead connection.
    close_old_connections()
    try:
        SIGNALS[event.name].send_robust(type(event), event=event)
    finally:
        close_old_connections()


_relay = Relay(_send)


def _heard(event: Event) -> None:
    if SIGNALS[event.name].has_listeners(type(event)):
        _relay(event)


EVERY_GATE.subscribe(_heard)
