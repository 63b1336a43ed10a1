"""How a remote document is doing: what a health check shows, and what events tell of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from licet.core.documents.schedule import Instant, Schedule, State
from licet.core.events.event import correlation_id


class Trouble(Enum):
    """What may become worse; told once each time it does."""

    FAILING = "failing"  #: the latest fetch failed
    STALE = "stale"  #: what is served is past its lifetime
    DEAD = "dead"  #: there was something, and it is too old to be served


class Outage:
    """Fetches that failed in a row, and what has come of it.

    Attributes:
        error: why the latest one did, a fixed word; None where it did not.
        correlation_id: one for all of them, so that it also finds the event that told of the
            first; None where the latest did not fail.
    """

    def __init__(self) -> None:
        self.error: str | None = None
        self.correlation_id: str | None = None
        self._troubles: frozenset[Trouble] = frozenset()

    def goes_on(self, error: str) -> None:
        """Take note of a failure."""
        self.error = error
        self.correlation_id = self.correlation_id or correlation_id()

    def ends(self) -> None:
        """Take note of a success."""
        self.error = self.correlation_id = None

    def worse(self, health: Health) -> list[tuple[Trouble, Health]]:
        """Return the troubles that there are now, and were not the last time this was asked."""
        known, self._troubles = self._troubles, health.troubles
        return [(trouble, health) for trouble in Trouble if trouble in self._troubles - known]


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
        correlation_id: what ties the events of one outage to the refusals that come of it; None
            where the latest fetch did not fail.
    """

    state: State
    age: float | None
    failures: int
    error: str | None
    retry_after: float
    in_flight: bool
    correlation_id: str | None = None

    @classmethod
    def of(
        cls,
        schedule: Schedule,
        now: Instant,
        outage: Outage,
        in_flight: bool,
    ) -> Health:
        """Return what `schedule` means at `now`."""
        confirmed = schedule.confirmed
        return cls(
            state=schedule.state(now),
            age=None if confirmed is None else now.monotonic - confirmed.monotonic,
            failures=schedule.failures,
            error=outage.error,
            retry_after=max(0.0, schedule.retry_at - now.monotonic),
            in_flight=in_flight,
            correlation_id=outage.correlation_id,
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
