"""Hands an event to whoever subscribed; a subscriber that fails breaks nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

from licet.core.events.event import Event
from licet.core.forks import Locked

Subscriber: TypeAlias = Callable[[Event], None]

logger = logging.getLogger("licet")


class EventBus(Locked):
    """The subscribers of one gate.

    Args:
        subscribers: called in order with each event, in the thread that emits it; they must
            not block, and what they raise is logged and goes no further.
    """

    def __init__(self, *subscribers: Subscriber) -> None:
        super().__init__()
        self._subscribers = subscribers

    def subscribe(self, subscriber: Subscriber) -> None:
        """Add a subscriber; it sees every later event."""
        # A new tuple, so that an `emit` under way in another thread keeps the one it reads.
        with self.lock:
            self._subscribers = (*self._subscribers, subscriber)

    def emit(self, event: Event) -> None:
        """Hand `event` to every subscriber."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                logger.exception("an event subscriber failed on %s", event.name)
