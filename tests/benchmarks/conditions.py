"""The row of constraints: what a license that holds only here and from there adds to a hit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from starlette.middleware import Middleware

from licet.starlette import LicenseMiddleware as StarletteMiddleware
from licet.wsgi import LicenseMiddleware as WsgiMiddleware
from tests.benchmarks import requests
from tests.benchmarks.asgi import application
from tests.benchmarks.harness import Case, Plan, each, each_async, least
from tests.benchmarks.material import fresh, settings, signer
from tests.benchmarks.rows import Result, Row, made_of

MOST = 2.0
HERE = {"domains": ["*.acme.example"], "ip_ranges": ["127.0.0.0/8", "203.0.113.0/24"]}
#: What is trusted, and what a proxy there says.
PLACES: dict[str, tuple[dict[str, Any], dict[str, bytes]]] = {
    "direct": ({}, {}),
    "behind a proxy": (
        {"trusted_proxies": ("127.0.0.0/8",)},
        {"x-forwarded-for": b"203.0.113.9", "x-forwarded-host": b"reports.acme.example"},
    ),
}


def _page(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"reports"]


def _scopes(token: bytes, fields: dict[str, bytes]) -> Callable[[int], Sequence[Any]]:
    def scope() -> dict[str, Any]:
        whole = requests.scope(token)
        whole["headers"] += [(fresh(name.encode()), fresh(value)) for name, value in fields.items()]
        return whole

    return requests.many(scope)


def _environs(token: bytes, fields: dict[str, bytes]) -> Callable[[int], Sequence[Any]]:
    said = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in fields.items()}

    def environ() -> dict[str, Any]:
        # As gunicorn has it: with the target as it was sent.
        whole = requests.environ(token) | {"RAW_URI": "/"}
        return whole | {name: value.decode("latin-1") for name, value in said.items()}

    return requests.many(environ)


def run(plan: Plan) -> Iterator[Result]:
    """Measure row 20."""
    tokens = {"free": signer("Ed25519").token(), "bound": signer("Ed25519").token(**HERE)}
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        cases: list[Case] = []
        for place, (options, fields) in PLACES.items():
            ours = settings(**options)
            asgi, wsgi = (
                application(Middleware(StarletteMiddleware, ours)),
                WsgiMiddleware(_page, ours),
            )
            for name, token in tokens.items():
                scopes, environs = _scopes(token, fields), _environs(token, fields)
                assert requests.asgi_status(asgi, scopes(1)[0], loop) == 200
                assert requests.wsgi_status(wsgi, environs(1)[0]) == 200
                cases += [
                    Case(
                        f"Starlette {place} {name}", scopes, each_async(requests.asgi(asgi), loop)
                    ),
                    Case(f"WSGI {place} {name}", environs, each(requests.wsgi(wsgi))),
                ]
            elsewhere = signer("Ed25519").token(**{**HERE, "domains": ["elsewhere.example"]})
            assert requests.asgi_status(asgi, _scopes(elsewhere, fields)(1)[0], loop) == 403
            assert requests.wsgi_status(wsgi, _environs(elsewhere, fields)(1)[0]) == 403
        took = least(cases, plan.rounds)
    for place in PLACES:
        for protocol in ("Starlette", "WSGI"):
            bound, free = (took[f"{protocol} {place} {name}"] for name in ("bound", "free"))
            what = f"domain and network constraints added to a hit, {protocol}, {place}"
            row = Row(20, what, MOST, unit=" µs")
            yield Result(row, bound - free, made_of(with_them=bound, without=free))
