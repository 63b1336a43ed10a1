"""The attack table is carried out whole."""

from __future__ import annotations

import pytest

from tests import rows


def test_every_row_was_shown_wherever_it_must_be(request: pytest.FixtureRequest) -> None:
    """No cell of the table is empty after a run of the whole suite."""
    config = request.config
    whole = {"tests"} <= set(config.args) or config.args_source.name != "ARGS"
    if whole and not config.option.keyword and not config.option.markexpr:
        assert rows.missing() == {}
