"""Rows of Django: our hit beside simplejwt, and, under ASGI, beside a sync-only middleware."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import django
import jwt
from django.conf import settings as django_settings
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.wsgi import WSGIHandler
from django.test.utils import override_settings

from tests.benchmarks import requests
from tests.benchmarks.harness import Case, Plan, each, each_async, least
from tests.benchmarks.material import AUDIENCE, ISSUER, claims, settings, signer
from tests.benchmarks.rows import Result, Row, made_of

OURS = "licet.django.middleware.LicenseMiddleware"
ADDED = Row(6, "simplejwt (stateless, RS256) added / our hit added", 20, 45, most=False)
HOP = Row(17, "async view: our hit added / a sync-only middleware added", 0.15, 0.03)


class SyncOnly:
    """A middleware that Django under ASGI has to run in a thread."""

    sync_capable, async_capable = True, False

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        """Hand on."""
        return self.get_response(request)


def set_up() -> None:
    """Configure the project, simplejwt by its documentation."""
    django_settings.configure(
        SECRET_KEY="bench",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="tests.benchmarks.django_urls",
        MIDDLEWARE=[],
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "rest_framework",
            "licet.django",
        ],
        REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},
        SIMPLE_JWT={
            "ALGORITHM": "RS256",
            "VERIFYING_KEY": signer("RS256").pem,
            "AUDIENCE": AUDIENCE,
            "ISSUER": ISSUER,
        },
        LICET_ISSUER=ISSUER,
        LICET_AUDIENCE=AUDIENCE,
        LICET_JWKS=settings().jwks,
        LICET_JWKS_URL=None,
    )
    django.setup()


def wsgi(*middleware: str) -> Any:
    """Return the project with so much middleware."""
    with override_settings(MIDDLEWARE=list(middleware)):
        return WSGIHandler()


def asgi(*middleware: str) -> Any:
    """Return the same under ASGI."""
    with override_settings(MIDDLEWARE=list(middleware)):
        return ASGIHandler()


def peer_token() -> bytes:
    """Return a token with the claims that simplejwt writes."""
    extras = {"jti": "8f0c3a527f0f4a0e9a576c1d5f0d4f11", "token_type": "access", "user_id": "7"}
    return jwt.encode(claims(**extras), signer("RS256").private, "RS256").encode()


def run(plan: Plan) -> Iterator[Result]:
    """Measure rows 6 and 17."""
    set_up()
    yield from _beside_simplejwt(plan)
    yield from _under_asgi(plan)


def _beside_simplejwt(plan: Plan) -> Iterator[Result]:
    token, theirs = signer("Ed25519").token(), peer_token()
    bare, licensed = wsgi(), wsgi(OURS)
    apps = {
        "bare": (bare, token, "/"),
        "hit": (licensed, token, "/"),
        "DRF bare": (bare, token, "/open"),
        "DRF hit": (licensed, token, "/open"),
        "peer": (bare, theirs, "/guarded"),
    }
    for name, (app, good, where) in apps.items():
        if "bare" not in name:

            def status(token: bytes, app: Any = app, where: str = where) -> int:
                return requests.wsgi_status(app, requests.environ(token, path=where))

            requests.guards(status, good, name)
    cases = [
        Case(
            f"{name} {place}",
            requests.many(requests.environ, good, place, where),
            each(requests.wsgi(app)),
            20 if name == "peer" else 60,
        )
        for name, (app, good, where) in apps.items()
        for place in requests.PLACES
        if name != "peer" or place == "authorization"
    ]
    took = least(cases, plan.rounds)
    added = took["peer authorization"] - took["DRF bare authorization"]
    for place in requests.PLACES:
        main = place == "authorization"
        for kind in ("", "DRF "):
            plain = took[f"{kind}bare {place}"]
            hit = took[f"{kind}hit {place}"] - plain
            where = f"license in {place}" + (", on a DRF view" if kind else "")
            row = ADDED if main and not kind else Row(6, f"  beside: {where}", most=False)
            yield Result(row, added / hit, made_of(bare=plain, peer_added=added, hit_added=hit))


def _under_asgi(plan: Plan) -> Iterator[Result]:
    token = signer("Ed25519").token()
    handlers = {
        "bare": asgi(),
        "hit": asgi(OURS),
        "sync-only": asgi(f"{__name__}.SyncOnly"),
    }

    def request(token: bytes, place: str = "authorization") -> ASGIRequest:
        return ASGIRequest(requests.scope(token, place, "/async"), BytesIO())

    with asyncio.Runner() as runner:
        loop = runner.get_loop()

        def status(token: bytes) -> int:
            answer = handlers["hit"].get_response_async(request(token))
            return int(loop.run_until_complete(answer).status_code)

        requests.guards(status, token, "Django, async hit")
        cases = [
            Case(
                f"{name} {place}",
                requests.many(request, token, place),
                each_async(handler.get_response_async, loop),
                20 if name == "sync-only" else 100,
            )
            for name, handler in handlers.items()
            for place in requests.PLACES
        ]
        took = least(cases, plan.rounds)
    for place in requests.PLACES:
        bare, hit, hop = (took[f"{name} {place}"] for name in handlers)
        row = HOP if place == "authorization" else Row(17, f"  beside: license in {place}")
        made = made_of(bare=bare, hit_added=hit - bare, sync_only_added=hop - bare)
        yield Result(row, (hit - bare) / (hop - bare), made)
