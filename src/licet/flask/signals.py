"""What happens to licenses, as signals of blinker, which Flask's own are: one for each event.

    from licet.flask.signals import license_revoked

    @license_revoked.connect
    def page_somebody(sender, event): ...

Receivers hear all of this process, one after the other, in a thread of Licet's own, outside of any
application context: no request waits for one, and what one raises goes to the log and no further.
`event` is a `licet.events.Event`, and that class the sender.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import iscoroutinefunction

from licet._requires import extra
from licet.core.events.bus import EVERY_GATE
from licet.core.events.event import KINDS, Event, EventName
from licet.core.events.log import SubscriberLog
from licet.core.events.relay import Relay

with extra("flask", "flask"):
    import flask  # noqa: F401  # it brings blinker
    from blinker import NamedSignal

SIGNALS: Mapping[EventName, NamedSignal] = {name: NamedSignal(name) for name in KINDS}

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
    # Not all at once: one that fails would keep the others from hearing.
    for receiver in SIGNALS[event.name].receivers_for(type(event)):
        try:
            if iscoroutinefunction(receiver):
                # As blinker itself has it.
                raise RuntimeError("a coroutine function cannot receive a signal")
            receiver(type(event), event=event)
        except Exception as error:
            _failed(event, error)


_failed = SubscriberLog()
_relay = Relay(_send)


def _heard(event: Event) -> None:
    if SIGNALS[event.name].receivers:
        _relay(event)


EVERY_GATE.subscribe(_heard)
