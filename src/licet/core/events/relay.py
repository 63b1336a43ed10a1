"""Hands events on to who may take long about them: in a thread, in order, so many at most.

Whoever emits an event never waits for it. What is too much is dropped, counted and said.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.documents.flight import start
from licet.core.events.event import Event
from licet.core.events.log import RATIONED, Ration, SubscriberLog
from licet.core.forks import Locked
from licet.core.shutdown import tell_of_end

logger = logging.getLogger("licet")

#: Events that may wait for one subscriber.
CAPACITY = 1000


class Relay(Locked):
    """A subscriber that has another one called in a thread of its own.

    The thread begins with an event and ends when none is left. A child of a fork begins with none:
    what waits is its parent's to tell.

    Args:
        subscriber: what it raises is logged and goes no further.
        capacity: how many events may wait; of those that can be brought about at will, half.
        clock: monotonic time, for the ration of what is logged.

    Attributes:
        dropped: how many events there was no room for.
    """

    def __init__(
        self,
        subscriber: Callable[[Event], None],
        capacity: int = CAPACITY,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__()
        self.dropped = 0
        self._subscriber, self._capacity = subscriber, capacity
        self._failed, self._losses = SubscriberLog(clock), Ration(clock)
        self._begin()
        tell_of_end(self, waits=True)

    def _begin(self) -> None:
        self._waiting: deque[Event] = deque()
        #: The sign of the thread that serves.
        self._thread: object = None
        self._idle = threading.Event()
        self._idle.set()

    def after_fork(self) -> None:
        """Begin with nothing."""
        super().after_fork()
        self._begin()

    def __call__(self, event: Event) -> None:
        """Have `event` told soon; waits for nothing."""
        # Who brings about denials at will must not crowd out what is worth more.
        room = self._capacity // 2 if event.name in RATIONED else self._capacity
        with self.lock:
            full = len(self._waiting) >= room
            if full:
                self.dropped += 1
            else:
                self._waiting.append(event)
                self._idle.clear()
                if self._thread is None:
                    self._start()
        if full and self._losses.withheld("full") is not None:
            logger.warning("an event subscriber is too slow: %d events dropped", self.dropped)

    def finish(self, seconds: float) -> None:
        """Wait until all is told, `seconds` at most."""
        with self.lock:
            if self._waiting and self._thread is None:
                self._start()
        self._idle.wait(seconds)

    def _start(self) -> None:
        sign = self._thread = object()
        if not start(lambda: self._serve(sign), "licet-events"):
            # The next event tries again.
            self._thread = None

    def _serve(self, sign: object) -> None:
        while (event := self._next(sign)) is not None:
            try:
                self._subscriber(event)
            except BaseException as error:
                # The thread is ours: one that exits, or was cancelled, ends for nobody else.
                self._failed(event, error)

    def _next(self, sign: object) -> Event | None:
        with self.lock:
            # The thread that forked goes on in the child, where another may serve already.
            if self._thread is not sign:
                return None
            if self._waiting:
                return self._waiting.popleft()
            self._thread = None
            self._idle.set()
            return None
