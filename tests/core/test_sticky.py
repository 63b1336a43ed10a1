"""What was withdrawn stays withdrawn, until a later signed statement gives it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from licet.core import flow
from licet.core.errors import LicenseRevoked, LicenseUnavailable
from licet.core.events.event import Event
from licet.core.flow import Effect
from licet.core.gate import Gate
from licet.core.revocation import sticky
from licet.core.revocation.statements import Hint, Subject, Withdrawal
from licet.core.revocation.sticky import Withdrawals
from licet.core.stores import Key, Store, StoreUnavailable, key, open_store
from licet.core.stores.interface import News
from tests.core.hands import Hands
from tests.core.license_server import GONE, LicenseServer, says
from tests.core.loopback import Request, reply
from tests.core.worlds import (
    WORLDS,
    ask,
    at_once,
    at_rest,
    gate_of,
    judge,
    told,
    verdict,
)
from tests.licenses import ISSUER_NAME, license_token

T = TypeVar("T")

LICENSE = Subject("license", ISSUER_NAME, "lic_1")
OTHER = Subject("credential", ISSUER_NAME, "00")


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/licet.db"


def revoked(server: LicenseServer, gate: Gate, hands: Hands, word: str = "revoked") -> str:
    """Return a key that was good, and is withdrawn since."""
    license_key = server.add()
    assert verdict(gate, license_key) == "yes"
    server.error(license_key, word)
    hands.advance(3600)
    assert verdict(gate, license_key) == f"online:{word}"
    return license_key


def away(server: LicenseServer) -> None:
    server.trouble = lambda request: reply(400)


# -- what is refused stays refused -----------------------------------------------------------------


@pytest.mark.row("I06")
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("word", ["revoked", "suspended"])
def test_a_withdrawal_outlasts_any_outage(
    server: LicenseServer, hands: Hands, world: str, word: str
) -> None:
    """While nobody answers it is refused by its word, week after week."""
    gate = gate_of(server, hands)
    license_key = revoked(server, gate, hands, word)
    away(server)
    for _ in range(20):
        hands.advance(7 * 3600)
        [refusal] = at_once(world, [judge(gate, license_key)])
        assert isinstance(refusal, LicenseRevoked)
        assert refusal.code == f"license_{word}"
        at_rest(gate)


@pytest.mark.parametrize("world", WORLDS)
def test_it_is_asked_again_once_a_minute_behind_the_requests(
    server: LicenseServer, hands: Hands, world: str
) -> None:
    """None of them waits for it; and what is given back is good for the next."""
    gate = gate_of(server, hands)
    license_key = revoked(server, gate, hands)
    before = len(server.questions)
    for seconds, questions in [(59, 0), (1, 1), (59, 1), (1, 2)]:
        hands.advance(seconds)
        for _ in range(5):
            [refusal] = at_once(world, [judge(gate, license_key)])
            assert told(refusal) == "online:revoked"
        at_rest(gate)
        assert len(server.questions) == before + questions
    server.error(license_key, None)
    hands.advance(60)
    assert verdict(gate, license_key) == "online:revoked"
    at_rest(gate)
    assert verdict(gate, license_key) == "yes"


def test_one_that_is_said_to_be_resumed_is_asked_about_at_once(
    server: LicenseServer, hands: Hands
) -> None:
    """By its next request, and not after a minute; what was said of another changes nothing."""
    gate = gate_of(server, hands)
    license_key = revoked(server, gate, hands, "suspended")
    server.error(license_key, None)
    hands.advance(10)
    asked = len(server.questions)
    for name in ("sold_9", "sold_1"):
        flow.run(gate.withdrawals.hint(Hint("resumed", ISSUER_NAME, name, hands.wall)))
        assert verdict(gate, license_key) == "online:suspended"
        at_rest(gate)
        assert len(server.questions) == asked + (name == "sold_1")
    assert verdict(gate, license_key) == "yes"


@pytest.mark.parametrize("domains", [(), ("customer.example",)], ids=["per domain", "anywhere"])
def test_workers_hear_of_it_from_the_store_they_share(
    hands: Hands, store: str, domains: tuple[str, ...]
) -> None:
    """However long its own yes lasts, a worker learns within minutes what another was told."""
    with LicenseServer(hands=hands, license_domains=domains) as server:
        server.cache_for = 100_000
        license_key = server.add()
        here, there = (gate_of(server, hands, store=store) for _ in range(2))
        assert verdict(there, license_key) == "yes"
        server.revoke(license_key)
        assert verdict(here, license_key) == "online:revoked"
        # The gate's own memory, after which it looks again.
        hands.advance(301)
        assert verdict(there, license_key) == "online:revoked"
        at_rest(there)


@pytest.mark.row("I06")
@pytest.mark.parametrize("later", [-3600, 0])
def test_an_earlier_yes_lifts_nothing(server: LicenseServer, hands: Hands, later: float) -> None:
    """Nor does one of the same second: it may have been said before."""
    gate = gate_of(server, hands)
    license_key = revoked(server, gate, hands)
    said = int(hands.wall) + later
    server.error(license_key, None)
    server.trouble = lambda one: says(server.answer_for(one.body, iat=said))
    for _ in range(3):
        hands.advance(60)
        assert verdict(gate, license_key) == "online:revoked"
        at_rest(gate)


def test_an_unsigned_yes_lifts_nothing(server: LicenseServer, hands: Hands) -> None:
    """Even where unsigned answers are believed."""
    gate = gate_of(server, hands, validation_unsigned=True)
    license_key = revoked(server, gate, hands)
    answer = {"valid": True, "license": server.license(license_key)}
    server.trouble = lambda one: reply(200, json.dumps(answer).encode())
    for _ in range(3):
        hands.advance(60)
        assert verdict(gate, license_key) == "online:revoked"
        at_rest(gate)


@pytest.mark.row("I06")
@pytest.mark.parametrize("word", ["revoked", "suspended"])
def test_a_withdrawal_reaches_all_credentials_of_its_license(
    server: LicenseServer, hands: Hands, word: str
) -> None:
    """Another key, and a token that the gate remembers, of the same license: at once."""
    gate = gate_of(server, hands)
    token = license_token(sub="sold", iat=int(hands.wall), exp=int(hands.wall) + 90_000)
    one, other = server.add(sub="sold"), server.add(sub="sold")
    for credential in (one, other, token, token):
        assert verdict(gate, credential) == "yes"
    assert gate.grant_stats().hits == 1
    server.error(one, word)
    assert verdict(gate, one, "elsewhere.example") == f"online:{word}"
    for credential in (one, other, token):
        assert verdict(gate, credential) == f"online:{word}"
    unrelated = server.add()
    assert verdict(gate, unrelated) == "yes"


def test_a_withdrawal_is_told_by_its_license_alone(server: LicenseServer, hands: Hands) -> None:
    """An event names the license where that is known, and never a digest of the credential."""
    gate, events = gate_of(server, hands), list[Event]()
    gate.events.subscribe(events.append)
    license_key = server.add()
    server.error(license_key, "revoked")
    assert verdict(gate, license_key) == "online:revoked"
    [event] = [one for one in events if one.name == "license.revoked"]
    assert event.data["license_id"] is None
    assert event.data["word"] == "revoked"


# -- across processes ------------------------------------------------------------------------------


@pytest.mark.row("I06")
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("word", ["revoked", "suspended"])
def test_a_withdrawal_outlives_the_process(
    server: LicenseServer, hands: Hands, store: str, world: str, word: str
) -> None:
    """With a store another gate refuses it without an answer, until it is given back."""
    license_key = revoked(server, gate_of(server, hands, store=store), hands, word)
    away(server)
    hands.advance(86_400)
    later = gate_of(server, hands, store=store)
    [refusal] = at_once(world, [judge(later, license_key)])
    assert told(refusal) == f"online:{word}"
    at_rest(later)
    server.trouble = None
    server.error(license_key, None)
    hands.advance(61)
    assert verdict(later, license_key) == f"online:{word}"
    at_rest(later)
    assert verdict(later, license_key) == "yes"
    assert verdict(gate_of(server, hands, store=store), license_key) == "yes"


def test_a_token_is_refused_by_what_another_process_was_told(
    server: LicenseServer, hands: Hands, store: str
) -> None:
    """One that verifies here, of a license that was withdrawn there."""
    now = int(hands.wall)
    token = license_token(sub="sold_1", iat=now, exp=now + 90_000)
    revoked(server, gate_of(server, hands, store=store), hands)
    other = gate_of(server, hands, store=store)
    assert verdict(other, token) == "online:revoked"
    at_rest(other)


class Trouble:
    """A store of which a test decides whether it answers, and what happens meanwhile."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.out = False
        self.meanwhile: Callable[[], None] | None = None

    def get(self, name: Key) -> Effect[bytes | None]:
        return Through(self, self.inner.get(name))

    def put(self, name: Key, value: bytes, ttl: float) -> Effect[None]:
        return Through(self, self.inner.put(name, value, ttl))

    def announce(self, name: Key, value: bytes, ttl: float) -> Effect[int]:
        return Through(self, self.inner.announce(name, value, ttl))

    def announced(self, after: int) -> Effect[News]:
        return Through(self, self.inner.announced(after))

    def delete(self, name: Key) -> Effect[None]:
        return Through(self, self.inner.delete(name))


class Through(Generic[T]):
    """An effect of the store behind."""

    def __init__(self, trouble: Trouble, effect: Effect[T]) -> None:
        self.trouble, self.effect = trouble, effect

    def run(self) -> T:
        if self.trouble.out:
            raise StoreUnavailable("unreachable")
        result = self.effect.run()
        if self.trouble.meanwhile is not None:
            self.trouble.meanwhile()
        return result

    async def arun(self) -> T:
        return self.run()


@pytest.fixture
def troubled(hands: Hands) -> Any:
    return Trouble(open_store("memory://", hands.clock))


@pytest.mark.row("I06")
@pytest.mark.parametrize("world", WORLDS)
def test_a_store_that_is_away_fails_closed(
    server: LicenseServer,
    hands: Hands,
    troubled: Any,
    world: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whether a license was withdrawn cannot be told: 503; what was is refused in this process."""
    gate = gate_of(server, hands)
    gate.withdrawals._boards = (troubled,)
    known, fresh = server.add(), server.add()
    assert verdict(gate, known) == "yes"
    troubled.out = True
    [refusal] = at_once(world, [judge(gate, fresh)])
    assert isinstance(refusal, LicenseUnavailable)
    assert refusal.reason == "store:unreachable"
    troubled.out = False
    server.error(fresh, "revoked")
    assert verdict(gate, fresh) == "online:revoked"
    # As its watch would have it, had it been made with this store.
    gate.withdrawals._watch.caught_up = True
    troubled.out = True
    assert verdict(gate, fresh) == "online:revoked"
    hands.advance(301)
    caplog.clear()
    assert verdict(gate, known) == "yes", "what is fresh needs no store"
    assert "of withdrawals each worker knows its own alone" in caplog.text


def test_a_store_that_is_not_told_is_told_of(
    server: LicenseServer, hands: Hands, troubled: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A withdrawal, or its end, that reaches this process alone is in the log."""
    gate = gate_of(server, hands)
    gate.withdrawals._boards = (troubled,)
    gate.withdrawals._watch.caught_up = True
    license_key = server.add()

    def away(request: Request) -> bytes:
        troubled.out = True
        return says(server.answer_for(request.body))

    server.trouble = away
    for word, becomes in ((None, "yes"), ("revoked", "online:revoked")):
        caplog.clear()
        troubled.out = False
        server.error(license_key, word)
        hands.advance(3600)
        assert verdict(gate, license_key) == becomes
        assert "of withdrawals each worker knows its own alone" in caplog.text
    assert verdict(gate, license_key) == "online:revoked"


# -- the withdrawals themselves --------------------------------------------------------------------


def test_a_later_statement_counts_whatever_came_first() -> None:
    """The latest withdrawal stands, and only a later yes lifts it."""
    withdrawals = Withdrawals()
    flow.run(withdrawals.record(Withdrawal("suspended", 200.0), LICENSE))
    flow.run(withdrawals.record(Withdrawal("revoked", 100.0), LICENSE, OTHER))
    assert withdrawals.known(LICENSE, OTHER) == Withdrawal("suspended", 200.0)
    assert not flow.run(withdrawals.lift(150.0, LICENSE, OTHER))
    assert not flow.run(withdrawals.lift(200.0, LICENSE, OTHER))
    assert flow.run(withdrawals.lift(200.5, LICENSE, OTHER))
    assert withdrawals.withdrawn(LICENSE, OTHER) is None
    flow.run(withdrawals.record(Withdrawal("revoked", 150.0), LICENSE))
    assert withdrawals.known(LICENSE) == Withdrawal("valid", 200.5)


def test_a_yes_lifts_nothing_that_another_process_was_told_later(troubled: Any) -> None:
    """This one knows of an old withdrawal, the store of a newer one: a yes in between is old."""
    here, there = Withdrawals((troubled,)), Withdrawals((troubled,))
    flow.run(here.record(Withdrawal("suspended", 100.0), LICENSE))
    flow.run(there.record(Withdrawal("revoked", 200.0), LICENSE))
    assert not flow.run(here.lift(150.0, LICENSE))
    assert here.known(LICENSE) == Withdrawal("revoked", 200.0)
    assert flow.run(Withdrawals((troubled,)).look(LICENSE)) == Withdrawal("revoked", 200.0)


def test_what_is_told_while_the_store_is_read_counts(troubled: Any) -> None:
    """A look that began before a withdrawal does not end as if there were none."""
    withdrawals = Withdrawals((troubled,))

    def meanwhile() -> None:
        troubled.meanwhile = None
        flow.run(withdrawals.record(Withdrawal("revoked", 100.0), LICENSE))

    troubled.meanwhile = meanwhile
    assert flow.run(withdrawals.look(LICENSE)) == Withdrawal("revoked", 100.0)


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        b"null",
        b"[]",
        b'["license"]',
        *(
            json.dumps([*LICENSE, *statement]).encode()
            for statement in (
                ["fine", 1],
                ["revoked"],
                ["revoked", None],
                ["revoked", float("nan")],
                ["revoked", "soon"],
                ["revoked", 1, 2],
            )
        ),
        json.dumps([*OTHER, "revoked", 1]).encode(),
        b'["revoked",1],"x":[1',
        b"\xff",
    ],
)
def test_garbage_in_a_store_decides_nothing(troubled: Any, kept: bytes) -> None:
    """It is a store that does not tell."""
    troubled.put(key("withdrawn", *LICENSE), kept, 60).run()
    # One that nobody follows, so that a look goes there.
    withdrawals = Withdrawals()
    withdrawals._boards = (troubled,)
    with pytest.raises(StoreUnavailable):
        flow.run(withdrawals.look(LICENSE))


def test_a_process_keeps_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest gives way."""
    monkeypatch.setattr(sticky, "CAPACITY", 10)
    withdrawals = Withdrawals()
    subjects = [Subject("license", ISSUER_NAME, f"lic_{number}") for number in range(30)]
    for number, subject in enumerate(subjects):
        flow.run(withdrawals.record(Withdrawal("revoked", float(number)), subject))
    assert [withdrawals.known(one) is not None for one in subjects] == [False] * 20 + [True] * 10


def test_a_withdrawal_without_a_name_is_of_the_credential(
    server: LicenseServer, hands: Hands, store: str
) -> None:
    """Where the answer names no license, this credential stays refused, over a restart too."""
    license_key, other = server.add(), server.add()
    server.trouble = lambda one: says(
        server.answer_for(one.body, valid=False, error="revoked", license=GONE)
    )
    assert verdict(gate_of(server, hands, store=store), license_key) == "online:revoked"
    server.trouble = None
    gate = gate_of(server, hands, store=store)
    assert verdict(gate, other) == "yes"
    assert told(ask(gate, license_key)) == "online:revoked"
    at_rest(gate)


def test_a_judgement_under_way_does_not_outlive_a_withdrawal(
    server: LicenseServer, hands: Hands, troubled: Any
) -> None:
    """What was found before a license was withdrawn is not remembered after it."""
    gate = gate_of(server, hands)
    gate.withdrawals._boards = (troubled,)
    now = int(hands.wall)
    token = license_token(sub="sold_1", iat=now, exp=now + 90_000)
    license_key = server.add()
    assert verdict(gate, license_key) == "yes"
    hands.advance(3600)
    server.error(license_key, "revoked")
    decision = judge(gate, token)
    result = next(decision).run()
    # Its other effects are past as well when the key of the same license is refused.
    assert verdict(gate, license_key) == "online:revoked"
    with pytest.raises(StopIteration) as ended:
        decision.send(result)
    assert told(ended.value.value) == "online:revoked"
    assert gate.recall(token.encode()) is None
