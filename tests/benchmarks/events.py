"""Rows of events: what being watched adds to a hit, and what a watched license takes."""

from __future__ import annotations

import asyncio
import base64
import logging
import math
import secrets
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from starlette.middleware import Middleware

from licet import Settings, events
from licet.asgi.facts import AsgiFacts
from licet.contrib import otel
from licet.contrib.prometheus import LicetCollector
from licet.core import admissions, gates
from licet.core.clock import Clock
from licet.core.events.bus import GateBus
from licet.core.events.observations import MOST, Observations
from licet.starlette import LicenseMiddleware
from tests.benchmarks import requests
from tests.benchmarks.asgi import application
from tests.benchmarks.harness import Case, Plan, each, each_async, least
from tests.benchmarks.material import settings, signer
from tests.benchmarks.rows import Result, Row, made_of
from tests.core.license_server import AUTHORITY
from tests.core.loopback import Loopback, reply

HIT = Row(29, "hit, everything told and watched / nothing", 1.05, 1.02)
LOOK = Row(29, "  beside: one hit in 20 ms looked at, share of the time", 0.01, 0.001)
MEMORY = Row(30, f"bytes per watched license of {MOST:,}, and what was told of it", 1500, unit=" B")
TENFOLD = Row(30, "  beside: after ten times the events / after one", 1.5)


def run(plan: Plan) -> Iterator[Result]:
    """Measure rows 29 and 30."""
    logging.getLogger("licet").addHandler(logging.NullHandler())
    with ExitStack() as stack:
        yield from _hits(plan, stack)
    yield from _memory(min(MOST, plan.cached))


def _hits(plan: Plan, stack: ExitStack) -> Iterator[Result]:
    receiver = stack.enter_context(Loopback(lambda request: reply(204)))
    told = {
        "webhook_url": receiver.url,
        "webhook_secret": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "tls_ca_file": str(AUTHORITY),
    }
    token, loop = signer("Ed25519").token(), stack.enter_context(asyncio.Runner()).get_loop()

    def licensed(chosen: Settings, sample: float) -> Any:
        # The gate is made with the first request.
        usual, admissions.SAMPLE = admissions.SAMPLE, sample
        app = application(Middleware(LicenseMiddleware, chosen))
        requests.guards(
            lambda token: requests.asgi_status(app, requests.scope(token), loop), token, "hit"
        )
        admissions.SAMPLE = usual
        return app

    nothing, everything = settings(), settings(**told)
    apps = {
        "nothing": licensed(nothing, math.inf),
        "everything": licensed(everything, admissions.SAMPLE),
    }
    subscription = events.subscribe()(lambda event: None)
    stack.callback(subscription.cancel)
    provider, collector = MeterProvider([InMemoryMetricReader()]), LicetCollector()
    otel.instrument(provider)
    stack.callback(provider.shutdown)
    gate = gates.gate_for(everything)
    grant = gate.recall(token)
    assert grant is not None
    cases = [
        Case(name, requests.many(requests.scope, token), each_async(requests.asgi(app), loop), 150)
        for name, app in apps.items()
    ]

    def look(scope: Any) -> None:
        gate._admissions.notice(grant, AsgiFacts(scope))

    cases.append(Case("look", requests.many(requests.scope, token), each(look), 150))
    took = least(cases, plan.rounds)
    assert list(collector.collect())
    hit, bare = took["everything"], took["nothing"]
    yield Result(HIT, hit / bare, made_of(everything=hit, nothing=bare))
    share = took["look"] / 1e6 / admissions.SAMPLE
    yield Result(LOOK, share, made_of(look=took["look"]))


def _memory(many: int) -> Iterator[Result]:
    now = [0.0]
    clock = Clock(wall=lambda: now[0], monotonic=lambda: now[0])
    watching = Observations(GateBus(clock), clock, personal=True)
    grants: list[Any] = [
        SimpleNamespace(
            issuer="https://licenses.acme.example/",
            license_id=f"lic_{number:026}",
            verified_by="local",
            stage=SimpleNamespace(status=None),
            issued_at=-1e9,
            expires_at=86_400.0 * 10,
            wall=clock.wall,
        )
        for number in range(many)
    ]

    def use(times: int) -> int:
        """Have each license used so often, from another network each time; return the bytes."""
        for number in range(times):
            now[0] += 1
            where: Any = SimpleNamespace(address=lambda at=number: IPv4Address(at * 7919 << 8))
            for grant in grants:
                watching.admitted(grant, where, 7_000)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    once = use(1) - before
    tenfold = use(9) - before
    tracemalloc.stop()
    assert len(watching) == many
    yield Result(MEMORY, once / many, f"{once:,} bytes in all")
    yield Result(TENFOLD, tenfold / once, f"{tenfold:,} / {once:,} bytes")
