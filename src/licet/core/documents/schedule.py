"""When a remote document is fetched, and what is done meanwhile: a pure state machine.

No I/O, no threads, no clock of its own: whoever holds it brings the time, keeps it under a lock
and carries out what it says. Ages are measured on the monotonic clock; the last limit is
measured on the wall as well, because monotonic clocks stand still while a machine is suspended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import NamedTuple, TypeAlias

#: Seconds: the least lifetime an answer usually can ask for; the longest `Retry-After` honoured.
MIN_AGE, MAX_RETRY_AFTER = 60.0, 300.0
#: Seconds: the first pause after a failure, doubled with each further one up to the last.
FIRST_BACK_OFF, LAST_BACK_OFF = 1.0, 60.0
#: Seconds that a background flight has to begin before a request takes it over.
BEGIN_WITHIN = 5.0
#: Fetches for something that is not in the document: so many at once, then one per cooldown.
BURST = 2.0


class Instant(NamedTuple):
    """One moment, in seconds, on both clocks."""

    monotonic: float
    wall: float


class State(Enum):
    """How good the copy at hand is."""

    EMPTY = "empty"  #: there is none
    FRESH = "fresh"
    DUE = "due"  #: good, and time to look for a newer one
    STALE = "stale"  #: past its lifetime, and bearable as long as no newer one can be had
    DEAD = "dead"  #: too old to be used


class Need(Enum):
    """What somebody wants of the document."""

    PRESENT = "present"  #: what the copy at hand has, or the copy as a whole
    MISSING = "missing"  #: something that the copy at hand does not have
    ABSENT = "absent"  #: the same, and a newer copy was looked at for it a moment ago


@dataclass(frozen=True, slots=True)
class Use:
    """The copy at hand decides."""


@dataclass(frozen=True, slots=True)
class UseAndRefresh:
    """The copy at hand decides, and a newer one is to be fetched behind its back."""


@dataclass(frozen=True, slots=True)
class Join:
    """Wait for the flight that is under way, or for one that is started now."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """It cannot be told now; `retry_after` is the number of seconds to the next attempt."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """What is asked for does not exist, as far as anybody may find out now."""


Decision: TypeAlias = Use | UseAndRefresh | Join | Unavailable | UnknownKey


class Schedule:
    """The times of one document.

    Args:
        max_age: seconds: the lifetime of a copy whose answer names none, and the longest.
        max_stale: seconds past its lifetime that a copy may be used; 0 for not at all.
        cooldown: seconds after which one more fetch for something missing is allowed.
        random: returns a number in [0, 1).
        min_age: seconds: the least lifetime, whatever an answer asks for.
    """

    def __init__(
        self,
        max_age: float,
        max_stale: float,
        cooldown: float,
        random: Callable[[], float],
        min_age: float = MIN_AGE,
    ) -> None:
        self.max_age, self.max_stale, self.cooldown = max_age, max_stale, cooldown
        self.min_age = min_age
        self._random = random
        self.confirmed: Instant | None = None
        self.due_at = self.expires_at = self.stale_until = self.stale_until_wall = -inf
        self.fixed = False
        self.failures = 0
        self.retry_at = -inf
        self.lifetime = max_age
        self._succeeded = False
        self._budget, self._budget_at = BURST, -inf
        self.redraw()

    def redraw(self) -> None:
        """Draw anew when, in the lifetime of a copy, the next is due: each process for itself."""
        self._ahead = 0.80 + 0.15 * self._random()
        if self.confirmed is not None and self.confirmed.monotonic < self.due_at:
            self.due_at = self.confirmed.monotonic + self.lifetime * self._ahead

    def on_floor(self, now: Instant) -> None:
        """Take note of a copy that came with the installation: usable, and due at once."""
        self._date(now, self.max_age)
        self.due_at = now.monotonic

    def on_kept(self, now: Instant, confirmed: float, lifetime: float) -> None:
        """Take note of a copy from an earlier run: due at once, and as old as it is.

        Args:
            now: the moment.
            confirmed: wall time at which it was the current one.
            lifetime: seconds that it was good for then.
        """
        age = max(0.0, now.wall - confirmed)
        self._date(Instant(now.monotonic - age, now.wall - age), min(lifetime, self.max_age))
        self.due_at = now.monotonic - age
        # However old, this process has not looked for a newer one yet.
        self.expires_at = min(now.monotonic + self.lifetime, self.stale_until)

    def on_fixed(self, now: Instant) -> None:
        """Take note of a copy that nothing remote will ever replace: it does not age."""
        self._date(now, inf)
        self.fixed = True

    def on_attempt(self, now: Instant) -> None:
        """Pay for one fetch that is started for something missing."""
        self._refill(now)
        self._budget -= 1

    def on_result(self, now: Instant, lifetime: float | None, ends: float = inf) -> None:
        """Take note that the copy at hand is the current one, new or confirmed.

        Args:
            now: the moment.
            lifetime: seconds that the answer claims for it; None where it says nothing.
            ends: the wall time from which on it may not be used, whatever else holds.
        """
        wanted = self.max_age if lifetime is None else max(self.min_age, lifetime)
        self._date(now, min(wanted, self.max_age), ends)
        self.failures, self.retry_at, self._succeeded = 0, -inf, True

    def on_hint(self, now: Instant) -> None:
        """Take note that there is a newer one, as somebody says: what is at hand is due."""
        self.due_at = min(self.due_at, now.monotonic)

    def on_error(self, now: Instant, retry_after: float | None = None) -> None:
        """Take note that a fetch failed; the copy at hand stays what it is.

        Args:
            now: the moment.
            retry_after: seconds that the answer asks to be left alone.
        """
        pause = min(LAST_BACK_OFF, FIRST_BACK_OFF * 2.0 ** min(self.failures, 10))
        pause *= 0.5 + 0.5 * self._random()
        pause = max(pause, min(retry_after or 0.0, MAX_RETRY_AFTER))
        self.failures += 1
        self.retry_at, self._succeeded = now.monotonic + pause, False

    def state(self, now: Instant) -> State:
        """Return how good the copy at hand is at `now`."""
        if self.confirmed is None:
            return State.EMPTY
        if now.monotonic >= self.stale_until or now.wall >= self.stale_until_wall:
            return State.DEAD
        if now.monotonic >= self.expires_at:
            return State.STALE
        return State.DUE if now.monotonic >= self.due_at else State.FRESH

    def backing_off(self, now: Instant) -> bool:
        """Return whether a failure is too recent for the next attempt."""
        return now.monotonic < self.retry_at

    def decide(self, now: Instant, need: Need, *, paid: bool = False) -> Decision:
        """Return what to do for somebody with this need; changes nothing.

        Args:
            now: the moment.
            need: what is wanted.
            paid: whether a fetch for something missing is under way, which others may join.
        """
        state = self.state(now)
        if state in (State.EMPTY, State.DEAD):
            return Unavailable(self.retry_after(now)) if self.backing_off(now) else Join()
        if need is Need.PRESENT:
            if state is State.FRESH or self.backing_off(now):
                return Use()
            return UseAndRefresh()
        if self.fixed:
            return UnknownKey()
        if self.backing_off(now):
            return Unavailable(self.retry_after(now))
        budget = self._budget_now(now)
        if need is Need.MISSING and (paid or budget >= 1):
            return Join()
        if self._succeeded:
            return UnknownKey()
        return Unavailable(max(1.0, (1 - budget) * self.cooldown))

    def retry_after(self, now: Instant) -> float:
        """Return the seconds, at least one, to the next attempt permitted."""
        return max(1.0, self.retry_at - now.monotonic)

    def owed_at(self, now: Instant, flying: bool) -> float:
        """Return the monotonic time at which somebody has to look what is to be done.

        Args:
            now: the moment.
            flying: whether a flight is under way, or is to begin.
        """
        at = self.changes_at(now)
        if self.state(now) in (State.DUE, State.STALE):
            next_look = now.monotonic + BEGIN_WITHIN if flying else self.retry_at
            at = min(at, max(now.monotonic, next_look))
        return at

    def changes_at(self, now: Instant) -> float:
        """Return the monotonic time at which the copy at hand gets worse by itself."""
        match self.state(now):
            case State.FRESH:
                return min(self.due_at, self.stale_until)
            case State.DUE:
                return self.expires_at
            case State.STALE:
                return self.stale_until
        return -inf

    def _date(self, now: Instant, lifetime: float, ends: float = inf) -> None:
        self.confirmed, self.lifetime = now, lifetime
        self.due_at = now.monotonic + lifetime * self._ahead
        last = min(lifetime + self.max_stale, ends - now.wall)
        self.expires_at = now.monotonic + min(lifetime, last)
        self.stale_until = now.monotonic + last
        self.stale_until_wall = now.wall + last

    def _budget_now(self, now: Instant) -> float:
        if self.cooldown <= 0:
            return BURST
        return min(BURST, self._budget + (now.monotonic - self._budget_at) / self.cooldown)

    def _refill(self, now: Instant) -> None:
        self._budget, self._budget_at = self._budget_now(now), now.monotonic
