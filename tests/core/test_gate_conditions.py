"""The gate and the conditions of licenses: the short way and the long one, and what is told."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from licet import ConfigError, LicenseError, constraint
from licet.core import flow
from licet.core.constraints import custom
from licet.core.events.event import Event
from licet.core.events.log import DENIALS, WINDOW
from licet.core.gate import Gate
from licet.core.settings import Settings
from tests.core.hands import Hands
from tests.core.presented import Presented
from tests.licenses import ISSUER, OPTIONS, claims

NOW = 1_800_000_000


def token(**changes: Any) -> bytes:
    """Return a license from now on for an hour, by the hands of a test."""
    return ISSUER.sign(claims(iat=NOW, exp=NOW + 3600, **changes)).encode()


def request(credential: bytes, peer: str | None = "192.0.2.7", **fields: str | list[str]) -> Any:
    """Return a request with a license and the header fields given."""
    lines = {"authorization": [f"Bearer {credential.decode()}"]}
    for name, value in fields.items():
        lines[name.replace("_", "-")] = [value] if isinstance(value, str) else value
    return Presented(peer=peer, lines=lines)


def verdict(gate: Gate, facts: Any, *, short: bool) -> str:
    """Return the code of a refusal, or `ok`; by the short way only if it must be."""
    credential = facts.lines["authorization"][0].partition(" ")[2].encode()
    try:
        if short:
            grant = gate.recall(credential)
            assert grant is not None
            assert gate.admit(grant, credential, "authorization", lambda it: it, facts) is not None
        else:
            flow.run(gate.decide(facts))
    except LicenseError as error:
        return error.code
    return "ok"


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom, "_judges", {})


@pytest.fixture(name="clock")
def _clock() -> Hands:
    return Hands(wall=NOW)


@pytest.mark.parametrize("conditions", [{}, {"domains": ["a.example"]}], ids=["plain", "narrow"])
def test_https_is_demanded_both_ways(conditions: dict[str, Any], clock: Hands) -> None:
    """With `require_https` no license counts that came in clear, be it remembered or not."""
    gate = Gate(Settings(**OPTIONS, require_https=True), clock=clock.clock)
    clear, secret = (
        replace(request(token(**conditions), host="a.example"), scheme=scheme)
        for scheme in ("http", "https")
    )
    assert verdict(gate, clear, short=False) == "https_required"
    assert verdict(gate, secret, short=False) == "ok"
    assert verdict(gate, clear, short=True) == "https_required"
    assert verdict(gate, secret, short=True) == "ok"


HOSTS: tuple[Any, ...] = ("a.example", "A.EXAMPLE.:443", "b.example", "a b", [], ["a.example"] * 2)
PEERS = ("10.0.0.1", "203.0.113.9", "testclient", None)
FORWARDED = (None, "203.0.113.9", "203.0.113.9, 10.0.0.2", "odd")


@pytest.mark.parametrize(
    "options",
    [{}, {"trusted_proxies": ["10.0.0.0/8"]}, {"trusted_proxies": ["server"]}],
    ids=["alone", "proxies", "server"],
)
def test_both_ways_say_the_same(options: dict[str, Any], clock: Hands) -> None:
    """Whatever was remembered of other places, a hit is judged as a request nobody remembers."""
    short, long = (
        Gate(Settings(**OPTIONS, **options, grant_cache_size=size), clock=clock.clock)
        for size in (1024, 0)
    )
    conditions: tuple[dict[str, Any], ...] = (
        {"domains": ["a.example"]},
        {"ip_ranges": ["203.0.113.0/24"]},
        {"domains": ["a.example"], "ip_ranges": ["10.0.0.0/8"]},
    )
    seen = set()
    for changes in conditions:
        credential = token(**changes)
        flow.run(short._judgements.granted(credential))
        for host, peer, chain in itertools.product(HOSTS, PEERS, FORWARDED):
            fields = {"host": host} if chain is None else {"host": host, "x_forwarded_for": chain}
            facts = request(credential, peer, **fields)
            answers = {verdict(short, facts, short=True) for _ in range(2)}
            answers.add(verdict(long, facts, short=False))
            assert len(answers) == 1
            seen |= answers
    assert seen == {"ok", "bad_host", "license_domain", "license_ip"}


def test_a_denied_hit_is_told_once(clock: Hands) -> None:
    """With its code and its reason; a license that was verified is told of once a minute."""
    gate = Gate(Settings(**OPTIONS), clock=clock.clock)
    told: list[Event] = []
    gate.events.subscribe(told.append)
    credential = token(domains=["a.example"])
    assert verdict(gate, request(credential, host="a.example"), short=False) == "ok"
    assert verdict(gate, request(credential, host="a.example"), short=True) == "ok"
    assert [event.name for event in told] == ["license.verified"]
    assert verdict(gate, request(credential, host="b.example"), short=True) == "license_domain"
    data = {"code": "license_domain", "reason": "domains:b.example"}
    assert told[-1] == Event("license.denied", data)
    assert [event.name for event in told[1:]] == ["license.suspicious_activity", "license.denied"]


def test_failures_do_not_flood_the_log(clock: Hands, caplog: pytest.LogCaptureFixture) -> None:
    """What fails for each request is logged with its trace a few times a minute; all are no."""

    @constraint("tenant")
    def tenant(value: Any, facts: Any) -> bool:
        raise KeyError("tenant")

    gate = Gate(Settings(**OPTIONS), clock=clock.clock)
    facts = request(token(tenant="acme"))

    def traces() -> int:
        caplog.clear()
        for _ in range(3 * DENIALS):
            assert verdict(gate, facts, short=False) == "license_unavailable"
        return sum(record.exc_info is not None for record in caplog.records)

    assert traces() == DENIALS
    assert traces() == 0
    clock.advance(WINDOW)
    assert traces() == DENIALS


def test_what_cannot_be_told_is_a_warning(clock: Hands, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal for this side's own trouble is seen at the level that logs have by default."""
    gate = Gate(Settings(**OPTIONS), clock=clock.clock)
    bound = token(cnf={"jkt": "A" * 43})
    facts = Presented(lines={"x-license-token": [bound.decode()], "dpop": ["a.b.c"]})
    with caplog.at_level(logging.WARNING, "licet"), pytest.raises(LicenseError):
        flow.run(gate.decide(facts))
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith("code=license_unavailable reason=no_external_url")


def _generator(value: Any, facts: Any) -> Iterator[bool]:
    yield False


async def _steps(value: Any, facts: Any) -> Any:
    yield False


class _Mute:
    def __init__(self, value: Any) -> None:
        pass


class _Stepwise:
    def __init__(self, value: Any) -> None:
        pass

    def __call__(self, facts: Any) -> Iterator[bool]:
        yield False


@pytest.mark.parametrize("judge", [_generator, _steps, _Mute, _Stepwise])
def test_what_never_answers_cannot_be_registered(judge: Any) -> None:
    """Generators, and classes whose instances cannot be called, fail at import."""
    with pytest.raises(TypeError, match="plain"):
        constraint("tenant")(judge)


@pytest.mark.parametrize(
    "answer",
    [
        (each for each in [False]),
        filter(None, []),
        iter([]),
        "a".__eq__(1),
        _steps(None, None),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_an_answer_that_is_true_whatever_comes_of_it_refuses(answer: Any, clock: Hands) -> None:
    """A forgotten `any(…)` is no yes."""
    constraint("tenant")(lambda value, facts: answer)
    gate = Gate(Settings(**OPTIONS), clock=clock.clock)
    facts = request(token(tenant="acme"))
    assert verdict(gate, facts, short=False) == "license_unavailable"
    assert verdict(gate, facts, short=True) == "license_unavailable"


@pytest.mark.parametrize("answer", [True, 1, "yes", ["acme"]])
def test_what_is_true_holds(answer: Any, clock: Hands) -> None:
    """A constraint may answer with anything that is true or not."""
    constraint("tenant")(lambda value, facts: answer)
    gate = Gate(Settings(**OPTIONS), clock=clock.clock)
    assert verdict(gate, request(token(tenant="acme")), short=False) == "ok"


def test_a_store_that_is_no_place_fails_at_the_start() -> None:
    """The password in its address is not in what is said of it."""
    for store in ("mysql://u:secret-word@h", "redis://u:secret-word@h/0?bogus=1"):
        with pytest.raises(ConfigError) as caught:
            Gate(Settings(**OPTIONS, store=store))
        assert "secret-word" not in str(caught.value)
