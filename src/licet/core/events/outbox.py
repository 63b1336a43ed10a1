"""Messages that wait for a receiver: in the memory of this process, and gone with it."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Protocol

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.events.event import Event
from licet.core.events.incidents import Incidents
from licet.core.events.messages import Message
from licet.core.forks import Locked

#: Messages that may wait.
CAPACITY = 1000
#: The longest that one waits for its next attempt, seconds.
LONGEST_PAUSE = 3600.0


class Outbox(Protocol):
    """Keeps messages until they are taken."""

    def add(self, event: Event, message: Message) -> bool:
        """Keep what is said of `event`, unless somebody else tells of it already.

        Returns:
            Whether there was room, if it had to be kept.
        """
        ...

    def next(self) -> Message | float | None:
        """Return a message that is due and is now its caller's to send.

        Returns:
            In how many seconds there may be one, where none is due; None where none waits.
        """
        ...

    def done(self, message: Message) -> None:
        """Forget a message."""
        ...

    def later(self, message: Message, seconds: float) -> None:
        """Let a message be sent again after a while."""
        ...


class MemoryOutbox(Locked):
    """An outbox that is gone with its process. A child of a fork begins with none.

    Args:
        incidents: knows which process tells of an event.
        clock: monotonic time, for what is due.
    """

    def __init__(self, incidents: Incidents, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__()
        self._incidents, self._monotonic = incidents, clock.monotonic
        self._begin()

    def _begin(self) -> None:
        self._number = 0
        #: When each is due, by the monotonic clock; and a number, so that they stay in order.
        self._waiting: list[tuple[float, int, Message]] = []

    def after_fork(self) -> None:
        """Leave what waits to the parent."""
        super().after_fork()
        self._begin()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, event: Event, message: Message) -> bool:
        """See `Outbox.add`."""
        if len(self._waiting) >= CAPACITY:
            return False
        if self._incidents.claim(event):
            self.later(message, 0.0)
        return True

    def next(self) -> Message | float | None:
        """See `Outbox.next`."""
        with self.lock:
            if not self._waiting:
                return None
            left = self._waiting[0][0] - self._monotonic()
            return left if left > 0 else heappop(self._waiting)[2]

    def done(self, message: Message) -> None:
        """Do nothing: it was taken out."""

    def later(self, message: Message, seconds: float) -> None:
        """See `Outbox.later`."""
        with self.lock:
            self._number += 1
            heappush(self._waiting, (self._monotonic() + seconds, self._number, message))
