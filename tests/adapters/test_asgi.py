"""Licet in front of a plain ASGI application, under asyncio and trio."""

from __future__ import annotations

import json
from contextvars import copy_context
from typing import Any

import anyio
import pytest

from licet import (
    RoleNotGranted,
    aconsume,
    consumes,
    current_entitlements,
    requires_feature,
    requires_role,
    requires_scope,
)
from licet.asgi import AsgiFacts, LicenseMiddleware
from licet.core.entitlements.context import find_entitlements
from tests.adapters.clients import AsgiClient, call, http_scope
from tests.adapters.contract import AdapterContract, Serving, bearer, me
from tests.licenses import OPTIONS, license_token


def application(calls: list[str]) -> Any:
    """Return the contract's application in plain ASGI."""

    @requires_feature("analytics")
    async def reports() -> Any:
        return {"ok": True}

    @requires_scope("reports:write")
    async def scoped() -> Any:
        return {"ok": True}

    @requires_role("owner")
    async def role() -> Any:
        return {"ok": True}

    @consumes("apiCalls")
    async def used() -> Any:
        return {"ok": True}

    async def seated() -> Any:
        await aconsume("seats", key="bob")
        return {"ok": True}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def answer(body: bytes, headers: Any = ()) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
            await send({"type": "http.response.body", "body": body})

        path = scope["path"]
        entitlements = scope["state"]["entitlements"]
        assert scope["state"]["shared"], "the server's own state is still there"
        guarded = {
            "/reports": reports,
            "/scoped": scoped,
            "/role": role,
            "/used": used,
            "/seated": seated,
        }
        if path in guarded:
            body = await guarded[path]()
            calls.append(path)
            await answer(json.dumps(body).encode())
            return
        calls.append(path)
        if path == "/raise":
            raise RoleNotGranted(members={"required": ["x"]})
        if path == "/boom":
            raise ZeroDivisionError
        if path == "/stream":
            await send({"type": "http.response.start", "status": 200})
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
                piece = current_entitlements().license_id.encode()
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})
            return
        if path == "/private":
            await answer(b"{}", [(b"cache-control", b"public")])
            return
        value = {
            "/me": lambda: me(entitlements),
            "/current": lambda: current_entitlements().license_id,
            "/claims": lambda: entitlements.claims["tenant"],
        }.get(path, lambda: "ok")()
        await answer(json.dumps(value).encode())

    return app


class OnAsgi(Serving):
    """How plain ASGI serves it."""

    adapter = "asgi"
    backend: str

    def client(self, **options: Any) -> AsgiClient:
        calls: list[str] = []
        return AsgiClient(LicenseMiddleware(application(calls), **options), calls, self.backend)


class TestAsyncio(OnAsgi, AdapterContract):
    """… under asyncio."""

    backend = "asyncio"


class TestTrio(OnAsgi, AdapterContract):
    """… under trio."""

    backend = "trio"


@pytest.mark.anyio
async def test_500_requests_at_once_see_only_their_own() -> None:
    """Concurrent tasks of one loop never see each other's entitlements."""
    calls: list[str] = []
    app = LicenseMiddleware(application(calls), **OPTIONS)
    tokens = {f"lic_{n}": license_token(sub=f"lic_{n}") for n in range(100)}
    seen: list[tuple[str, str]] = []

    async def ask(license_id: str) -> None:
        scope = http_scope("GET", "/stream", bearer(tokens[license_id]))
        seen.append((license_id, (await call(app, scope)).body.decode()))

    async with anyio.create_task_group() as group:
        for number in range(500):
            group.start_soon(ask, f"lic_{number % 100}")
    assert len(seen) == 500
    assert all(body == license_id * 3 for license_id, body in seen)
    assert find_entitlements() is None


@pytest.mark.anyio
async def test_the_given_state_is_left_alone() -> None:
    """The middleware adds to a new `state`, never to the one the server shares."""
    shared = {"shared": True}
    scope = http_scope("GET", "/me", bearer(license_token()), state=shared)
    app = LicenseMiddleware(application([]), **OPTIONS)
    assert (await call(app, scope)).status == 200
    assert shared == {"shared": True}


@pytest.mark.anyio
@pytest.mark.parametrize("state", [{}, {"state": None}], ids=["absent", "none"])
async def test_servers_without_lifespan_state_are_served(state: dict[str, None]) -> None:
    """`state` is optional in a scope; without it entitlements are found in the same place."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = scope["state"]["entitlements"].license_id.encode()
        await send({"type": "http.response.body", "body": body})

    scope = http_scope("GET", "/me", bearer(license_token()))
    del scope["state"]
    answer = await call(LicenseMiddleware(app, **OPTIONS), {**scope, **state})
    assert (answer.status, answer.body) == (200, b"lic_1")


@pytest.mark.anyio
async def test_an_unknown_kind_of_connection_is_refused() -> None:
    """K14: what Licet does not know it cannot judge."""
    app = LicenseMiddleware(application([]), **OPTIONS)
    with pytest.raises(RuntimeError, match="webtransport"):
        await app({"type": "webtransport"}, None, None)


@pytest.mark.anyio
async def test_lifespan_passes_through() -> None:
    """K14: the application gets its lifespan messages."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await LicenseMiddleware(app, **OPTIONS)({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]


@pytest.mark.anyio
async def test_an_error_after_the_response_started_is_raised_again() -> None:
    """A server refuses a second start; then the error is the server's to see."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RoleNotGranted

    with pytest.raises(RoleNotGranted):
        await call(
            LicenseMiddleware(app, **OPTIONS), http_scope("GET", "/", bearer(license_token()))
        )


@pytest.mark.anyio
async def test_a_second_start_is_not_even_tried() -> None:
    """What stands around may hold a start back; a refusal never lands in a response under way."""
    sent: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RoleNotGranted

    async def send(message: Any) -> None:
        sent.append(message["type"])

    with pytest.raises(RoleNotGranted):
        await LicenseMiddleware(app, **OPTIONS)(
            http_scope("GET", "/", bearer(license_token())), None, send
        )
    assert sent == ["http.response.start", "http.response.body"]


@pytest.mark.anyio
async def test_exempt_paths_are_relative_to_the_root_path() -> None:
    """K12: mounted under /api, `/health` is /api/health, and no other path is."""
    app = LicenseMiddleware(application([]), **OPTIONS, exempt_paths=["/health"])
    scope = http_scope("GET", "/api/health", root_path="/api")
    assert (await call(app, scope)).status == 200
    for path in ("/health/api", "/apihealth", "/api/api/health"):
        assert (await call(app, http_scope("GET", path, root_path="/api"))).status == 401


def websocket(app: Any, headers: Any, *, extension: bool = False) -> list[dict[str, Any]]:
    """Open a websocket and return what the application sent."""
    sent: list[dict[str, Any]] = []
    scope = http_scope("GET", "/ws", headers, type="websocket", scheme="ws")
    del scope["method"]
    if extension:
        scope["extensions"] = {"websocket.http.response": {}}

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        if message["type"] == "websocket.http.response.start" and sent:
            raise RuntimeError("accepted already")
        sent.append(message)

    async def main() -> None:
        await app(scope, receive, send)

    anyio.run(main)
    return sent


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Accept a websocket and say whose license it came with."""
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": current_entitlements().license_id})


def test_a_websocket_needs_a_license() -> None:
    """K14: refused before it is accepted: with an answer where the server can, else 1008."""
    app = LicenseMiddleware(echo, **OPTIONS)
    refusal = websocket(app, [])
    assert [m["type"] for m in refusal] == ["websocket.close"]
    assert refusal[0]["code"] == 1008
    denial = websocket(app, [], extension=True)
    assert denial[0]["type"] == "websocket.http.response.start"
    assert denial[0]["status"] == 401
    assert json.loads(denial[1]["body"])["code"] == "license_required"
    served = websocket(app, bearer(license_token(sub="lic_ws")))
    assert [m["type"] for m in served] == ["websocket.accept", "websocket.send"]
    assert served[1]["text"] == "lic_ws"


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize("extension", [False, True])
def test_an_error_in_a_websocket_ends_it(accepted: bool, extension: bool) -> None:
    """A requirement that fails refuses the handshake, or closes what was accepted."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if accepted:
            await send({"type": "websocket.accept"})
        requires_feature("gold")(lambda: None)()

    sent = websocket(
        LicenseMiddleware(app, **OPTIONS), bearer(license_token()), extension=extension
    )
    if extension and not accepted:
        assert sent[0]["status"] == 403
    else:
        assert sent[-1]["type"] == "websocket.close"
        assert sent[-1]["code"] == 1008


def test_a_cookie_opens_a_websocket_only_for_its_own_site() -> None:
    """A handshake is a GET that another site's script can make the browser send."""
    app = LicenseMiddleware(echo, **OPTIONS, sources=["cookie:license"])
    cookie = ("cookie", f"license={license_token()}")
    assert websocket(app, [cookie])[0]["type"] == "websocket.close"
    assert websocket(app, [cookie, ("origin", "http://evil.example")])[0]["type"] == (
        "websocket.close"
    )
    own = websocket(app, [cookie, ("host", "app.example"), ("origin", "http://app.example")])
    assert own[0]["type"] == "websocket.accept"


def test_a_connection_that_is_given_up_may_be_closed_anywhere() -> None:
    """A coroutine closed from another context ends quietly, and changes nothing there."""

    class Never:
        def __await__(self) -> Any:
            yield

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert current_entitlements().license_id
        await Never()

    guarded = LicenseMiddleware(app, **OPTIONS)
    scope = http_scope("GET", "/me", bearer(license_token()))
    connection = guarded(scope, None, None)  # type: ignore[arg-type]
    copy_context().run(connection.send, None)
    elsewhere = copy_context()
    elsewhere.run(connection.close)
    assert elsewhere.run(find_entitlements) is None


@pytest.mark.row("N11")
@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ({"path": "/ü", "raw_path": b"/%C3%BC"}, "/%C3%BC"),
        ({"path": "/ü/@me", "raw_path": None}, "/%C3%BC/@me"),
        ({"path": "/!$&'()*+,;=:@-._~"}, "/!$&'()*+,;=:@-._~"),
        ({"path": "/api/a", "raw_path": b"/api/a", "root_path": "/api"}, "/api/a"),
        ({"path": "/api", "raw_path": b"/api", "root_path": "/api/"}, "/api"),
        ({"path": "/a", "raw_path": b"/a", "root_path": "/api"}, "/api/a"),
        ({"path": "/apia", "raw_path": b"/apia", "root_path": "/api"}, "/api/apia"),
        ({"path": "/m/a", "root_path": "/api/m", "app_root_path": "/api"}, "/api/m/a"),
        ({"path": "*", "raw_path": b"*", "root_path": "/api"}, "*"),
    ],
)
def test_the_whole_path_is_as_clients_send_it(scope: dict[str, Any], path: str) -> None:
    """With the root that a proxy took off, and only that escaped which has to be (RFC 3986)."""
    assert AsgiFacts(scope).path == path
