"""The rows of the table: what each compares, and what it has to reach."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        number: of the row; rows of one number are its parts.
        what: is compared.
        floor: what must be reached; None where the row only reports.
        goal: what should be.
        most: whether less is better.
        unit: of the figures; ratios have none.
    """

    number: int
    what: str
    floor: float | None = None
    goal: float | None = None
    most: bool = True
    unit: str = ""

    def reached(self, measured: float, bound: float | None) -> bool | None:
        """Return whether `bound` is kept; None where there is none."""
        if bound is None:
            return None
        return operator.le(measured, bound) if self.most else operator.ge(measured, bound)

    def bound(self, value: float | None) -> str:
        """Return a floor or goal as text."""
        if value is None:
            return "-"
        return f"{'<=' if self.most else '>='} {value:g}{self.unit}"


@dataclass(frozen=True)
class Result:
    """What came of a row.

    Args:
        row: which one.
        measured: the figure.
        note: what it was made of.
    """

    row: Row
    measured: float
    note: str = ""

    @property
    def verdict(self) -> str:
        """What the figure says of the row."""
        goal, floor = (self.row.reached(self.measured, b) for b in (self.row.goal, self.row.floor))
        if goal:
            return "goal met"
        if floor is None:
            return "reported" if goal is None else "goal missed"
        return "floor met" if floor else "FLOOR MISSED"

    def as_json(self) -> dict[str, object]:
        """Return all of it."""
        row = self.row
        return {
            "row": row.number,
            "what": row.what,
            "compare": "at most" if row.most else "at least",
            "floor": row.floor,
            "goal": row.goal,
            "unit": row.unit,
            "measured": round(self.measured, 4),
            "floor_met": row.reached(self.measured, row.floor),
            "goal_met": row.reached(self.measured, row.goal),
            "verdict": self.verdict,
            "note": self.note,
        }


def table(results: Iterable[Result]) -> str:
    """Return the results as one table."""
    lines = [("row", "what", "floor", "goal", "measured", "verdict", "made of")]
    lines += [
        (
            str(result.row.number),
            result.row.what,
            result.row.bound(result.row.floor),
            result.row.bound(result.row.goal),
            f"{result.measured:.3g}{result.row.unit}"
            if result.measured < 1000
            else f"{result.measured:.0f}{result.row.unit}",
            result.verdict,
            result.note,
        )
        for result in results
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    return "\n".join("  ".join([*map(str.ljust, line, widths), line[6]]).rstrip() for line in lines)


def made_of(**micros: float) -> str:
    """Return the times, in microseconds, that a figure was made of."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in micros.items())
