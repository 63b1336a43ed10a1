"""Which events are news: of one incident there is one in a while.

Known in this process at once and, where workers share a store, among all of them. The memory is
bounded: where there are more incidents than it holds, the oldest may be told again.
"""

from __future__ import annotations

from collections import OrderedDict

from licet.core.clock import Clock
from licet.core.events.event import KINDS, Event, incident
from licet.core.forks import Locked
from licet.core.stores import Key, Store, StoreUnavailable, key

#: Incidents that a process remembers.
MOST = 10_000


class Incidents(Locked):
    """Remembers what was told.

    Args:
        clock: monotonic time.
        store: what other workers remember by; None where there is nothing that they share.
        whom: is told; what one was told is news to another.
    """

    def __init__(self, clock: Clock, store: Store | None = None, whom: str = "") -> None:
        super().__init__()
        self._monotonic, self._store, self._whom = clock.monotonic, store, whom
        self._told: OrderedDict[tuple[str, ...], float] = OrderedDict()

    def is_news(self, event: Event) -> bool:
        """Return whether this process has not seen the incident of `event` of late; never waits."""
        now, name = self._monotonic(), incident(event)
        with self.lock:
            if now < self._told.get(name, now):
                return False
            # Taken out first: the oldest give way.
            self._told.pop(name, None)
            self._told[name] = now + KINDS[event.name].window
            if len(self._told) > MOST:
                self._told.popitem(last=False)
            return True

    def forget(self, event: Event) -> None:
        """Let the incident of `event` be news again: nobody was told of it."""
        with self.lock:
            self._told.pop(incident(event), None)

    def place(self, event: Event) -> Key:
        """Return where a store remembers the incident of `event`."""
        return key("told", self._whom, *incident(event))

    def claim(self, event: Event) -> bool:
        """Return whether it is for this process to tell of the incident; may wait for the store."""
        if self._store is None:
            return True
        try:
            return self._store.set_if_absent(self.place(event), KINDS[event.name].window).run()
        except StoreUnavailable:
            # Twice is better than never.
            return True
