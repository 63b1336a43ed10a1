"""Rows of the core alone: misses, hits, refusals and what a demand in a view costs."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from typing import Any

import jwt

from licet import Settings, bind, requires_feature
from licet.core import flow
from licet.core.entitlements import Entitlements
from licet.core.environ import EnvironFacts
from licet.core.errors import LicenseError
from licet.core.gate import Gate
from licet.core.grants import Grant, GrantCache
from licet.core.grants.reading import TermsTable
from licet.core.token.claims import Claims
from tests.benchmarks.harness import Case, Plan, each, least
from tests.benchmarks.material import (
    ALGORITHMS,
    AUDIENCE,
    ISSUER,
    Signer,
    claims,
    copies,
    forged,
    fresh,
    settings,
    signer,
)
from tests.benchmarks.rows import Result, Row, made_of

MISS = {"Ed25519": (1.27, 1.15), "ES256": (1.50, 1.30), "RS256": (2.15, 1.70)}
HIT = {"Ed25519": (100, 170), "ES256": (80, 130), "RS256": (50, 75)}
DEMAND = Row(15, "@requires_feature added / a no-op decorator added", 4)
KEYS = Row(10, "miss, 100 keys in the JWKS / 1", 1.05, 1.02)
INSERT = Row(11, "insert into a full cache of {} / of 1,000", 2.3, 1.5)
REFUSED = "refused: {} / PyJWT decode RS256"


def run(plan: Plan) -> Iterator[Result]:
    """Measure rows 3, 4, 10, 11, 15 and 16."""
    logging.getLogger("licet").addHandler(logging.NullHandler())
    full, small = f"full of {plan.cached}", "full of 1000"
    junk = _junk()
    cases = [case for name in ALGORITHMS for case in _of_algorithm(name)]
    cases += [_among(100), _among(1), _inserts(plan.cached, full), _inserts(1_000, small)]
    cases += [*_demands(), *_refusals(junk)]
    took = least(cases, plan.rounds)

    for name, (floor, goal) in MISS.items():
        miss, raw = took[f"{name} miss"], took[f"{name} raw"]
        row = Row(3, f"core miss / raw verify, {name}", floor, goal)
        yield Result(row, miss / raw, made_of(miss=miss, raw=raw))
    for name, (floor, goal) in HIT.items():
        decode, hit, view = (took[f"{name} {what}"] for what in ("decode", "hit", "hit and view"))
        row = Row(4, f"PyJWT decode / core hit, {name}", floor, goal, most=False)
        made = made_of(decode=decode, hit=hit, with_the_view_of_it=view)
        yield Result(row, decode / hit, made)
        row = Row(4, f"  beside: hit and the view of it, {name}", most=False)
        yield Result(row, decode / view)
    many, one = took["among 100"], took["among 1"]
    yield Result(KEYS, many / one, made_of(with_100=many, with_1=one))
    most, least_ = took[full], took[small]
    row = Row(11, INSERT.what.format(f"{plan.cached:,}"), INSERT.floor, INSERT.goal)
    yield Result(row, most / least_, made_of(large=most, small=least_))
    bare, noop, demand = (took[name] for name in ("bare view", "no-op decorator", "demand"))
    added = made_of(bare=bare, no_op=noop, demand=demand)
    yield Result(DEMAND, (demand - bare) / (noop - bare), added)
    for name in junk:
        row = Row(16, REFUSED.format(name), 0.13, 0.03)
        refused, decode = took[f"refused {name}"], took["RS256 decode"]
        yield Result(row, refused / decode, made_of(refused=refused, decode=decode))


def always_missing(*signers: Signer, **options: Any) -> Callable[[bytes], Entitlements]:
    """Return what judges a license anew each time, as long as two come in turn: it keeps one."""
    gate = Gate(settings(*signers, grant_cache_size=1, **options))
    return lambda credential: flow.run(gate.verify(credential))


def _of_algorithm(name: str) -> list[Case]:
    ours = signer(name)
    tokens, token = ours.tokens(64), ours.token()
    # Of the same tokens, in the same order, as the miss verifies.
    verifications, miss = [ours.bare(one) for one in tokens], always_missing(ours)
    gate = Gate(settings(ours))
    flow.run(gate.verify(token))
    recall, admit = gate.recall, gate.admit

    def decode(credential: bytes) -> object:
        return jwt.decode(
            credential, ours.public, algorithms=[ours.alg], audience=AUDIENCE, issuer=ISSUER
        )

    def view(credential: bytes) -> Entitlements | None:
        grant = recall(credential)
        return (
            None if grant is None else admit(grant, credential, "authorization", EnvironFacts, {})
        )

    for judge in (decode, miss):
        judge(token)
        try:
            judge(forged(token))
        except (jwt.InvalidSignatureError, LicenseError):
            continue
        raise AssertionError("took a forged license")
    assert recall(fresh(token))
    assert not recall(forged(token))

    def same(count: int) -> Sequence[bytes]:
        return [fresh(token) for _ in range(count)]

    def others(count: int) -> Sequence[bytes]:
        return copies(islice(cycle(tokens), count))

    def bare(count: int) -> Sequence[Callable[[], object]]:
        return list(islice(cycle(verifications), count))

    return [
        Case(f"{name} raw", bare, each(lambda verify: verify()), 40),
        Case(f"{name} miss", others, each(miss), 40),
        Case(f"{name} decode", same, each(decode), 40),
        Case(f"{name} hit", same, each(recall), 1_000),
        Case(f"{name} hit and view", same, each(view), 1_000),
    ]


def _among(count: int) -> Case:
    signers = [Signer("Ed25519", f"bench-{number}") for number in range(count)]
    tokens = signers[-1].tokens(64)
    miss = always_missing(*signers)
    return Case(f"among {count}", lambda n: copies(islice(cycle(tokens), n)), each(miss), 40)


def _inserts(size: int, name: str) -> Case:
    cache, terms = GrantCache(size), TermsTable().intern(claims())
    counted = iter(range(1 << 62))

    def grants(count: int) -> list[tuple[bytes, Grant]]:
        return [
            (
                # Spread as digests are, of which a dict takes the first bytes' hash.
                (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8) * 4,
                Grant(
                    Claims(ISSUER, f"lic_{number}", None, 0.0, 1.0, 0.0, {}),
                    terms,
                    leeway=0.0,
                    since=0.0,
                    until=1.0,
                    keys=None,
                    thumbprint="",
                    generation=1,
                ),
            )
            for number in islice(counted, count)
        ]

    def put(pair: tuple[bytes, Grant]) -> None:
        cache.put(*pair)

    # Over the brim, so that what was deleted before is there to be walked over.
    for pair in grants(size + size // 2):
        put(pair)
    assert len(cache) == size
    return Case(name, grants, each(put), 1_000)


def _demands() -> list[Case]:
    def view(request: object) -> object:
        return request

    def noop(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    gate, token = Gate(settings()), signer("Ed25519").token()
    entitlements = flow.run(gate.verify(token))

    def bound(function: Callable[[Any], object]) -> Callable[[Sequence[Any]], float]:
        timed = each(function)

        def inside(inputs: Sequence[Any]) -> float:
            with bind(entitlements):
                return timed(inputs)

        return inside

    demanding = requires_feature("analytics")(view)
    return [
        Case("bare view", range, bound(view), 5_000),
        Case("no-op decorator", range, bound(noop(view)), 5_000),
        Case("demand", range, bound(demanding), 5_000),
    ]


def _junk() -> dict[str, bytes]:
    good = signer("RS256").token()
    return {
        "no dots": b"x" * len(good),
        "bad base64": b"*".join((good[:100], good[101:])),
        "no JSON": b".".join(segment[2:] + b"AA" for segment in good.split(b".")),
        "oversized": good * 9,
    }


def _refusals(junk: dict[str, bytes]) -> list[Case]:
    ours: Settings = settings(signer("RS256"))
    gate = Gate(ours)

    def refused(environ: dict[str, str]) -> None:
        try:
            flow.run(gate.decide(EnvironFacts(environ)))
        except LicenseError:
            return
        raise AssertionError("took junk")

    def of(token: bytes) -> Callable[[int], Sequence[Any]]:
        return lambda count: [
            {"HTTP_AUTHORIZATION": "Bearer " + token.decode()} for _ in range(count)
        ]

    assert flow.run(gate.decide(EnvironFacts(of(signer("RS256").token())(1)[0])))
    return [Case(f"refused {name}", of(token), each(refused), 200) for name, token in junk.items()]
