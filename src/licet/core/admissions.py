"""The requests that are let in: counted, and one in a while looked at more closely.

Most of them are answered from memory, and must not pay for that. So one in 20 ms goes the longer
way, and stands for all that came since the last.
"""

from __future__ import annotations

from licet.core.clock import Clock
from licet.core.events.observations import Observations
from licet.core.forks import Locked
from licet.core.grants import Grant, GrantCache
from licet.core.request.circumstances import Observer
from licet.core.request.facts import RequestFacts

#: Seconds between two requests that are looked at although all that they need is remembered.
SAMPLE = 0.02
#: Seconds after its judgement in which a license is looked at with each request that comes by.
NEW = 1.0


class Admissions(Locked):
    """Counts for one gate.

    Args:
        grants: count what they answer from memory; nearly all of that is let in.
        clock: both clocks.
        observer: tells the circumstances of a request.
        observations: look at the requests.

    Attributes:
        due: how many requests the next that is let in stands for; 0 where it need not be looked
            at.
        sample_at: monotonic seconds; from then on a hit is to be had looked at by `sample`.
    """

    def __init__(
        self, grants: GrantCache, clock: Clock, observer: Observer, observations: Observations
    ) -> None:
        super().__init__()
        self._grants, self._wall, self._monotonic = grants, clock.wall, clock.monotonic
        self._observer, self._observations = observer, observations
        self.due = self._sampled = 0
        self.sample_at = clock.monotonic() + SAMPLE
        self._held_up: Grant | None = None
        # What counts beside the hits, and what the hits count too much.
        self._judged = self._revisited = self._refused = 0

    @property
    def count(self) -> int:
        """How many requests were let in by a license; counted without a lock."""
        return self._grants.hits - self._revisited - self._refused + self._judged

    def revisited(self) -> None:
        """Take note of a hit that is counted by `admitted`, if it is let in at all."""
        self._revisited += 1

    def refused(self) -> None:
        """Take note of a hit that is not let in, or not yet."""
        self._refused += 1

    def admitted(self, grant: Grant, facts: RequestFacts) -> None:
        """Take note of a request that was judged, perhaps by what is remembered, and is let in."""
        now = self._monotonic()
        if now >= self.sample_at:
            self.sample(grant, now)
        self._judged += 1
        if self.due or not grant.since <= self._wall() - NEW:
            self.notice(grant, facts)

    def notice(self, grant: Grant, facts: RequestFacts) -> None:
        """Have a request looked at that is let in; where one was due, it stands for all of them."""
        with self.lock:
            self._free_again()
            times, self.due = self.due, 0
            if not times:
                # For itself alone, and not once more in the next sample.
                times = 1
                self._sampled += 1
        self._observations.admitted(grant, self._observer.of(facts, self._wall()), times)

    def sample(self, grant: Grant, now: float) -> None:
        """Have the request at hand looked at, as a sample of all since the last one.

        Args:
            grant: that it was answered with from memory; until somebody has looked it is not
                `free`, so that the request comes by.
            now: monotonic seconds.
        """
        # With the one at hand, which is counted when it is let in.
        count = self.count + 1
        with self.lock:
            if now < self.sample_at:
                # Another thread came first, and has it looked at already.
                return
            self._free_again()
            if grant.free:
                self._held_up, grant.free = grant, False
            self.sample_at = now + SAMPLE
            self.due, self._sampled = max(count - self._sampled, 1), count

    def _free_again(self) -> None:
        if self._held_up is not None:
            self._held_up.free, self._held_up = True, None
