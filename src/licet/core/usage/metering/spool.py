"""Where sums wait until the vendor was told of them, and the reports that are made of them.

A report is made when it is to be sent, and from then on it is sent as it is until it is taken: the
vendor's server knows it again by its id and counts it once.
"""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple, Protocol

from licet.core.forks import Locked
from licet.core.usage.metering.sums import Place, Sum, Sums

#: Counters in one report at most.
MOST_COUNTERS = 1_000
#: Reports that wait at most, none of a license of which one waits already: a server that does not
#: take one is told of all other licenses meanwhile.
MOST_WAITING = 1_000


class Report(NamedTuple):
    """What is sent.

    Attributes:
        report_id: by which it is known again.
        issuer: of the license.
        license_id: whose use it tells.
        body: as it is sent.
    """

    report_id: str
    issuer: str
    license_id: str
    body: bytes


class Spool(Protocol):
    """Keeps sums and reports. Raises `StoreUnavailable` where it cannot be had."""

    def add(self, sums: Sums) -> int:
        """Keep `sums`; return how much there was no room for."""
        ...

    def next(self) -> Report | None:
        """Return a report to be sent, None for none."""
        ...

    def done(self, report: Report) -> None:
        """Forget a report."""
        ...

    def later(self, report: Report) -> None:
        """Let a report be sent again."""
        ...

    def mortal(self) -> int:
        """Return how many sums and reports would be gone with this process."""
        ...


class MemorySpool(Locked):
    """A spool that is gone with its process. A child of a fork begins with none.

    Args:
        room: how many sums are kept.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room
        self._begin()

    def _begin(self) -> None:
        #: By issuer and license id.
        self._sums: OrderedDict[tuple[str, str], dict[Place, Sum]] = OrderedDict()
        self._kept = 0
        self._reports: OrderedDict[tuple[str, str], Report] = OrderedDict()
        #: The one that is being sent.
        self._sent: Report | None = None

    def after_fork(self) -> None:
        """Leave what is there to the parent."""
        super().after_fork()
        self._begin()

    def add(self, sums: Sums) -> int:
        """See `Spool.add`."""
        dropped = 0
        with self.lock:
            for place, used in sums.items():
                whose = (place.issuer, place.license_id)
                kept = self._sums.get(whose, {})
                if place in kept:
                    kept[place] = kept[place].plus(used)
                elif self._kept < self._room:
                    self._sums.setdefault(whose, kept)[place] = used
                    self._kept += 1
                else:
                    dropped += used.amount
        return dropped

    def next(self) -> Report | None:
        """See `Spool.next`."""
        with self.lock:
            if (left := self._sent) is not None:
                # Whoever sent it came to nothing, and nobody knows what became of it.
                self._reports[left.issuer, left.license_id] = left
            self._sent = self._fresh() or (
                self._reports.popitem(last=False)[1] if self._reports else None
            )
            return self._sent

    def _fresh(self) -> Report | None:
        """Make a report of a license of which none waits, and keep its sums no more."""
        if len(self._reports) >= MOST_WAITING:
            return None
        whose = next((each for each in self._sums if each not in self._reports), None)
        if whose is None:
            return None
        kept = self._sums.pop(whose)
        taken = list(islice(kept, MOST_COUNTERS))
        self._kept -= len(taken)
        report = reported([(place, kept.pop(place)) for place in taken])
        if kept:
            self._sums[whose] = kept
        return report

    def done(self, report: Report) -> None:
        """See `Spool.done`."""
        self._sent = None

    def later(self, report: Report) -> None:
        """See `Spool.later`."""
        with self.lock:
            self._sent = None
            self._reports[report.issuer, report.license_id] = report

    def mortal(self) -> int:
        """See `Spool.mortal`."""
        return self._kept + len(self._reports) + (self._sent is not None)


def reported(counted: Iterable[tuple[Place, Sum]]) -> Report:
    """Return a report of what one license has used."""
    listed = list(counted)
    report_id = secrets.token_urlsafe(18)
    issuer, license_id = listed[0][0][:2]
    counters = [
        {"name": place.name, "from": used.began, "to": used.ended, "count": used.amount}
        for place, used in listed
    ]
    told = {"batch_id": report_id, "license_id": license_id, "counters": counters}
    return Report(report_id, issuer, license_id, json.dumps(told).encode())
