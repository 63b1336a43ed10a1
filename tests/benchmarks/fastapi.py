"""Row of FastAPI: our hit beside auth0-fastapi-api, whose two documents are local."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from fastapi import Depends, FastAPI
from fastapi_plugin import Auth0FastAPI

from licet.fastapi import LicenseMiddleware
from tests.benchmarks import requests
from tests.benchmarks.harness import Case, Plan, each_async, least
from tests.benchmarks.material import AUDIENCE, ISSUER, settings, signer
from tests.benchmarks.rows import Result, Row, made_of

ADDED = Row(7, "auth0-fastapi-api added / our hit added", 40, 80, most=False)


def application(*dependencies: Any) -> FastAPI:
    """Return an application of one page."""
    app = FastAPI()

    @app.get("/", dependencies=dependencies)
    async def page() -> dict[str, str]:
        return {"page": "reports"}

    return app


def ours() -> FastAPI:
    """Return the application with our middleware."""
    app = application()
    app.add_middleware(LicenseMiddleware, settings=settings())
    return app


def peer(fetched: list[str]) -> FastAPI:
    """Return the application with auth0-fastapi-api; `fetched` hears of each document."""
    documents = {
        f"{ISSUER}.well-known/openid-configuration": {
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}.well-known/jwks.json",
        },
        f"{ISSUER}.well-known/jwks.json": {"keys": [signer("RS256").jwk]},
    }

    async def fetch(url: str) -> dict[str, Any]:
        fetched.append(url)
        return documents[url]

    domain = ISSUER.removeprefix("https://").rstrip("/")
    auth0 = Auth0FastAPI(domain=domain, audience=AUDIENCE, custom_fetch=fetch)
    return application(Depends(auth0.require_auth()))


def run(plan: Plan) -> Iterator[Result]:
    """Measure row 7."""
    fetched: list[str] = []
    token, theirs = signer("Ed25519").token(), signer("RS256").token()
    apps = {
        "bare": (application(), token),
        "hit": (ours(), token),
        "peer": (peer(fetched), theirs),
    }
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        for name, (app, good) in apps.items():
            if name != "bare":

                def status(token: bytes, app: FastAPI = app) -> int:
                    return requests.asgi_status(app, requests.scope(token), loop)

                requests.guards(status, good, name)
        cases = [
            Case(
                f"{name} {place}",
                requests.many(requests.scope, good, place),
                each_async(requests.asgi(app), loop),
                20 if name == "peer" else 50,
            )
            for name, (app, good) in apps.items()
            for place in requests.PLACES
            if name != "peer" or place == "authorization"
        ]
        took = least(cases, plan.rounds)
    assert len(fetched) == 2, "the peer was timed with its fetches"
    added = took["peer authorization"] - took["bare authorization"]
    for place in requests.PLACES:
        bare = took[f"bare {place}"]
        hit = took[f"hit {place}"] - bare
        main = place == "authorization"
        row = ADDED if main else Row(7, f"  beside: license in {place}", most=False)
        yield Result(row, added / hit, made_of(bare=bare, peer_added=added, hit_added=hit))
