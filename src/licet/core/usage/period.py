"""What a limit counts over: a calendar period in UTC, or the whole term of a license.

Every process and machine names a period by its beginning, so that they count together without
having agreed on anything but the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
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


class Period(NamedTuple):
    """A period that is under way.

    Attributes:
        name: what tells it from all others of its license and limit.
        left: seconds until it is over.
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
        # Of the license, not of its token: one that is renewed goes on with what was used.
        return Period("term", max(ends_at - now, 0.0), None, MAX_WINDOW)
    if per == "month":
        begin, end = _month(now)
    else:
        begin = now // LENGTHS[per] * LENGTHS[per]
        end = begin + LENGTHS[per]
    length = end - begin
    # Once more its length: whoever sets a clock back a little finds the count that was there.
    return Period(f"{per}:{int(begin)}", end - now, length, end - now + max(length, AFTER))


def _month(now: float) -> tuple[float, float]:
    # Whole seconds, or the last moment of a month would be rounded into the next.
    at = datetime.fromtimestamp(int(now), UTC)
    begin = datetime(at.year, at.month, 1, tzinfo=UTC)
    year, month = divmod(at.year * 12 + at.month, 12)
    return begin.timestamp(), datetime(year, month + 1, 1, tzinfo=UTC).timestamp()
