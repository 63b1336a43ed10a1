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
from licet.core.events.event import Event, EventName
from licet.core.events.log import SubscriberLog
from licet.core.events.relay import Relay

with extra("flask", "flask"):
    import flask  # noqa: F401  # it brings blinker
    from blinker import NamedSignal, Namespace

_names = Namespace()

license_verified = _names.signal("license.verified")
license_denied = _names.signal("license.denied")
license_expiring = _names.signal("license.expiring")
license_grace_entered = _names.signal("license.grace_entered")
license_revoked = _names.signal("license.revoked")
license_suspicious_activity = _names.signal("license.suspicious_activity")
keys_rotated = _names.signal("keys.rotated")
keys_stale = _names.signal("keys.stale")
keys_unavailable = _names.signal("keys.unavailable")
keys_refused = _names.signal("keys.refused")
keys_snapshot = _names.signal("keys.snapshot")
tls_failure = _names.signal("tls.failure")
online_unavailable = _names.signal("online.unavailable")
usage_exceeded = _names.signal("usage.exceeded")
clock_suspicious = _names.signal("clock.suspicious")

SIGNALS: Mapping[EventName, NamedSignal] = {
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
