"""The key store: what is found, what is not, what cannot be told; and at what price."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from math import inf
from typing import Any

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from licet.core import flow
from licet.core.clock import SYSTEM_CLOCK
from licet.core.documents.flight import Flight
from licet.core.documents.schedule import State
from licet.core.errors import KeysUnavailable, LicenseInvalid
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.keys.jwk import Rejected
from licet.core.keys.keystore import KeySnapshot, KeyStore
from licet.core.tls import TlsFailure
from licet.core.transport import Response, Transport, TransportError
from tests.core.hands import Hands
from tests.core.jwks import ed25519, key_set, private_key
from tests.core.loopback import Loopback, Request, reply, until

ISSUER = "https://licenses.test"


class Issuer(Transport):
    """An issuer in memory: its key set, whether it answers, and how often it was asked."""

    def __init__(self, *kids: str) -> None:
        super().__init__()
        self.kids = kids
        self.up = True
        self.tls: TlsFailure | None = None
        self.asked = 0
        self.flying = self.most_flying = 0
        self.confirmed: tuple[str, ...] = ()
        self.answer: Response | None = None

    def fetch(
        self, url: str, *, headers: Mapping[str, str], deadline: float, max_bytes: int
    ) -> Response:
        self.asked += 1
        self.flying += 1
        self.most_flying = max(self.most_flying, self.flying)
        try:
            if not self.up:
                raise TransportError("tls" if self.tls else "connect", self.tls)
            if self.answer is not None:
                return self.answer
            self.confirmed = self.kids
            etag = f'"{",".join(self.kids)}"'
            fields = {"content-type": "application/jwk-set+json", "etag": etag}
            if headers.get("if-none-match") == etag:
                return Response(304, fields, b"")
            return Response(200, fields, key_set(*self.kids))
        finally:
            self.flying -= 1


class Setup:
    """A key store of an issuer in memory, with the clock's hands and the events it told."""

    def __init__(self, *kids: str, floor: tuple[str, ...] | None = None, **options: Any) -> None:
        self.hands = Hands()
        self.issuer = options.pop("transport", None) or Issuer(*kids)
        self.events: list[Event] = []
        given: dict[str, Any] = {
            "jwks_url": "https://licenses.test/jwks.json",
            "jwks": json.loads(key_set(*floor)) if floor is not None else None,
            "algorithms": ("Ed25519", "EdDSA", "ES256"),
            "max_age": 600.0,
            "max_stale": 86_400.0,
            "cooldown": 30.0,
            "clock": self.hands.clock,
            "random": lambda: 0.0,
        }
        self.store = KeyStore(
            ISSUER, transport=self.issuer, bus=EventBus(self.events.append), **given | options
        )

    def find(self, kid: str, alg: str = "EdDSA") -> KeySnapshot:
        snapshot, key = flow.run(self.store.find(kid, alg))
        assert key is snapshot.keys[kid, alg]
        return snapshot

    def refused(self, kid: str) -> str:
        """Return what becomes of a kid: the reason of a refusal, or the wait it asks for."""
        try:
            self.find(kid)
        except LicenseInvalid as error:
            return error.reason
        except KeysUnavailable as error:
            return f"503 after {error.retry_after:g}"
        return "found"

    def rest(self) -> None:
        """Wait until no background fetch runs."""
        for thread in threading.enumerate():
            if thread.name == "licet-flight":
                thread.join(20)

    def names(self) -> list[str]:
        return [event.name for event in self.events]


# -- known and unknown keys ------------------------------------------------------------------------


def test_a_cold_store_fetches_once() -> None:
    """The first who asks waits; from then on the set is in memory, and nothing is fetched."""
    setup = Setup("a", "b")
    assert setup.store.snapshot is None
    snapshot = setup.find("a")
    assert setup.find("b") is setup.find("a", "Ed25519") is snapshot
    assert setup.issuer.asked == 1
    assert snapshot.source == "remote"
    assert snapshot.generation == 1
    assert snapshot.stale_until == setup.hands.wall + 87_000
    assert snapshot.thumbprints == {key.thumbprint for key in snapshot.keys.values()}
    assert setup.events == []


def test_what_is_found_verifies() -> None:
    """The key that comes back is the issuer's."""
    setup = Setup("a")
    _, key = flow.run(setup.store.find("a", "EdDSA"))
    assert key.verify(b"m", private_key("Ed25519", "a").sign(b"m"))


def test_a_key_that_lands_between_two_looks_costs_no_second_fetch() -> None:
    """Who saw nothing, and asks when the set has just arrived, is given it."""
    setup = Setup("a")
    setup.find("a")
    assert setup.store._flight_for(("a", "EdDSA")) is None
    seen, looks = setup.store.current, iter([None])
    setup.store.current = lambda: next(looks, seen())  # type: ignore[method-assign]
    assert setup.find("a") is setup.store.snapshot
    assert setup.issuer.asked == 1


def test_a_known_key_takes_no_lock() -> None:
    """In memory and before `look_at`, a find needs nobody."""
    setup = Setup("a")
    setup.find("a")
    with setup.store._lock:
        assert setup.find("a") is setup.store.snapshot


@pytest.mark.row("H12")
def test_h12_a_new_key_works_at_once() -> None:
    """A kid that is not in the set is looked for, and found in the new generation."""
    setup = Setup("a")
    setup.find("a")
    setup.issuer.kids = ("a", "b")
    assert setup.find("b").generation == 2
    assert setup.events == [
        Event("keys.rotated", {"issuer": ISSUER, "added": ("b",), "removed": ()})
    ]


@pytest.mark.row("H08")
def test_h08_unknown_keys_cost_two_fetches_and_one_more_per_cooldown() -> None:
    """A thousand forged kids are refused; a known key is not disturbed."""
    setup = Setup("a")
    setup.find("a")
    for number in range(1000):
        assert setup.refused(f"forged{number}") == f"unknown_kid:forged{number}"
    assert setup.issuer.asked == 1 + 2
    setup.hands.advance(30)
    for number in range(1000):
        setup.refused(f"forged{number}")
    assert setup.issuer.asked == 1 + 3
    assert setup.find("a")


def test_an_absent_key_is_remembered_for_a_minute() -> None:
    """One kid, asked for again and again, costs one fetch per minute at most."""
    setup = Setup("a", cooldown=0.001)
    setup.find("a")
    for _ in range(60):
        assert setup.refused("b") == "unknown_kid:b"
        setup.hands.advance(0.9)
    assert setup.issuer.asked == 2
    setup.hands.advance(6.1)
    setup.refused("b")
    assert setup.issuer.asked == 3


def test_absent_keys_are_forgotten_with_their_generation() -> None:
    """A set that has changed may change again; what was absent is looked for anew."""
    setup = Setup("a", cooldown=0.001)
    setup.find("a")
    setup.refused("b")
    setup.issuer.kids = ("a", "c")
    setup.hands.advance(1)
    setup.find("c")
    setup.issuer.kids = ("a", "b", "c")
    setup.hands.advance(1)
    assert setup.refused("b") == "found"


def test_unknown_keys_are_undecided_while_the_issuer_is_away() -> None:
    """Flight failed: nobody knows, so 503; in the back-off too, without another attempt."""
    setup = Setup("a")
    setup.find("a")
    setup.issuer.up = False
    assert setup.refused("b") == "503 after 1"
    assert setup.refused("c") == "503 after 1"
    assert setup.issuer.asked == 2
    setup.hands.advance(0.5)
    assert setup.refused("c") == "503 after 1"
    assert setup.issuer.asked == 3
    setup.hands.advance(1)
    assert setup.refused("c") == "503 after 28.5"
    assert setup.issuer.asked == 3
    assert setup.refused("a") == "found"


@pytest.mark.row("H10")
def test_h10_a_cold_store_without_its_issuer_backs_off() -> None:
    """A thousand requests while the issuer is away cost one fetch per back-off."""
    setup = Setup("a")
    setup.issuer.up = False
    assert {setup.refused("a") for _ in range(1000)} == {"503 after 1"}
    assert setup.issuer.asked == 1
    setup.hands.advance(0.5)
    setup.issuer.up = True
    assert setup.refused("a") == "found"


def test_a_reason_carries_the_kid_escaped() -> None:
    """What a stranger chose stands in the reason on one line."""
    setup = Setup("a")
    assert setup.refused("x\n\u202e") == "unknown_kid:x\\n\\u202e"


def test_an_unavailable_key_says_why_in_a_word() -> None:
    """The reason names the failure and nothing of the address."""
    setup = Setup("a")
    setup.issuer.up = False
    for _ in range(2):
        with pytest.raises(KeysUnavailable) as caught:
            setup.find("a")
        assert caught.value.reason == "keys_unavailable:connect"
    assert setup.issuer.asked == 1, "the second was told in the back-off"


@pytest.mark.row("H09")
def test_h09_a_known_key_does_not_wait_behind_an_unknown_one() -> None:
    """While the fetch for an unknown kid hangs, everybody else is served."""
    begun, released = threading.Event(), threading.Event()
    setup = Setup("a")
    setup.find("a")
    original = setup.issuer.fetch

    def hanging(*args: Any, **named: Any) -> Response:
        begun.set()
        released.wait(20)
        return original(*args, **named)

    setup.issuer.fetch = hanging
    outcomes: list[str] = []
    thread = threading.Thread(target=lambda: outcomes.append(setup.refused("b")))
    thread.start()
    assert begun.wait(10)
    for _ in range(100):
        assert setup.refused("a") == "found"
    assert outcomes == []
    released.set()
    thread.join(20)
    assert outcomes == ["unknown_kid:b"]


def test_the_last_flight_of_the_budget_carries_all_who_wait_for_its_key() -> None:
    """Whoever asks for a new key while the fetch that brings it is under way is not refused."""
    setup = Setup("a")
    setup.find("a")
    setup.refused("forged")
    setup.issuer.kids = ("a", "b")
    leader, follower = setup.store.find("b", "EdDSA"), setup.store.find("b", "EdDSA")
    flight = next(leader)
    assert isinstance(flight, Flight)
    assert next(follower) is flight
    flight.run()
    assert setup.find("b")
    assert setup.issuer.asked == 3


def test_a_refresh_behind_requests_is_not_waited_for_without_budget() -> None:
    """A slow refresh must not let strangers with made-up keys hold a thread each."""
    setup = Setup("a")
    setup.find("a")
    setup.refused("forged"), setup.refused("forged too")
    setup.store._schedule.due_at = setup.hands.monotonic
    with setup.store._guarded:
        setup.store._board()
    assert setup.refused("forged again") == "unknown_kid:forged again"


def test_joining_a_flight_spends_none_of_the_budget() -> None:
    """A fetch that somebody paid for carries everybody who lacks a key meanwhile."""
    setup = Setup("a")
    setup.find("a")
    first = setup.store.find("b", "EdDSA")
    flight = next(first)
    for kid in "cdef":
        assert next(setup.store.find(kid, "EdDSA")) is flight
    assert isinstance(flight, Flight)
    flight.run()
    assert setup.refused("g") == "unknown_kid:g"
    assert setup.issuer.asked == 3
    with pytest.raises(LicenseInvalid):
        next(setup.store.find("h", "EdDSA"))


def test_a_follower_without_its_key_starts_no_second_flight() -> None:
    """It looks once in the new generation, and that is that."""
    setup = Setup("a")
    setup.find("a")
    leader, follower = setup.store.find("b", "EdDSA"), setup.store.find("c", "EdDSA")
    flight = next(leader)
    assert isinstance(flight, Flight)
    assert next(follower) is flight
    outcome = flight.run()
    for one in (leader, follower):
        with pytest.raises(LicenseInvalid):
            one.send(outcome)
    assert setup.issuer.asked == 2


def test_a_key_published_while_a_flight_was_under_way_is_not_remembered_as_absent() -> None:
    """Who joined late proves nothing about what was published later."""
    setup = Setup("a", cooldown=0.001)
    setup.find("a")
    leader, late = setup.store.find("b", "EdDSA"), setup.store.find("c", "EdDSA")
    flight = next(leader)
    assert isinstance(flight, Flight)
    flight.claim()
    next(late)
    flight._perform()
    with pytest.raises(LicenseInvalid):
        late.send(flight.outcome)
    setup.issuer.kids = ("a", "c")
    setup.hands.advance(1)
    assert setup.refused("c") == "found"


def test_a_failed_flight_says_when_the_next_may_leave() -> None:
    """Its own caller learns of the back-off as those do who come during it; a second at least."""
    setup = Setup("a")
    setup.issuer.up = False
    waits = []
    for _ in range(4):
        told = setup.refused("a")
        waits.append(setup.store.health().retry_after)
        assert told == f"503 after {max(1.0, waits[-1]):g}"
        setup.hands.advance(waits[-1])
    assert setup.issuer.asked == 4
    assert waits[-1] > 1


def test_a_flight_without_an_outcome_is_undecided() -> None:
    """Who ran out of patience knows nothing."""
    setup = Setup("a")
    finding = setup.store.find("a", "EdDSA")
    next(finding)
    with pytest.raises(KeysUnavailable):
        finding.send(None)


def test_a_find_given_up_harms_nobody() -> None:
    """A decision closed before its effect ran leaves a flight that the next one performs."""
    setup = Setup("a")
    with pytest.raises(flow.WouldWait):
        flow.peek(setup.store.find("a", "EdDSA"))
    assert setup.issuer.asked == 0
    assert setup.refused("a") == "found"
    assert setup.issuer.asked == 1


# -- rotation, withdrawal, floor -------------------------------------------------------------------


@pytest.mark.row("H13")
def test_h13_a_withdrawn_key_is_gone_with_the_next_answer() -> None:
    """Nothing is merged; under traffic that is the refresh interval plus one fetch."""
    setup = Setup("a", "b")
    setup.find("a")
    setup.issuer.kids = ("b",)
    setup.hands.advance(479)
    assert setup.refused("a") == "found"
    setup.hands.advance(1)
    assert setup.refused("b") == "found"
    setup.rest()
    assert setup.refused("a") == "unknown_kid:a"
    assert setup.find("b").generation == 2
    assert setup.events == [
        Event("keys.rotated", {"issuer": ISSUER, "added": (), "removed": ("a",)})
    ]


def test_the_generation_follows_the_thumbprints() -> None:
    """A 304, the same set, and the same keys in another order leave it; another key moves it."""
    setup = Setup("a", "b")
    generations = []
    for kids in (("a", "b"), ("a", "b"), ("b", "a"), ("b", "a", "c"), ("a", "b")):
        setup.issuer.kids = kids
        generations.append(setup.find("b").generation)
        setup.hands.advance(480)
        setup.store.look()
        setup.rest()
    assert generations == [1, 1, 1, 1, 2]
    assert setup.find("b").generation == 3


def test_another_key_under_the_same_kid_is_another_generation() -> None:
    """What counts is the key, not its name."""
    setup = Setup("a")
    before = setup.find("a")
    body = json.dumps({"keys": [ed25519("b") | {"kid": "a"}]}).encode()
    setup.issuer.answer = Response(200, {"content-type": "application/json"}, body)
    setup.hands.advance(480)
    setup.store.look()
    setup.rest()
    after = setup.find("a")
    assert after.generation == 2
    assert after.thumbprints.isdisjoint(before.thumbprints)
    assert setup.events[0].data["added"] == setup.events[0].data["removed"] == ("a",)


def test_a_304_renews_the_end_of_the_snapshot() -> None:
    """Same keys, same generation, later end."""
    setup = Setup("a")
    before = setup.find("a")
    setup.hands.advance(480)
    setup.store.look()
    setup.rest()
    after = setup.find("a")
    assert after.stale_until == before.stale_until + 480
    assert (after.keys, after.generation, after.etag) == (before.keys, 1, '"a"')


def test_a_floor_serves_at_once_and_is_refreshed() -> None:
    """Keys that came with the installation need no network to begin with."""
    setup = Setup("a", "b", floor=("a",))
    snapshot = setup.store.snapshot
    assert snapshot is not None
    assert (snapshot.source, snapshot.generation) == ("floor", 1)
    assert setup.refused("a") == "found"
    setup.rest()
    assert setup.find("b").source == "remote"
    assert setup.issuer.asked == 1


def test_a_withdrawn_key_never_comes_back_from_the_floor() -> None:
    """Once a remote set was seen, it decides: also when the issuer is away for days."""
    setup = Setup("b", floor=("a", "b"))
    assert setup.find("b")
    setup.rest()
    assert setup.refused("a") == "unknown_kid:a"
    setup.issuer.up = False
    setup.hands.advance(100_000)
    assert setup.refused("a").startswith("503")
    assert setup.refused("b").startswith("503")


def test_a_floor_without_its_issuer_serves_what_it_has_and_denies_nothing() -> None:
    """An unknown kid is undecided, since the floor may be old."""
    setup = Setup("a", floor=("a",))
    setup.issuer.up = False
    assert setup.refused("a") == "found"
    setup.rest()
    assert setup.refused("b").startswith("503")
    assert setup.refused("a") == "found"


def test_what_came_with_the_installation_is_judged_like_an_answer() -> None:
    """Which of its keys are refused is told at once, and stands in the snapshot."""
    floor = [ed25519("a"), {"kty": "oct", "kid": "s", "k": "AAAA"}]
    setup = Setup(jwks={"keys": floor})
    assert setup.store.snapshot is not None
    assert setup.store.snapshot.rejected == (Rejected("s", "symmetric_in_jwks"),)
    assert setup.events == [
        Event("keys.refused", {"issuer": ISSUER, "reasons": ("s: symmetric_in_jwks",)})
    ]


def test_a_static_set_never_fetches_and_never_ends() -> None:
    """Without an address the keys given are the keys."""
    setup = Setup(floor=("a",), jwks_url=None)
    snapshot = setup.store.snapshot
    assert snapshot is not None
    assert snapshot.stale_until == inf
    assert setup.store.look_at == inf
    setup.hands.advance(10**9)
    assert setup.refused("a") == "found"
    assert setup.refused("b") == "unknown_kid:b"
    setup.store.warm()
    assert setup.issuer.asked == 0


def test_a_store_needs_some_source() -> None:
    """Neither address nor keys is a mistake, told when it is made."""
    with pytest.raises(ValueError, match=r"^neither an address of keys nor keys$"):
        Setup(jwks_url=None)


@pytest.mark.parametrize("keys", [[], [{"kty": "oct", "k": "c2VjcmV0"}]])
def test_a_floor_without_a_usable_key_is_an_error(keys: list[Any]) -> None:
    """A literal set that can verify nothing is told when the store is made."""
    with pytest.raises(ValueError, match=r"^no usable key$"):
        Setup(jwks={"keys": keys})


# -- age -------------------------------------------------------------------------------------------


@pytest.mark.row("H11")
def test_h11_stale_keys_serve_through_an_outage_and_no_longer() -> None:
    """A day after their lifetime they are dead: 503, never 401, and never served."""
    setup = Setup("a")
    setup.find("a")
    setup.issuer.up = False
    for _ in range(340):
        assert setup.refused("a") == "found"
        setup.rest()
        setup.hands.advance(250)
    assert setup.store.health().state is State.STALE
    setup.hands.advance(87_000 - 340 * 250)
    assert setup.refused("a").startswith("503")
    assert setup.store.health().state is State.DEAD
    assert setup.names() == ["keys.unavailable", "keys.stale", "keys.unavailable"]
    assert [event.data["state"] for event in setup.events] == ["due", "stale", "dead"]


def test_an_outage_is_told_with_all_that_is_known_of_it() -> None:
    """Whose keys, how good they are, why, how old, and when the next attempt is permitted."""
    setup = Setup("a")
    setup.issuer.up = False
    setup.refused("a")
    outage = setup.events[0].data["correlation_id"]
    known = {
        "issuer": ISSUER,
        "reason": "connect",
        "retry_after": 0.5,
        "correlation_id": outage,
    }
    empty = Event("keys.unavailable", {**known, "state": "empty", "age": None})
    assert setup.events == [empty]
    setup.issuer.up = True
    setup.hands.advance(1)
    setup.find("a")
    setup.issuer.up = False
    setup.hands.advance(600)
    setup.store.look()
    setup.rest()
    stale = {"issuer": ISSUER, "state": "stale", "age": 600.0}
    told = {**stale, "reason": None, "retry_after": 0.0, "correlation_id": None}
    assert setup.events[1] == Event("keys.stale", told)
    another = setup.events[2].data["correlation_id"]
    told = {**stale, "reason": "connect", "retry_after": 0.5, "correlation_id": another}
    assert setup.events[2:] == [Event("keys.unavailable", told)]
    assert isinstance(another, str)
    assert another != outage


def test_a_refusal_names_the_outage_that_it_comes_of() -> None:
    """One id from the first failure to the last, in every event and every refusal."""
    setup = Setup("a")
    setup.issuer.up = False

    def refusal() -> Mapping[str, object]:
        with pytest.raises(KeysUnavailable) as caught:
            setup.find("a")
        return caught.value.members

    first = refusal()
    # Once while no attempt is permitted, and once after the next has failed too.
    assert refusal() == first
    setup.hands.advance(10)
    assert refusal() == first
    assert setup.issuer.asked == 2
    assert [event.data["correlation_id"] for event in setup.events] == [first["correlation_id"]]


@pytest.mark.row("H16")
def test_h16_each_tls_failure_is_told_with_what_it_was() -> None:
    """Which host, and why, once for each fetch, with the id of the refusals that come of it."""
    setup = Setup("a", jwks_url="https://keys.test:8443/jwks.json?secret=1")
    setup.issuer.up, setup.issuer.tls = False, TlsFailure("certificate", "expired")
    for _ in range(2):
        with pytest.raises(KeysUnavailable) as caught:
            setup.find("a")
        setup.hands.advance(10)
    assert setup.names() == ["tls.failure", "keys.unavailable", "tls.failure"]
    assert setup.events[0] == setup.events[2]
    assert setup.events[0].data == {
        "issuer": ISSUER,
        "kind": "certificate",
        "problem": "expired",
        "host": "keys.test",
        **caught.value.members,
    }


def test_keys_are_dead_after_a_long_sleep() -> None:
    """The monotonic clock stood still; wall time did not."""
    setup = Setup("a")
    setup.find("a")
    setup.issuer.kids = ("b",)
    setup.hands.suspend(87_000)
    assert setup.refused("a") == "unknown_kid:a"
    assert setup.issuer.asked == 2


def test_dead_keys_are_fetched_anew_by_who_waits() -> None:
    """As in the beginning."""
    setup = Setup("a")
    setup.find("a")
    setup.hands.advance(90_000)
    assert setup.refused("a") == "found"
    assert setup.issuer.asked == 2


# -- bad sets --------------------------------------------------------------------------------------


@pytest.mark.row("G01", "G02", "G03", "G04")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"[1]",
        b'"keys"',
        b"7",
        b"<html>",
        b"{",
        b'{"keys":[]}',
        b'{"keys":{}}',
        b'{"keys":null}',
        b'{"keys":[{"kty":"oct","k":"AAAA","kid":"a"}]}',
        b'{"keys":[],"keys":[]}',
        b'{"keys":[NaN]}',
        b'\xef\xbb\xbf{"keys":[]}',
        '{"keys":[]}'.encode("utf-16"),
        b'{"keys":["\xff"]}',
        b'{"keys":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"keys":[' + b"{}," * 100 + b"{}]}",
        b'{"keys":[{' + b",".join(b'"%d":0' % number for number in range(6_000)) + b"}]}",
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
def test_g01_to_g04_a_bad_set_is_a_failed_fetch(body: bytes) -> None:
    """Nothing at hand: 503. Something at hand: it stays."""
    bad = Response(200, {"content-type": "application/json"}, body)
    setup = Setup("a")
    setup.issuer.answer = bad
    assert setup.refused("a") == "503 after 1"
    setup.issuer.answer = None
    setup.hands.advance(1)
    before = setup.find("a")
    setup.issuer.answer = bad
    setup.hands.advance(480)
    assert setup.refused("a") == "found"
    setup.rest()
    assert setup.store.snapshot is before
    assert setup.store.health().error == "invalid"


def test_a_large_set_is_read() -> None:
    """A hundred keys with a dozen members each are fewer than five thousand members."""
    extra = {f"x-{number}": number for number in range(8)}
    keys = [ed25519(str(number), **extra) for number in range(100)]
    body = json.dumps({"keys": keys}).encode()
    setup = Setup()
    setup.issuer.answer = Response(200, {"content-type": "application/json"}, body)
    assert len(setup.find("99").thumbprints) == 100


def test_refused_keys_are_told_once_per_set() -> None:
    """The event says which and why, escaped, and nothing of what was in them."""
    setup = Setup()
    keys = [ed25519("a"), ed25519("p\n") | {"d": "CANARY"}, {"kty": "oct", "k": "CANARY"}]
    body = json.dumps({"keys": keys}).encode()
    setup.issuer.answer = Response(200, {"content-type": "application/json"}, body)
    for _ in range(3):
        assert setup.refused("a") == "found"
        setup.hands.advance(480)
        setup.store.look()
        setup.rest()
    [event] = setup.events
    assert event.name == "keys.refused"
    reasons = ("p\\n: private_key_in_jwks", "?: symmetric_in_jwks")
    assert event.data == {"issuer": ISSUER, "reasons": reasons}
    assert "CANARY" not in repr(setup.store.snapshot)


def test_a_set_without_usable_keys_tells_why() -> None:
    """The fetch has failed, and whoever runs the service learns which setting helps."""
    setup = Setup(algorithms=("ES256",))
    setup.issuer.kids = ("a",)
    assert setup.refused("a").startswith("503")
    assert setup.names() == ["keys.refused", "keys.unavailable"]
    assert setup.events[0].data["reasons"] == ("a: alg_key_mismatch",)


# -- real servers, many waiters --------------------------------------------------------------------


def real(server: Loopback, **options: Any) -> KeyStore:
    return Setup(jwks_url=server.url, transport=Transport(), clock=SYSTEM_CLOCK, **options).store


@pytest.mark.row("S02", "H10")
def test_s02_h10_fifty_cold_threads_fetch_once() -> None:
    """Counted by the server's own log."""
    barrier, found = threading.Barrier(50), []

    with Loopback(lambda _: reply(200, key_set("a"))) as server:
        store = real(server)

        def find() -> None:
            barrier.wait(20)
            found.append(flow.run(store.find("a", "EdDSA"))[1].kid)

        threads = [threading.Thread(target=find) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(server.log) == 1
    assert found == ["a"] * 50


@pytest.mark.row("S02", "H10")
@pytest.mark.anyio
async def test_a_thousand_cold_tasks_fetch_once() -> None:
    """On asyncio and on trio, counted by the server's own log."""
    found = []
    with Loopback(lambda _: reply(200, key_set("a"))) as server:
        store = real(server)

        async def find() -> None:
            found.append((await flow.arun(store.find("a", "EdDSA")))[1].kid)

        async with anyio.create_task_group() as group:
            for _ in range(1000):
                group.start_soon(find)
        assert len(server.log) == 1
    assert found == ["a"] * 1000


@pytest.mark.row("S03")
@pytest.mark.anyio
async def test_a_task_that_goes_away_takes_nothing_along() -> None:
    """The first to ask is cancelled while the server thinks; the others are served."""
    released, found = threading.Event(), []

    def answer(_: Request) -> bytes:
        released.wait(20)
        return reply(200, key_set("a"))

    with Loopback(answer) as server:
        store, leader = real(server), anyio.CancelScope()

        async def lead() -> None:
            with leader:
                await flow.arun(store.find("a", "EdDSA"))

        async def find() -> None:
            found.append((await flow.arun(store.find("a", "EdDSA")))[1].kid)

        async with anyio.create_task_group() as group:
            group.start_soon(lead)
            await anyio.to_thread.run_sync(until, lambda: server.log)
            for _ in range(20):
                group.start_soon(find)
            await anyio.wait_all_tasks_blocked()
            leader.cancel()
            released.set()
        assert len(server.log) == 1
    assert found == ["a"] * 20


@pytest.mark.row("S03", "S04")
def test_a_loop_closed_in_mid_flight_still_brings_the_keys() -> None:
    """The answer arrives for whoever comes next, though nobody is left who asked."""
    released = threading.Event()

    def answer(_: Request) -> bytes:
        released.wait(20)
        return reply(200, key_set("a"))

    async def give_up(store: KeyStore, server: Loopback) -> None:
        task = asyncio.ensure_future(flow.arun(store.find("a", "EdDSA")))
        await asyncio.to_thread(until, lambda: server.log)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    with Loopback(answer) as server:
        store = real(server)
        asyncio.run(give_up(store, server))
        released.set()
        until(lambda: store.snapshot)
        assert flow.run(store.find("a", "EdDSA"))[1].kid == "a"
        assert len(server.log) == 1


@pytest.mark.row("S02")
def test_s02_an_answer_that_never_ends_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drip holds its callers no longer than the deadline, and all of them learn the same."""
    monkeypatch.setattr("licet.core.documents.remote.DEADLINE", 1.0)
    with Loopback(lambda _: server.drip(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.05)) as server:
        store, outcomes = real(server), []

        def find() -> None:
            with pytest.raises(KeysUnavailable) as caught:
                flow.run(store.find("a", "EdDSA"))
            outcomes.append(caught.value.reason)

        threads = [threading.Thread(target=find) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(4)
            assert not thread.is_alive()
        assert outcomes == ["keys_unavailable:timeout"] * 10
        assert len(server.log) == 1


# -- every history ---------------------------------------------------------------------------------

KIDS = "abcd"


class Histories(RuleBasedStateMachine):
    """An issuer that rotates, vanishes and comes back; callers that ask, wait and go away."""

    def __init__(self) -> None:
        super().__init__()
        self.setup = Setup("a", "b")
        self.setup.store._schedule._random = lambda: 0.5
        self.held: list[tuple[str, Any, Flight]] = []
        self.paid: list[float] = []
        self.seen: set[int] = set()
        self.keep: list[Flight] = []
        self.generation = 0

    @rule(seconds=st.sampled_from([0.1, 1, 7, 30, 61, 481, 700, 40_000]))
    def time_passes(self, seconds: float) -> None:
        self.setup.hands.advance(seconds)

    @rule(seconds=st.sampled_from([60, 90_000]))
    def the_machine_sleeps(self, seconds: float) -> None:
        self.setup.hands.suspend(seconds)

    @rule(kids=st.sets(st.sampled_from(KIDS), min_size=1))
    def the_issuer_rotates(self, kids: set[str]) -> None:
        self.setup.issuer.kids = tuple(sorted(kids))

    @rule(up=st.booleans())
    def the_issuer_comes_and_goes(self, up: bool) -> None:
        self.setup.issuer.up = up

    @rule()
    def somebody_looks(self) -> None:
        serves = self.setup.store.look()
        state = self.setup.store.health().state
        self.setup.rest()
        assert serves or state in (State.EMPTY, State.DEAD)

    @rule(kid=st.sampled_from(KIDS + "x"))
    def somebody_asks(self, kid: str) -> None:
        store = self.setup.store
        finding = store.find(kid, "EdDSA")
        state = store.health().state
        try:
            effect = next(finding)
        except StopIteration as stop:
            self.found(kid, stop.value)
        except (LicenseInvalid, KeysUnavailable):
            assert state is not State.EMPTY or store.health().failures
        else:
            assert isinstance(effect, Flight)
            if id(effect) not in self.seen:
                self.seen.add(id(effect))
                self.keep.append(effect)
                # A copy that is older has its refresh under way, which costs who joins it nothing.
                if state is State.FRESH:
                    self.paid.append(self.setup.hands.monotonic)
            self.held.append((kid, finding, effect))
        self.setup.rest()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def somebody_waits(self, data: Any) -> None:
        kid, finding, flight = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        try:
            finding.send(flight.run())
        except StopIteration as stop:
            self.found(kid, stop.value)
        except LicenseInvalid:
            assert flight.outcome
        except KeysUnavailable:
            pass
        self.setup.rest()

    @precondition(lambda self: self.held)
    @rule()
    def somebody_goes_away(self) -> None:
        self.held.pop()[1].close()

    def found(self, kid: str, value: Any) -> None:
        """Whatever was found is in the set that was last confirmed, and young enough."""
        snapshot, key = value
        assert key is snapshot.keys[kid, "EdDSA"]
        assert snapshot.generation >= self.generation
        assert self.setup.hands.wall < snapshot.stale_until

    @invariant()
    def no_key_outlives_the_set_it_was_in(self) -> None:
        snapshot = self.setup.store.snapshot
        if snapshot is not None:
            assert {kid for kid, _ in snapshot.keys} == set(self.setup.issuer.confirmed)

    @invariant()
    def there_is_one_flight_at_most(self) -> None:
        assert self.setup.issuer.most_flying <= 1
        assert len({id(flight) for _, _, flight in self.held if not flight.landed}) <= 1

    @invariant()
    def the_budget_is_not_overdrawn(self) -> None:
        for first, start in enumerate(self.paid):
            for count, end in enumerate(self.paid[first:], start=1):
                assert count <= 2 + (end - start) / 30 + 1e-6

    @invariant()
    def generations_grow(self) -> None:
        snapshot = self.setup.store.snapshot
        if snapshot is not None:
            assert snapshot.generation >= self.generation
            self.generation = snapshot.generation


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase
