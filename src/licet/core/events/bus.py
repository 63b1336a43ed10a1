"""Hands an event to whoever subscribed; a subscriber that fails breaks nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

from licet.core.clock import Clock
from licet.core.events.event import KINDS, Event
from licet.core.events.incidents import Incidents
from licet.core.forks import Locked

Subscriber: TypeAlias = Callable[[Event], None]

logger = logging.getLogger("licet")


class EventBus(Locked):
    """The subscribers of one gate, or with `EVERY_GATE` those of all in this process.

    Args:
        subscribers: called in order with each event, in the thread that emits it; they must
            not block, and what they raise is logged and goes no further. Who may block is put
            behind a `Relay`.
    """

    def __init__(self, *subscribers: Subscriber) -> None:
        super().__init__()
        self._subscribers = subscribers

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
            except Exception:
                logger.exception("an event subscriber failed on %s", event.name)


class GateBus(EventBus):
    """The subscribers of one gate, who hear once in a while of what would be the same again.

    Args:
        clock: monotonic time.
        subscribers: as for `EventBus`.
    """

    def __init__(self, clock: Clock, *subscribers: Subscriber) -> None:
        super().__init__(*subscribers)
        self._incidents = Incidents(clock)

    def emit(self, event: Event) -> None:
        """Hand `event` to every subscriber, if it is news."""
        if not KINDS[event.name].once or self._incidents.is_news(event):
            super().emit(event)


#: Who hears the events of all gates of this process.
EVERY_GATE = EventBus()
