"""Counts what `mode="report"` lets pass: in this process, and in all that share a store.

Whoever is let pass waits for nothing: counts are summed in memory and written once a second. The
log is told of them once an hour, and when the process ends.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from licet.core import flow
from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.events.event import KINDS
from licet.core.events.log import FailureLog
from licet.core.flow import Flow
from licet.core.forks import Locked
from licet.core.online.background import Background
from licet.core.shutdown import tell_of_end
from licet.core.stores import Count, Key, Store, key

logger = logging.getLogger("licet")

#: Seconds between two lines of the log that tell of counts.
TELL_EVERY = 3_600.0
#: Seconds for which counts wait to be written together.
WRITE_EVERY = 1.0
#: Seconds that a count lives from its first refusal.
KEPT_FOR = 30 * 86_400.0


class Tally(Locked):
    """Counts refusals that were let pass, by their code.

    Args:
        store: opens what the processes share; None where they share nothing.
        of: whose they are: applications that share a store are counted apart.
        clock: monotonic time, for telling of them once in a while.
    """

    def __init__(
        self,
        store: Callable[[], Store] | None,
        of: Iterable[str],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__()
        self._store, self._of, self._monotonic = store, tuple(of), clock.monotonic
        self._counts = Counter[str]()
        self._told, self._tell_at = 0, clock.monotonic() + TELL_EVERY
        self._failed = FailureLog(consequence="what would have been refused is counted here alone")
        self._begin()
        tell_of_end(self)

    def _begin(self) -> None:
        self._unwritten = Counter[str]()
        self._background = Background(threads=1, failed=self._failed)
        self._hurry = threading.Event()

    def after_fork(self) -> None:
        """Begin with nothing to write: what waits is the parent's."""
        super().after_fork()
        self._begin()

    def add(self, code: str) -> None:
        """Count one refusal."""
        with self.lock:
            self._counts[code] += 1
            if self._store is not None:
                self._unwritten[code] += 1
        if self._monotonic() >= self._tell_at:
            self._tell()
        if self._store is not None:
            self._background.submit("write", self._write_soon)

    @property
    def here(self) -> Mapping[str, int]:
        """How often each code would have been refused by this process."""
        with self.lock:
            return dict(self._counts)

    def everywhere(self) -> Flow[Mapping[str, int]]:
        """Return the same for all processes that share the store, of 30 days at most.

        Raises:
            StoreUnavailable: the store gives no answer.
        """
        if self._store is None:
            return self.here
        store, found = self._store(), dict[str, int]()
        for code in sorted(KINDS["license.denied"].values):
            count: Count = yield store.increment(self._key(code), 0, None, KEPT_FOR)
            if count.used:
                found[code] = count.used
        return found

    def finish(self, seconds: float) -> None:
        """Tell what was counted, and write what waits now."""
        self._tell()
        self._hurry.set()
        self._write()

    def _tell(self) -> None:
        """Tell what was counted since this process began, if that is news."""
        with self.lock:
            self._tell_at = self._monotonic() + TELL_EVERY
            counts = dict(self._counts)
            total = sum(counts.values())
            if total == self._told:
                return
            self._told = total
        told = ", ".join(f"{count} {code}" for code, count in sorted(counts.items()))
        logger.warning("mode is report: %d would have been refused (%s)", total, told)

    def _write_soon(self) -> None:
        self._hurry.wait(WRITE_EVERY)
        self._write()

    def _write(self) -> None:
        with self.lock:
            counts, self._unwritten = self._unwritten, Counter()
        if self._store is None or not counts:
            return
        store = self._store()
        for code, count in counts.items():
            flow.run(_counted(store, self._key(code), count))

    def _key(self, code: str) -> Key:
        return key("would_refuse", *self._of, code)


def _counted(store: Store, name: Key, amount: int) -> Flow[None]:
    yield store.increment(name, amount, None, KEPT_FOR)
