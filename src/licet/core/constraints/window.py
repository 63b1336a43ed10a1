"""`time_windows`: the hours of the week a license holds in, by the clock on the wall of a zone.

A day names the day on which a window begins. What the wall shows decides: an hour that a change
of the clocks repeats counts twice, one that it leaves out never comes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from licet.core.errors import LicenseInvalid
from licet.core.token.claims import MAX_ENTRIES

if TYPE_CHECKING:
    from licet.core.request.circumstances import Circumstances

logger = logging.getLogger("licet")

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_DAY = 24 * 60
_WEEK = 7 * _DAY
_WHOLE_WEEK = (1 << _WEEK) - 1


class Windows:
    """The claim `time_windows`, compiled: a bit for each minute of the week, for each zone.

    Args:
        weeks: zone to minutes, the lowest bit being Monday 00:00.
    """

    code: ClassVar[str] = "license_time_window"
    __slots__ = ("_verdict", "_weeks")

    def __init__(self, weeks: Mapping[ZoneInfo, int]) -> None:
        self._weeks = tuple(weeks.items())
        #: Since when, until when, and whether it holds meanwhile; swapped whole.
        self._verdict = (inf, -inf, False)

    @classmethod
    def read(cls, value: object) -> Windows:
        """Compile the claim: objects with `from`, `to`, `tz` and perhaps `days`, or one of them.

        Raises:
            LicenseInvalid: one is malformed, has another member, or there is none.
        """
        windows = [value] if isinstance(value, dict) else value
        if not isinstance(windows, list) or not 1 <= len(windows) <= MAX_ENTRIES:
            raise _malformed()
        weeks: dict[ZoneInfo, int] = {}
        for window in windows:
            zone, minutes = _window(window)
            weeks[zone] = weeks.get(zone, 0) | minutes
        return cls(weeks)

    def holds(self, circumstances: Circumstances) -> bool:
        """Whether now is inside one of the windows."""
        now = circumstances.now
        since, until, verdict = self._verdict
        if since <= now < until:
            return verdict
        # Zones differ from UTC by whole minutes (since 1972), so within a minute nothing changes.
        minute = now // 60 * 60
        verdict = any(minutes >> _minute_of_week(minute, zone) & 1 for zone, minutes in self._weeks)
        self._verdict = (minute, minute + 60, verdict)
        return verdict


def _minute_of_week(now: float, zone: ZoneInfo) -> int:
    wall = datetime.fromtimestamp(now, zone)
    return wall.weekday() * _DAY + wall.hour * 60 + wall.minute


def _malformed() -> LicenseInvalid:
    return LicenseInvalid("bad_claim:time_windows")


def _window(window: Any) -> tuple[ZoneInfo, int]:
    if not isinstance(window, dict) or not (
        {"from", "to", "tz"} <= window.keys() <= {"days", "from", "to", "tz"}
    ):
        raise _malformed()
    begin = _time(window["from"])
    end = _DAY if window["to"] == "24:00" else _time(window["to"])
    if begin == end:
        raise _malformed()
    length = end - begin if begin < end else _DAY - begin + end
    minutes = 0
    for day in _days(window["days"]) if "days" in window else range(7):
        minutes |= ((1 << length) - 1) << day * _DAY + begin
    # What begins on Sunday may end on Monday.
    return _zone(window["tz"]), (minutes | minutes >> _WEEK) & _WHOLE_WEEK


def _time(value: object) -> int:
    time = _TIME.fullmatch(value) if isinstance(value, str) else None
    if time is None:
        raise _malformed()
    return int(time[1]) * 60 + int(time[2])


def _days(value: object) -> set[int]:
    entries = value.split(",") if isinstance(value, str) else value
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_ENTRIES:
        raise _malformed()
    days: set[int] = set()
    for entry in entries:
        if not isinstance(entry, str):
            raise _malformed()
        first, dash, last = entry.partition("-")
        # A day to itself could be one day or eight.
        if first not in _DAYS or (dash and (last not in _DAYS or first == last)):
            raise _malformed()
        begin = _DAYS.index(first)
        span = (_DAYS.index(last) - begin) % 7 if dash else 0
        days.update((begin + day) % 7 for day in range(span + 1))
    return days


def _zone(value: object) -> ZoneInfo:
    if not isinstance(value, str) or value not in _zones():
        raise _malformed()
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _malformed() from None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    """Return the zones of this system's database: names that cannot be paths out of it."""
    # Where a system lists its own clock among the zones, it is no place in the world.
    zones = frozenset(available_timezones() - {"localtime"})
    if not zones:
        logger.error("no time zones here, so no time_windows can be judged: pip install tzdata")
    return zones
