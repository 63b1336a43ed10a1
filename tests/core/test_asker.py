"""One question: how often it is tried, when it is not asked at all, and what breaks nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from licet.core import flow
from licet.core.errors import LicenseUnavailable
from licet.core.events.event import Event
from licet.core.gate import Gate
from licet.core.online.question import Answer as Said
from licet.core.online.question import Granted, KeyMissing, Question, Undecided
from licet.core.online.question import LicenseServer as Asked
from licet.core.online.slots import PROCESS_SLOTS, Slots
from licet.core.transport import Request as Sent
from licet.core.transport import Response
from tests.core.hands import Hands
from tests.core.license_server import GONE, LicenseServer, asked, says
from tests.core.loopback import Answer, Request, Reset, reply, until
from tests.core.worlds import (
    WORLDS,
    Crowd,
    ask,
    at_once,
    at_rest,
    gate_of,
    held,
    judge,
    told,
    validator_of,
    verdict,
)
from tests.licenses import FORGER, ISSUER


@pytest.fixture
def gate(server: LicenseServer, hands: Hands) -> Gate:
    return gate_of(server, hands)


def failing(times: int, server: LicenseServer, answer: Callable[[], bytes]) -> None:
    """Let the next few questions fail, and then none."""
    left = [None] * times

    def trouble(request: Request) -> Answer:
        if left:
            left.pop()
            return answer()
        return says(server.answer_for(request.body))

    server.trouble = trouble


def reset() -> bytes:
    raise Reset


def only(world: str, gate: Gate, credential: str) -> str:
    """Return what becomes of one request in this world."""
    [outcome] = at_once(world, [judge(gate, credential)])
    return told(outcome)


# -- trying again ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(
    "answer",
    [reset, lambda: b"", lambda: reply(500), lambda: reply(502), lambda: reply(503)],
    ids=["reset", "nothing", "500", "502", "503"],
)
def test_what_may_pass_is_tried_three_times(
    server: LicenseServer, gate: Gate, world: str, answer: Callable[[], bytes]
) -> None:
    """Each time with a nonce of its own; the third answer counts, and there is no fourth try."""
    key, other = server.add(), server.add()
    failing(2, server, answer)
    assert only(world, gate, key) == "yes"
    nonces = {asked(one)["nonce"] for one in server.questions}
    assert len(nonces) == len(server.questions) == 3
    failing(3, server, answer)
    assert only(world, gate, other) != "yes"
    assert len(server.questions) == 6
    at_rest(gate)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(
    "answer",
    [
        lambda _: reply(429),
        lambda _: reply(503, Retry_After="1"),
        lambda _: reply(400),
        lambda _: reply(401),
        lambda _: reply(404),
        lambda _: reply(302, Location="/"),
        lambda _: reply(200, b"{}"),
        lambda _: reply(200, b"x" * 100_000, "application/jwt"),
        "forged",
        "nonce",
    ],
    ids=["429", "503 later", "400", "401", "404", "302", "JSON", "huge", "forged", "nonce"],
)
def test_what_stays_so_is_not_tried_again(
    server: LicenseServer, gate: Gate, world: str, answer: Any
) -> None:
    """Nor is what was refused, put off, or not signed by the right key: one question."""
    if answer == "forged":
        server.trouble = lambda one: says(server.answer_for(one.body, signer=FORGER))
    elif answer == "nonce":
        server.trouble = lambda one: says(server.answer_for(one.body, nonce="A" * 43))
    else:
        server.trouble = answer
    assert only(world, gate, server.add()).startswith("online:")
    assert len(server.questions) == 1
    at_rest(gate)


def test_a_decided_answer_is_not_asked_for_twice(server: LicenseServer, gate: Gate) -> None:
    """Neither a yes nor a no, nor a yes to a license that does not hold here."""
    for word, claims in [(None, {}), ("unknown", {}), ("revoked", {}), (None, {"aud": "other"})]:
        key = server.add(**claims)
        server.error(key, word)
        verdict(gate, key)
    assert len(server.questions) == 4


def test_there_is_no_trying_past_the_time(server: LicenseServer) -> None:
    """Whoever has a tenth of a second does not wait for a second try."""
    server.hands = None
    gate = Gate(gate_of(server, online_timeout=0.1).settings)
    server.trouble = lambda _: reply(500)
    assert verdict(gate, server.add()).startswith("online:")
    assert len(server.questions) <= 2
    at_rest(gate)


@pytest.mark.parametrize("world", WORLDS)
def test_who_finds_no_slot_in_time_is_undecided(server: LicenseServer, world: str) -> None:
    """Nobody is asked, and the server has no part in it."""
    server.hands = None
    gate = Gate(gate_of(server, online_timeout=0.1).settings)
    asker = validator_of(gate)._asker
    asker._slots = slots = Slots()
    tickets = [slots.take(True) for _ in range(40)]
    assert only(world, gate, server.add()) == "online:busy"
    assert server.questions == []
    for ticket in tickets:
        slots.give_back(ticket)
    assert slots.in_use == slots.waiting == 0
    at_rest(gate)


# -- the circuit breaker ---------------------------------------------------------------------------


@pytest.mark.row("I09")
@pytest.mark.parametrize("world", WORLDS)
def test_after_five_failures_nobody_is_asked(
    server: LicenseServer, hands: Hands, gate: Gate, world: str
) -> None:
    """For half a minute; then one question finds out for all, and the pause doubles or is over."""
    server.trouble = lambda _: reply(501)
    for number in range(5):
        assert len(server.questions) == number
        assert only(world, gate, server.add()) == "online:status_501"
    for _ in range(5):
        assert only(world, gate, server.add()) == "online:circuit_open"
    hands.advance(29)
    [refusal] = at_once(world, [judge(gate, server.add())])
    assert isinstance(refusal, LicenseUnavailable)
    assert refusal.retry_after == 1
    assert len(server.questions) == 5
    hands.advance(1)
    assert only(world, gate, server.add()) == "online:status_501"
    hands.advance(59)
    assert only(world, gate, server.add()) == "online:circuit_open"
    server.trouble = None
    hands.advance(1)
    assert only(world, gate, server.add()) == "yes"
    assert only(world, gate, server.add()) == "yes"
    assert len(server.questions) == 8
    at_rest(gate)


@pytest.mark.parametrize("world", WORLDS)
def test_who_waits_in_line_learns_that_nobody_is_asked(
    server: LicenseServer, hands: Hands, world: str
) -> None:
    """Of two hundred strangers no more are asked about than were when the circuit opened."""
    gate = gate_of(server, hands, online_timeout=20)
    many = 60 if world == "threads" else 200
    with held(server) as release:
        crowd = Crowd(world, [judge(gate, server.add()) for _ in range(many)])
        until(lambda: len(server.questions) == 24 and PROCESS_SLOTS.waiting == many - 24)
        # Those under way are lost all together.
        validator_of(gate)._asker._breaker.failed(hands.monotonic, 60.0)
        release()
        words = crowd.told()
    assert len(server.questions) == 24
    assert words.count("online:circuit_open") == many - 24
    at_rest(gate)


def test_failures_that_lie_apart_open_nothing(
    server: LicenseServer, hands: Hands, gate: Gate
) -> None:
    """Five in more than ten seconds."""
    server.trouble = lambda _: reply(501)
    for _ in range(20):
        assert verdict(gate, server.add()) == "online:status_501"
        hands.advance(2.6)


def test_what_a_server_does_not_like_opens_nothing(server: LicenseServer, gate: Gate) -> None:
    """Twenty questions of status 400 are answered by a server that is well."""
    server.trouble = lambda _: reply(400)
    for _ in range(20):
        assert verdict(gate, server.add()) == "online:status_400"


@pytest.mark.row("I09")
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "seconds"), [("0", 1), ("20", 20), ("3600", 3600), ("100000", 3600)]
)
def test_a_server_is_left_alone_for_as_long_as_it_says(
    server: LicenseServer, hands: Hands, gate: Gate, status: int, said: str, seconds: float
) -> None:
    """One answer suffices; a second at least, an hour at most."""
    server.trouble = lambda _: reply(status, Retry_After=said)
    first = ask(gate, server.add())
    assert isinstance(first, LicenseUnavailable)
    assert first.retry_after == max(30, seconds)
    server.trouble = None
    hands.advance(seconds - 0.5)
    assert verdict(gate, server.add()) == "online:circuit_open"
    hands.advance(0.5)
    assert verdict(gate, server.add()) == "yes"


def test_a_failure_and_its_refusal_are_told_by_one_name(server: LicenseServer, gate: Gate) -> None:
    """The correlation id of the event stands in the refusals that follow from it."""
    events: list[Event] = []
    gate.events.subscribe(events.append)
    server.trouble = lambda _: reply(501)
    key = server.add()
    refusals = [ask(gate, key) for _ in range(3)]
    [failure] = [one for one in events if one.name == "online.unavailable"]
    assert {one.members["correlation_id"] for one in refusals if isinstance(one, Exception)} == {
        failure.data["correlation_id"]
    }


# -- dialects --------------------------------------------------------------------------------------


class Broken:
    """A dialect that fails in the way it was made for."""

    asks_domain = False

    def __init__(self, at: str, outcome: object) -> None:
        self._at, self._outcome = at, outcome
        self.asked = 0

    def _happens(self) -> Any:
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def request(self, question: Question, server: Asked) -> Sent:
        self.asked += 1
        if self._at == "request":
            return self._happens()  # type: ignore[no-any-return]
        return Sent(
            "POST", server.url, {}, json.dumps({"licenseKey": question.credential}).encode()
        )

    def read(self, question: Question, response: Response, server: Asked) -> Said:
        return self._happens()  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"Broken({self._at!r}, {self._outcome!r})"


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("at", ["request", "read"])
@pytest.mark.parametrize(
    "outcome",
    [
        ValueError("odd"),
        RecursionError(),
        AttributeError("x"),
        StopIteration(3),
        StopAsyncIteration(),
        MemoryError(),
        Undecided("odd"),
        KeyMissing("k", "EdDSA"),
        pytest.param(KeyMissing(ISSUER.kid, "EdDSA"), id="KeyMissing though it is there"),
        LicenseUnavailable("odd"),
        TimeoutError(),
        None,
        "yes",
        True,
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else repr(one),
)
def test_whatever_a_dialect_does_is_no_answer(
    server: LicenseServer, hands: Hands, world: str, at: str, outcome: object
) -> None:
    """It is told once, remembered like any failure, and leaves nothing behind: 503."""
    dialect = Broken(at, outcome)
    server.trouble = lambda _: reply(200, b"{}")
    gate = gate_of(server, hands, validation_protocol=dialect)
    events: list[Event] = []
    gate.events.subscribe(events.append)
    key = server.add()
    for _ in range(3):
        [refusal] = at_once(world, [judge(gate, key)])
        assert isinstance(refusal, LicenseUnavailable), refusal
        assert refusal.reason.startswith("online:"), refusal.reason
    assert dialect.asked == 1
    assert [one.name for one in events].count("online.unavailable") == 1
    at_rest(gate)


@pytest.mark.parametrize(
    "granted",
    [
        Granted({}),
        Granted(None),  # type: ignore[arg-type]
        Granted({"sub": "x"}, cache_for=float("nan")),
        Granted({}, issued_at=float("nan"), signed=True),
        Granted({}, cache_for="long"),  # type: ignore[arg-type]
    ],
)
def test_a_yes_without_a_license_is_none(
    server: LicenseServer, hands: Hands, granted: Granted
) -> None:
    """A dialect that vouches for nothing in particular grants nothing."""
    server.trouble = lambda _: reply(200, b"{}")
    gate = gate_of(server, hands, validation_protocol=Broken("read", granted))
    assert verdict(gate, server.add()) != "yes"
    at_rest(gate)


def test_an_answer_that_says_nothing_is_none(server: LicenseServer, gate: Gate) -> None:
    """Signed, with neither yes nor no: undecided."""
    server.trouble = lambda one: says(server.answer_for(one.body, valid=GONE))
    assert verdict(gate, server.add()).startswith("online:")


def test_a_closed_flow_reports_nothing(server: LicenseServer, gate: Gate) -> None:
    """A decision that is dropped at its first effect leaves neither slot nor turn."""
    decision = judge(gate, server.add())
    next(decision)
    assert PROCESS_SLOTS.in_use == 1
    decision.close()
    at_rest(gate)
    assert flow.run(judge(gate, server.add()))
