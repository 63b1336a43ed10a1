"""What is still to be told when a process ends, and is given a moment for it.

Called when the interpreter exits, which is also how workers of gunicorn end, and by adapters whose
servers say that they stop. Without an end to wait for nothing is lost but what waits still.
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


_everything: WeakSet[Ending] = WeakSet()


def tell_of_end(ending: Ending) -> None:
    """Have `ending.finish` called before this process ends, as long as somebody holds it."""
    _everything.add(ending)


def finish(seconds: float = PATIENCE) -> None:
    """Let everything finish; what goes on after it may be told to finish again."""
    until = time.monotonic() + seconds
    for ending in list(_everything):
        # An end that raises would keep the others from theirs, and the process from its own.
        with suppress(Exception):
            ending.finish(max(0.0, until - time.monotonic()))


atexit.register(finish)
