"""When a license server is asked: for what only it can know, and never because a no displeases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from licet.core import flow
from licet.core.clock import SYSTEM_CLOCK
from licet.core.errors import KeysUnavailable, LicenseError, LicenseRevoked, LicenseUnavailable
from licet.core.gate import Gate
from licet.core.online import arbiter
from licet.core.settings import Settings
from licet.issuer import Issuer
from tests.core.hands import Hands
from tests.core.license_server import LicenseServer, asked
from tests.core.loopback import reply, until
from tests.core.worlds import (
    WORLDS,
    Crowd,
    arbiter_of,
    ask,
    at_once,
    at_rest,
    gate_of,
    held,
    judge,
    token_of,
    told,
    verdict,
    waiting,
)
from tests.licenses import AUDIENCE, FORGER, ISSUER, ISSUER_NAME, expired, license_token

HOUR = 3600.0


def away(server: LicenseServer) -> None:
    server.trouble = lambda request: reply(400)


def only(world: str, gate: Gate, credential: str, host: str = "customer.example") -> str:
    """Return what becomes of one request in this world."""
    [outcome] = at_once(world, [judge(gate, credential, host)])
    return told(outcome)


# -- tokens that verify here -----------------------------------------------------------------------


@pytest.mark.row("I02")
def test_a_token_that_verifies_here_asks_nobody(server: LicenseServer, hands: Hands) -> None:
    """Nor does one that is found bad."""
    gate = gate_of(server, hands)
    bad = [
        license_token(FORGER, iat=int(hands.wall), exp=int(hands.wall) + 60),
        expired(),
        token_of(hands, aud="another"),
        token_of(hands) + "A",
        "a.b.c",
        "...",
        "",
    ]
    assert verdict(gate, token_of(hands)) == "yes"
    for credential in bad:
        assert verdict(gate, credential) != "yes"
    assert server.questions == []


@pytest.mark.parametrize("world", WORLDS)
def test_licenses_of_an_issuer_without_a_server_ask_nobody(
    server: LicenseServer, hands: Hands, world: str
) -> None:
    """Another issuer's license server has no say about them."""
    name = "https://licenses.other.example"
    other, given = Issuer.generate(name), server.options()
    asked_about = {
        "audience": AUDIENCE,
        "jwks": ISSUER.jwks(),
        "jwks_url": None,
        "validation_url": given["validation_url"],
        "validation_credentials": given["validation_credentials"],
    }
    never_asked = {"audience": AUDIENCE, "jwks": other.jwks(), "jwks_url": None}
    gate = Gate(
        Settings(
            issuers={ISSUER_NAME: asked_about, name: never_asked},
            revalidate_every=HOUR,
            tls_ca_file=given["tls_ca_file"],
        ),
        clock=hands.clock,
    )
    theirs = {"iss": name, "iat": int(hands.wall), "exp": int(hands.wall) + 60}
    assert only(world, gate, server.add(license_token(other, **theirs))) == "yes"
    assert only(world, gate, server.add(license_token(FORGER, **theirs))) != "yes"
    at_rest(gate)
    assert server.questions == []


@pytest.mark.parametrize("world", WORLDS)
def test_a_license_is_asked_about_again_behind_its_requests(
    server: LicenseServer, hands: Hands, world: str
) -> None:
    """At first sight and each `revalidate_every` seconds; no request waits for it."""
    gate = gate_of(server, hands, revalidate_every=HOUR)
    token = server.add(token_of(hands), sub="lic_1")
    with held(server) as release:
        for _ in range(5):
            assert only(world, gate, token) == "yes"
        until(lambda: len(server.questions) == 1)
        release()
        at_rest(gate)
    for seconds, questions in [(HOUR - 1, 1), (1, 2), (HOUR - 1, 2), (1, 3)]:
        hands.advance(seconds)
        for _ in range(3):
            assert only(world, gate, token) == "yes"
        at_rest(gate)
        assert len(server.questions) == questions


@pytest.mark.row("I06")
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("word", ["revoked", "suspended", "unknown", "expired", "whatever"])
def test_a_no_refuses_the_next_request(
    server: LicenseServer, hands: Hands, world: str, word: str
) -> None:
    """Though the gate remembers the license; and what is given back is good after a minute."""
    gate = gate_of(server, hands, revalidate_every=HOUR)
    token = server.add(token_of(hands), sub="lic_1")
    assert only(world, gate, token) == "yes"
    at_rest(gate)
    server.error(token, word)
    hands.advance(HOUR)
    assert only(world, gate, token) == "yes", "answered by what is known"
    at_rest(gate)
    before = len(server.questions)
    for seconds in (0, 59):
        hands.advance(seconds)
        assert only(world, gate, token) == f"online:{word}"
    at_rest(gate)
    assert len(server.questions) == before
    server.error(token, None)
    hands.advance(1)
    assert only(world, gate, token) == f"online:{word}"
    at_rest(gate)
    assert only(world, gate, token) == "yes"


@pytest.mark.parametrize("world", WORLDS)
def test_nobody_answering_changes_nothing(server: LicenseServer, hands: Hands, world: str) -> None:
    """A good license stays good, a refused one refused; and who did not answer is asked again."""
    gate = gate_of(server, hands, revalidate_every=HOUR, grant_max_age=30)
    good = server.add(token_of(hands), sub="lic_1")
    bad = server.add(token_of(hands, sub="lic_2"), sub="lic_2")
    server.error(bad, "expired")
    for credential in (good, bad):
        assert only(world, gate, credential) == "yes"
        at_rest(gate)
    away(server)
    for _ in range(5):
        hands.advance(HOUR)
        assert only(world, gate, good) == "yes"
        assert only(world, gate, bad) == "online:expired"
        at_rest(gate)
    before = len(server.questions)
    server.trouble = None
    hands.advance(60)
    assert only(world, gate, good) == "yes"
    at_rest(gate)
    assert len(server.questions) == before + 1, "not only an hour later"
    hands.advance(60)
    assert only(world, gate, good) == "yes"
    at_rest(gate)
    assert len(server.questions) == before + 1


def test_many_hosts_do_not_become_many_questions(server: LicenseServer, hands: Hands) -> None:
    """A token that holds here, presented at a hundred hosts: eight domains are asked about."""
    gate = gate_of(server, hands, revalidate_every=HOUR, grant_cache_size=0)
    token = server.add(token_of(hands), sub="lic_1")
    for number in range(100):
        assert verdict(gate, token, f"h{number}.example") == "yes"
        at_rest(gate)
    assert len(server.questions) == 8


def test_what_was_said_of_licenses_is_bounded(
    server: LicenseServer, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of so many licenses it is remembered what their server said, and no more."""
    monkeypatch.setattr(arbiter, "RECHECKED", 5)
    gate = gate_of(server, hands, revalidate_every=HOUR)
    for number in range(12):
        assert verdict(gate, token_of(hands, sub=f"lic_{number}")) == "yes"
    at_rest(gate)
    assert len(arbiter_of(gate)._rechecks) == 5


# -- tokens that cannot be verified ----------------------------------------------------------------


@pytest.fixture
def cut_off(hands: Hands) -> Iterator[LicenseServer]:
    """A server that answers under a key of its own, and whose issuer's keys cannot be had."""
    with LicenseServer(signer=FORGER, hands=hands) as server:
        server.serves_jwks = False
        yield server


def keyless(server: LicenseServer, hands: Hands | None, **options: Any) -> Gate:
    settings = gate_of(server, hands).settings
    made = server.options(validation_jwks=FORGER.jwks(), **options)
    return Gate(type(settings)(**made), clock=hands.clock if hands else SYSTEM_CLOCK)


@pytest.mark.parametrize("world", WORLDS)
def test_a_token_is_asked_about_where_its_keys_cannot_be_had(
    cut_off: LicenseServer, hands: Hands, world: str
) -> None:
    """And vouched for online; a forged one too is only ever as good as the server's word."""
    gate = keyless(cut_off, hands)
    token = cut_off.add(token_of(hands), sub="lic_1")
    forged = license_token(FORGER, iat=int(hands.wall), exp=int(hands.wall) + 60, sub="lic_9")
    [outcome] = at_once(world, [judge(gate, token)])
    assert not isinstance(outcome, LicenseError)
    assert outcome.verified_by == "online"
    assert only(world, gate, forged) == "online:unknown"
    assert [asked(one)["licenseKey"] for one in cut_off.questions] == [token, forged]


@pytest.mark.row("I09")
@pytest.mark.parametrize("world", WORLDS)
def test_a_token_that_cannot_be_verified_is_asked_about_once_a_minute(
    cut_off: LicenseServer, hands: Hands, world: str
) -> None:
    """Whatever became of the question; in between it is undecided."""
    gate, token = keyless(cut_off, hands), token_of(hands)
    away(cut_off)
    for seconds, questions in [(0, 1), (29, 1), (2, 1), (28, 1), (2, 2)]:
        hands.advance(seconds)
        [refusal] = at_once(world, [judge(gate, token)])
        assert isinstance(refusal, LicenseUnavailable)
        assert len(cut_off.questions) == questions
    at_rest(gate)


def test_what_could_never_hold_is_not_asked_about(cut_off: LicenseServer, hands: Hands) -> None:
    """An expired token whose signature cannot be checked is undecided, and nobody's question."""
    gate = keyless(cut_off, hands)
    now = int(hands.wall)
    for claims in ({"iat": now - 900, "exp": now - 600}, {"nbf": now + 600}):
        assert isinstance(ask(gate, token_of(hands, **claims)), KeysUnavailable)
    for name, value in (("aud", "another"), ("iss", "https://e.example"), ("features", "x")):
        assert verdict(gate, token_of(hands, **{name: value})) != "yes"
    assert cut_off.questions == []


def test_the_subject_of_an_unverified_token_names_nobody(
    cut_off: LicenseServer, hands: Hands
) -> None:
    """A forged token in the name of a withdrawn license learns and changes nothing of that."""
    gate = keyless(cut_off, hands)
    withdrawn = cut_off.add()
    cut_off.revoke(withdrawn)
    assert verdict(gate, withdrawn) == "online:revoked"
    forged = license_token(FORGER, iat=int(hands.wall), exp=int(hands.wall) + 60, sub="sold_1")
    assert verdict(gate, forged) == "online:unknown"


@pytest.mark.parametrize("world", WORLDS)
def test_waiting_for_keys_and_for_an_answer_is_one_waiting(world: str) -> None:
    """Together no longer than `online_timeout`."""
    with LicenseServer(signer=FORGER) as server:
        gate = keyless(server, None, online_timeout=1.0)
        with held(server):
            server.server.answer = lambda request: (server.server.stopping.wait(5), b"")[1]
            begun = SYSTEM_CLOCK.monotonic()
            assert only(world, gate, license_token()).startswith("online:")
            assert SYSTEM_CLOCK.monotonic() - begun < 1.4
            server.server.stopping.set()
        server.server.stopping.clear()


# -- opaque keys -----------------------------------------------------------------------------------


def test_what_is_no_key_is_never_asked_about(server: LicenseServer, hands: Hands) -> None:
    """The whole of it matches, it is ASCII and short, and three parts are a token."""
    gate = gate_of(server, hands, license_key_pattern=r"[^ ]+")
    for credential in ("a.b.c", "..", "x" * 257, "x" * 5000):
        assert verdict(gate, credential) != "yes"
    assert isinstance(told_of(gate, b"\xc3\xa4"), LicenseError)
    assert server.questions == []
    for credential in ("a.b", "a.b.c.d", "x" * 256):
        assert verdict(gate, server.add(credential)) == "yes"
    assert len(server.questions) == 3


def told_of(gate: Gate, credential: bytes) -> Any:
    try:
        return flow.run(gate.verify(credential))
    except LicenseError as error:
        return error


def test_revocation_of_a_token_is_sticky_for_all_worlds_at_once(
    server: LicenseServer, hands: Hands
) -> None:
    """Threads and tasks that present it together are refused together."""
    gate = gate_of(server, hands, revalidate_every=HOUR)
    token = server.add(token_of(hands), sub="lic_1")
    server.revoke(token)
    assert verdict(gate, token) == "yes"
    at_rest(gate)
    crowds = [Crowd(world, [judge(gate, token) for _ in range(20)]) for world in WORLDS]
    outcomes = [outcome for crowd in crowds for outcome in crowd.outcomes()]
    assert len(outcomes) == 60
    assert all(isinstance(outcome, LicenseRevoked) for outcome in outcomes)
    assert waiting(gate) == 0
