"""Time, injected: wall time for what a license says, monotonic time for how old a thing is.

Nothing else in the core reads a clock, so that every test can hold the hands of this one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """The two readings the core needs.

    Args:
        wall: returns seconds since the Unix epoch (a NumericDate of RFC 7519, section 2).
        monotonic: returns seconds from an arbitrary start that never run backwards.
    """

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


SYSTEM_CLOCK = Clock()
