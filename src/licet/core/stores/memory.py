"""The store of one process: what it holds is gone with it.

Bounded: when it is full of what has not ended yet, it says so rather than forget a proof or a
count. A forked child begins with a copy of its own. Time is monotonic here, since nothing
outlives the process: setting the wall clock neither frees a seat nor lets a proof in again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from functools import partial
from heapq import heappop, heappush
from math import inf
from typing import Generic, TypeVar

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.flow import Effect
from licet.core.forks import Locked
from licet.core.stores.effects import Immediate
from licet.core.stores.interface import Count, Key, Store, StoreUnavailable, charge

#: Counters, values and seats that are kept at most, of each.
ROOM = 100_000
#: Ended entries that one operation clears away: more than it can add, so that they run out.
SWEEP = 2

V = TypeVar("V")


class _Entry(Generic[V]):
    __slots__ = ("ends", "value")

    def __init__(self, value: V, ends: float) -> None:
        self.value = value
        self.ends = ends


class _Shelf(Generic[V]):
    """Entries that end. Each stands in `_order` once, with an end that may since have moved."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._entries: dict[str, _Entry[V]] = {}
        self._order: list[tuple[float, str]] = []

    def find(self, key: str, now: float) -> _Entry[V] | None:
        entry = self._entries.get(key)
        return entry if entry is not None and now < entry.ends else None

    def held(self, key: str) -> V | None:
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    def keep(self, key: str, value: V, ends: float) -> None:
        entry = self._entries.get(key)
        if entry is not None:
            entry.value, entry.ends = value, ends
        elif len(self._entries) >= self._room:
            raise StoreUnavailable("full")
        else:
            self._entries[key] = _Entry(value, ends)
            heappush(self._order, (ends, key))

    def end(self, key: str, value: V) -> None:
        # Its place in the order is found again only when its turn comes.
        if key in self._entries:
            self._entries[key] = _Entry(value, -inf)

    def sweep(self, now: float) -> list[V]:
        swept = []
        for _ in range(SWEEP):
            if not self._order or now < self._order[0][0]:
                break
            _, key = heappop(self._order)
            entry = self._entries[key]
            if now < entry.ends:
                heappush(self._order, (entry.ends, key))
            else:
                swept.append(self._entries.pop(key).value)
        return swept


class _Seats:
    """Who is seated until when, and in the order in which seats become free."""

    __slots__ = ("ends", "order")

    def __init__(self) -> None:
        self.ends: dict[str, float] = {}
        self.order: list[tuple[float, str]] = []

    def seat(self, member: str, ends: float) -> None:
        held = self.ends.get(member)
        if held is not None:
            del self.order[bisect_left(self.order, (held, member))]
        self.ends[member] = ends
        insort(self.order, (ends, member))

    def free(self, now: float) -> int:
        freed = bisect_right(self.order, now, key=lambda seat: seat[0])
        for _, member in self.order[:freed]:
            del self.ends[member]
        del self.order[:freed]
        return freed

    def later_than(self, member: str) -> int | None:
        ends = self.ends.get(member)
        if ends is None:
            return None
        return len(self.order) - bisect_right(self.order, (ends, member))


class MemoryStore(Store, Locked):
    """Counters, seats and values in this process.

    Args:
        clock: time, read monotonic.
        room: how many counters, how many values and how many seats are kept at most.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK, room: int = ROOM) -> None:
        super().__init__()
        self._clock = clock
        self._room = room
        self._counts: _Shelf[int] = _Shelf(room)
        self._values: _Shelf[bytes] = _Shelf(room)
        self._seats: _Shelf[_Seats] = _Shelf(room)
        self._seated = 0
        self._generation = 0

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
        """Return what was put, None where nothing is or it has ended."""

        def work() -> bytes | None:
            with self.lock:
                entry = self._values.find(key, self._clock.monotonic())
                return None if entry is None else entry.value

        return Immediate(work)

    def delete(self, key: Key) -> Effect[None]:
        """Forget what was put or set; its room is free again when it would have ended."""

        def work() -> None:
            with self.lock:
                self._values.end(key, b"")

        return Immediate(work)

    def generation(self) -> Effect[int]:
        """Return a number that changes when `advance` is called in this process."""
        return Immediate(lambda: self._generation)

    def advance(self) -> Effect[int]:
        """Tell everybody in this process that a shared verdict has changed."""

        def work() -> int:
            with self.lock:
                self._generation += 1
                return self._generation

        return Immediate(work)

    def close(self) -> None:
        """Do nothing: there is no connection, and what is held is held on."""

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
            seats = self._seats.held(key) or _Seats()
            self._seated -= seats.free(now)
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
