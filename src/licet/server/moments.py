"""Moments, as the vendor sees them: RFC 3339, in UTC, to the millisecond."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from licet.core.moments import rfc3339 as rfc3339


def dated(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of the database with its moments written out: `at` and what ends in `_at`."""
    shown: dict[str, Any] = {}
    for name, value in entry.items():
        if isinstance(value, dict):
            shown[name] = dated(value)
        elif value is not None and (name == "at" or name.endswith("_at")):
            shown[name] = rfc3339(value)
        else:
            shown[name] = value
    return shown
