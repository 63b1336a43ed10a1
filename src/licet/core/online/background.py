"""Work that no request waits for: due revalidations, and refusals that are asked about again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from licet.core.documents.flight import start
from licet.core.events.log import FailureLog
from licet.core.forks import Locked


class Background(Locked):
    """A few daemon threads, started when there is work and ended when there is none.

    A child of a fork begins with none, and with nothing to do.

    Args:
        threads: how many at most.
        capacity: how many works may wait.
        failed: told of each exception that a work lets out; expected to ration what it writes.
    """

    def __init__(
        self,
        threads: int = 4,
        capacity: int = 1024,
        failed: Callable[[Exception], object] | None = None,
    ) -> None:
        super().__init__()
        self._limit = threads
        self._capacity = capacity
        self._failed = failed or FailureLog(consequence="it is tried again in time")
        self._begin()

    def _begin(self) -> None:
        self._waiting: OrderedDict[Hashable, Callable[[], None]] = OrderedDict()
        self._running: set[Hashable] = set()
        #: One sign for each thread. Not a number: a child whose fork a work brought about goes on
        #: in that thread, which is none of the child's.
        self._threads: set[object] = set()

    def after_fork(self) -> None:
        """Begin with nothing: the threads that had it are not here."""
        super().after_fork()
        self._begin()

    @property
    def waiting(self) -> int:
        """How many works wait for a thread."""
        return len(self._waiting)

    def submit(self, key: Hashable, work: Callable[[], None]) -> bool:
        """Have `work` done soon; what waits or runs under the same key already suffices.

        Returns:
            Whether it will be done, by this work or that: False where too many wait, or no
            thread runs and none can be started.
        """
        with self.lock:
            if key in self._waiting or key in self._running:
                return True
            if len(self._waiting) >= self._capacity:
                return False
            self._waiting[key] = work
            if len(self._threads) < self._limit:
                self._start()
            if not self._threads:
                del self._waiting[key]
                return False
            return True

    def _start(self) -> None:
        sign = object()
        self._threads.add(sign)
        if not start(lambda: self._serve(sign)):
            self._threads.remove(sign)

    def _serve(self, sign: object) -> None:
        try:
            while (task := self._next(sign)) is not None:
                key, work = task
                try:
                    work()
                except Exception as error:
                    self._failed(error)
                finally:
                    self._running.discard(key)
        finally:
            self._leave(sign)

    def _next(self, sign: object) -> tuple[Hashable, Callable[[], None]] | None:
        """Return what to do next; None where this thread is to end, and counts no more."""
        with self.lock:
            if sign not in self._threads:
                return None
            if not self._waiting:
                self._threads.remove(sign)
                return None
            key, work = self._waiting.popitem(last=False)
            self._running.add(key)
            return key, work

    def _leave(self, sign: object) -> None:
        """Let another thread go on, where this one is ended by what is no Exception."""
        with self.lock:
            if sign in self._threads:
                self._threads.remove(sign)
                if self._waiting:
                    self._start()
