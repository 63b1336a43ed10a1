"""Records which rows of the attack table were shown where (see `rows`)."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from typing import Any

import hypothesis  # noqa: F401  # before trio: the other way round each warns of the other
import pytest

from tests import rows

#: Tests that are a large part of what a collection looks at.
MANY = 1000


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and the end of a run quiet."""
    # Who is told of nothing by a test need not read what processes say as they end.
    logging.getLogger("licet").addHandler(logging.NullHandler())
    config.addinivalue_line(
        "markers", "row(id, adapter=…): a row of the attack table that the test shows"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the table be held against what ran only after everything ran."""
    items.sort(key=lambda item: item.path.name == "test_rows.py")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have collections of garbage look no more at thousands of tests, which stay."""
    # Not for a few: Hypothesis, if it is imported after this, looks for what it cannot find then.
    if len(session.items) > MANY:
        gc.collect()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    """Note a passing test under the rows it carries."""
    report: Any = yield
    if report.when == "call" and report.passed:
        for mark in item.iter_markers("row"):
            served = getattr(getattr(item, "cls", None), "adapter", rows.CORE)
            adapter = mark.kwargs.get("adapter", served)
            for row in mark.args:
                rows.RAN[row, adapter].append(item.nodeid)
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many rows were shown where, and what tests have measured."""
    shown: dict[str, set[str]] = {}
    for row, adapter in rows.RAN:
        shown.setdefault(adapter, set()).add(row)
    if shown:
        counts = ", ".join(f"{name} {len(found)}" for name, found in sorted(shown.items()))
        terminalreporter.write_line(f"rows of the attack table shown: {counts}")
    for line in rows.REPORTED:
        terminalreporter.write_line(line)
