"""What a server tells of many things, for people: a table, and moments that can be read."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from licet.cli.admin.answers import strange
from licet.cli.moments import told
from licet.cli.output import shown


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]], nothing: str) -> None:
    """Print rows below their heads, the columns below each other.

    Args:
        heads: of the columns.
        rows: texts, or other values of JSON.
        nothing: what is printed in the place of no rows.
    """
    if not rows:
        print(nothing)
        return
    lines = [list(heads), *([shown(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (f"{text:<{width}}" for text, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())


def instant(value: object) -> datetime | None:
    """Return a moment in UTC: of seconds since the epoch, or as RFC 3339 has it; None for none."""
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            return None if at.tzinfo is None else at.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def moment(value: object) -> object:
    """Return a moment for people; anything else as it is."""
    at = instant(value)
    return value if at is None else told(at.timestamp(), time.time())


def number(text: str) -> int:
    """Read a number of lines: 0 or more.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise argparse.ArgumentTypeError("write a whole number")
    return int(text)


def entries(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the objects that an answer lists.

    Raises:
        Undecided: it lists none.
    """
    found = answer.get(name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise strange()
    return found
