"""Licet in a Starlette application, under asyncio and trio."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx2", reason="Starlette's TestClient asks for it")

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from licet import (
    LicenseError,
    LicenseRequired,
    LicetError,
    RoleNotGranted,
    bind,
    consumes,
    current_entitlements,
    requires_feature,
    requires_role,
    requires_scope,
)
from licet.core.entitlements.context import find_entitlements
from licet.starlette import LicenseMiddleware, entitlements_of
from licet.testing import entitled
from tests.adapters.clients import AsgiClient, call, http_scope
from tests.adapters.contract import AdapterContract, Serving, bearer, me
from tests.licenses import OPTIONS, license_token

METHODS = ["GET", "POST", "DELETE", "PROPFIND"]


def guard(**options: Any) -> Middleware:
    """Return Licet with the suite's issuer, as Starlette's constructors take it."""
    return Middleware(LicenseMiddleware, **{**OPTIONS, **options})


def headers(**changes: Any) -> dict[str, str]:
    """Return the header that presents a license."""
    return dict(bearer(license_token(**changes)))


# -- the contract ----------------------------------------------------------------------------------


def contract_application(calls: list[str], **options: Any) -> Starlette:
    """Return the contract's application in Starlette; half of its views are sync."""

    def noted(function: Callable[[Request], Any], sync: bool) -> Any:
        def view(request: Request) -> Response:
            calls.append(request.url.path)
            answer = function(request)
            return answer if isinstance(answer, Response) else JSONResponse(answer)

        async def async_view(request: Request) -> Response:
            return view(request)

        return view if sync else async_view

    def refuse(request: Request) -> Any:
        raise RoleNotGranted(members={"required": ["x"]})

    def fail(request: Request) -> Any:
        raise ZeroDivisionError

    async def pieces() -> AsyncIterator[str]:
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
            yield current_entitlements().license_id

    views: dict[str, Callable[[Request], Any]] = {
        "/health": lambda request: "ok",
        "/me": lambda request: me(request.state.entitlements),
        "/current": lambda request: current_entitlements().license_id,
        "/raise": refuse,
        "/boom": fail,
        "/stream": lambda request: StreamingResponse(pieces()),
        "/claims": lambda request: entitlements_of(request).claims["tenant"],
        "/private": lambda request: JSONResponse({}, headers={"Cache-Control": "public"}),
        "/reports": lambda request: "ok",
        "/scoped": lambda request: "ok",
        "/role": lambda request: "ok",
        "/used": lambda request: "ok",
        "/seated": lambda request: "ok",
    }
    guards = {
        "/reports": requires_feature("analytics"),
        "/scoped": requires_scope("reports:write"),
        "/role": requires_role("owner"),
        "/used": consumes("apiCalls"),
        "/seated": consumes("seats", by=lambda request: "bob"),
    }
    routes = []
    for number, (path, function) in enumerate(views.items()):
        view = noted(function, sync=number % 2 == 1)
        view = guards[path](view) if path in guards else view
        routes.append(Route(path, view, methods=METHODS))
    return Starlette(routes=routes, middleware=[Middleware(LicenseMiddleware, **options)])


class OnStarlette(Serving):
    """How Starlette serves it."""

    adapter = "starlette"
    backend: str

    def client(self, **options: Any) -> AsgiClient:
        calls: list[str] = []
        app = contract_application(calls, **options)
        app.middleware_stack = app.build_middleware_stack()  # else the first request does it
        return AsgiClient(app, calls, self.backend)


class TestAsyncio(OnStarlette, AdapterContract):
    """… under asyncio."""

    backend = "asyncio"


class TestTrio(OnStarlette, AdapterContract):
    """… under trio."""

    backend = "trio"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.anyio
async def test_500_requests_at_once_see_only_their_own(anyio_backend: str) -> None:
    """Concurrent tasks, and threads of sync views, never see each other's entitlements."""
    app = contract_application([], **OPTIONS)
    tokens = {f"lic_{n}": license_token(sub=f"lic_{n}") for n in range(100)}
    seen: list[tuple[str, list[str]]] = []

    async def ask(license_id: str) -> None:
        answers = []
        for path in ("/me", "/stream"):
            scope = http_scope("GET", path, bearer(tokens[license_id]))
            answers.append((await call(app, scope)).body.decode())
        seen.append((license_id, answers))

    async with anyio.create_task_group() as group:
        for number in range(500):
            group.start_soon(ask, f"lic_{number % 100}")
    assert len(seen) == 500
    for license_id, (own, streamed) in seen:
        assert f'"license_id":"{license_id}"' in own
        assert streamed == license_id * 3
    assert find_entitlements() is None


# -- where the middleware goes ---------------------------------------------------------------------


def show(request: Request) -> Response:
    """Say what of the license is to be seen, by each road."""
    try:
        current = current_entitlements().license_id
    except RuntimeError:
        current = "none"
    state = getattr(request.state, "entitlements", None)
    return JSONResponse([current, state.license_id if state is not None else "none"])


def test_the_middleware_goes_on_what_needs_it() -> None:
    """On one route, router or mount, its neighbours stay open, and nothing reaches them."""
    app = Starlette(
        routes=[
            Route("/open", show),
            Route("/route", show, middleware=[guard()]),
            Mount("/mount", routes=[Route("/", show)], middleware=[guard()]),
            Mount("/router", Router([Route("/", show)], middleware=[guard()])),
            Mount("/wrapped", LicenseMiddleware(Starlette(routes=[Route("/", show)]), **OPTIONS)),
        ]
    )
    client = TestClient(app)
    assert client.get("/open", headers=headers()).json() == ["none", "none"]
    for path in ("/route", "/mount/", "/router/", "/wrapped/"):
        assert client.get(path).status_code == 401, path
        assert client.get(path, headers=headers()).json() == ["lic_1", "lic_1"], path
        assert client.get("/open", headers=headers()).json() == ["none", "none"]


def test_mounted_applications_see_the_outer_license_and_exempt_paths_are_their_own() -> None:
    """Licet on a mount reads `exempt_paths` below it; an application inside sees the license."""
    inner = Starlette(routes=[Route("/health", show), Route("/show", show)])
    app = Starlette(routes=[Mount("/v1", inner, middleware=[guard(exempt_paths=["/health"])])])
    client = TestClient(app)
    assert client.get("/v1/health").json() == ["", ""]
    assert client.get("/v1/show").status_code == 401
    assert client.get("/v1/show", headers=headers()).json() == ["lic_1", "lic_1"]
    outer = TestClient(Starlette(routes=[Mount("/v1", inner)], middleware=[guard()]))
    assert outer.get("/v1/show", headers=headers()).json() == ["lic_1", "lic_1"]
    assert outer.get("/v1/health").status_code == 401


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_requirement_of_an_application_within_is_no_error_of_it(
    debug: bool, backend: Any
) -> None:
    """Applications answer errors themselves, mounted or wrapped; refusals are still Licet's."""

    @requires_feature("gold")
    def gold(request: Request) -> Response:
        return PlainTextResponse("gold")

    def fail(request: Request) -> Response:
        raise ZeroDivisionError

    inner = Starlette(routes=[Route("/gold", gold), Route("/fail", fail)], debug=debug)
    mounted = Starlette(routes=[Mount("/v1", inner)], middleware=[guard()])
    for app, root in ((mounted, "/v1"), (LicenseMiddleware(inner, **OPTIONS), "")):
        client = TestClient(app, raise_server_exceptions=False, backend=backend)
        refused = client.get(f"{root}/gold", headers=headers())
        assert refused.status_code == 403
        assert refused.json()["code"] == "feature_not_licensed"
        assert client.get(f"{root}/gold", headers=headers(features=["gold"])).text == "gold"
        assert client.get(f"{root}/fail", headers=headers()).status_code == 500


def test_lifespan_state_is_seen_and_left_alone() -> None:
    """What the lifespan yields is in `request.state`, and entitlements never get into it."""
    shared = {"pool": object(), "hits": []}

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield shared

    def view(request: Request) -> Response:
        assert request.state.pool is shared["pool"]
        request.state.hits.append(request.state.entitlements.license_id)
        request.state.mine = request.state.entitlements.license_id
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", view)], middleware=[guard()], lifespan=lifespan)
    with TestClient(app) as client:
        for license_id in ("lic_a", "lic_b"):
            assert client.get("/", headers=headers(sub=license_id)).status_code == 200
    assert shared["hits"] == ["lic_a", "lic_b"]
    assert shared.keys() == {"pool", "hits"}


def test_a_background_task_sees_its_own_request_and_nothing_after_it() -> None:
    """Tasks run within the request and may read its license; none is left when they are done."""
    seen: list[Any] = []

    def task() -> None:
        seen.append((current_entitlements().license_id, current_entitlements().claims["tenant"]))

    def view(request: Request) -> Response:
        seen.append(request.state.entitlements)
        return PlainTextResponse("ok", background=BackgroundTask(task))

    app = Starlette(routes=[Route("/", view)], middleware=[guard()])
    for name in ("a", "b"):
        assert TestClient(app).get("/", headers=headers(sub=name, tenant=name)).text == "ok"
    assert seen[1::2] == [("a", "a"), ("b", "b")]
    fresh = [one for one in seen[::2] if one._credential is not None]
    assert fresh == [], "a kept view does not hold the credential"
    assert find_entitlements() is None


def test_the_accessor_says_what_is_missing() -> None:
    """Without a middleware it raises, within `bind` it has what is bound: never a pass."""
    request = Request(http_scope("GET", "/", state=None))
    with pytest.raises(RuntimeError, match="LicenseMiddleware"):
        entitlements_of(request)
    with entitled(["gold"]) as bound:
        assert entitlements_of(request) is bound
        with bind(bound):
            assert entitlements_of(Request(http_scope("GET", "/"))) is bound


# -- requirements ----------------------------------------------------------------------------------


@requires_feature("gold")
async def async_view(request: Request) -> Response:
    """Answer the licensed."""
    return PlainTextResponse("gold")


@requires_feature("gold")
def sync_view(request: Request) -> Response:
    """Answer the licensed."""
    return PlainTextResponse("gold")


class Endpoint(HTTPEndpoint):
    """Methods with requirements of their own."""

    @requires_feature("gold")
    async def get(self, request: Request) -> Response:
        return PlainTextResponse("gold")

    @requires_feature("gold", "analytics", any_of=True)
    def post(self, request: Request) -> Response:
        return PlainTextResponse("either")


@requires_feature("gold")
def service() -> str:
    """Stand for code far from the request."""
    return "gold"


async def through_a_service(request: Request) -> Response:
    """Call it."""
    return PlainTextResponse(service())


ROUTES = [
    Route("/async", async_view),
    Route("/sync", sync_view),
    Route("/class", Endpoint),
    Route("/service", through_a_service),
    Route("/partial", functools.partial(async_view)),
]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("path", ["/async", "/sync", "/class", "/service", "/partial"])
def test_requirements_on_every_kind_of_view(path: str, backend: Any) -> None:
    """Function, sync and async, `HTTPEndpoint` methods, and what views call."""
    client = TestClient(Starlette(routes=ROUTES, middleware=[guard()]), backend=backend)
    assert client.get(path, headers=headers(features=["gold"])).text == "gold"
    refused = client.get(path, headers=headers())
    assert (refused.status_code, refused.json()["code"]) == (403, "feature_not_licensed")
    assert client.post("/class", headers=headers()).text == "either"


# -- websockets ------------------------------------------------------------------------------------


@requires_feature("gold")
async def gold_socket(websocket: WebSocket) -> None:
    """Accept the licensed."""
    await websocket.accept()
    await websocket.send_text(entitlements_of(websocket).license_id)
    await websocket.close()


class Socket(WebSocketEndpoint):
    """A class that asks only when it is spoken to."""

    encoding = "text"

    @requires_feature("gold")
    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await websocket.send_text(current_entitlements().license_id)


def socket_client(**options: Any) -> TestClient:
    """Serve both websockets."""
    routes = [WebSocketRoute("/gold", gold_socket), WebSocketRoute("/class", Socket)]
    return TestClient(Starlette(routes=routes, middleware=[guard()], **options))


def denied(client: TestClient, path: str, **fields: Any) -> Response:
    """Return the answer to a handshake that is refused."""
    with (
        pytest.raises(WebSocketDenialResponse) as denial,
        client.websocket_connect(path, **fields),
    ):
        pass
    return denial.value  # type: ignore[return-value]


def test_websockets_need_a_license() -> None:
    """Before the handshake, and by the requirement of the endpoint, the client is told why not."""
    client = socket_client()
    answer: Any = denied(client, "/gold")
    assert (answer.status_code, answer.json()["code"]) == (401, "license_required")
    assert answer.headers["www-authenticate"] == 'Bearer realm="licet"'
    answer = denied(client, "/gold", headers=headers())
    assert (answer.status_code, answer.json()["code"]) == (403, "feature_not_licensed")
    with client.websocket_connect("/gold", headers=headers(features=["gold"])) as socket:
        assert socket.receive_text() == "lic_1"


@pytest.mark.parametrize("mode", ["report", "off"])
def test_where_nothing_is_enforced_all_of_them_pass(mode: str) -> None:
    """Views and websockets, without a license and with one that names nothing."""
    sockets = [WebSocketRoute("/gold", gold_socket), WebSocketRoute("/talk", Socket)]
    client = TestClient(Starlette(routes=[*ROUTES, *sockets], middleware=[guard(mode=mode)]))
    for fields in ({}, headers(features=[])):
        for path in ("/async", "/sync", "/class", "/service", "/partial"):
            assert client.get(path, headers=fields).text == "gold"
        license_id = "lic_1" if fields and mode == "report" else ""
        with client.websocket_connect("/gold", headers=fields) as socket:
            assert socket.receive_text() == license_id
        with client.websocket_connect("/talk", headers=fields) as socket:
            for _ in range(2):
                socket.send_text("hello")
                assert socket.receive_text() == license_id


def test_a_requirement_that_fails_closes_an_open_websocket() -> None:
    """Once it is accepted there is no answer left to give: close code 1008, with the word."""
    with socket_client().websocket_connect("/class", headers=headers(features=["gold"])) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "lic_1"

    # As servers do it; Starlette's TestClient would take an answer after `accept`.
    app = socket_client().app
    arriving = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(arriving)

    async def send(message: Any) -> None:
        if message["type"].startswith("websocket.http.response") and sent:
            raise RuntimeError("accepted already")
        sent.append(message)

    extensions = {"websocket.http.response": {}}
    scope = http_scope(
        "GET", "/class", bearer(license_token()), type="websocket", extensions=extensions
    )
    anyio.run(app, {**scope, "scheme": "ws"}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert (sent[1]["code"], sent[1]["reason"]) == (1008, "feature_not_licensed")


# -- the application's own handlers ----------------------------------------------------------------


def answer_sync(request: Any, error: Exception) -> Response:
    """Answer in the application's own way."""
    status = getattr(error, "status_code", 418)
    return PlainTextResponse(f"own {type(error).__name__}", status)


async def answer_async(request: Any, error: Exception) -> Response:
    """Answer in the application's own way."""
    return answer_sync(request, error)


def refuse_view(request: Request) -> Response:
    """Refuse in a view."""
    raise RoleNotGranted


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("handler", [answer_sync, answer_async])
@pytest.mark.parametrize("kind", [LicenseError, LicetError])
def test_the_applications_handler_answers(kind: Any, handler: Any, backend: Any) -> None:
    """One for `LicenseError` or its base answers refusals of the middleware and of views."""
    for on_app in (True, False):
        route = Route("/", refuse_view, middleware=None if on_app else [guard()])
        app = Starlette(
            routes=[route, WebSocketRoute("/ws", gold_socket)],
            middleware=[guard()] if on_app else [],
            exception_handlers={kind: handler},
        )
        client = TestClient(app, backend=backend)
        answers = [client.get("/"), client.get("/", headers=headers())]
        assert [answer.status_code for answer in answers] == [418, 418]
        assert [answer.text for answer in answers] == ["own LicenseRequired", "own RoleNotGranted"]
        if on_app:
            assert denied(client, "/ws").status_code == 418


def test_the_nearest_handler_answers() -> None:
    """The error's own class before its base; one for another refusal is not asked."""

    def base(request: Any, error: Exception) -> Response:
        raise AssertionError

    handlers: dict[Any, Any] = {LicenseError: base, LicenseRequired: answer_sync}
    client = TestClient(Starlette(middleware=[guard()], exception_handlers=handlers))
    assert client.get("/").text == "own LicenseRequired"
    del handlers[LicenseError]
    client = TestClient(Starlette(middleware=[guard()], exception_handlers=handlers))
    refused = client.get("/", headers={"Authorization": "Bearer rubbish"})
    assert refused.json()["code"] == "license_invalid"


def test_a_handler_for_the_status_is_given_what_it_expects() -> None:
    """It gets an `HTTPException` with status, detail and our headers, and the refusal as cause."""
    seen: list[HTTPException] = []

    async def unauthorized(request: Request, error: HTTPException) -> Response:
        seen.append(error)
        return PlainTextResponse(error.detail, error.status_code, error.headers)

    app = Starlette(
        routes=[Route("/", refuse_view)],
        middleware=[guard()],
        exception_handlers={401: unauthorized},
    )
    client = TestClient(app)
    answer = client.get("/")
    assert (answer.status_code, answer.text) == (401, LicenseRequired.detail)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["www-authenticate"] == 'Bearer realm="licet"'
    assert answer.headers["cache-control"] == "no-store"
    assert isinstance(seen[0].__cause__, LicenseRequired)
    assert client.get("/", headers=headers()).json()["code"] == "role_not_granted"


@pytest.mark.parametrize("kind", [Exception, 500])
def test_a_handler_for_errors_does_not_hide_refusals(kind: Any) -> None:
    """A refusal is no error of the program: catch-alls are left for those."""
    app = Starlette(
        routes=[Route("/", refuse_view)],
        middleware=[guard()],
        exception_handlers={kind: answer_async},
    )
    client = TestClient(app)
    assert client.get("/").json()["code"] == "license_required"
    assert client.get("/", headers=headers()).json()["code"] == "role_not_granted"


def test_a_handlers_answer_to_a_handshake_closes_it_where_servers_cannot_send_one() -> None:
    """Without the denial extension a response would be an error of the server."""
    app = Starlette(
        routes=[WebSocketRoute("/ws", gold_socket)],
        middleware=[guard()],
        exception_handlers={LicenseError: answer_async},
    )
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = http_scope("GET", "/ws", type="websocket", scheme="ws")
    anyio.run(app, scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "license_required"}]


def test_a_handler_that_fails_is_the_applications_error() -> None:
    """Its bug is seen as such; the view is still not called."""

    def broken(request: Request, error: Exception) -> Response:
        raise ZeroDivisionError

    app = Starlette(
        routes=[Route("/", refuse_view)],
        middleware=[guard()],
        exception_handlers={LicenseError: broken},
    )
    with pytest.raises(ZeroDivisionError):
        TestClient(app).get("/")
    assert find_entitlements() is None


@pytest.mark.parametrize(
    ("debug", "peer", "told"),
    [
        (True, ("127.0.0.1", 1), True),
        (True, ("203.0.113.9", 1), False),
        (True, ("testclient", 1), False),
        (False, ("127.0.0.1", 1), False),
    ],
)
def test_the_reason_is_told_in_debug_mode_to_loopback_only(
    debug: bool, peer: tuple[str, int], told: bool
) -> None:
    """`X-Licet-Reason` is for the developer in front of this machine."""
    client = TestClient(Starlette(middleware=[guard()], debug=debug), client=peer)
    answer = client.get("/", headers=headers(aud="other"))
    assert answer.json()["code"] == "license_invalid"
    assert ("x-licet-reason" in answer.headers) is told
    scope = http_scope("GET", "/", client=None, app=Starlette(debug=True))
    answered = anyio.run(call, LicenseMiddleware(Starlette(), **OPTIONS), scope)
    assert answered.header("X-Licet-Reason") is None, "a peer without an address is not told"
