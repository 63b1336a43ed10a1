"""The row of usage: what being charged adds to a request, and to the store's own round trip.

A round trip is what the store takes by itself to count one more.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from licet import bind, consume, consumes, verify
from licet.core.stores import Store, key, open_store
from licet.starlette import LicenseMiddleware
from licet.wsgi import LicenseMiddleware as WsgiMiddleware
from tests.benchmarks import requests
from tests.benchmarks.asgi import application
from tests.benchmarks.harness import Case, Plan, each, each_async, least
from tests.benchmarks.material import settings, signer
from tests.benchmarks.rows import Result, Row, made_of
from tests.core.license_server import AUTHORITY
from tests.core.loopback import Loopback, reply
from tests.core.redis_server import BINARY, RedisServer

LIMIT = 10**9
#: Nobody listens there, and nothing is sent as long as nothing is used.
TOLD = {
    "usage_url": "http://127.0.0.1:9/usage",
    "validation_credentials": "lvk_bench",
    "tls_ca_file": str(AUTHORITY),
}
TRIP, GOAL = "consumes / bare round trip", 1.3
#: What the store counts by itself.
PLACE = key("bench", "calls")


def run(plan: Plan) -> Iterator[Result]:
    """Measure row 19."""
    token = signer("Ed25519").token(limits={"calls": LIMIT, "seats": LIMIT})
    with ExitStack() as stack:
        loop = stack.enter_context(asyncio.Runner()).get_loop()
        yield from _requests(plan, token, loop)
        yield from _hits(plan, token, loop)
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        yield from _round_trips(plan, token, loop, "SQLite", f"sqlite://{directory}/store")
        if BINARY is not None:
            redis = stack.enter_context(RedisServer())
            yield from _round_trips(plan, token, loop, "Redis", redis.url)


def _page(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"reports"]


async def _view(request: Request) -> PlainTextResponse:
    return PlainTextResponse("reports")


def _requests(plan: Plan, token: bytes, loop: asyncio.AbstractEventLoop) -> Iterator[Result]:
    """Measure what `consumes` adds to a request, on `memory://`."""
    ours = settings()
    with Loopback(lambda request: reply(204)) as vendor:
        told = settings(**TOLD | {"usage_url": vendor.url})
        cases = []
        for name, options, decorate in (
            ("plain", ours, lambda view: view),
            ("calls", ours, consumes("calls")),
            ("seats", ours, consumes("seats", by=lambda request: "alice")),
            ("metered", told, consumes("calls")),
        ):
            app = Starlette(
                routes=[Route("/", decorate(_view))],
                middleware=[Middleware(LicenseMiddleware, options)],
            )
            wsgi = WsgiMiddleware(decorate(_page), options)
            assert requests.asgi_status(app, requests.scope(token), loop) == 200
            assert requests.wsgi_status(wsgi, requests.environ(token)) == 200
            scopes, environs = (
                requests.many(made, token) for made in (requests.scope, requests.environ)
            )
            cases += [
                Case(f"Starlette {name}", scopes, each_async(requests.asgi(app), loop)),
                Case(f"WSGI {name}", environs, each(requests.wsgi(wsgi))),
            ]
        took = least(cases, plan.rounds)
    for protocol in ("Starlette", "WSGI"):
        plain = took[f"{protocol} plain"]
        for name in ("calls", "seats", "metered"):
            one = took[f"{protocol} {name}"]
            what = f"consumes on memory:// added to a request, {protocol}, {name}"
            yield Result(Row(19, what, unit=" µs"), one - plain, made_of(plain=plain, charged=one))


def _hits(plan: Plan, token: bytes, loop: asyncio.AbstractEventLoop) -> Iterator[Result]:
    """Measure what it adds to a hit that consumes nothing that the vendor would be told."""
    cases = []
    for name, options in (("silent", {}), ("told", TOLD)):
        app = application(Middleware(LicenseMiddleware, settings(**options)))
        assert requests.asgi_status(app, requests.scope(token), loop) == 200
        inputs = requests.many(requests.scope, token)
        cases.append(Case(name, inputs, each_async(requests.asgi(app), loop)))
    took = least(cases, plan.rounds)
    row = Row(19, "hit that consumes nothing, with metering / without", goal=1.02)
    yield Result(row, took["told"] / took["silent"], made_of(**took))


def _round_trips(
    plan: Plan, token: bytes, loop: asyncio.AbstractEventLoop, name: str, url: str
) -> Iterator[Result]:
    """Measure a charge beside what its store takes to count one more."""
    store, ours = open_store(url), settings(store=url)

    @consumes("calls")
    def view() -> None: ...

    @consumes("calls")
    async def aview() -> None: ...

    async def bare(_: int) -> None:
        await _count(store).arun()

    async def charged(_: int) -> None:
        await aview()

    with bind(verify(token.decode(), ours)):
        view()
        loop.run_until_complete(bare(0))
        cases = [
            Case("bare", range, each(lambda _: _count(store).run())),
            Case("charged", range, each(lambda _: view())),
            Case("bare, async", range, each_async(bare, loop)),
            Case("charged, async", range, each_async(charged, loop)),
        ]
        took = least(cases, plan.rounds)
        rate = consume("calls", 0).rate
        assert rate is not None
        assert rate.used > plan.rounds
    for kind in ("", ", async"):
        one, trip = took[f"charged{kind}"], took[f"bare{kind}"]
        row = Row(19, f"{TRIP}, {name}{kind}", goal=GOAL)
        yield Result(row, one / trip, made_of(round_trip=trip, charged=one))
    loop.run_until_complete(asyncio.sleep(0))
    store.close()


def _count(store: Store) -> Any:
    return store.increment(PLACE, 1, LIMIT, 3600.0)
