"""How a remote document is doing: what a health check shows, and what events tell of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from licet.core.documents.schedule import Instant, Schedule, State


class Trouble(Enum):
    """What may become worse; told once each time it does."""

    FAILING = "failing"  #: the latest fetch failed
    STALE = "stale"  #: what is served is past its lifetime
    DEAD = "dead"  #: there was something, and it is too old to be served


@dataclass(frozen=True, slots=True)
class Health:
    """How a document is doing.

    Args:
        state: how good the copy at hand is.
        age: seconds since it was last confirmed; None where nothing is at hand.
        failures: how many fetches failed in a row.
        error: why the latest one did: a fixed word, no text of anybody else.
        retry_after: seconds until the next attempt is permitted, 0 where it is.
        in_flight: whether a fetch is under way.
    """

    state: State
    age: float | None
    failures: int
    error: str | None
    retry_after: float
    in_flight: bool

    @classmethod
    def of(cls, schedule: Schedule, now: Instant, error: str | None, in_flight: bool) -> Health:
        """Return what `schedule` means at `now`."""
        confirmed = schedule.confirmed
        return cls(
            state=schedule.state(now),
            age=None if confirmed is None else now.monotonic - confirmed.monotonic,
            failures=schedule.failures,
            error=error,
            retry_after=max(0.0, schedule.retry_at - now.monotonic),
            in_flight=in_flight,
        )

    @property
    def troubles(self) -> frozenset[Trouble]:
        """What is wrong."""
        wrong = {
            Trouble.FAILING: self.failures > 0,
            Trouble.STALE: self.state is State.STALE,
            Trouble.DEAD: self.state is State.DEAD,
        }
        return frozenset(trouble for trouble, real in wrong.items() if real)
