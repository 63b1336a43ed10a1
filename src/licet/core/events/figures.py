"""What monitoring is told: counters and gauges of this process, with labels out of closed lists.

No label holds a license, a key id, a host or an address, so that nobody can make a metric grow; the
only free word is the issuer, and that is the settings'. Decisions are those of the gates that
`gates.gate_for` shares, as all adapters have them. Each process has its own; a child of a fork goes
on from its parent's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from licet.core import gates
from licet.core.events.bus import EVERY_GATE
from licet.core.events.event import Event, label
from licet.core.forks import Locked


class Decision(NamedTuple):
    """What was decided of a request.

    Attributes:
        outcome: `allowed`, `denied`, or `reported` where it passed because nothing is enforced.
        code: of the refusal; empty where there was none.
    """

    outcome: str
    code: str


class Occurrence(NamedTuple):
    """A kind of event.

    Attributes:
        event: its name.
        kind: what it is counted by, see `event.label`.
    """

    event: str
    kind: str


class Figures(Locked):
    """Counts from now on, until `close`."""

    def __init__(self) -> None:
        super().__init__()
        self._events: Counter[Occurrence] = Counter()
        self._decisions: Counter[Decision] = Counter()
        self._allowed = self._before = gates.admitted()
        EVERY_GATE.subscribe(self._heard)

    def close(self) -> None:
        """Count no more."""
        EVERY_GATE.unsubscribe(self._heard)

    def _heard(self, event: Event) -> None:
        kind = label(event)
        with self.lock:
            self._events[Occurrence(event.name, kind)] += 1
            if event.name == "license.denied":
                outcome = "reported" if event.data.get("mode") == "report" else "denied"
                self._decisions[Decision(outcome, kind)] += 1

    def events(self) -> Mapping[Occurrence, int]:
        """Return how often what happened."""
        with self.lock:
            return dict(self._events)

    def decisions(self) -> Mapping[Decision, int]:
        """Return how often what was decided."""
        # Before the lock: a gate that is just made tells of its keys, and keeps others from here.
        allowed = gates.admitted()
        with self.lock:
            # A gate that nobody uses any more takes its count along; a counter never falls.
            self._allowed = max(self._allowed, allowed)
            return {Decision("allowed", ""): self._allowed - self._before, **self._decisions}

    def key_ages(self) -> Mapping[str, float]:
        """Return for each issuer how many seconds ago its keys were last confirmed.

        Issuers whose keys stand in the settings, or could never be had, have none.
        """
        ages: dict[str, float] = {}
        for gate in gates.every_gate():
            for issuer, health in gate.health().items():
                if health.age is not None:
                    # The oldest, where several settings have the same issuer.
                    ages[issuer] = max(ages.get(issuer, 0.0), health.age)
        return ages
