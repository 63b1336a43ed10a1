"""A slow model of time windows: it walks the clock minute by minute through `zoneinfo`.

It imports nothing from `licet`, and knows windows only as the license spells them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

NAMES = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def days_of(window: dict[str, Any]) -> set[str]:
    """Return the names of the days on which a window begins, by walking round the week."""
    if "days" not in window:
        return set(NAMES)
    entries = window["days"]
    found = set()
    for entry in entries.split(",") if isinstance(entries, str) else entries:
        first, *last = entry.split("-")
        walk = iter(NAMES * 2)
        while (day := next(walk)) != first:
            pass
        found.add(day)
        while last and day != last[0]:
            day = next(walk)
            found.add(day)
    return found


def spans(window: dict[str, Any], around: date) -> Iterator[tuple[datetime, datetime]]:
    """Yield begin and end, as a wall clock shows them, of what may reach into the day `around`."""
    for day in (around - timedelta(days=1), around):
        if NAMES[day.weekday()] not in days_of(window):
            continue
        begin = datetime.combine(day, time.fromisoformat(window["from"]))
        if window["to"] == "24:00":
            end = datetime.combine(day, time()) + timedelta(days=1)
        else:
            end = datetime.combine(day, time.fromisoformat(window["to"]))
            if end < begin:
                end += timedelta(days=1)
        yield begin, end


def inside(windows: list[dict[str, Any]], at: datetime) -> bool:
    """Whether the wall clock in one of the windows' zones is in its window at this instant."""
    for window in windows:
        wall = at.astimezone(ZoneInfo(window["tz"])).replace(tzinfo=None, fold=0)
        if any(begin <= wall < end for begin, end in spans(window, wall.date())):
            return True
    return False


def walk(
    windows: list[dict[str, Any]], begin: datetime, minutes: int
) -> Iterator[tuple[datetime, bool]]:
    """Yield each minute from `begin` on, in UTC, and whether it is inside one of the windows."""
    at = begin.astimezone(UTC)
    for _ in range(minutes):
        yield at, inside(windows, at)
        at += timedelta(minutes=1)
