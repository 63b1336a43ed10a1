"""What a caller is told of a limit: draft-ietf-httpapi-ratelimit-headers-11.

Both fields are lists of structured fields (RFC 9651): the name of each limit, and what is left of
it. Where the license sets no limit there is nothing to tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

#: The largest integer there is in a structured field (RFC 9651, section 3.3.1).
_MOST = 999_999_999_999_999


class Rate(NamedTuple):
    """How a limit stands.

    Attributes:
        limit: its name, as in a license.
        maximum: how much the license permits.
        used: how much is used up.
        resets_in: seconds until the count begins anew, or until the next seat is free.
        window: seconds that it counts over; None for the term of the license.
    """

    limit: str
    maximum: int
    used: int
    resets_in: float
    window: float | None


def rate_fields(rates: Iterable[Rate]) -> tuple[tuple[str, str], ...]:
    """Return the header fields that tell of `rates`, the last of each limit; none for none."""
    latest = {rate.limit: rate for rate in rates}.values()
    if not latest:
        return ()
    return (
        ("RateLimit-Policy", ", ".join(map(_policy, latest))),
        ("RateLimit", ", ".join(map(_rate, latest))),
    )


def seconds(left: float) -> int:
    """Return `left` in whole seconds, so that whoever waits for them does not come too early."""
    return max(1, math.ceil(left))


def _policy(rate: Rate) -> str:
    window = "" if rate.window is None else f";w={seconds(rate.window)}"
    return f'"{rate.limit}";q={min(rate.maximum, _MOST)}{window}'


def _rate(rate: Rate) -> str:
    left = min(max(rate.maximum - rate.used, 0), _MOST)
    return f'"{rate.limit}";r={left};t={seconds(rate.resets_in)}'
