"""Whose turn it is: which events may be delivered now, in order and without waiting for others.

Events about one license are a lane at each receiver, of which the first only is under way or waits
until it is due. Receivers take turns. One that did not answer has few attempts under way, and all
of those together leave places to the others. In memory, by the clock that nobody sets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import inf
from typing import NamedTuple

from licet.core.clock import Clock

#: Attempts at once: at one receiver; at one that does not answer; at all of those; at all.
AT_RECEIVER, AT_SILENT, AT_ALL_SILENT, AT_ALL = 4, 1, 24, 32
#: Seconds after which what waits for a receiver that is back may be tried early again.
HASTENED_FOR = 300.0


class Lane(NamedTuple):
    """What is told in order: the events about one license at one receiver."""

    receiver: str
    name: str


@dataclass(slots=True)
class Line:
    """What is known of one receiver.

    Args:
        ready: lanes that are due.
        sending: attempts that are under way.
        silent: whether the last one found nobody.
        closed_until: when it may be asked again, monotonic time.
        hasten_at: from when on what waits for it may be tried early, likewise.
    """

    ready: deque[Lane] = field(default_factory=deque)
    sending: int = 0
    silent: bool = False
    closed_until: float = -inf
    hasten_at: float = -inf


class Lanes:
    """All lanes with something in them. For the tasks of one event loop.

    Args:
        clock: both clocks; moments that are given are the wall's.
        longest: seconds that a lane may wait, whatever the wall's clock says.
    """

    def __init__(self, clock: Clock, longest: float) -> None:
        self._clock, self._longest = clock, longest
        # Each is due, ready or under way.
        self._lanes: set[Lane] = set()
        self._due: list[tuple[float, int, Lane]] = []
        self._lines: dict[str, Line] = {}

    @property
    def sending(self) -> int:
        """How many attempts are under way."""
        return sum(line.sending for line in self._lines.values())

    def __len__(self) -> int:
        return len(self._lanes)

    def __contains__(self, lane: Lane) -> bool:
        return lane in self._lanes

    def wait(self, lane: Lane, number: int, due_at: float) -> None:
        """Have the first event of a lane wait until it is due.

        Args:
            lane: new, or one that is under way no longer.
            number: of the event; of two that are due at once the smaller comes first.
            due_at: seconds since the epoch.
        """
        self._lanes.add(lane)
        pause = min(max(due_at - self._clock.wall(), 0.0), self._longest)
        heappush(self._due, (self._clock.monotonic() + pause, number, lane))

    def leave(self, lane: Lane) -> None:
        """Forget a lane with nothing in it, which is under way no longer."""
        self._lanes.discard(lane)

    def turns(self) -> Iterator[tuple[Lane, Line]]:
        """Yield those whose turn it is, as being under way from now on; one receiver at a time."""
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            _, _, lane = heappop(self._due)
            self._lines.setdefault(lane.receiver, Line()).ready.append(lane)
        begun = True
        while begun:
            begun = False
            for line in list(self._lines.values()):
                if line.ready and now >= line.closed_until and self._may_send(line):
                    lane = line.ready.popleft()
                    line.sending += 1
                    # Behind those that wait.
                    self._lines[lane.receiver] = self._lines.pop(lane.receiver)
                    begun = True
                    yield lane, line

    def pause(self) -> float:
        """Return in how many seconds it is somebody's turn; infinite where time brings nobody."""
        now = self._clock.monotonic()
        moments = [line.closed_until for line in self._lines.values() if line.ready]
        moments += [due for due, *_ in self._due[:1]]
        return min([at - now for at in moments if at > now], default=inf)

    def answered(self, line: Line, receiver: str) -> None:
        """Try early what waits for a receiver that did not answer, now that it does."""
        was_silent, line.silent = line.silent, False
        now = self._clock.monotonic()
        if was_silent and now >= line.hasten_at:
            line.hasten_at = now + HASTENED_FOR
            self._due = [
                (min(due, now) if lane.receiver == receiver else due, number, lane)
                for due, number, lane in self._due
            ]
            heapify(self._due)

    def failed(self, line: Line, *, silent: bool, wish: float) -> None:
        """Leave a receiver alone that took nothing.

        Args:
            line: the receiver's.
            silent: whether nobody was there.
            wish: for how many seconds it wants to be left alone.
        """
        line.silent, line.closed_until = silent, self._clock.monotonic() + wish

    def _may_send(self, line: Line) -> bool:
        if self.sending >= AT_ALL:
            return False
        if not line.silent:
            return line.sending < AT_RECEIVER
        silent = sum(other.sending for other in self._lines.values() if other.silent)
        return line.sending < AT_SILENT and silent < AT_ALL_SILENT
