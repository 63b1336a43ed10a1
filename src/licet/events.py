"""What happens to licenses, told to your own code.

    from licet import events

    @events.subscribe("license.revoked", "license.suspicious_activity")
    def page_somebody(event: events.Event) -> None:
        print(event.name, event.data["license_id"])

Subscribers hear the events of the whole process, one after the other, in a thread of their own: no
request waits for one, and none fails with it. Which events there are, and what they tell, stands in
`licet.core.events.event`. What strangers chose, a host or a name, is as they chose it: escape it.

Workers that share a `store` hear once among all of what is told once in a while (ends, grace,
suspicions); without one each hears for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import get_args

from licet.core.events.bus import EVERY_GATE, Subscriber
from licet.core.events.event import Event, EventName
from licet.core.events.relay import CAPACITY, Relay

__all__ = ["NAMES", "Event", "EventName", "Subscription", "subscribe"]

#: The names of all events.
NAMES: tuple[EventName, ...] = get_args(EventName)


class Subscription:
    """One subscriber, as long as it is not cancelled. Calling it calls the subscriber.

    Args:
        subscriber: who hears.
        names: of what.
        capacity: how many events may wait.
    """

    def __init__(
        self, subscriber: Subscriber, names: tuple[EventName, ...], capacity: int = CAPACITY
    ) -> None:
        self._subscriber, self._names = subscriber, frozenset(names)
        self._relay = Relay(subscriber, capacity)
        EVERY_GATE.subscribe(self._heard)

    @property
    def dropped(self) -> int:
        """How many events there was no room for, because the subscriber is too slow."""
        return self._relay.dropped

    def cancel(self) -> None:
        """Hear no later event; what waits is still told."""
        EVERY_GATE.unsubscribe(self._heard)

    def __call__(self, event: Event) -> None:
        self._subscriber(event)

    def _heard(self, event: Event) -> None:
        if event.name in self._names:
            self._relay(event)


def subscribe(*names: EventName) -> Callable[[Subscriber], Subscription]:
    """Return a decorator: have a function called with each event of these names.

    Args:
        names: of events; all where none is named.

    Raises:
        ValueError: there is no event of a name.
        TypeError: used without parentheses, or for a coroutine function: in that thread there is no
            event loop. Hand it to yours by `asyncio.run_coroutine_threadsafe`.
    """
    if any(not isinstance(name, str) for name in names):
        raise TypeError('write @subscribe() or @subscribe("license.revoked")')
    for name in names:
        if name not in NAMES:
            raise ValueError(f"there is no event {name!r}; there are {', '.join(NAMES)}")

    def attached(subscriber: Subscriber) -> Subscription:
        if iscoroutinefunction(subscriber) or iscoroutinefunction(type(subscriber).__call__):
            raise TypeError("subscribers are called in a thread of their own: write def, not async")
        return Subscription(subscriber, names or NAMES)

    return attached
