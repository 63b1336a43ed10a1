"""A latch: set once, for threads and for tasks of any event loop, waiting together.

Whoever waits, a thread or a task, is one function that wakes it. It is entered and the latch is
looked at under one lock, so no wake-up falls between; who goes away takes its entry along.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.lowlevel import current_token


class Latch:
    """Something that happens once and is waited for. Belongs to one process."""

    __slots__ = ("_lock", "_set", "_wakers")

    def __init__(self) -> None:
        # Reentrant: a collection of garbage in the middle may finish a task of a dead loop, which
        # takes its entry along in this very thread.
        self._lock = threading.RLock()
        self._set = False
        self._wakers: dict[object, Callable[[], object]] = {}

    @property
    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._set

    @property
    def waiting(self) -> int:
        """How many threads and tasks wait for it."""
        return len(self._wakers)

    def set(self) -> None:
        """Let it have happened, and wake everybody; from any thread, as often as one likes."""
        with self._lock:
            self._set = True
            wakers, self._wakers = self._wakers, {}
        for wake in wakers.values():
            try:
                wake()
            except RuntimeError:
                # That loop is closed, and with it the task that waited; the next is not.
                continue

    def wait(self, seconds: float) -> bool:
        """Block this thread until it has happened, `seconds` at most; return whether it has."""
        asleep = threading.Lock()
        asleep.acquire()
        if self._subscribe(asleep, asleep.release):
            try:
                asleep.acquire(timeout=min(max(seconds, 0.0), threading.TIMEOUT_MAX))
            finally:
                self._unsubscribe(asleep)
        return self._set

    async def wait_in_task(self, seconds: float) -> bool:
        """Wait in this task, under asyncio or trio, `seconds` at most; return whether it has."""
        if self._set:
            return True
        event = anyio.Event()
        if self._subscribe(event, _waker(event)):
            try:
                with anyio.move_on_after(seconds):
                    await event.wait()
            finally:
                self._unsubscribe(event)
        return self._set

    def _subscribe(self, waiter: object, wake: Callable[[], object]) -> bool:
        """Have `wake` called when it happens; return False if that is past."""
        with self._lock:
            if not self._set:
                self._wakers[waiter] = wake
            return not self._set

    def _unsubscribe(self, waiter: object) -> None:
        with self._lock:
            self._wakers.pop(waiter, None)


@dataclass(frozen=True, slots=True)
class Wait:
    """To wait for a latch; as an effect it returns whether that is set.

    Args:
        latch: what to wait for.
        seconds: how long at most.
    """

    latch: Latch
    seconds: float

    def run(self) -> bool:
        """Wait in this thread."""
        return self.latch.wait(self.seconds)

    async def arun(self) -> bool:
        """Wait in this task."""
        return await self.latch.wait_in_task(self.seconds)


def _waker(event: anyio.Event) -> Callable[[], object]:
    """Return what sets `event`: from another thread by the running loop's own primitive."""
    loop: Any = current_token().native_token
    elsewhere = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon

    def wake() -> None:
        if _running_loop() is loop:
            # The other way takes system calls, and a turn of the loop more.
            event.set()
        else:
            elsewhere(event.set)

    return wake


def _running_loop() -> object:
    try:
        return current_token().native_token
    except RuntimeError:
        return None
