"""Attacks on what is remembered of answers: by ever new hosts, failures, delays and siblings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from licet.core import flow
from licet.core.flow import Effect
from licet.core.gate import Gate
from licet.core.online import arbiter
from licet.core.revocation.statements import Subject, Withdrawal
from licet.core.revocation.sticky import Withdrawals
from licet.core.stores import Store, StoreUnavailable, open_store
from tests.core.hands import Hands
from tests.core.license_server import GONE, LicenseServer, asked, says
from tests.core.loopback import Answer, Request, reply
from tests.core.worlds import (
    WORLDS,
    arbiter_of,
    at_once,
    at_rest,
    gate_of,
    judge,
    token_of,
    told,
    verdict,
)
from tests.licenses import FORGER, ISSUER_NAME

HOUR = 3600.0
HOME, ODD = "customer.example", "odd.example"


def only(world: str, gate: Gate, credential: str, host: str = HOME) -> str:
    """Return what becomes of one request in this world, and of what is asked behind it."""
    [outcome] = at_once(world, [judge(gate, credential, host)])
    at_rest(gate)
    return told(outcome)


def at_odd(server: LicenseServer, answer: Callable[[Request], Answer]) -> None:
    """Let the server answer as usual, but for questions about the odd host."""

    def answered(request: Request) -> Answer:
        if asked(request)["domain"] == ODD:
            return answer(request)
        return says(server.answer_for(request.body))

    server.trouble = answered


def misplaced(server: LicenseServer) -> Callable[[Request], Answer]:
    """Return the answer that a license does not belong where it was presented."""
    gone: dict[str, Any] = {"license": GONE, "cache_for": GONE, "grace": GONE}
    return lambda request: says(
        server.answer_for(request.body, valid=False, error="domain_mismatch", **gone)
    )


# -- a license that holds here, and was refused by its server --------------------------------------


@pytest.mark.row("I03")
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("word", ["expired", "unknown", "over_limit", "fraud"])
def test_what_is_refused_for_itself_is_refused_at_every_host(
    server: LicenseServer, hands: Hands, world: str, word: str
) -> None:
    """No host that was not asked about yet lets it in once more; a yes at one host lifts it."""
    gate = gate_of(server, hands, revalidate_every=HOUR)
    token = server.add(token_of(hands), sub="lic_1")
    server.error(token, word)
    assert only(world, gate, token) == "yes", "answered by what is known"
    for number in range(10):
        assert only(world, gate, token, f"h{number}.example") == f"online:{word}"
    server.error(token, None)
    hands.advance(60)
    assert only(world, gate, token, "new.example") == f"online:{word}"
    assert only(world, gate, token) == "yes"


def test_what_is_refused_is_not_crowded_out_by_other_hosts(
    server: LicenseServer, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever presents another license at ever new hosts makes nobody's refusal forgotten."""
    monkeypatch.setattr(arbiter, "RECHECKED", 5)
    gate = gate_of(server, hands, revalidate_every=HOUR, grant_max_age=0)
    refused = server.add(token_of(hands, sub="lic_1"), sub="lic_1")
    other = server.add(token_of(hands, sub="lic_2"), sub="lic_2")
    server.error(refused, "fraud")
    assert verdict(gate, refused) == "yes"
    at_rest(gate)
    for number in range(20):
        verdict(gate, other, f"h{number}.example")
    at_rest(gate)
    assert verdict(gate, refused) == "online:fraud"
    kept = arbiter_of(gate)
    assert max(len(kept._rechecks), len(kept._refused), len(kept._misplaced)) <= 5


@pytest.mark.row("I03")
@pytest.mark.parametrize("world", WORLDS)
def test_a_license_refused_at_one_host_is_not_remembered_for_it_by_another(
    server: LicenseServer, hands: Hands, world: str
) -> None:
    """However often it was good elsewhere a moment before, where the gate remembers licenses."""
    gate = gate_of(server, hands, revalidate_every=HOUR)
    token = server.add(token_of(hands), sub="lic_1")
    at_odd(server, misplaced(server))
    assert only(world, gate, token, ODD) == "yes", "answered by what is known"
    for _ in range(3):
        assert only(world, gate, token) == "yes"
        assert only(world, gate, token, ODD) == "online:domain_mismatch"
        hands.advance(20)


# -- an old yes, kept alive ------------------------------------------------------------------------


@pytest.mark.row("I09")
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("status", [422, 500])
def test_failures_at_another_host_do_not_make_a_yes_last(
    server: LicenseServer, hands: Hands, world: str, status: int
) -> None:
    """Past its time it is asked for where it was good, whatever its holder makes fail elsewhere."""
    gate, license_key = gate_of(server, hands), server.add()
    server.cache_for = 60
    assert only(world, gate, license_key) == "yes"
    server.revoke(license_key)
    hands.advance(47)
    at_odd(server, lambda request: reply(status))
    assert only(world, gate, license_key, ODD) != "yes"
    hands.advance(20)
    assert only(world, gate, license_key) == "online:revoked"


@pytest.mark.parametrize("world", WORLDS)
def test_a_question_about_a_token_at_another_host_does_not_make_a_yes_last(
    hands: Hands, world: str
) -> None:
    """Though a token that cannot be verified here is asked about once a minute at each."""
    with LicenseServer(signer=FORGER, hands=hands) as server:
        server.serves_jwks, server.cache_for = False, 10
        settings = type(gate_of(server, hands).settings)(**server.options())
        gate, token = Gate(settings, clock=hands.clock), server.add(token_of(hands), sub="lic_1")
        assert only(world, gate, token) == "yes"
        server.revoke(token)
        hands.advance(61)
        at_odd(server, lambda request: reply(422))
        assert only(world, gate, token, ODD) != "yes"
        hands.advance(31)
        assert only(world, gate, token) == "online:revoked"


def test_a_yes_does_not_serve_once_its_license_was_withdrawn_meanwhile(
    server: LicenseServer, hands: Hands
) -> None:
    """Who waits for an answer that does not come is refused by what a sibling key was told."""
    gate = gate_of(server, hands)
    first, second = server.add(sub="sold"), server.add(sub="sold")
    assert verdict(gate, first) == verdict(gate, second) == "yes"
    hands.advance(HOUR)

    def withdrawn_meanwhile(request: Request) -> Answer:
        if asked(request)["licenseKey"] == first:
            assert verdict(gate, second) == "online:revoked"
            return reply(422)
        return says(server.answer_for(request.body))

    server.trouble = withdrawn_meanwhile
    server.revoke(second)
    assert verdict(gate, first) == "online:revoked"


# -- a token whose keys an attacker keeps away ----------------------------------------------------


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(
    "narrow",
    [
        {"cnf": {"jkt": "A" * 43}},
        {"ip_ranges": ["203.0.113.0/24"]},
        {"domain": "elsewhere.example"},
        {"time_windows": [{"days": "mon", "from": "00:00", "to": "00:01", "tz": "UTC"}]},
    ],
    ids=lambda narrow: next(iter(narrow)),
)
def test_an_answer_that_is_silent_on_a_tokens_constraint_does_not_lift_it(
    hands: Hands, world: str, narrow: dict[str, Any]
) -> None:
    """Whoever blocks the key set rids no token of what its server does not repeat."""
    with LicenseServer(signer=FORGER, hands=hands) as server:
        server.serves_jwks = False
        settings = type(gate_of(server, hands).settings)(**server.options())
        gate = Gate(settings, clock=hands.clock)
        token = server.add(token_of(hands, sub="lic_1", **narrow), sub="lic_1")
        other = server.add(token_of(hands, sub="lic_2"), sub="lic_2")
        for _ in range(2):
            assert only(world, gate, token) == "online:constraints"
        assert only(world, gate, other) == "yes"


def test_an_answer_may_say_otherwise_of_a_tokens_constraint(hands: Hands) -> None:
    """What the server names itself counts, in whichever spelling."""
    with LicenseServer(signer=FORGER, hands=hands) as server:
        server.serves_jwks = False
        settings = type(gate_of(server, hands).settings)(**server.options())
        gate = Gate(settings, clock=hands.clock)
        token = server.add(token_of(hands, sub="lic_1", domain="old.example"), sub="lic_1")
        server._licenses[token]["domains"] = [HOME]
        assert verdict(gate, token) == "yes"
        assert verdict(gate, token, "old.example") != "yes"


# -- what lifts a withdrawal, and what is lost of one ----------------------------------------------


@pytest.mark.row("I09")
@pytest.mark.parametrize("world", WORLDS)
def test_a_yes_about_another_license_lifts_nothing(
    server: LicenseServer, hands: Hands, world: str
) -> None:
    """A key that is given a new license brings the one that it stood for before not back."""
    gate = gate_of(server, hands)
    first, second = server.add(sub="lic_1"), server.add(sub="lic_1")
    token = token_of(hands, sub="lic_1")
    for credential in (first, second, token):
        assert only(world, gate, credential) == "yes"
    server.revoke(second)
    hands.advance(HOUR)
    assert only(world, gate, second) == "online:revoked"
    server._licenses[first]["sub"] = "lic_2"
    server.error(token, "revoked")
    hands.advance(61)
    only(world, gate, first)
    assert only(world, gate, first) == "yes"
    assert only(world, gate, token) == "online:revoked"


@pytest.mark.parametrize("world", WORLDS)
def test_a_withdrawal_counts_before_a_store_has_taken_it(
    server: LicenseServer, hands: Hands, tmp_path: Path, world: str
) -> None:
    """Whoever goes away while it is written keeps nothing alive that the gate remembered."""
    gate = gate_of(server, hands, store=f"sqlite:///{tmp_path}/licet.db")
    license_key, token = server.add(sub="lic_1"), token_of(hands, sub="lic_1")
    assert only(world, gate, license_key) == "yes"
    hands.advance(HOUR)
    assert only(world, gate, token) == "yes"
    assert gate.recall(token.encode()) is not None
    server.revoke(license_key)
    withdrawals = gate.withdrawals
    (store,) = withdrawals._boards

    class Cancelled(BaseException):
        """What a task is ended by."""

    class Away:
        def run(self) -> None:
            # Not whoever tells it later.
            if threading.current_thread().name == "licet-watch":
                raise StoreUnavailable("timeout")
            raise Cancelled

        async def arun(self) -> None:
            raise Cancelled

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return (lambda *args: Away()) if name == "announce" else getattr(store, name)

    withdrawals._boards = (Slow(),)  # type: ignore[assignment]
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - a group, in event loops
        only(world, gate, license_key)
    assert not isinstance(raised.value, AssertionError)
    withdrawals._boards = (store,)
    assert gate.recall(token.encode()) is None
    assert only(world, gate, token) == only(world, gate, license_key) == "online:revoked"


def test_lifting_leaves_what_was_told_since(tmp_path: Path) -> None:
    """A withdrawal that another thread hears of in the middle, later than the yes, stays."""
    subject = Subject("license", ISSUER_NAME, "lic_1")
    store: Store = open_store(f"sqlite:///{tmp_path}/licet.db")
    withdrawals = Withdrawals((store,))
    flow.run(withdrawals.record(Withdrawal("revoked", 10.0), subject))
    lifting = withdrawals.lift(20.0, subject)
    effect: Effect[Any] = next(lifting)
    found = effect.run()

    def meanwhile(*subjects: Subject) -> Withdrawal | None:
        latest = Withdrawals.known(withdrawals, *subjects)
        withdrawals.keep(Withdrawal("suspended", 30.0), subject)
        return latest

    withdrawals.known = meanwhile  # type: ignore[method-assign]
    lifting.send(found)
    lifting.close()
    assert Withdrawals.known(withdrawals, subject) == Withdrawal("suspended", 30.0)
