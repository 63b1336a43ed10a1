"""Rows of Flask: our hit, around the application and before the view, and flask-jwt-extended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flask
import jwt
from flask_jwt_extended import JWTManager, jwt_required

from licet.flask import Licet, render_errors
from licet.wsgi import LicenseMiddleware
from tests.benchmarks import requests
from tests.benchmarks.harness import Case, Plan, each, least
from tests.benchmarks.material import claims, settings, signer
from tests.benchmarks.rows import Result, Row, made_of

OURS = {"licet.wsgi": (40, 90), "before_request": (32, 60)}


def application(guard: Callable[[Any], Any] = lambda view: view) -> flask.Flask:
    """Return an application of one page."""
    app = flask.Flask("bench")

    @app.get("/")
    @guard
    def page() -> str:
        return "reports"

    return app


def around() -> flask.Flask:
    """Return the application with our WSGI middleware around it."""
    app = application()
    app.wsgi_app = LicenseMiddleware(app.wsgi_app, settings())  # type: ignore[method-assign]
    render_errors(app, settings())
    return app


def before() -> flask.Flask:
    """Return the application with our extension."""
    app = application()
    Licet(app, settings())
    return app


def peer() -> flask.Flask:
    """Return the application with flask-jwt-extended, set up for RS256 by its documentation."""
    app = application(jwt_required())
    app.config["JWT_ALGORITHM"] = "RS256"
    app.config["JWT_PUBLIC_KEY"] = signer("RS256").pem
    app.config["JWT_DECODE_AUDIENCE"] = claims()["aud"]
    app.config["JWT_DECODE_ISSUER"] = claims()["iss"]
    manager = JWTManager(app)

    # It answers 422 where nothing else is said.
    @manager.invalid_token_loader
    def invalid(reason: str) -> tuple[str, int]:
        return "refused", 401

    return app


def peer_token() -> bytes:
    """Return a token with the claims that flask-jwt-extended writes."""
    extras = {"jti": "8f0c3a52-7f0f-4a0e-9a57-6c1d5f0d4f11", "type": "access", "fresh": False}
    return jwt.encode(claims(**extras), signer("RS256").private, "RS256").encode()


def run(plan: Plan) -> Iterator[Result]:
    """Measure row 5."""
    token, theirs = signer("Ed25519").token(), peer_token()
    apps = {
        "bare": (application(), token),
        "licet.wsgi": (around(), token),
        "before_request": (before(), token),
        "peer": (peer(), theirs),
    }
    for name, (app, good) in apps.items():
        if name != "bare":

            def status(token: bytes, app: flask.Flask = app) -> int:
                return requests.wsgi_status(app, requests.environ(token))

            requests.guards(status, good, name)
    cases = [
        Case(
            f"{name} {place}",
            requests.many(requests.environ, good, place),
            each(requests.wsgi(app)),
            20 if name == "peer" else 50,
        )
        for name, (app, good) in apps.items()
        for place in requests.PLACES
        if name != "peer" or place == "authorization"
    ]
    took = least(cases, plan.rounds)
    for place in requests.PLACES:
        bare = took[f"bare {place}"]
        added = took["peer authorization"] - took["bare authorization"]
        for name, (floor, goal) in OURS.items():
            hit = took[f"{name} {place}"] - bare
            row = (
                Row(5, f"flask-jwt-extended added / hit added, {name}", floor, goal, most=False)
                if place == "authorization"
                else Row(5, f"  beside: {name}, license in {place}", most=False)
            )
            yield Result(row, added / hit, made_of(bare=bare, peer_added=added, hit_added=hit))
