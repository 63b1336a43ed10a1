"""What a limit counts over: a calendar period in UTC, or the whole term of a license.

Every process and machine names a period by its beginning, so that they count together without
having agreed on anything but the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from math import inf
from typing import NamedTuple

from licet.core.errors import LicenseUnavailable
from licet.core.stores.interface import MAX_WINDOW

DAY = 86_400.0
LENGTHS: Mapping[str, float] = {"minute": 60.0, "hour": 3600.0, "day": DAY}
#: Seconds for which a seat is kept for who does not come again, where the license says a period.
ROLLING: Mapping[str, float] = {**LENGTHS, "month": 30 * DAY, "term": MAX_WINDOW}
#: Seconds that a count outlives its period at least: clocks of several machines differ.
AFTER = 3600.0
#: The first second of the year 9999, after which there is no next month to name.
_LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
#: The latest of each kind that was asked for: when it began and when it ends, and its name.
_latest: dict[str, tuple[float, float, str]] = {}
_NONE = (inf, -inf, "")


class Period(NamedTuple):
    """A period that is under way.

    Attributes:
        name: what tells it from all others of its license and limit.
        left: seconds until it is over; infinite where that is not known.
        length: seconds from its beginning to its end; None where it has none of its own.
        window: seconds that a count which begins now has to live.
    """

    name: str
    left: float
    length: float | None
    window: float


def present(per: str, now: float, ends_at: float) -> Period:
    """Return the period that is under way.

    Args:
        per: `minute`, `hour`, `day`, `month` or `term`.
        now: seconds since the epoch.
        ends_at: when the license ends, likewise.

    Raises:
        LicenseUnavailable: the clock tells no time.
    """
    # Not the other way round, which would let a NaN through.
    if not 0 <= now < _LAST:
        raise LicenseUnavailable("clock")
    if per == "term":
        # Of the license, not of its token: one that is renewed goes on with what was used. Of one
        # that has ended, in its grace or downgraded, nobody knows when that will be.
        return Period("term", ends_at - now if now < ends_at else inf, None, MAX_WINDOW)
    begin, end, name = _latest.get(per, _NONE)
    if not begin <= now < end:
        begin, end = _month(now) if per == "month" else _even(now, LENGTHS[per])
        name = f"{per}:{int(begin)}"
        _latest[per] = begin, end, name
    length, left = end - begin, end - now
    # Once more its length: whoever sets a clock back a little finds the count that was there.
    return Period(name, left, length, left + max(length, AFTER))


def _even(now: float, length: float) -> tuple[float, float]:
    begin = now // length * length
    return begin, begin + length


def _month(now: float) -> tuple[float, float]:
    # Whole seconds, or the last moment of a month would be rounded into the next.
    at = datetime.fromtimestamp(int(now), UTC)
    begin = datetime(at.year, at.month, 1, tzinfo=UTC)
    year, month = divmod(at.year * 12 + at.month, 12)
    return begin.timestamp(), datetime(year, month + 1, 1, tzinfo=UTC).timestamp()
