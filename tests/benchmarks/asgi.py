"""Rows of Starlette: our hit beside a layer that does nothing, and beside `BaseHTTPMiddleware`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from licet.starlette import LicenseMiddleware
from tests.benchmarks import requests
from tests.benchmarks.harness import Case, Plan, each_async, least
from tests.benchmarks.material import settings, signer
from tests.benchmarks.rows import Result, Row, made_of

TOTAL = Row(1, "Starlette, hit / no-op ASGI middleware", 1.42, 1.25)
BASE = Row(2, "BaseHTTPMiddleware no-op added / our hit added", 27, 45, most=False)


class NoOp:
    """Pure ASGI that does nothing."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand on."""
        await self.app(scope, receive, send)


class NoOpBase(BaseHTTPMiddleware):
    """Starlette's way to write a middleware, which does nothing."""

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        """Hand on."""
        return await call_next(request)


def application(*middleware: Middleware) -> Starlette:
    """Return an application of one page."""

    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse("reports")

    return Starlette(routes=[Route("/", page)], middleware=middleware)


def run(plan: Plan) -> Iterator[Result]:
    """Measure rows 1 and 2."""
    token = signer("Ed25519").token()
    licensed = application(Middleware(LicenseMiddleware, settings()))
    apps = {
        "bare": application(),
        "no-op": application(Middleware(NoOp)),
        "base": application(Middleware(NoOpBase)),
        "hit": licensed,
    }
    with asyncio.Runner() as runner:
        loop = runner.get_loop()

        def status(token: bytes) -> int:
            return requests.asgi_status(licensed, requests.scope(token), loop)

        requests.guards(status, token, "Starlette, hit")
        cases = [
            Case(
                f"{name} {place}",
                requests.many(requests.scope, token, place),
                each_async(requests.asgi(app), loop),
                30 if name == "base" else 150,
            )
            for name, app in apps.items()
            for place in requests.PLACES
        ]
        took = least(cases, plan.rounds)
    for place in requests.PLACES:
        bare, noop, base, hit = (took[f"{name} {place}"] for name in apps)
        main = place == "authorization"
        row = TOTAL if main else Row(1, f"  beside: license in {place}")
        yield Result(row, hit / noop, made_of(bare=bare, no_op=noop, hit=hit))
        row = BASE if main else Row(2, f"  beside: license in {place}", most=False)
        ratio = (base - bare) / (hit - bare)
        yield Result(row, ratio, made_of(base_added=base - bare, hit_added=hit - bare))
