"""Time, injected: wall time for what a license says, monotonic time for how old a thing is.

Nothing else in the core reads a clock, so that every test can hold the hands of this one. Neither
reading is believed blindly: a wall clock may say what is no time at all, and a monotonic one may
begin anew under a process that was frozen and thawed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from licet.core.errors import LicenseUnavailable

#: The last moment that a wall clock may tell: the end of the year 9999.
END_OF_TIME = 253_402_300_799.0
#: Seconds that a monotonic clock may seem to go back between two threads that read it.
BLUR = 1.0
#: Seconds that count as passed where a monotonic clock went back: nobody knows how many did, so
#: that whatever waits for its time has waited long enough.
UNKNOWN = 10 * 366 * 86_400.0


@dataclass(slots=True, unsafe_hash=True)
class Steady:
    """Monotonic time that does go on, whatever becomes of the clock that it is read from.

    What was to end at some time would never end by a clock that has begun anew. Here a step back
    is a leap forward, and what was kept for a while is over.

    Args:
        read: returns seconds from an arbitrary start.

    Attributes:
        leapt: how many seconds it is ahead of what it is read from.
    """

    read: Callable[[], float]
    _latest: float = field(default=-inf, init=False, compare=False)
    leapt: float = field(default=0.0, init=False, compare=False)

    def __call__(self) -> float:
        """Return seconds from an arbitrary start, never fewer than before."""
        now, latest = self.read() + self.leapt, self._latest
        if now < latest:
            if now > latest - BLUR:
                return latest
            # Two threads may both see it: a leap of twice the length does as well.
            self.leapt += latest - now + UNKNOWN
            now = latest + UNKNOWN
        self._latest = now
        return now


@dataclass(frozen=True, slots=True)
class Clock:
    """The two readings the core needs.

    Args:
        wall: returns seconds since the Unix epoch (a NumericDate of RFC 7519, section 2).
        monotonic: returns seconds from an arbitrary start; made `Steady`.
    """

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        if not isinstance(self.monotonic, Steady):
            object.__setattr__(self, "monotonic", Steady(self.monotonic))

    def ticks(self) -> Callable[[], float]:
        """Return what `monotonic` is read from, and may go back."""
        return self.monotonic.read if isinstance(self.monotonic, Steady) else self.monotonic

    def bare(self) -> Callable[[], float]:
        """Return `monotonic` without its guard, as long as it never was needed: for a hot path.

        Whoever uses it sees to it that no reading is before the last, and asks for another then.
        """
        self.monotonic()
        steady = isinstance(self.monotonic, Steady) and not self.monotonic.leapt
        return self.ticks() if steady else self.monotonic

    def now(self) -> float:
        """Return the wall time, where it is one.

        Raises:
            LicenseUnavailable: the wall clock says nothing, or what cannot be a time.
        """
        now = reading(self.wall)
        if now is None:
            raise LicenseUnavailable("clock")
        return now


def reading(wall: Callable[[], float]) -> float | None:
    """Return what a wall clock says, None where that is no time or it says nothing.

    Args:
        wall: returns seconds since the Unix epoch.
    """
    try:
        now = wall()
        # Of NaN no comparison is true.
        return now if 0 <= now <= END_OF_TIME else None
    except Exception:
        # Whatever it was: a clock that cannot be read is what its caller hears of.
        return None


SYSTEM_CLOCK = Clock()
