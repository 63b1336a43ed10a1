"""What the store in memory keeps its things on: entries that end, in order, and a bounded number.

Nothing here is shared or takes a lock; time is whatever the caller says it is.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from heapq import heappop, heappush
from itertools import islice
from math import inf
from typing import Generic, NamedTuple, TypeVar

from licet.core.stores.interface import PAGE, News, StoreUnavailable, next_generation

#: Ended entries that one operation clears away: more than it can add, so that they run out.
SWEEP = 2

V = TypeVar("V")


class _Entry(Generic[V]):
    __slots__ = ("ends", "value")

    def __init__(self, value: V, ends: float) -> None:
        self.value = value
        self.ends = ends


class Shelf(Generic[V]):
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


class Seats:
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

    def shorten(self, last: float) -> None:
        place = bisect_right(self.order, last, key=lambda seat: seat[0])
        late = self.order[place:]
        del self.order[place:]
        for _, member in late:
            self.ends[member] = last
            insort(self.order, (last, member))

    def later_than(self, member: str) -> int | None:
        ends = self.ends.get(member)
        if ends is None:
            return None
        return len(self.order) - bisect_right(self.order, (ends, member))


class _Told(NamedTuple):
    generation: int
    value: bytes


class Announcements:
    """Values, and the order in which they were announced.

    Args:
        room: how many are kept at most.
    """

    def __init__(self, room: int) -> None:
        self.latest = 0
        self._shelf: Shelf[_Told] = Shelf(room)
        #: Generation and key, of each that is on the shelf.
        self._order: list[tuple[int, str]] = []

    def find(self, key: str, now: float) -> bytes | None:
        """Return what was announced last, unless it has ended."""
        entry = self._shelf.find(key, now)
        return None if entry is None else entry.value.value

    def add(self, key: str, value: bytes, *, now: float, ends: float, wall: float) -> int:
        """Announce `value`, numbered by the wall clock; return its generation.

        Raises:
            StoreUnavailable: there is no room.
        """
        for swept in self._shelf.sweep(now):
            self._strike(swept)
        before = self._shelf.held(key)
        told = _Told(next_generation(self.latest, wall), value)
        self._shelf.keep(key, told, ends)
        if before is not None:
            self._strike(before)
        self._order.append((told.generation, key))
        self.latest = told.generation
        return told.generation

    def after(self, generation: int, now: float) -> News:
        """Return what was announced after `generation` and has not ended."""
        if generation == self.latest:
            return News(generation, ())
        begin = self._place(generation + 1 if generation < self.latest else 0)
        keys = (self._order[place][1] for place in range(begin, len(self._order)))
        entries = (self._shelf.find(key, now) for key in keys)
        found = list(islice((entry.value for entry in entries if entry is not None), PAGE))
        return News(found[-1].generation if found else self.latest, tuple(x.value for x in found))

    def _strike(self, told: _Told) -> None:
        del self._order[self._place(told.generation)]

    def _place(self, generation: int) -> int:
        return bisect_left(self._order, (generation, ""))
