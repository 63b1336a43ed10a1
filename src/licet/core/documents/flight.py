"""One fetch that many wait for, in threads and in tasks of any event loop.

A flight belongs to nobody: it is made unclaimed, whoever first waits for it performs it, and
whoever goes away while waiting takes nothing from the others. A thread performs it inline, which
works where no second thread ever runs; a task has it performed by a daemon thread, since a task
can be cancelled and must not block its loop. A flight that nobody came to wait for does nothing,
and the next to join claims it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
from anyio.lowlevel import current_token


class Flight:
    """One fetch; as an effect it returns whether it succeeded, or None while that is open.

    Args:
        work: performs the fetch, blocking, and returns whether it succeeded; called at most
            once, and expected to bound its own time.
        patience: seconds that a follower waits before it goes on undecided.
        afterwards: called in the same thread once nobody waits any more.
    """

    def __init__(
        self,
        work: Callable[[], bool],
        patience: float,
        afterwards: Callable[[], object] = lambda: None,
    ) -> None:
        self._work = work
        self._afterwards = afterwards
        self._patience = patience
        self._lock = threading.Lock()
        self._claimed = False
        self._landed = threading.Event()
        self._wakers: list[Callable[[], object]] = []
        self.outcome: bool | None = None

    @property
    def claimed(self) -> bool:
        """Whether somebody performs it, or has done so."""
        return self._claimed

    @property
    def landed(self) -> bool:
        """Whether it is over."""
        return self._landed.is_set()

    def claim(self) -> bool:
        """Return True to exactly one caller, who must then perform it."""
        with self._lock:
            claimed, self._claimed = self._claimed, True
            return not claimed

    def run(self) -> bool | None:
        """Perform it in this thread, or wait for whoever does."""
        if self.claim():
            self._perform()
        else:
            self._landed.wait(self._patience)
        return self.outcome

    async def arun(self) -> bool | None:
        """Have it performed by a thread, and wait in this task."""
        landed = anyio.Event()
        if self._subscribe(_waker(landed)):
            if self.claim() and not _start(self._perform):
                self._perform()
            with anyio.move_on_after(self._patience):
                await landed.wait()
        return self.outcome

    def launch(self) -> bool:
        """Have it performed by a daemon thread; return whether one could be started.

        It is claimed only when that thread begins, so that somebody else can where it never does.
        """
        return _start(self.fly)

    def fly(self) -> None:
        """Perform it in this thread, unless somebody else does."""
        if self.claim():
            self._perform()

    def _perform(self) -> None:
        outcome = False
        try:
            outcome = self._work()
        finally:
            # Also on what is no Exception: a worker that is told to stop must strand nobody.
            with self._lock:
                self.outcome = outcome
                self._landed.set()
                wakers, self._wakers = self._wakers, []
            for wake in wakers:
                try:
                    wake()
                except RuntimeError:
                    # That loop is closed, and with it the task that waited; the next is not.
                    continue
        self._afterwards()

    def _subscribe(self, wake: Callable[[], object]) -> bool:
        """Have `wake` called at the landing; return False if that is past."""
        # Under the lock of the landing, or a wake-up could fall between look and subscription.
        with self._lock:
            if not self._landed.is_set():
                self._wakers.append(wake)
                return True
            return False


def _start(target: Callable[[], None]) -> bool:
    try:
        threading.Thread(target=target, name="licet-flight", daemon=True).start()
    except RuntimeError:
        # No thread is left, or the interpreter starts none any more.
        return False
    return True


def _waker(event: anyio.Event) -> Callable[[], object]:
    """Return what sets `event` from another thread, by the running loop's own primitive."""
    loop: Any = current_token().native_token
    wake = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon
    return lambda: wake(event.set)
