"""What happens to licenses, as the signals of Django and of Flask."""

from __future__ import annotations

import importlib
import logging
import threading
from typing import Any

import pytest

from licet import events
from licet.core.events.bus import EVERY_GATE
from licet.core.events.event import Event
from tests.core.loopback import until

REVOKED = Event("license.revoked", {"license_id": "lic_1", "word": "revoked"})


@pytest.fixture(name="signals", params=["django", "flask"])
def _signals(request: pytest.FixtureRequest) -> Any:
    framework = request.param
    pytest.importorskip(framework)
    if framework == "django":
        importlib.import_module("tests.adapters.django_project")
    return importlib.import_module(f"licet.{framework}.signals")


def test_there_is_a_signal_for_each_event(signals: Any) -> None:
    """Under the event's name, with an underscore for its full stop."""
    assert set(signals.SIGNALS) == set(events.NAMES)
    for name in events.NAMES:
        assert getattr(signals, name.replace(".", "_")) is signals.SIGNALS[name]


def test_receivers_hear_outside_of_requests(signals: Any, caplog: Any) -> None:
    """Each hears, in another thread, also after one that fails; nobody hears other events."""
    heard: list[tuple[object, Event, str]] = []

    def fail(sender: object, **told: Any) -> None:
        raise RuntimeError("broken")

    def hear(sender: object, event: Event, **told: Any) -> None:
        heard.append((sender, event, threading.current_thread().name))

    for receiver in (fail, hear):
        signals.license_revoked.connect(receiver)
    with caplog.at_level(logging.ERROR):
        EVERY_GATE.emit(Event("keys.rotated"))
        EVERY_GATE.emit(REVOKED)
        until(lambda: heard)
    assert heard == [(Event, REVOKED, "licet-events")]
    assert "broken" in caplog.text
    for receiver in (fail, hear):
        signals.license_revoked.disconnect(receiver)
    EVERY_GATE.emit(REVOKED)
    signals._relay.finish(5)
    assert len(heard) == 1


def test_a_coroutine_function_cannot_receive_signals_of_blinker(caplog: Any) -> None:
    """It is said instead of nothing, and the others hear."""
    pytest.importorskip("flask")
    from licet.flask.signals import _relay, keys_stale

    heard: list[Event] = []

    async def never(sender: object, event: Event) -> None: ...

    def hear(sender: object, event: Event) -> None:
        heard.append(event)

    for receiver in (never, hear):
        keys_stale.connect(receiver)
    EVERY_GATE.emit(Event("keys.stale"))
    _relay.finish(5)
    assert len(heard) == 1
    assert "a coroutine function cannot receive a signal" in caplog.text


def test_django_has_coroutine_functions_receive_too() -> None:
    """In an event loop of their own."""
    pytest.importorskip("django")
    importlib.import_module("tests.adapters.django_project")
    from licet.django.signals import _relay, keys_stale

    heard: list[Event] = []

    async def hear(sender: object, event: Event, **told: Any) -> None:
        heard.append(event)

    keys_stale.connect(hear)
    EVERY_GATE.emit(Event("keys.stale"))
    _relay.finish(5)
    keys_stale.disconnect(hear)
    assert len(heard) == 1
