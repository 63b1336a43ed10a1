"""What a vendor may write for a claim, and the form it takes in a license.

Decides how arguments are spelt, not whether a gate accepts them. Each function raises ValueError
with a sentence that names the argument.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias

Seconds: TypeAlias = float | timedelta
Instant: TypeAlias = float | datetime


def texts(name: str, values: object) -> list[str] | None:
    """Return texts as a list, None where there are none given."""
    # list("reports") would be seven features.
    return _listed(name, values, str, "texts")


def objects(name: str, values: object) -> list[dict[str, object]] | None:
    """Return mappings as a list of JSON objects, None where there are none given."""
    # list({"from": "07:00"}) would be the names of its members.
    listed = _listed(name, values, Mapping, "mappings")
    return None if listed is None else [dict(value) for value in listed]


def _listed(name: str, values: object, kind: type[Any], kinds: str) -> list[Any] | None:
    """Return values of one kind as a list; one that is no list of them is iterable all the same."""
    if values is None:
        return None
    if isinstance(values, kind) or not isinstance(values, Iterable):
        raise ValueError(f"{name} is a list of {kinds}, even where it holds one")
    listed = list(values)
    if not all(isinstance(value, kind) for value in listed):
        raise ValueError(f"{name} is a list of {kinds} and of nothing else")
    return listed


def one_or_texts(name: str, values: object) -> str | list[str] | None:
    """Return one text as it is, others as `texts` does."""
    return values if isinstance(values, str) else texts(name, values)


def words(name: str, values: object) -> str | None:
    """Return texts as one, with spaces between (RFC 6749, section 3.3)."""
    given = one_or_texts(name, values)
    return " ".join(given) if isinstance(given, list) else given


def members(name: str, value: object) -> dict[str, object] | None:
    """Return a mapping as a JSON object, None where there is none given."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is a mapping")
    return dict(value)


def seconds(name: str, value: Seconds) -> int:
    """Return a duration in whole seconds."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if type(number) not in (int, float) or not math.isfinite(number):
        raise ValueError(f"{name} is a number of seconds or a timedelta")
    return int(number)


def instant(name: str, value: Instant) -> float:
    """Return a moment as a NumericDate (RFC 7519, section 2)."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{name} needs a time zone, as in datetime.now(timezone.utc)")
        return value.timestamp()
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{name} is seconds since 1970 or a datetime")
    return value
