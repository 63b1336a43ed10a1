"""Subscribers of the application: heard in a thread of their own, and never in the way."""

from __future__ import annotations

import ast
import asyncio
import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import get_args

import pytest

from licet import Settings, events
from licet.core import shutdown
from licet.core.events import event
from licet.core.events.bus import EVERY_GATE
from licet.core.events.event import KINDS, Event, EventName, incident, label
from licet.core.events.relay import Relay
from licet.core.gate import Gate
from tests.core.loopback import until
from tests.licenses import OPTIONS

STALE = Event("keys.stale", {"issuer": "acme", "state": "stale"})
ROTATED = Event("keys.rotated", {"issuer": "acme"})


@pytest.fixture(name="held")
def _held() -> Iterator[threading.Event]:
    """What a slow subscriber waits for; set at the end of the test in any case."""
    held = threading.Event()
    yield held
    held.set()


# -- the closed list -----------------------------------------------------------------------------


def test_every_event_is_described() -> None:
    """Of each name it is known what an incident is and what it is counted by."""
    assert set(KINDS) == set(get_args(EventName)) == set(events.NAMES)


def documented() -> dict[str, set[str]]:
    """Return the members of each event, as the table in the docstring has them."""
    lines = iter((event.__doc__ or "").partition("label\n")[2].partition("\n\n")[0].splitlines())
    found: dict[str, set[str]] = {}
    names: list[str] = []
    for line in lines:
        names = line[:29].split() or names
        for name in names:
            found.setdefault(name, {"correlation_id"}).update(line[29:78].split())
    return found


def emitted() -> Iterator[tuple[str, str]]:
    """Return each event that the source names where it is made, and each member named with it."""
    for path in Path(event.__file__).parents[1].rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            named = [one.value for one in call.args if isinstance(one, ast.Constant)]
            members = [one.arg for one in call.keywords if one.arg]
            for one in call.args:
                if isinstance(one, ast.Dict):
                    keys = [key.value for key in one.keys if isinstance(key, ast.Constant)]
                    members += [str(key) for key in keys]
            for name in {str(one) for one in named} & set(events.NAMES):
                yield name, ""
                yield from ((name, member) for member in members)


def test_what_is_told_is_documented() -> None:
    """Each event has its line in the table, and no event is made with a member that is not there.

    Every event is made somewhere, but for those whose name the place of their making computes.
    """
    table, made = documented(), set(emitted())
    assert set(table) == set(events.NAMES)
    assert {(name, member) for name, member in made if member not in {"", *table[name]}} == set()
    computed = {"keys.stale", "keys.unavailable"}
    assert {name for name, _ in made} | computed == set(events.NAMES)
    for name, kind in KINDS.items():
        assert {*kind.incident, kind.label or "issuer"} <= table[name]


@pytest.mark.row("R08")
def test_labels_come_from_closed_lists() -> None:
    """Whatever a stranger, a license or a server puts into an event, no label is new."""
    hostile = dict.fromkeys(
        "kind code word state verified_by days reason license_id issuer host limit".split(),
        "canary-\n{label}",
    )
    assert {label(Event(name, hostile)) for name in events.NAMES} <= {"", "other"}
    assert {label(Event(name)) for name in events.NAMES} <= {"", "other"}
    assert label(Event("license.denied", {"code": "pop_invalid"})) == "pop_invalid"
    assert label(Event("license.expiring", {"days": 7})) == "7"
    assert label(STALE) == "stale"
    assert sum(len(kind.values) for kind in KINDS.values()) < 100


def test_incidents_differ_by_what_they_are_about() -> None:
    """Not by when, how long or why."""
    again = Event("keys.stale", {**STALE.data, "age": 3.0, "correlation_id": "x"})
    other = Event("keys.stale", {"issuer": "other"})
    assert incident(STALE) == incident(again)
    assert len({incident(event) for event in (STALE, other, ROTATED)}) == 3


# -- subscribers ---------------------------------------------------------------------------------


def test_a_subscriber_hears_all_gates_in_order() -> None:
    """Only events of the names that it asked for, in a thread that is not the emitter's."""
    heard: list[tuple[str, str]] = []

    @events.subscribe("keys.stale", "keys.rotated")
    def hear(event: Event) -> None:
        heard.append((event.name, threading.current_thread().name))

    first, second = Gate(Settings(**OPTIONS)), Gate(Settings(**OPTIONS, leeway=1))
    first.events.emit(STALE)
    first.events.emit(Event("license.revoked"))
    second.events.emit(ROTATED)
    until(lambda: len(heard) == 2)
    assert heard == [("keys.stale", "licet-events"), ("keys.rotated", "licet-events")]
    hear.cancel()
    first.events.emit(STALE)
    hear._relay.finish(5)
    assert len(heard) == 2


def test_a_slow_subscriber_blocks_nobody(
    held: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """What there is no room for is dropped, counted and said; the rest is still told in order."""
    heard: list[Event] = []

    def slow(event: Event) -> None:
        held.wait(20)
        heard.append(event)

    relay = Relay(slow, capacity=10)
    relay(STALE)
    until(lambda: not relay._waiting)
    for _ in range(15):
        relay(ROTATED)
    assert (relay.dropped, heard) == (5, [])
    assert "an event subscriber is too slow: 1 events dropped" in caplog.messages
    held.set()
    relay.finish(10)
    assert heard == [STALE, *[ROTATED] * 10]


def test_a_subscriber_that_hangs_takes_nobody_the_end(held: threading.Event) -> None:
    """What else a process has left to do has its time, and the end comes no later."""

    given: list[float] = []

    class Last:
        def finish(self, seconds: float) -> None:
            given.append(seconds)

    def hangs(event: Event) -> None:
        held.wait(20)

    relays = [Relay(hangs) for _ in range(8)]
    for relay in relays:
        relay(STALE)
    last = Last()
    shutdown.tell_of_end(last)
    began = time.monotonic()
    shutdown.finish(0.4)
    assert time.monotonic() - began < 10
    assert given[0] > 0.2


def test_denials_crowd_nothing_out(held: threading.Event) -> None:
    """However many strangers bring about: there is room for what is worth more."""
    heard: list[str] = []

    def slow(event: Event) -> None:
        held.wait(20)
        heard.append(event.name)

    relay = Relay(slow, capacity=10)
    relay(STALE)
    until(lambda: not relay._waiting)
    for _ in range(100):
        relay(Event("license.denied", {"code": "license_required"}))
    relay(Event("license.revoked"))
    held.set()
    relay.finish(10)
    assert heard == ["keys.stale", *["license.denied"] * 5, "license.revoked"]


def test_a_subscriber_that_fails_hears_the_next(caplog: pytest.LogCaptureFixture) -> None:
    """Its errors go to the log, a few a minute, and nowhere else."""
    heard: list[Event] = []

    def fail(event: Event) -> None:
        heard.append(event)
        raise RuntimeError("broken")

    relay = Relay(fail)
    for _ in range(30):
        relay(STALE)
    relay.finish(10)
    assert len(heard) == 30
    failures = [record for record in caplog.records if "subscriber failed" in record.message]
    assert 0 < len(failures) <= 10


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_a_subscriber_that_exits_ends_nothing(
    raised: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """What is no error for Python either: the next event is told, by the same thread."""
    heard: list[int] = []

    def leave(event: Event) -> None:
        heard.append(threading.get_ident())
        raise raised

    relay = Relay(leave)
    for _ in range(3):
        relay(STALE)
    relay.finish(10)
    relay(STALE)
    relay.finish(10)
    assert len(heard) == 4
    assert raised.__name__ in caplog.text


def test_a_subscriber_may_bring_about_events_itself() -> None:
    """They are told after those that wait, one at a time; nothing grows and nobody is stopped."""
    heard: list[int] = []

    @events.subscribe("keys.stale")
    def again(event: Event) -> None:
        heard.append(len(again._relay._waiting))
        if len(heard) < 500:
            EVERY_GATE.emit(event)

    EVERY_GATE.emit(STALE)
    until(lambda: len(heard) == 500)
    again.cancel()
    assert max(heard) == 0


def test_who_cancels_hears_what_waits_and_no_more() -> None:
    """Also where it is the subscriber that cancels, while it hears."""
    heard: list[Event] = []

    @events.subscribe("keys.stale", "keys.rotated")
    def once(event: Event) -> None:
        once.cancel()
        heard.append(event)

    EVERY_GATE.emit(STALE)
    once._relay.finish(10)
    EVERY_GATE.emit(ROTATED)
    once._relay.finish(10)
    assert heard == [STALE]


def test_coroutine_functions_are_refused() -> None:
    """Nobody would await them; so are objects that are called like one."""

    class Called:
        async def __call__(self, event: Event) -> None: ...

    async def hear(event: Event) -> None: ...

    before = EVERY_GATE._subscribers
    for subscriber in (hear, partial(hear), Called()):
        with pytest.raises(TypeError, match="write def, not async"):
            events.subscribe()(subscriber)  # type: ignore[arg-type]
    assert EVERY_GATE._subscribers == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_of_a_fork_tells_its_own(held: threading.Event) -> None:
    """What waits is the parent's, and the child begins a thread when it has something to tell."""
    heard: list[Event] = []

    def slow(event: Event) -> None:
        if event is STALE:
            held.wait(20)
        heard.append(event)

    relay = Relay(slow)
    relay(STALE)
    relay(STALE)
    child = os.fork()
    if not child:
        relay(ROTATED)
        relay.finish(10)
        os._exit(0 if heard == [ROTATED] else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_wrong_names_fail_at_once() -> None:
    """So does the decorator without parentheses; nobody subscribes by either."""
    before = EVERY_GATE._subscribers
    with pytest.raises(ValueError, match=r"there is no event 'license.revokd'"):
        events.subscribe("license.revokd")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="write @subscribe"):
        events.subscribe(print)  # type: ignore[arg-type]
    assert EVERY_GATE._subscribers == before
