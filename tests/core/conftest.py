"""What tests of several rooms ask for."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.core.hands import Hands
from tests.core.license_server import LicenseServer
from tests.core.withdrawing import Withdrawing


@pytest.fixture
def hands() -> Hands:
    """Return a clock that stands still until it is moved."""
    return Hands()


@pytest.fixture
def server(hands: Hands) -> Iterator[LicenseServer]:
    """Serve a license server that tells time by that clock."""
    with LicenseServer(hands=hands) as server:
        yield server


@pytest.fixture
def vendor() -> Iterator[Withdrawing]:
    """A vendor with a status list."""
    with Withdrawing() as made:
        yield made


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread be started any more."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let questions be tried again at once, where how long that takes is not the claim."""
    monkeypatch.setattr("licet.core.online.asker.PAUSE", 0.005)
