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
from licet.core.events.event import KINDS, Event, EventName
from licet.core.events.relay import Relay

SIGNALS: Mapping[EventName, Signal] = {name: Signal() for name in KINDS}

license_verified = SIGNALS["license.verified"]
license_denied = SIGNALS["license.denied"]
license_expiring = SIGNALS["license.expiring"]
license_grace_entered = SIGNALS["license.grace_entered"]
license_revoked = SIGNALS["license.revoked"]
license_suspicious_activity = SIGNALS["license.suspicious_activity"]
keys_rotated = SIGNALS["keys.rotated"]
keys_stale = SIGNALS["keys.stale"]
keys_unavailable = SIGNALS["keys.unavailable"]
keys_refused = SIGNALS["keys.refused"]
keys_snapshot = SIGNALS["keys.snapshot"]
tls_failure = SIGNALS["tls.failure"]
online_unavailable = SIGNALS["online.unavailable"]
usage_exceeded = SIGNALS["usage.exceeded"]
clock_suspicious = SIGNALS["clock.suspicious"]


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
