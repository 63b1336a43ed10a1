"""Who asks faster than is right waits, each time a little longer, and is at last told to wait.

The generic cell rate algorithm (ITU-T I.371): for each name one number, the moment at which all it
has asked for would be due at its rate. It reads the monotonic clock and sleeps for nobody.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.errors import LicetError

#: Seconds that one waits at most.
LONGEST = 5.0
#: Names that are remembered: those that have rested longest are forgotten first.
MOST_NAMES = 10_000


class TooFastError(LicetError):
    """There is nothing left but to come back later.

    Args:
        retry_after: in how many seconds.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many requests; try again in {retry_after} s")
        self.retry_after = retry_after


class Pace:
    """How fast each name may ask. For one thread.

    Args:
        rate: requests a second; as many may come at once.
        clock: what the time is measured by.
    """

    def __init__(self, rate: float, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._interval, self._clock = 1.0 / rate, clock
        self._due: OrderedDict[str, float] = OrderedDict()

    def delay(self, name: str) -> float:
        """Return the seconds that this request of `name` has to wait; 0.0 mostly.

        Raises:
            TooFastError: it would wait too long; it does not count.
        """
        now = self._clock.monotonic()
        due = max(self._due.get(name, now), now) + self._interval
        # The burst is what a second brings; the request itself is a part of it.
        delay = round(due - now - max(1.0, self._interval), 6)
        if delay <= LONGEST:
            self._due[name] = due
        self._due.move_to_end(name)
        if len(self._due) > MOST_NAMES:
            self._due.popitem(last=False)
        if delay > LONGEST:
            raise TooFastError(math.ceil(delay))
        return max(delay, 0.0)
