"""How a store's work happens in the two worlds: at once, or in a thread that may wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar, checkpoint_if_cancelled, current_token

from licet.core import flow
from licet.core.flow import Flow
from licet.core.stores.interface import PATIENCE, StoreUnavailable

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

#: Threads per event loop. Of our own: views that wait for a store may hold all of the default
#: ones, and would wait for themselves.
THREADS = 16
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("licet-stores")
#: Event loops forget tasks that nobody holds.
_undoing: set[asyncio.Task[None]] = set()


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


async def wholly(work: Coroutine[Any, Any, T], undo: Callable[[T], Awaitable[None]]) -> T:
    """Return what `work` returns, and never leave it halfway.

    Whoever is cancelled meanwhile goes on being cancelled when it has ended and is undone.

    Args:
        work: what may not be left halfway.
        undo: undoes what it returns.

    Raises:
        Exception: whatever the work lets out.
    """
    # Here and below, because threads need none of it.
    import asyncio

    token = current_token()
    loop: Any = getattr(token, "native_token", token)
    if not isinstance(loop, asyncio.AbstractEventLoop):
        with anyio.CancelScope(shield=True):
            done = await work
        try:
            await checkpoint_if_cancelled()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await undo(done)
            raise
        return done
    # A task of its own, because a cancellation of asyncio's own knows no shield.
    task = loop.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # Another one, because whoever cancels once may cancel again.
        undoing = loop.create_task(_undone(task, undo))
        _undoing.add(undoing)
        undoing.add_done_callback(_undoing.discard)
        with anyio.CancelScope(shield=True):
            await asyncio.shield(undoing)
        raise


async def _undone(task: asyncio.Task[T], undo: Callable[[T], Awaitable[None]]) -> None:
    import asyncio

    await asyncio.wait([task])
    if not task.cancelled() and task.exception() is None:
        await undo(task.result())


def _own_limiter() -> anyio.CapacityLimiter:
    limiter = _limiter.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(THREADS)
        _limiter.set(limiter)
    return limiter
