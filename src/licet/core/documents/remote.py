"""A remote document kept fresh: what is known is served, and fetched anew behind its back.

`schedule` says when, `flight` who, `transport` how; this module joins them under one lock, which
is held for microseconds and never across I/O. What an answer means is the subclass's to say.
Trusted is what TLS vouches for, and of that only what `parse` takes: anything else leaves the
copy at hand as it is.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Generic, TypeVar

from licet.core.clock import Clock
from licet.core.documents.exchange import Answer, Failed, Fetched, Source, exchange
from licet.core.documents.flight import Flight
from licet.core.documents.health import Health, Outage, Trouble
from licet.core.documents.schedule import (
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
from licet.core.transport import Response, Transport

T = TypeVar("T")

#: Seconds: for one fetch as a whole; what its followers wait beyond that; the time a background
#: flight has to begin before a request takes it over; after which one is given up as lost.
DEADLINE, MARGIN, BEGIN_WITHIN, LOST_AFTER = 5.0, 0.5, 5.0, 30.0


class RemoteDocument(ABC, Generic[T]):
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
        self._troubles: frozenset[Trouble] = frozenset()
        self._flight: Flight | None = None
        self._begun_at: float | None = None
        self._launched_at: float | None = None
        self._paid = False
        self.after_fork()
        tell_of_forks(self)

    @abstractmethod
    def parse(self, response: Response, before: T | None) -> T:
        """Return what a 200 says; `before` is the copy at hand. Runs outside the lock.

        Raises:
            ValueError: nothing that can be used; the fetch has failed.
        """

    @abstractmethod
    def renewed(self, value: T, stale_until: float) -> T:
        """Return `value` with the wall time, in seconds, until which it may be served."""

    @abstractmethod
    def replaced(self, before: T | None, after: T) -> None:
        """Hear of a new copy, just fetched and in place. Runs outside the lock."""

    @abstractmethod
    def troubled(self, trouble: Trouble, health: Health) -> None:
        """Hear of something that has become worse. Runs outside the lock."""

    def failed(self, failure: Failed, correlation_id: str | None) -> None:
        """Hear of every fetch that failed. Runs outside the lock."""

    def landed(self) -> None:
        """Do what has time until a flight is over; runs in its thread, when nobody waits."""

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
            begin = self._refresh(now) if isinstance(decision, UseAndRefresh) else None
            self._plan(now)
            worse = self._worse(now)
        for trouble in worse:
            self.troubled(*trouble)
        if begin is not None:
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
        # Where no thread starts, the first request finds the flight unclaimed and performs it.
        if flight is not None and not flight.claimed:
            flight.launch()

    def health(self) -> Health:
        """Return how the document is doing; starts nothing and changes nothing."""
        now = self._now()
        with self._guarded:
            return self._health(now)

    def after_fork(self) -> None:
        """Begin in this process: leave a parent's flight, lock and draws behind."""
        self._process = os.getpid()
        self._lock = threading.Lock()
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

    def _refresh(self, now: Instant) -> Callable[[], None] | None:
        """Return what makes the refresh that is due begin, to be called without the lock."""
        flight = self._board()
        if flight.claimed:
            return None
        if self._launched_at is None:
            self._launched_at = now.monotonic
            return lambda: None if flight.launch() else flight.fly()
        return flight.fly if now.monotonic - self._launched_at >= BEGIN_WITHIN else None

    def _board(self) -> Flight:
        """Return the one flight that there is, made now if there is none."""
        if self._flight is None:
            work = partial(self._fetch, self._ticket)
            self._flight = Flight(work, DEADLINE + MARGIN, self.landed)
        return self._flight

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
        at = self._schedule.changes_at(now)
        if self._schedule.state(now) in (State.DUE, State.STALE):
            flying = self._flight is not None
            owed = now.monotonic + BEGIN_WITHIN if flying else self._schedule.retry_at
            at = min(at, max(now.monotonic, owed))
        self.look_at = at

    def _fetch(self, ticket: object) -> bool:
        """Perform one flight, without the lock; return whether it succeeded."""
        with self._guarded:
            if ticket is not self._ticket or self._source is None:
                return False
            began = self._now()
            self._begun_at = began.monotonic
            before, etag = self.snapshot, self._etag
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
                self._schedule.on_result(began, answer.lifetime)
                if isinstance(answer, Fetched):
                    after, self._etag = answer.value, answer.etag
                if after is not None:  # pragma: no branch - what was confirmed is there
                    after = self.renewed(after, self._schedule.stale_until_wall)
                self.snapshot = after
            self._plan(now)
            worse, outage = self._worse(now), self._outage.correlation_id
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

    def _worse(self, now: Instant) -> list[tuple[Trouble, Health]]:
        """Return the troubles there are and were not, the last time this was asked."""
        health = self._health(now)
        known, self._troubles = self._troubles, health.troubles
        return [(trouble, health) for trouble in Trouble if trouble in self._troubles - known]
