"""How a store's work happens in the two worlds: at once, or in a thread that may wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from licet.core import flow
from licet.core.flow import Flow
from licet.core.stores.interface import PATIENCE, StoreUnavailable

T = TypeVar("T")

#: Threads per event loop. Of our own: views that wait for a store may hold all of the default
#: ones, and would wait for themselves.
THREADS = 16
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("licet-stores")


@dataclass(frozen=True, slots=True)
class Decision(Generic[T]):
    """A flow as one effect.

    Args:
        decide: begins the flow.
    """

    decide: Callable[[], Flow[T]]

    def run(self) -> T:
        """Drive it in this thread."""
        return flow.run(self.decide())

    async def arun(self) -> T:
        """Drive it in this task."""
        return await flow.arun(self.decide())


class _Work(Generic[T]):
    __slots__ = ("_work",)

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work

    def run(self) -> T:
        """Do it in this thread."""
        return self._work()


class Immediate(_Work[T]):
    """Work that waits for nothing, done where it is asked for.

    Args:
        work: what to do.
    """

    __slots__ = ()

    async def arun(self) -> T:
        """Do it, without giving way to other tasks."""
        return self._work()


class Blocking(_Work[T]):
    """Work that may wait for a disk, a lock or the network.

    Args:
        work: what to do; expected to bound its own time.
    """

    __slots__ = ()

    async def arun(self) -> T:
        """Have it done by a thread; a task that is cancelled still waits for what has begun.

        Raises:
            StoreUnavailable: no thread was free in time, or what the work lets out.
        """
        with anyio.move_on_after(PATIENCE):
            return await anyio.to_thread.run_sync(self._work, limiter=_own_limiter())
        raise StoreUnavailable("timeout")


def _own_limiter() -> anyio.CapacityLimiter:
    limiter = _limiter.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(THREADS)
        _limiter.set(limiter)
    return limiter
