"""Whether this machine and a server tell the same time (`Date`, RFC 9110, section 6.6.1)."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from licet.cli.doctor.finding import Finding, Kind
from licet.cli.moments import span

#: Seconds from which on clocks are wrong, whatever the settings bear.
BAD = 300.0
#: Seconds: `Date` tells no parts of them, and an answer takes its time.
COARSE = 2.0
_REMEDY = "set the clocks of both machines by NTP"

RIGHT = Kind("clock_ok", "ok")
DIFFERS = Kind("clock_differs", "warning", _REMEDY)
WRONG = Kind("clock_wrong", "fault", _REMEDY)
UNCHECKED = Kind("clock_unchecked", "unchecked", "compare this machine's clock by hand")


def examine(headers: Mapping[str, str], now: float, leeway: float) -> Finding:
    """Hold a server's clock against this machine's.

    Args:
        headers: of its answer, names in lower case.
        now: wall time, seconds since the epoch.
        leeway: seconds that the settings let clocks differ.
    """
    try:
        said = parsedate_to_datetime(headers.get("date", "")).timestamp() - now
    except (ValueError, OverflowError):
        return UNCHECKED("the server does not tell its time")
    # A copy from a cache says when it was made, or when it was handed on.
    ahead = min(said, said + _age(headers.get("age", "")), key=abs)
    if abs(ahead) <= leeway + COARSE:
        return RIGHT("its clock and this machine's agree")
    off = f"its clock is {span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} this machine's"
    if abs(ahead) > BAD:
        return WRONG(off)
    return DIFFERS(f"{off}; {leeway:g} s are borne")


def _age(text: str) -> float:
    return float(text[:9]) if text.isascii() and text.isdecimal() else 0.0
