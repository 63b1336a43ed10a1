"""What tests of several rooms ask for."""

from __future__ import annotations

import pytest


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let questions be tried again at once, where how long that takes is not the claim."""
    monkeypatch.setattr("licet.core.online.asker.PAUSE", 0.005)
