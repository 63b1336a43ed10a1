"""What was used, added up until the vendor is told of it.

One sum for each license, name and hour, since a report belongs to the period that it began in, and
every period that a limit may have is made of hours, but for minutes, which nobody is billed by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

HOUR = 3600.0
#: The largest number that is the same in every JSON (RFC 8259, section 6).
MOST = 2**53


class Place(NamedTuple):
    """Whose use, and of what.

    Attributes:
        issuer: of the license.
        license_id: its id.
        name: of the limit.
        hour: in which it was used, since the epoch.
    """

    issuer: str
    license_id: str
    name: str
    hour: int


class Sum(NamedTuple):
    """So much was used.

    Attributes:
        began: when it was used first, seconds since the epoch.
        ended: when last.
        amount: how much.
    """

    began: float
    ended: float
    amount: int

    def plus(self, other: Sum) -> Sum:
        """Return both together."""
        amount = min(self.amount + other.amount, MOST)
        return Sum(min(self.began, other.began), max(self.ended, other.ended), amount)


Sums: TypeAlias = Mapping[Place, Sum]


def hour_of(now: float) -> int:
    """Return the hour of a moment; that of the epoch for what is none."""
    return int(now // HOUR) if 0 <= now < 1e12 else 0


class Pending:
    """Sums in memory, so many at most; and debts.

    What is given back after the vendor was told of it is owed: it is taken off what is used next.

    Not safe to share between threads.

    Args:
        room: how many sums, and how many debts, there may be.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._sums: dict[Place, Sum] = {}
        #: What was given back of what the vendor was told already, by issuer, license and name.
        self._debts: dict[tuple[str, str, str], int] = {}

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, place: Place, now: float, amount: int) -> bool:
        """Add `amount`, which may be negative; return whether there was room."""
        whose = place[:3]
        amount -= self._debts.pop(whose, 0)
        known = self._sums.get(place)
        if known is not None:
            amount += known.amount
        if amount <= 0:
            self._sums.pop(place, None)
            if amount and len(self._debts) < self._room:
                self._debts[whose] = -amount
            return True
        if known is None and len(self._sums) >= self._room:
            return False
        used = Sum(now, now, 0) if known is None else known
        self._sums[place] = Sum(min(used.began, now), max(used.ended, now), min(amount, MOST))
        return True

    def take(self) -> Sums:
        """Return all sums, and have none."""
        taken, self._sums = self._sums, {}
        return taken
