"""Licet in front of a plain WSGI application."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from licet import (
    LicenseError,
    RoleNotGranted,
    consume,
    consumes,
    current_entitlements,
    requires_feature,
    requires_role,
    requires_scope,
)
from licet.core.entitlements.context import find_entitlements
from licet.wsgi import LicenseMiddleware
from tests.adapters.clients import WsgiClient, environ
from tests.adapters.contract import AdapterContract, Serving, bearer, me
from tests.licenses import OPTIONS, license_token


def application(calls: list[str]) -> Any:
    """Return the contract's application in plain WSGI."""
    guards = {
        "/reports": requires_feature("analytics"),
        "/scoped": requires_scope("reports:write"),
        "/role": requires_role("owner"),
        "/used": consumes("apiCalls"),
        "/seated": lambda view: lambda: consume("seats", key="bob"),
    }

    def app(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        entitlements = environ["licet.entitlements"]
        if path in guards:
            guards[path](lambda: None)()
        calls.append(path)
        if path == "/raise":
            raise RoleNotGranted(members={"required": ["x"]})
        if path == "/boom":
            raise ZeroDivisionError
        if path == "/stream":
            start_response("200 OK", [])
            return (current_entitlements().license_id.encode() for _ in range(3))
        headers = [("Cache-Control", "public")] if path == "/private" else []
        start_response("200 OK", headers)
        value = {
            "/me": lambda: me(entitlements),
            "/current": lambda: current_entitlements().license_id,
            "/claims": lambda: entitlements.claims["tenant"],
        }.get(path, lambda: "ok")()
        return [json.dumps(value).encode()]

    return app


class OnWsgi(Serving):
    """How plain WSGI serves it."""

    adapter = "wsgi"
    joins_fields = True

    def client(self, **options: Any) -> WsgiClient:
        calls: list[str] = []
        return WsgiClient(LicenseMiddleware(application(calls), **options), calls)


class TestWsgi(OnWsgi, AdapterContract):
    """The contract on plain WSGI."""


class Body:
    """A body that says whose entitlements each of its steps sees."""

    def __init__(self) -> None:
        self.closed_with: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(3):
            yield current_entitlements().license_id.encode()

    def close(self) -> None:
        self.closed_with = current_entitlements().license_id


def serve(app: Any, token: str, started: list[str] | None = None) -> Any:
    """Call `app` and return its body."""
    answers = started if started is not None else []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        if exc_info and len(answers) > 0 and answers[0] == "sent":
            raise exc_info[1]
        answers.append(status)

    return app(environ("GET", "/", bearer(token)), start_response)


def test_interleaved_bodies_keep_their_own_entitlements() -> None:
    """Two bodies stepped in turns on one thread, and closed, each see their own license."""
    bodies = [Body(), Body()]
    waiting = iter(bodies)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return next(waiting)

    guarded = LicenseMiddleware(app, **OPTIONS)
    one = serve(guarded, license_token(sub="lic_one"))
    two = serve(guarded, license_token(sub="lic_two"))
    for pieces in zip(one, two, strict=True):
        assert pieces == (b"lic_one", b"lic_two")
        assert find_entitlements() is None
    for body in (two, one):
        body.close()
    assert [body.closed_with for body in bodies] == ["lic_one", "lic_two"]
    assert find_entitlements() is None


def test_the_body_is_closed_when_closing_fails() -> None:
    """`close` of the application is called, and its error passes."""

    class Failing(Body):
        def close(self) -> None:
            raise ZeroDivisionError

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return Failing()

    body = serve(LicenseMiddleware(app, **OPTIONS), license_token())
    with pytest.raises(ZeroDivisionError):
        body.close()


def test_an_error_in_the_first_step_of_a_body_is_rendered() -> None:
    """Headers are sent with the first piece; until then the refusal can still be the answer."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        raise RoleNotGranted
        yield b""

    started: list[str] = []
    body = serve(LicenseMiddleware(app, **OPTIONS), license_token(), started)
    assert json.loads(b"".join(body))["code"] == "role_not_granted"
    assert started[-1] == "403 Forbidden"


def test_an_error_after_the_response_started_is_the_servers() -> None:
    """PEP 3333: `start_response` with `exc_info` raises it again once headers were sent."""

    def app(environ: Any, start_response: Any) -> Any:
        yield b"piece"
        raise RoleNotGranted

    body = serve(LicenseMiddleware(app, **OPTIONS), license_token(), ["sent"])
    steps = iter(body)
    assert next(steps) == b"piece"
    with pytest.raises(LicenseError):
        next(steps)
    body.close()


def test_exempt_paths_are_relative_to_the_script_name() -> None:
    """K12: `PATH_INFO` is what stands behind the mount point."""
    app = LicenseMiddleware(application([]), **OPTIONS, exempt_paths=["/health"])
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)

    app(environ("GET", "/health", SCRIPT_NAME="/api"), start_response)
    app(environ("GET", "/api/health", SCRIPT_NAME="/api"), start_response)
    assert [status[:3] for status in statuses] == ["200", "401"]


def test_a_refusal_of_ones_own_may_have_any_status() -> None:
    """A status without a name is answered all the same."""

    class Busy(LicenseError):
        status = 499
        codes = ("busy",)
        title = detail = "Busy"

    def app(environ: Any, start_response: Any) -> list[bytes]:
        raise Busy

    answer = WsgiClient(LicenseMiddleware(app, **OPTIONS), []).request(
        "GET", "/", bearer(license_token())
    )
    assert answer.status == 499
    assert json.loads(answer.body)["code"] == "busy"
