"""Hands an event to whoever subscribed; a subscriber that fails breaks nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.events.event import KINDS, Event
from licet.core.events.incidents import Incidents
from licet.core.events.log import SubscriberLog
from licet.core.events.relay import Relay
from licet.core.forks import Locked
from licet.core.stores import Store

Subscriber: TypeAlias = Callable[[Event], None]


class EventBus(Locked):
    """The subscribers of one gate, or with `EVERY_GATE` those of all in this process.

    Args:
        subscribers: called in order with each event, in the thread that emits it; they must
            not block, and what they raise is logged and goes no further. Who may block is put
            behind a `Relay`.
        clock: monotonic time, for the ration of what is logged.
    """

    def __init__(self, *subscribers: Subscriber, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__()
        self._subscribers = subscribers
        self._failed = SubscriberLog(clock)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Add a subscriber; it sees every later event."""
        # A new tuple, so that an `emit` under way in another thread keeps the one it reads.
        with self.lock:
            self._subscribers = (*self._subscribers, subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Remove a subscriber; it sees no later event."""
        with self.lock:
            self._subscribers = tuple(one for one in self._subscribers if one != subscriber)

    def emit(self, event: Event) -> None:
        """Hand `event` to every subscriber."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception as error:
                self._failed(event, error)


class GateBus(EventBus):
    """The subscribers of one gate, who hear once in a while of what would be the same again.

    Args:
        clock: monotonic time.
        subscribers: as for `EventBus`.
    """

    def __init__(self, clock: Clock, *subscribers: Subscriber) -> None:
        super().__init__(*subscribers, clock=clock)
        self._clock = clock
        self._incidents = Incidents(clock)
        self._told: Relay | None = None

    def share(self, store: Store) -> None:
        """Have one process tell of what all that share `store` would tell of once in a while.

        To ask the store takes a while, so that these events come from a thread of their own.
        """
        self._incidents = Incidents(self._clock, store)
        self._told = Relay(self._claim, clock=self._clock)

    def emit(self, event: Event) -> None:
        """Hand `event` to every subscriber, if it is news."""
        if not KINDS[event.name].once:
            super().emit(event)
        elif self._incidents.is_news(event):
            (self._told or super().emit)(event)

    def _claim(self, event: Event) -> None:
        if self._incidents.claim(event):
            super().emit(event)


#: Who hears the events of all gates of this process.
EVERY_GATE = EventBus()
