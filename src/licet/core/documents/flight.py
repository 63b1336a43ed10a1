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
from dataclasses import dataclass

from licet.core.flow import Effect
from licet.core.latch import Latch


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
        self._landing = Latch()
        self.outcome: bool | None = None

    @property
    def claimed(self) -> bool:
        """Whether somebody performs it, or has done so."""
        return self._claimed

    @property
    def landed(self) -> bool:
        """Whether it is over."""
        return self._landing.is_set

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
            self._landing.wait(self._patience)
        return self.outcome

    async def arun(self) -> bool | None:
        """Have it performed by a thread, and wait in this task."""
        return await _Within(self, self._patience).arun()

    def within(self, seconds: float) -> Effect[bool | None]:
        """Return the effect that has a daemon thread perform it, and waits `seconds` at most.

        Where no thread can be started, whoever waits performs it, and is bound by its work alone.
        """
        return _Within(self, seconds)

    def launch(self) -> bool:
        """Have it performed by a daemon thread; return whether one could be started.

        It is claimed only when that thread begins, so that somebody else can where it never does.
        """
        return start(self.fly)

    def fly(self) -> None:
        """Perform it in this thread, unless somebody else does."""
        if self.claim():
            self._perform()

    def _depart(self) -> Latch:
        """See that it is under way, and return what is set at its landing."""
        if self.claim() and not start(self._perform):
            self._perform()
        return self._landing

    def _perform(self) -> None:
        outcome = False
        try:
            outcome = self._work()
        finally:
            # Also on what is no Exception: a worker that is told to stop must strand nobody.
            self.outcome = outcome
            self._landing.set()
        self._afterwards()


@dataclass(frozen=True, slots=True)
class _Within:
    flight: Flight
    seconds: float

    def run(self) -> bool | None:
        """Wait in this thread."""
        self.flight._depart().wait(self.seconds)
        return self.flight.outcome

    async def arun(self) -> bool | None:
        """Wait in this task."""
        await self.flight._depart().wait_in_task(self.seconds)
        return self.flight.outcome


def start(target: Callable[[], None], name: str = "licet-flight") -> bool:
    """Have a daemon thread of Licet's own run `target`; return whether one could be started."""
    try:
        threading.Thread(target=target, name=name, daemon=True).start()
    except RuntimeError:
        # No thread is left, or the interpreter starts none any more.
        return False
    return True
