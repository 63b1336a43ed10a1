"""A remote document kept fresh: what is known is served, and fetched anew behind its back.

`schedule` says when, `flight` who, `transport` how; this module joins them under one lock, which
is held for microseconds and never across I/O. What an answer means is the subclass's to say.
Trusted is what TLS vouches for, and of that only what `parse` takes: anything else leaves the
copy at hand as it is.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from math import inf

from licet.core.clock import Clock
from licet.core.documents.exchange import Answer, Failed, Fetched, Source, exchange
from licet.core.documents.flight import Flight
from licet.core.documents.health import Health, Outage
from licet.core.documents.kind import Kind, T
from licet.core.documents.schedule import (
    BEGIN_WITHIN,
    Decision,
    Instant,
    Join,
    Need,
    Schedule,
    State,
    Unavailable,
    Use,
    UseAndRefresh,
)
from licet.core.forks import tell_of_forks
from licet.core.transport import Transport

#: Seconds: for one fetch as a whole; what its followers wait beyond that; after which one is
#: given up as lost.
DEADLINE, MARGIN, LOST_AFTER = 5.0, 0.5, 30.0


class RemoteDocument(Kind[T]):
    """One document behind one URL; `snapshot` is read without a lock and swapped whole.

    Args:
        url: where it is; None for a document that is only ever what it starts with.
        schedule: its times; belongs to this document from now on.
        transport: fetches it.
        clock: both clocks.
        content_types: the media types, in lower case, that its answers may have.
        max_bytes: the longest body.

    Attributes:
        snapshot: the copy at hand, or None.
        look_at: monotonic seconds; from then on whoever serves from memory calls `look()`.
    """

    def __init__(
        self,
        url: str | None,
        *,
        schedule: Schedule,
        transport: Transport,
        clock: Clock,
        content_types: tuple[str, ...],
        max_bytes: int,
    ) -> None:
        self.snapshot: T | None = None
        self.look_at = -inf
        self._source = Source(url, content_types, max_bytes, DEADLINE) if url else None
        self._schedule, self._transport, self._clock = schedule, transport, clock
        self._etag: str | None = None
        self._outage = Outage()
        self._flight: Flight | None = None
        self._begun_at: float | None = None
        self._launched_at: float | None = None
        self._paid = False
        self.after_fork()
        tell_of_forks(self)

    def current(self) -> T | None:
        """Return the copy at hand if it may serve; takes no lock unless something is owed."""
        # The time first: a copy that has just landed is in place before its time is.
        if self._clock.monotonic() < self.look_at:
            snapshot = self.snapshot
            if snapshot is not None and self._clock.wall() < snapshot.stale_until:
                return snapshot
        return self.snapshot if self.look() else None

    def look(self) -> bool:
        """Do what is owed: start a refresh that is due; say whether memory may still serve.

        Called on the hot path once `look_at` is past. Waits for nothing, except where threads
        cannot start or never begin: there this call performs the fetch, once per back-off.

        Returns:
            False if there is nothing, or nothing young enough, to serve from.
        """
        now = self._now()
        with self._guarded:
            self._drop_lost(now)
            decision = self._schedule.decide(now, Need.PRESENT)
            begin = self._refresh(now) if isinstance(decision, UseAndRefresh) else _nothing
            self._plan(now)
            worse = self._outage.worse(self._health(now))
        for trouble in worse:
            self.troubled(*trouble)
        begin()
        return isinstance(decision, Use | UseAndRefresh)

    def warm(self) -> None:
        """Start a flight in the background, unless one runs or the copy at hand is fresh."""
        now = self._now()
        flight: Flight | None = None
        with self._guarded:
            fresh = self._schedule.state(now) is State.FRESH
            if not fresh and not self._schedule.backing_off(now) and self._launched_at is None:
                flight, self._launched_at = self._board(), now.monotonic
                self._plan(now)
        # Where no thread starts, the first request performs it.
        if flight is not None and not flight.claimed:
            flight.launch()

    def hasten(self) -> None:
        """Have it fetched anew in the background, since somebody says that there is a newer one.

        While a failure is too recent, the first to look afterwards fetches it.
        """
        if self._source is None:
            return
        now = self._now()
        with self._guarded:
            self._drop_lost(now)
            self._schedule.on_hint(now)
            # A flight that has begun may have left before the change.
            self._once_more = self._begun_at is not None
            waits = self._once_more or self._schedule.backing_off(now)
            begin = _nothing if waits else self._refresh(now)
            self._plan(now)
        begin()

    def health(self) -> Health:
        """Return how the document is doing; starts nothing and changes nothing."""
        now = self._now()
        with self._guarded:
            return self._health(now)

    def after_fork(self) -> None:
        """Begin in this process: leave a parent's flight, lock and draws behind."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._once_more = False
        self._end_flight()
        self._schedule.redraw()
        self._plan(self._now())

    # What follows and takes `now` is called with the lock held, unless it says otherwise.

    @property
    def _guarded(self) -> threading.Lock:
        """The lock, of this process."""
        if os.getpid() != self._process:
            # For platforms that fork without telling; before the lock is touched.
            self.after_fork()
        return self._lock

    def _begin_with(self, value: T, kept: tuple[float, float] | None = None) -> None:
        """Start from a copy that came with the installation, or is kept from an earlier run.

        Args:
            value: the copy.
            kept: the wall time at which it was the current one, and its lifetime then, seconds.
        """
        now = self._now()
        if kept is not None:
            self._schedule.on_kept(now, *kept)
        elif self._source is None:
            self._schedule.on_fixed(now)
        else:
            self._schedule.on_floor(now)
        self.snapshot = self.renewed(value, self._schedule.stale_until_wall)
        self._plan(now)

    def _now(self) -> Instant:
        return Instant(self._clock.monotonic(), self._clock.wall())

    def _ask(self, now: Instant, need: Need) -> Flight | Decision:
        """Return the flight to wait for, or else what the schedule decides without one."""
        self._drop_lost(now)
        decision = self._schedule.decide(now, need, paid=self._paid)
        if not isinstance(decision, Join):
            return decision
        if self._begun_at is not None and now.monotonic - self._begun_at > DEADLINE + MARGIN:
            # A resolver that hangs: those who came before have waited long enough for all.
            return Unavailable(1.0)
        if self._flight is None and self._schedule.state(now) not in (State.EMPTY, State.DEAD):
            self._schedule.on_attempt(now)
            self._paid = True
        return self._board()

    def _refresh(self, now: Instant) -> Callable[[], None]:
        """Return what makes the refresh that is due begin, to be called without the lock."""
        flight = self._board()
        if flight.claimed:
            return _nothing
        if self._launched_at is None:
            self._launched_at = now.monotonic
            return lambda: None if flight.launch() else flight.fly()
        return flight.fly if now.monotonic - self._launched_at >= BEGIN_WITHIN else _nothing

    def _board(self) -> Flight:
        """Return the one flight that there is, made now if there is none."""
        if self._flight is None:
            work = partial(self._fetch, self._ticket)
            self._flight = Flight(work, DEADLINE + MARGIN, self._behind)
        return self._flight

    def _behind(self) -> None:
        """Do what is left once nobody waits for a flight; without the lock."""
        self.landed()
        if self._once_more:
            self.hasten()

    def _end_flight(self) -> None:
        self._flight = self._begun_at = self._launched_at = None
        self._paid = False
        # What a flight with an older ticket still brings is too late.
        self._ticket = object()

    def _drop_lost(self, now: Instant) -> None:
        """Give up a flight whose thread has vanished, or which a machine slept through."""
        if self._begun_at is not None and now.monotonic - self._begun_at > LOST_AFTER:
            self._end_flight()
            self._outage.goes_on("lost")
            self._schedule.on_error(now)

    def _plan(self, now: Instant) -> None:
        self.look_at = self._schedule.owed_at(now, flying=self._flight is not None)

    def _fetch(self, ticket: object) -> bool:
        """Perform one flight, without the lock; return whether it succeeded."""
        with self._guarded:
            if ticket is not self._ticket or self._source is None:
                return False
            began = self._now()
            self._begun_at = began.monotonic
            before = self.snapshot
            # What may not be used must not be confirmed.
            etag = self._etag if before is not None and began.wall < self.ends(before) else None
        # What is left when a worker is told to stop in the middle.
        answer: Answer[T] = Failed("interrupted")
        try:
            answer = exchange(
                self._source,
                self._transport,
                lambda response: self.parse(response, before),
                etag=etag,
                wall=began.wall,
            )
        finally:
            succeeded = self._settle(ticket, began, answer)
        return succeeded

    def _settle(self, ticket: object, began: Instant, answer: Answer[T]) -> bool:
        """Put into force what a flight brought, without the lock; return whether it succeeded."""
        now = self._now()
        with self._guarded:
            if ticket is not self._ticket:
                return False
            self._end_flight()
            before = after = self.snapshot
            if isinstance(answer, Failed):
                self._outage.goes_on(answer.error)
                self._schedule.on_error(now, answer.retry_after)
            else:
                self._outage.ends()
                if isinstance(answer, Fetched):
                    after, self._etag = answer.value, answer.etag
                if after is not None:  # pragma: no branch - what was confirmed is there
                    lifetime = self.good_for(after, answer.lifetime, began.wall)
                    self._schedule.on_result(began, lifetime, self.ends(after))
                    after = self.renewed(after, self._schedule.stale_until_wall)
                self.snapshot = after
            self._plan(now)
            worse, outage = self._outage.worse(self._health(now)), self._outage.correlation_id
        if isinstance(answer, Failed):
            self.failed(answer, outage)
        for trouble in worse:
            self.troubled(*trouble)
        if isinstance(answer, Fetched) and after is not None:
            self.replaced(before, after)
        return not isinstance(answer, Failed)

    def _health(self, now: Instant) -> Health:
        in_flight = self._flight is not None and self._flight.claimed
        return Health.of(self._schedule, now, self._outage, in_flight)


def _nothing() -> None:
    """Begin nothing."""
