"""What is still to be told when a process ends, and is given a moment for it.

Called when the interpreter exits, which is also how workers of gunicorn end, and by adapters whose
servers say that they stop. Without an end to wait for nothing is lost but what waits still. What
is done in a thread of its own goes on while others finish, and is waited for behind them: it may
hang with whoever it tells.
"""

from __future__ import annotations

import atexit
import time
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet

#: Seconds that all together may take.
PATIENCE = 2.0


class Ending(Protocol):
    """Something that may have something left to do."""

    def finish(self, seconds: float) -> None:
        """Do what is left, for `seconds` at most; what is not done by then is given up."""
        ...


_working: WeakSet[Ending] = WeakSet()
_waiting: WeakSet[Ending] = WeakSet()


def tell_of_end(ending: Ending, *, waits: bool = False) -> None:
    """Have `ending.finish` called before this process ends, as long as somebody holds it.

    Args:
        ending: has something left to do.
        waits: whether its `finish` only waits for what a thread of its own does meanwhile.
    """
    (_waiting if waits else _working).add(ending)


def finish(seconds: float = PATIENCE) -> None:
    """Let everything finish; what goes on after it may be told to finish again."""
    until = time.monotonic() + seconds
    # Twice: what one has left may be for another, which had nothing left a moment ago.
    for ending in [*_working, *_waiting] * 2:
        # An end that raises would keep the others from theirs, and the process from its own.
        with suppress(Exception):
            ending.finish(max(0.0, until - time.monotonic()))


atexit.register(finish)
