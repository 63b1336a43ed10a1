"""The store of one process: what it holds is gone with it.

Bounded: when it is full of what has not ended yet, it says so rather than forget a proof or a
count. A forked child begins with a copy of its own. Time is monotonic here, since nothing
outlives the process: setting the wall clock neither frees a seat nor lets a proof in again. The
wall clock only numbers announcements.
"""

from __future__ import annotations

from functools import partial

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.flow import Effect
from licet.core.forks import Locked
from licet.core.stores.effects import Immediate
from licet.core.stores.interface import Count, Key, News, Store, StoreUnavailable, charge
from licet.core.stores.shelves import Announcements, Seats, Shelf

#: Counters, values, announcements and seats that are kept at most, of each.
ROOM = 100_000


class MemoryStore(Store, Locked):
    """Counters, seats and values in this process.

    Args:
        clock: time, read monotonic.
        room: how many counters, values, announcements and seats are kept at most, of each.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK, room: int = ROOM) -> None:
        super().__init__()
        self._clock = clock
        self._room = room
        self._counts: Shelf[int] = Shelf(room)
        self._values: Shelf[bytes] = Shelf(room)
        self._seats: Shelf[Seats] = Shelf(room)
        self._announcements = Announcements(room)
        self._seated = 0

    def _increment(self, key: Key, amount: int, limit: int, window: float) -> Effect[Count]:
        return Immediate(partial(self._count, key, amount, limit, window))

    def _admit(self, key: Key, member: Key, limit: int, window: float) -> Effect[Count]:
        return Immediate(partial(self._seat, key, member, limit, window))

    def _set_if_absent(self, key: Key, ttl: float) -> Effect[bool]:
        return Immediate(partial(self._keep, key, b"", ttl, unless_there=True))

    def _put(self, key: Key, value: bytes, ttl: float) -> Effect[None]:
        def work() -> None:
            self._keep(key, value, ttl, unless_there=False)

        return Immediate(work)

    def get(self, key: Key) -> Effect[bytes | None]:
        """Return what was announced, or else what was put; None for neither."""

        def work() -> bytes | None:
            with self.lock:
                now = self._clock.monotonic()
                announced = self._announcements.find(key, now)
                entry = self._values.find(key, now)
                return entry.value if announced is None and entry is not None else announced

        return Immediate(work)

    def delete(self, key: Key) -> Effect[None]:
        """Forget what was put or set; its room is free again when it would have ended."""

        def work() -> None:
            with self.lock:
                self._values.end(key, b"")

        return Immediate(work)

    def _announce(self, key: Key, value: bytes, ttl: float) -> Effect[int]:
        def work() -> int:
            with self.lock:
                now = self._clock.monotonic()
                return self._announcements.add(
                    key, value, now=now, ends=now + ttl, wall=self._clock.wall()
                )

        return Immediate(work)

    def announced(self, after: int) -> Effect[News]:
        """Return what this process has announced after generation `after`."""

        def work() -> News:
            with self.lock:
                return self._announcements.after(after, self._clock.monotonic())

        return Immediate(work)

    def generation(self) -> Effect[int]:
        """Return the generation of this process's latest announcement."""
        return Immediate(lambda: self._announcements.latest)

    def close(self) -> None:
        """Do nothing: there is no connection, and what is held is held on."""

    def forget_used(self) -> None:
        """Forget counters and seats, as before a test; what was kept or announced stays."""
        with self.lock:
            self._counts, self._seats = Shelf(self._room), Shelf(self._room)
            self._seated = 0

    def _count(self, key: str, amount: int, limit: int, window: float) -> Count:
        with self.lock:
            now = self._clock.monotonic()
            self._counts.sweep(now)
            entry = self._counts.find(key, now)
            count, ends = (0, now + window) if entry is None else (entry.value, entry.ends)
            allowed, after = charge(count, amount, limit)
            if after != count:
                self._counts.keep(key, after, ends)
            return Count(allowed, after, ends - now)

    def _seat(self, key: str, member: str, limit: int, window: float) -> Count:
        with self.lock:
            now = self._clock.monotonic()
            for swept in self._seats.sweep(now):
                self._seated -= len(swept.order)
            seats = self._seats.held(key) or Seats()
            self._seated -= seats.free(now)
            seats.shorten(now + window)
            later, count = seats.later_than(member), len(seats.order)
            allowed = (count if later is None else later) < limit
            if allowed:
                if later is None and self._seated >= self._room:
                    raise StoreUnavailable("full")
                ends = max(now + window, seats.order[-1][0] if seats.order else now)
                self._seats.keep(key, seats, ends)
                seats.seat(member, now + window)
                self._seated += len(seats.order) - count
                count = len(seats.order)
            place = max(count - limit, 0)
            free_at = seats.order[place][0] if place < count else now + window
            return Count(allowed, count, free_at - now)

    def _keep(self, key: str, value: bytes, ttl: float, *, unless_there: bool) -> bool:
        with self.lock:
            now = self._clock.monotonic()
            self._values.sweep(now)
            if unless_there and self._values.find(key, now) is not None:
                return False
            self._values.keep(key, value, now + ttl)
            return True
