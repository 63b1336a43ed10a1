"""Whatever the issuer does, on real servers: fetches are counted by the server's own log.

The clock is moved by hand, so that a day of outage lasts a moment.
"""

from __future__ import annotations

import gzip
import json
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from licet.core import flow
from licet.core.documents.schedule import Instant, Need, State
from licet.core.errors import (
    ConfigError,
    KeysUnavailable,
    LicenseAmbiguous,
    LicenseUnavailable,
)
from licet.core.events.event import Event
from licet.core.gate import Gate
from licet.core.problem import problem
from licet.core.settings import IssuerSettings, Settings
from tests.core.hands import Hands
from tests.core.jwks import ed25519, private_key, public_jwk
from tests.core.loopback import Answer, Reset, reply, until
from tests.core.test_gate import Facts
from tests.core.test_kept import held
from tests.core.vendor import Vendor, outcome, rest, segment, status
from tests.licenses import AUDIENCE, ISSUER_NAME

BOMB = gzip.compress(bytes(50_000_000))
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(name="vendor")
def _vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    # Short, because some answers below are only over when it is.
    monkeypatch.setattr("licet.core.documents.remote.DEADLINE", 1.5)
    with Vendor("a") as vendor:
        yield vendor


def reset(_: Vendor) -> bytes:
    raise Reset


def hang(vendor: Vendor) -> bytes:
    vendor.server.stopping.wait(20)
    return b""


def chunks() -> Iterator[bytes]:
    """Ten megabytes that nothing announced."""
    yield HEAD + b"\r\n"
    for _ in range(160):
        yield b" " * 65_536


#: What a server may do instead of serving keys, and the one word that is told of it.
TROUBLES: dict[str, tuple[Callable[[Vendor], Answer], str]] = {
    "reset": (reset, "protocol"),
    "reset in the body": (
        lambda vendor: iter([HEAD + b"Content-Length: 999\r\n\r\n", *[b"{"] * 9]),
        "protocol",
    ),
    "hang": (hang, "timeout"),
    "body drip": (
        lambda v: v.server.drip(HEAD + b"Content-Length: 9999\r\n\r\n", b" ", 0.02),
        "timeout",
    ),
    "header drip": (lambda v: v.server.drip(HEAD + b"X: ", b"x", 0.02), "timeout"),
    "200 empty": (lambda _: reply(200), "invalid"),
    "204": (lambda _: reply(204), "status_204"),
    "206": (lambda v: reply(206, v.key_set()), "status_206"),
    "301": (lambda v: reply(301, Location=f"{v.server.url}/elsewhere"), "status_301"),
    "404": (lambda v: reply(404, v.key_set()), "status_404"),
    "429": (lambda _: reply(429, Retry_After="120"), "status_429"),
    "500": (lambda _: reply(500), "status_500"),
    "HTML": (lambda _: reply(200, b"<html>", "text/html"), "content_type"),
    "HTML of JSON": (lambda v: reply(200, v.key_set(), "text/html"), "content_type"),
    "10 MB": (lambda _: reply(200, b" " * 10_000_000), "too_large"),
    "10 MB unannounced": (lambda _: chunks(), "too_large"),
    "gzip bomb": (
        lambda _: reply(200, BOMB, Content_Encoding="gzip"),
        "encoding",
    ),
    "no keys": (lambda _: reply(200, b'{"keys": []}'), "invalid"),
    "poison alone": (lambda _: reply(200, b'{"keys": [{"kty": "oct", "k": "AA"}]}'), "invalid"),
}
each_trouble = pytest.mark.parametrize("name", [*TROUBLES, "304 unasked"])


@pytest.mark.row("H02", "H03", "H04", "H05", "H06", "H07", "H10", "H14", "G01", "G02")
@each_trouble
def test_a_cold_gate_in_an_outage_is_undecided(vendor: Vendor, name: str) -> None:
    """503 with `Retry-After`, after one fetch for all; the first good answer ends it."""
    answer, word = TROUBLES.get(name, (lambda _: reply(304), "status_304"))
    vendor.trouble = answer
    gate, token = vendor.gate(), vendor.license()
    for _ in range(100):
        error = outcome(gate, token)
        assert isinstance(error, KeysUnavailable)
        assert error.reason == f"keys_unavailable:{word}"
        assert error.retry_after is not None
        assert (error.retry_after == 120) if name == "429" else (1 <= error.retry_after <= 2)
    assert isinstance(error, KeysUnavailable)
    told = problem(error, gate.settings)
    assert told.status == 503
    assert int(dict(told.headers)["Retry-After"]) >= 1
    assert vendor.fetches == 1
    assert {request.target for request in vendor.server.log} == {"/jwks.json"}
    vendor.trouble = None
    vendor.hands.advance(121)
    assert status(gate, token) == 200
    assert vendor.fetches == 2


@pytest.mark.row("H03", "H04", "H05", "H06", "H07", "H11", "G01", "G02")
@pytest.mark.parametrize("name", TROUBLES)
def test_a_warm_gate_in_an_outage_serves_on(vendor: Vendor, name: str) -> None:
    """Nobody waits and nobody is refused; one fetch per back-off; then the set is fresh again."""
    gate, token = vendor.gate(), vendor.license()
    assert status(gate, token) == 200
    vendor.trouble, word = TROUBLES[name]
    vendor.hands.advance(700)
    assert {status(gate, token) for _ in range(100)} == {200}
    rest()
    assert {status(gate, token) for _ in range(100)} == {200}
    assert vendor.fetches == 2
    health = gate.health()[ISSUER_NAME]
    assert (health.state, health.error, health.failures) == (State.STALE, word, 1)
    assert status(gate, vendor.license(key="forger")) == 401
    vendor.trouble = None
    vendor.hands.advance(121)
    assert status(gate, token) == 200
    rest()
    assert vendor.fetches == 3
    assert gate.health()[ISSUER_NAME].state is State.FRESH


@pytest.mark.row("H10", "H11")
def test_nobody_there_is_an_outage_like_any_other() -> None:
    """A port where nobody listens refuses a cold gate its keys, and takes none from a warm one."""
    with Vendor("a") as vendor:
        warm, cold, token = vendor.gate(), vendor.gate(), vendor.license()
        assert status(warm, token) == 200
    vendor.hands.advance(700)
    error = outcome(cold, token)
    assert isinstance(error, KeysUnavailable)
    assert error.reason == "keys_unavailable:connect"
    assert {status(warm, token) for _ in range(100)} == {200}
    rest()
    assert warm.health()[ISSUER_NAME].error == "connect"


@pytest.mark.row("H14")
def test_304_confirms_for_as_long_as_the_issuer_says_so(vendor: Vendor) -> None:
    """The same keys, confirmed ten times, cost no body; the age limit counts from the last."""
    gate, token = vendor.gate(), vendor.license()
    for _ in range(10):
        assert status(gate, token) == 200
        rest()
        vendor.hands.advance(590)
    assert vendor.fetches == 10
    tags = [request.headers.get("if-none-match") for request in vendor.server.log]
    assert tags == [None, *['"a"'] * 9]
    vendor.trouble = lambda _: reply(500)
    vendor.hands.advance(86_400)
    assert status(gate, token) == 200
    vendor.hands.advance(20)
    assert status(gate, token) == 503


# -- sets that are half good -----------------------------------------------------------------------

POISON: dict[str, Any] = {
    "null": None,
    "number": 1,
    "alg list": {**ed25519("p"), "alg": ["EdDSA"]},
    "alg none": {**ed25519("p"), "alg": "none"},
    "secret": {"kty": "oct", "kid": "p", "k": "c2VjcmV0"},
    "secret without k": {"kty": "oct", "kid": "p"},
    "private": {**ed25519("p"), "d": "c2VjcmV0"},
    "not a point": {**ed25519("p"), "x": "AA"},
    "for encryption": {**ed25519("p"), "use": "enc"},
    "unknown kty": {"kty": ["OKP"], "kid": "p"},
}


@pytest.mark.row("G05", "G06", "G07", "G08", "G09", "G10", "G15", "G17", "G18", "G20", "G23", "G24")
@pytest.mark.parametrize("name", POISON)
def test_one_poisoned_key_costs_only_itself(vendor: Vendor, name: str) -> None:
    """Among good keys it is skipped and told of once; what it would sign is refused."""
    keys = [ed25519("a"), POISON[name], ed25519("b")]
    vendor.trouble = lambda _: reply(200, json.dumps({"keys": keys}).encode())
    gate, told = vendor.gate(), list[Event]()
    gate.events.subscribe(told.append)
    assert status(gate, vendor.license("a")) == status(gate, vendor.license("b")) == 200
    assert vendor.fetches == 1
    assert [event.name for event in told] == ["keys.refused"]
    assert status(gate, vendor.license("p")) == 401


@pytest.mark.row("G21", "H13")
def test_a_new_key_under_an_old_kid_replaces_the_old_one(vendor: Vendor) -> None:
    """After the refresh the new key's licenses pass, and the old one's, remembered or not, fail."""
    gate, old = vendor.gate(), vendor.license("a")
    assert status(gate, old) == 200
    reused = public_jwk(private_key("Ed25519", "other"), kid="a")
    released = held(vendor, json.dumps({"keys": [reused]}).encode())
    new = vendor.license("a", key="other")
    assert status(gate, new) == 401, "not known before the refresh"
    vendor.hands.advance(590)
    assert status(gate, old) == 200, "served while the refresh is under way"
    released.set()
    rest()
    assert status(gate, old) == 401
    assert status(gate, new) == 200


@pytest.mark.row("G26")
def test_a_set_that_is_all_new_is_taken_and_told(vendor: Vendor) -> None:
    """The issuer's word decides, even if it replaces every key; it is an event with both sides."""
    gate, told = vendor.gate(), list[Event]()
    gate.events.subscribe(told.append)
    assert status(gate, vendor.license("a")) == 200
    vendor.kids = ("b", "c")
    assert status(gate, vendor.license("b")) == 200
    assert status(gate, vendor.license("a")) == 401
    assert told[0] == Event(
        "keys.rotated", {"issuer": ISSUER_NAME, "added": ("b", "c"), "removed": ("a",)}
    )


@pytest.mark.row("C12")
def test_a_kid_that_two_issuers_share_is_never_confused() -> None:
    """Each issuer's key signs in its own name only, whichever was fetched first or remembered."""
    hands, one, two = Hands(), "https://one.example", "https://two.example"
    with Vendor("k", hands=hands, name=one) as first, Vendor(hands=hands, name=two) as second:
        theirs = public_jwk(private_key("Ed25519", "k of two"), kid="k")
        second.trouble = lambda _: reply(200, json.dumps({"keys": [theirs]}).encode())
        settings = Settings(
            issuers={
                one: IssuerSettings(AUDIENCE, jwks_url=first.server.url),
                two: IssuerSettings(AUDIENCE, jwks_url=second.server.url),
            }
        )
        gate = Gate(settings, clock=hands.clock)
        for _ in range(3):
            assert status(gate, first.license("k", iss=two)) == 401
            assert status(gate, first.license("k")) == 200
            assert status(gate, second.license("k", key="k of two", iss=one)) == 401
            assert status(gate, second.license("k", key="k of two")) == 200
            assert status(gate, second.license("k")) == 401
            hands.advance(400)
            rest()
        assert {first.fetches, second.fetches} == {2}


# -- an issuer that will not keep still ------------------------------------------------------------


@pytest.mark.row("H08", "H12", "H13", "G26")
def test_an_issuer_that_rotates_every_second(vendor: Vendor) -> None:
    """Five minutes of it: what passes is in the set last served, and the fetches stay few."""
    gate, first = vendor.gate(), vendor.license("0")
    for second in range(300):
        vendor.kids = (str(second),)
        token = vendor.license(str(second))
        for _ in range(4):
            assert (status(gate, token) == 200) == (vendor.served == vendor.kids)
            assert (status(gate, first) == 200) == (vendor.served == ("0",))
            vendor.hands.advance(0.25)
    assert vendor.fetches <= 1 + 2 + 300 / 30


@pytest.mark.row("H11", "H13", "H14")
@pytest.mark.parametrize("seed", range(5))
def test_an_issuer_that_flaps_at_random(vendor: Vendor, seed: int) -> None:
    """Up, down and rotating at random: known keys always serve, others and forgers never do."""
    chance = random.Random(seed)
    moods = ["up", "up", "up", "500", "429", "HTML", "no keys", "reset", "204", "gzip bomb"]
    gate, asked = vendor.gate(), list[float]()
    licenses = {kid: vendor.license(kid) for kid in "abcd"}
    forged = {kid: vendor.license(kid, key="forger") for kid in "abcd"}
    for _ in range(400):
        vendor.hands.advance(chance.choice([0.1, 1, 5, 45, 200, 500]))
        mood = chance.choice(moods)
        vendor.trouble = None if mood == "up" else TROUBLES[mood][0]
        if chance.random() < 0.3:
            vendor.kids = tuple(sorted(chance.sample("abcd", chance.randint(1, 4))))
        kid, before, fetched = chance.choice("abcde"), vendor.served, vendor.fetches
        assert status(gate, forged.get(kid, b"")) in (401, 503)
        seen = status(gate, licenses.get(kid, b"x"))
        rest()
        asked += [vendor.hands.monotonic] * (vendor.fetches - fetched)
        if kid in before and kid in vendor.served:
            assert seen == 200
        elif kid not in before and kid not in vendor.served:
            assert seen in (401, 503)
        gate.keys[ISSUER_NAME].look()
        rest()
        for known, token in licenses.items():
            if known not in vendor.served:
                assert gate.recall(token) is None, "a withdrawn key ends its verdicts"
        rest()
    for moment in asked:
        assert sum(moment <= other < moment + 10 for other in asked) <= 8


# -- how many fetches ------------------------------------------------------------------------------


@pytest.mark.row("H10", "S02", "S04")
def test_threads_and_loops_mixed_make_one_fetch() -> None:
    """Cold: thirty threads, and tasks in two asyncio loops and one of trio, all of one gate."""
    passed: list[str] = []
    with Vendor("a") as vendor:
        released = held(vendor)
        gate, token = vendor.gate(), vendor.license()

        async def tasks() -> None:
            async def judge() -> None:
                passed.append((await flow.arun(gate.verify(token))).license_id)

            async with anyio.create_task_group() as group:
                for _ in range(100):
                    group.start_soon(judge)

        def thread() -> None:
            passed.append(flow.run(gate.verify(token)).license_id)

        threads = [threading.Thread(target=thread) for _ in range(30)]
        threads += [
            threading.Thread(target=anyio.run, args=(tasks,), kwargs={"backend": backend})
            for backend in ("asyncio", "asyncio", "trio")
        ]
        for each in threads:
            each.start()
        keys = gate.keys[ISSUER_NAME]
        until(lambda: keys._flight is not None and keys._flight._landing.waiting >= 329)
        released.set()
        for each in threads:
            each.join(30)
        assert passed == ["lic_1"] * 330
        assert vendor.fetches == 1


@pytest.mark.row("S04", "S03")
@pytest.mark.anyio
async def test_a_loop_goes_on_while_a_fetch_hangs() -> None:
    """A cold fetch blocks no other task of its loop, and one that is cancelled leaves no trace."""
    with Vendor("a") as vendor:
        released = held(vendor)
        gate, token = vendor.gate(), vendor.license()
        async with anyio.create_task_group() as group:
            group.start_soon(flow.arun, gate.verify(token))
            with anyio.move_on_after(0.05):
                await flow.arun(gate.verify(token))
            await anyio.to_thread.run_sync(until, lambda: vendor.fetches)
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            released.set()
        assert vendor.fetches == 1
        assert gate.recall(token)


@pytest.mark.row("H08", "H09", "G22")
def test_ten_thousand_unknown_kids_cost_two_fetches(vendor: Vendor) -> None:
    """In thirty seconds at most two, and a known kid meanwhile is served as if nothing were."""
    gate, token = vendor.gate(), vendor.license()
    assert status(gate, token) == 200
    _, payload, signature = vendor.license("forged").decode().split(".")
    for number in range(10_000):
        header = {"typ": "license+jwt", "alg": "EdDSA", "kid": f"forged {number}"}
        assert status(gate, f"{segment(header)}.{payload}.{signature}".encode()) == 401
        if number % 100 == 0:
            assert gate.recall(token)
        vendor.hands.advance(29.9 / 10_000)
    assert vendor.fetches <= 1 + 2
    assert gate.grant_stats().size == 1


@pytest.mark.row("H09")
def test_a_known_kid_is_served_while_the_fetch_for_an_unknown_one_hangs() -> None:
    """Remembered or not, it waits for nobody; nor does who comes next with another unknown one."""
    with Vendor("a") as vendor:
        gate, token = vendor.gate(), vendor.license()
        assert status(gate, token) == 200
        released = held(vendor)
        unknown = [vendor.license(f"forged {number}") for number in range(20)]
        seen, boarded = list[int](), list[Need]()
        keys = gate.keys[ISSUER_NAME]
        board = keys._ask

        def counted(now: Instant, need: Need) -> Any:
            boarded.append(need)
            return board(now, need)

        keys._ask = counted  # type: ignore[method-assign]
        threads = [
            threading.Thread(target=lambda one=one: seen.append(status(gate, one)))
            for one in unknown
        ]
        for thread in threads:
            thread.start()
        # All of them: one who came after the answer would have a fetch of its own.
        until(lambda: vendor.fetches == 2 and len(boarded) == 20)
        for number in range(200):
            assert status(gate, token) == 200
            assert status(gate, vendor.license(sub=f"lic_{number}")) == 200
        assert seen == []
        released.set()
        for thread in threads:
            thread.join(20)
        assert seen == [401] * 20
        assert vendor.fetches == 2


@pytest.mark.row("H08", "H10", "H11")
@pytest.mark.parametrize("kind", ["cold", "warm", "unknown"])
def test_a_dead_endpoint_is_asked_five_times_in_ten_seconds(vendor: Vendor, kind: str) -> None:
    """A thousand requests in that time, with the shortest pauses that chance may bring."""
    gate, token = vendor.gate(), vendor.license()
    if kind != "cold":
        assert status(gate, token) == 200
        vendor.hands.advance(700)
    gate.keys[ISSUER_NAME]._schedule._random = lambda: 0.0
    vendor.trouble = lambda _: reply(500)
    before = vendor.fetches
    credential = vendor.license("forged") if kind == "unknown" else token
    for _ in range(1_000):
        assert status(gate, credential) == (200 if kind == "warm" else 503)
        rest()
        vendor.hands.advance(0.01)
    assert 1 < vendor.fetches - before <= 5


# -- a long outage ---------------------------------------------------------------------------------


@pytest.mark.row("H11")
def test_a_day_of_outage_hurts_no_licensed_request(vendor: Vendor) -> None:
    """Every minute of it a hit, but for the verdict renewed every 300 s; past the end 503."""
    gate, token = vendor.gate(), vendor.license()
    assert status(gate, token) == 200
    vendor.trouble = lambda _: reply(500)
    for _ in range(24 * 60):
        vendor.hands.advance(60)
        assert status(gate, token) == 200
        assert gate.recall(token)
        rest()
    stats = gate.grant_stats()
    assert stats.misses <= 1 + 86_400 / 300
    assert stats.hits >= 2 * 24 * 60 - stats.misses
    assert vendor.fetches <= 1 + 24 * 60
    vendor.hands.advance(599)
    assert status(gate, token) == 200
    rest()
    vendor.hands.advance(1)
    error = outcome(gate, token)
    assert isinstance(error, LicenseUnavailable)
    assert error.retry_after is not None
    assert error.retry_after >= 1
    vendor.trouble = None
    vendor.hands.advance(61)
    assert status(gate, token) == 200


# -- the grant cache -------------------------------------------------------------------------------


@pytest.mark.row("H13", "H20")
def test_a_withdrawn_key_stops_its_verdicts_with_the_refresh(vendor: Vendor) -> None:
    """The next request after the refresh is refused, though its license was just remembered."""
    vendor.kids = ("a", "b")
    gate, withdrawn, kept = vendor.gate(), vendor.license("a"), vendor.license("b")
    assert status(gate, withdrawn) == status(gate, kept) == 200
    vendor.kids = ("b",)
    released = held(vendor)
    vendor.hands.advance(590)
    assert status(gate, withdrawn) == status(gate, kept) == 200, "refreshed behind their back"
    released.set()
    rest()
    misses = gate.grant_stats().misses
    assert gate.recall(withdrawn) is None
    assert gate.recall(kept)
    assert status(gate, withdrawn) == 401
    assert gate.grant_stats().misses == misses + 1


@pytest.mark.row("H12")
def test_a_key_that_is_added_evicts_nothing(vendor: Vendor) -> None:
    """A hundred verdicts stay hits through a rotation that only adds."""
    gate = vendor.gate()
    licenses = [vendor.license(sub=f"lic_{number}") for number in range(100)]
    assert {status(gate, token) for token in licenses} == {200}
    vendor.kids = ("a", "b")
    assert status(gate, vendor.license("b")) == 200
    assert gate.keys[ISSUER_NAME].snapshot.generation == 2  # type: ignore[union-attr]
    misses = gate.grant_stats().misses
    assert {status(gate, token) for token in licenses} == {200}
    assert gate.grant_stats().misses == misses == 101
    assert gate.grant_stats().evictions == 0


@pytest.mark.row("H20")
def test_a_verdict_is_of_one_credential_and_one_policy(vendor: Vendor) -> None:
    """One letter more, less or different is another credential; another gate has its own cache."""
    gate, token = vendor.gate(), vendor.license()
    assert status(gate, token) == 200
    for place in range(0, len(token), 7):
        other = b"A" if token[place : place + 1] != b"A" else b"B"
        assert gate.recall(token[:place] + other + token[place + 1 :]) is None
    for near in (token + b" ", token + b"=", token[:-1], b" " + token, token.lower()):
        assert gate.recall(near) is None
    elsewhere = vendor.gate(audience="another-product")
    assert elsewhere.recall(token) is None
    assert status(elsewhere, token) == 401
    assert gate.recall(token)


@pytest.mark.row("H20")
def test_a_verdict_never_outlives_its_license_or_its_keys(vendor: Vendor) -> None:
    """Neither `exp` with the leeway, nor the end of the key set, is passed by a hit."""
    gate = vendor.gate(leeway=0, jwks_max_stale=0, jwks_max_age=200)
    short = vendor.license(exp=int(vendor.hands.wall) + 100)
    long = vendor.license()
    assert status(gate, short) == status(gate, long) == 200
    vendor.trouble = lambda _: reply(500)
    vendor.hands.advance(99.9)
    assert gate.recall(short)
    vendor.hands.advance(0.1)
    assert gate.recall(short) is None
    vendor.hands.advance(99.9)
    assert gate.recall(long)
    rest()
    vendor.hands.advance(0.1)
    assert gate.recall(long) is None
    assert status(gate, long) == 503


# -- settings, and re-entrance ---------------------------------------------------------------------


@pytest.mark.row("H01")
@pytest.mark.parametrize(
    "url",
    [
        "http://licenses.acme.example/jwks.json",
        "http://169.254.169.254/jwks.json",
        "HTTP://licenses.acme.example/",
        "file:///etc/jwks.json",
        "ftp://licenses.acme.example/jwks.json",
        'data:application/json,{"keys":[]}',
        "https://user@licenses.acme.example/jwks.json",
        "https://user:secret@licenses.acme.example/jwks.json",
        "https://licenses.acme.example:99999/jwks.json",
        "https:///jwks.json",
        "//licenses.acme.example/jwks.json",
        "",
    ],
)
def test_an_address_that_is_no_plain_https_fails_at_the_start(url: str) -> None:
    """Whether it is the one issuer's or one of several."""
    with pytest.raises(ConfigError):
        Settings(issuer=ISSUER_NAME, audience=AUDIENCE, jwks_url=url)
    with pytest.raises(ConfigError):
        Settings(issuers={ISSUER_NAME: IssuerSettings(AUDIENCE, jwks_url=url)})


@pytest.mark.row("H19")
def test_who_asks_again_from_within_a_failing_fetch_is_told_the_same(vendor: Vendor) -> None:
    """A subscriber that judges a license while the failure is told neither hangs nor fetches."""
    vendor.trouble = lambda _: reply(500)
    gate, within = vendor.gate(), list[Any]()

    def ask_again(event: Event) -> None:
        if event.name == "keys.unavailable":
            within.append(outcome(gate, vendor.license("b")))

    gate.events.subscribe(ask_again)
    error = outcome(gate, vendor.license("a"))
    assert isinstance(error, KeysUnavailable)
    assert [type(one) for one in within] == [KeysUnavailable]
    assert vendor.fetches == 1


@pytest.mark.row("H19")
def test_two_licenses_in_one_request_ask_nobody(vendor: Vendor) -> None:
    """They are refused as ambiguous before any key is looked for, so no fetch can meet another."""
    vendor.trouble = lambda _: reply(500)
    gate = vendor.gate()
    facts = Facts(
        authorization=f"Bearer {vendor.license().decode()}",
        x_license_token=vendor.license("b").decode(),
    )
    for _ in range(2):
        with pytest.raises(LicenseAmbiguous):
            flow.run(gate.decide(facts))
    assert vendor.fetches == 0
