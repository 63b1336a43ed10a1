"""Times and durations, as they are typed and as they are shown."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime

from licet.core.token.claims import LATEST

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_NAMES = {"d": "day", "h": "hour", "m": "minute", "s": "second"}


def duration(text: str) -> int:
    """Read a duration: `365d`, `12h`, `30m`, `90s`, or a number of seconds.

    Raises:
        argparse.ArgumentTypeError: it is none; says how to write one.
    """
    match = re.fullmatch(r"([0-9]{1,12})([smhd]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError("write a duration as 365d, 12h, 30m or 3600")
    return int(match[1]) * _UNITS[match[2] or "s"]


def moment(text: str) -> float:
    """Read a moment: RFC 3339, or seconds since 1970.

    Raises:
        argparse.ArgumentTypeError: it is none; says how to write one.
    """
    try:
        if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
            seconds = float(text)
        else:
            read = datetime.fromisoformat(text)
            # Without a zone it would be another moment on another machine.
            seconds = -1.0 if read.utcoffset() is None else read.timestamp()
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds <= LATEST:
        raise argparse.ArgumentTypeError(
            "write a moment as 2027-01-31T12:00:00Z, with its zone, or in seconds since 1970"
        )
    return seconds


def iso(seconds: float) -> str:
    """Return a moment for programs, in UTC (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def told(seconds: float, now: float) -> str:
    """Return a moment for people: in UTC, and how far off it is."""
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S} UTC, {distance(seconds - now)}"


def distance(seconds: float) -> str:
    """Return how far off a moment is: `in 12 days`, `3 hours ago`."""
    length = span(abs(seconds))
    return f"in {length}" if seconds >= 0 else f"{length} ago"


def span(seconds: float) -> str:
    """Return a length of time in the largest unit of which there are two, or in seconds."""
    for sign in "dhm":
        if seconds >= 2 * _UNITS[sign]:
            return f"{round(seconds / _UNITS[sign]):,} {_NAMES[sign]}s"
    whole = round(seconds)
    return f"{whole} second{'' if whole == 1 else 's'}"
