"""Events: heard by everybody who subscribed, written as one line each, harmless."""

from __future__ import annotations

import logging
import threading
from typing import Any, get_args

import pytest

from licet.core.events.bus import EventBus
from licet.core.events.event import Event, EventName
from licet.core.events.log import DENIALS, LEVELS, WINDOW, FailureLog, LogSink, escape
from licet.core.stores import StoreUnavailable
from tests.core.hands import Hands


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything the logger `licet` is told."""
    caplog.set_level(logging.DEBUG, "licet")
    return caplog


def denied(code: str = "license_invalid", **data: Any) -> Event:
    return Event("license.denied", {"code": code, **data})


# -- the bus -------------------------------------------------------------------------------------


def test_subscribers_hear_every_event_in_order() -> None:
    """First come, first told; a later subscriber hears later events only."""
    heard: list[tuple[str, str]] = []
    bus = EventBus(lambda event: heard.append(("first", event.name)))
    bus.emit(Event("keys.stale"))
    bus.subscribe(lambda event: heard.append(("second", event.name)))
    bus.emit(Event("keys.rotated"))
    assert heard == [
        ("first", "keys.stale"),
        ("first", "keys.rotated"),
        ("second", "keys.rotated"),
    ]


def test_a_subscriber_that_fails_breaks_nothing(lines: pytest.LogCaptureFixture) -> None:
    """The others still hear, the emitter goes on, and the log says which event it was."""
    heard: list[str] = []

    def fail(event: Event) -> None:
        raise RuntimeError(event.name)

    bus = EventBus(fail, lambda event: heard.append(event.name))
    bus.emit(Event("keys.stale"))
    assert heard == ["keys.stale"]
    [record] = lines.records
    assert record.getMessage() == "an event subscriber failed on keys.stale"
    assert record.exc_info is not None


def test_a_log_that_fails_breaks_nothing(
    lines: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for the request that emits, nor for the subscribers after it."""

    def fail(record: logging.LogRecord) -> bool:
        raise RuntimeError("no disk")

    heard: list[str] = []
    bus = EventBus(LogSink(), lambda event: heard.append(event.name))
    monkeypatch.setattr(logging.getLogger("licet"), "filters", [fail])
    bus.emit(denied())
    assert heard == ["license.denied"]
    assert lines.records == []


def test_what_subscribers_raise_is_rationed(lines: pytest.LogCaptureFixture) -> None:
    """Strangers who bring about denials cannot fill a disk by somebody's broken subscriber."""

    def fail(event: Event) -> None:
        raise RuntimeError(event.name)

    bus = EventBus(fail, clock=Hands().clock)
    for _ in range(50):
        bus.emit(denied())
    assert len(lines.records) == DENIALS


def test_subscribing_while_an_event_is_told_is_safe() -> None:
    """A subscriber that subscribes another neither loops nor loses one."""
    heard: list[str] = []
    bus = EventBus()
    bus.subscribe(lambda event: bus.subscribe(lambda later: heard.append(later.name)))
    bus.emit(Event("keys.stale"))
    assert heard == []
    bus.emit(Event("keys.rotated"))
    assert heard == ["keys.rotated"]


def test_subscribers_from_many_threads_are_all_kept() -> None:
    """Of those who subscribe at the same moment none is lost."""
    heard: list[int] = []
    bus, barrier = EventBus(), threading.Barrier(16)

    def subscribe(number: int) -> None:
        barrier.wait(10)
        bus.subscribe(lambda _: heard.append(number))

    threads = [threading.Thread(target=subscribe, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    bus.emit(Event("keys.stale"))
    assert sorted(heard) == list(range(16))


# -- the log -------------------------------------------------------------------------------------


def test_every_event_has_a_level() -> None:
    """The closed list of names and the table of levels are one."""
    assert set(LEVELS) == set(get_args(EventName))


def test_an_event_is_one_line(lines: pytest.LogCaptureFixture) -> None:
    """Name, then fields; the record carries the name for whoever filters by it."""
    LogSink()(Event("keys.unavailable", {"issuer": "acme", "retry_after": 2.5, "reason": None}))
    [record] = lines.records
    assert record.getMessage() == "keys.unavailable issuer=acme retry_after=2.5 reason=None"
    assert (record.levelno, record.name) == (logging.WARNING, "licet")
    assert record.__dict__["licet_event"] == "keys.unavailable"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain:word-1.2", "plain:word-1.2"),
        ("a\r\nlicense.verified x=1", r'"a\r\nlicense.verified x=1"'),
        ("a\x1b[31m\x00\x7f", r"a\x1b[31m\x00\x7f"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}\ud800", r"\u202e\ud800"),
        ("x code=license_required", '"x code=license_required"'),
        ('"', r'"\""'),
        ("", '""'),
        (("a", 1), """"('a', 1)\""""),
        ("back\\slash", r"back\\slash"),
    ],
    ids=ascii,
)
def test_values_cannot_leave_their_field(
    lines: pytest.LogCaptureFixture, value: object, written: str
) -> None:
    """CR, LF, escape sequences, foreign line ends and forged fields stay inside their value."""
    LogSink()(Event("keys.stale", {"value": value, "last": 1}))
    [record] = lines.records
    message = record.getMessage()
    assert message == f"keys.stale value={written} last=1"
    assert message.isascii()
    assert message.isprintable()


def test_seconds_are_written_to_a_tenth(lines: pytest.LogCaptureFixture) -> None:
    """Nobody reads a pause to the picosecond; who subscribes still has it whole."""
    event = Event("keys.stale", {"age": 81.83687459900102, "retry_after": 29.99999, "n": 3})
    LogSink()(event)
    assert lines.messages == ["keys.stale age=81.8 retry_after=30.0 n=3"]
    assert event.data["age"] == 81.83687459900102


def test_values_are_cut() -> None:
    """A long value costs the log a bounded number of characters."""
    assert escape("x" * 1_000_000) == "x" * 64
    assert escape("x" * 10, limit=3) == "xxx"
    assert len(escape("\U0001f600" * 1_000)) == 64 * len(r"\U0001f600")


def test_denials_of_one_kind_are_rate_limited(lines: pytest.LogCaptureFixture) -> None:
    """So many lines a minute and code; the first one after the minute counts the unwritten."""
    hands = Hands()
    sink = LogSink(hands.clock)
    for _ in range(DENIALS + 5):
        sink(denied())
    assert len(lines.records) == DENIALS
    sink(denied("license_required"))
    assert len(lines.records) == DENIALS + 1, "another code has its own count"
    hands.advance(WINDOW - 0.1)
    sink(denied())
    assert len(lines.records) == DENIALS + 1
    hands.advance(0.1)
    sink(denied(reason="late"))
    assert lines.messages[-1] == "license.denied code=license_invalid reason=late suppressed=6"
    sink(denied())
    assert lines.messages[-1] == "license.denied code=license_invalid"


def test_a_new_minute_is_a_new_allowance(lines: pytest.LogCaptureFixture) -> None:
    """Where nothing was left out nothing is counted, and the full number is written again."""
    hands = Hands()
    sink = LogSink(hands.clock)
    for _ in range(2):
        for _ in range(DENIALS):
            sink(denied())
        hands.advance(WINDOW)
    assert lines.messages == ["license.denied code=license_invalid"] * (2 * DENIALS)


def test_other_events_are_never_left_out(lines: pytest.LogCaptureFixture) -> None:
    """Changes of state are rare and each is written."""
    sink = LogSink(Hands().clock)
    for _ in range(DENIALS * 3):
        sink(Event("keys.rotated"))
    assert len(lines.records) == DENIALS * 3


def test_what_nobody_reads_is_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Denials below the logger's level use up no allowance."""
    sink = LogSink(Hands().clock)
    caplog.set_level(logging.WARNING, "licet")
    for _ in range(DENIALS * 2):
        sink(denied())
    assert caplog.records == []
    caplog.set_level(logging.INFO, "licet")
    sink(denied())
    assert caplog.messages == ["license.denied code=license_invalid"]


def test_a_silent_store_is_written_in_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """With the reason and the consequence, and without a trace: it is no defect of the program."""
    FailureLog(Hands().clock, "it is tried again")(StoreUnavailable("timeout"))
    (record,) = (each for each in caplog.records if each.name == "licet")
    assert record.getMessage() == "no answer from the store (timeout); it is tried again"
    assert (record.levelname, record.exc_info) == ("WARNING", None)
