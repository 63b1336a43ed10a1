"""How long the doctor looks: at most so long for each step, and so long altogether."""

from __future__ import annotations

from collections.abc import Callable

from licet.core.clock import SYSTEM_CLOCK

#: Seconds, for everything together.
WHOLE = 30.0


class OutOfTime(Exception):
    """The time for everything together is over."""


class Patience:
    """What is left of the time.

    Args:
        seconds: there are.
        monotonic: returns seconds that never run backwards.
    """

    def __init__(
        self, seconds: float, monotonic: Callable[[], float] = SYSTEM_CLOCK.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._end = monotonic() + seconds

    def left(self, most: float) -> float:
        """Return the seconds that the next step may take.

        Args:
            most: the longest it may take in any case.

        Raises:
            OutOfTime: there are none.
        """
        seconds = self._end - self._monotonic()
        if seconds <= 0:
            raise OutOfTime
        return min(most, seconds)
