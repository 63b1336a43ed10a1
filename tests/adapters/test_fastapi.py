"""Licet in a FastAPI application. Annotations here are postponed, as users write them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import anyio
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx2", reason="Starlette's TestClient asks for it")

from fastapi import APIRouter, Body, Depends, FastAPI, Request, Response, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.testclient import WebSocketDenialResponse

from licet import (
    Entitlements,
    LicenseError,
    RoleNotGranted,
    consumes,
    current_entitlements,
    requires_feature,
)
from licet.core.entitlements.context import find_entitlements
from licet.fastapi import (
    LICENSE_RESPONSES,
    Consumes,
    CurrentEntitlements,
    LicenseMiddleware,
    RequiresFeature,
    RequiresRole,
    RequiresScope,
    request_entitlements,
)
from licet.testing import entitled
from tests.adapters.clients import AsgiClient, call, http_scope
from tests.adapters.contract import AdapterContract, Serving, bearer, me
from tests.licenses import OPTIONS, license_token

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "DELETE", "PROPFIND"]


def headers(**changes: Any) -> dict[str, str]:
    """Return the header that presents a license."""
    return dict(bearer(license_token(**changes)))


def licensed(app: FastAPI | None = None, **options: Any) -> FastAPI:
    """Put `app` behind Licet, with the suite's issuer."""
    app = app or FastAPI()
    app.add_middleware(LicenseMiddleware, **{**OPTIONS, **options})
    return app


# -- the contract ----------------------------------------------------------------------------------


def contract_application(calls: list[str]) -> FastAPI:
    """Return the contract's application in FastAPI; half of its path operations are sync."""
    app = FastAPI()

    def route(path: str, *dependencies: Any) -> Callable[[Any], Any]:
        return app.api_route(path, methods=METHODS, dependencies=list(dependencies))

    @route("/health")
    async def health() -> str:
        calls.append("/health")
        return "ok"

    @route("/me")
    def show(entitlements: CurrentEntitlements) -> dict[str, Any]:
        calls.append("/me")
        return me(entitlements)

    @route("/current")
    async def current() -> str:
        calls.append("/current")
        return current_entitlements().license_id

    @route("/reports", RequiresFeature("analytics"))
    def reports() -> str:
        calls.append("/reports")
        return "ok"

    @route("/scoped", RequiresScope("reports:write"))
    async def scoped() -> str:
        calls.append("/scoped")
        return "ok"

    @route("/role", RequiresRole("owner"))
    async def role() -> str:
        calls.append("/role")
        return "ok"

    @route("/used")
    @consumes("apiCalls")
    async def used() -> str:
        calls.append("/used")
        return "ok"

    @route("/seated")
    @consumes("seats", by=lambda request: "bob")
    def seated(request: Request) -> str:
        calls.append("/seated")
        return "ok"

    @route("/raise")
    async def refuse() -> None:
        calls.append("/raise")
        raise RoleNotGranted(members={"required": ["x"]})

    @route("/boom")
    def fail() -> None:
        calls.append("/boom")
        raise ZeroDivisionError

    @route("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
                yield current_entitlements().license_id

        calls.append("/stream")
        return StreamingResponse(pieces())

    @route("/claims")
    def claims(entitlements: CurrentEntitlements) -> Any:
        calls.append("/claims")
        return entitlements.claims["tenant"]

    @route("/private")
    async def private(response: Response) -> str:
        calls.append("/private")
        response.headers["Cache-Control"] = "public"
        return "ok"

    return app


class OnFastAPI(Serving):
    """How FastAPI serves it."""

    adapter = "fastapi"

    def client(self, **options: Any) -> AsgiClient:
        calls: list[str] = []
        app = contract_application(calls)
        app.add_middleware(LicenseMiddleware, **options)
        app.middleware_stack = app.build_middleware_stack()  # else the first request does it
        return AsgiClient(app, calls)


class TestFastAPI(OnFastAPI, AdapterContract):
    """The contract in FastAPI."""


@pytest.mark.anyio
async def test_500_requests_at_once_see_only_their_own() -> None:
    """Dependencies, sync and async endpoints of concurrent requests never mix licenses."""
    app = licensed(contract_application([]))
    tokens = {f"lic_{n}": license_token(sub=f"lic_{n}") for n in range(100)}
    seen: list[tuple[str, list[str]]] = []

    async def ask(license_id: str) -> None:
        scopes = [
            http_scope("GET", path, bearer(tokens[license_id])) for path in ("/me", "/current")
        ]
        seen.append((license_id, [(await call(app, scope)).body.decode() for scope in scopes]))

    async with anyio.create_task_group() as group:
        for number in range(500):
            group.start_soon(ask, f"lic_{number % 100}")
    assert len(seen) == 500
    for license_id, bodies in seen:
        assert all(f'"{license_id}"' in body for body in bodies)
    assert find_entitlements() is None


# -- dependencies ----------------------------------------------------------------------------------


class Order(BaseModel):
    """What comes in a body."""

    name: str
    count: int = 1


Gold = Annotated[Entitlements, RequiresFeature("gold")]


def shop() -> FastAPI:
    """Return an application that asks in every way there is."""
    app = licensed()

    @app.post("/async", dependencies=[RequiresFeature("gold")])
    async def by_dependency(order: Order) -> Any:
        return [order.name, order.count]

    @app.post("/sync")
    def by_parameter(order: Order, entitlements: Gold) -> Any:
        return [order.name, order.count, entitlements.license_id][:2]

    @app.post("/decorated-async")
    @requires_feature("gold")
    async def decorated(order: Order, entitlements: CurrentEntitlements) -> Any:
        return [order.name, order.count, entitlements.license_id][:2]

    @app.post("/decorated-sync")
    @requires_feature("gold")
    def decorated_sync(order: Annotated[Order, Body()], request: Request) -> Any:
        return [order.name, order.count, request.state.entitlements.license_id][:2]

    router = APIRouter(prefix="/router", dependencies=[RequiresFeature("gold")])

    @router.post("/")
    async def routed(order: Order) -> Any:
        return [order.name, order.count]

    app.include_router(router)
    return app


WAYS = ["/async", "/sync", "/decorated-async", "/decorated-sync", "/router/"]


@pytest.mark.parametrize("path", WAYS)
def test_requirements_with_a_body_and_postponed_annotations(path: str) -> None:
    """Sync and async, by dependency, parameter, decorator and router; the body is still read."""
    client = TestClient(shop())
    order = {"name": "tea", "count": 2}
    answer = client.post(path, json=order, headers=headers(features=["gold"]))
    assert (answer.status_code, answer.json()) == (200, ["tea", 2])
    answer = client.post(path, json=order, headers=headers())
    assert (answer.status_code, answer.json()["code"]) == (403, "feature_not_licensed")
    assert answer.json()["required"] == ["gold"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert client.post(path, json=order).status_code == 401
    answer = client.post(path, json={"count": "x"}, headers=headers(features=["gold"]))
    assert answer.status_code == 422


def test_one_of_several_or_all() -> None:
    """All names are demanded, or one with `any_of`; without a name it fails at import."""
    app = licensed()
    app.get("/all", dependencies=[RequiresRole("admin", "owner")])(lambda: "ok")
    app.get("/any", dependencies=[RequiresScope("a", "b", any_of=True)])(lambda: "ok")
    client = TestClient(app)
    assert client.get("/all", headers=headers(roles=["admin", "owner"])).status_code == 200
    assert client.get("/all", headers=headers()).json()["code"] == "role_not_granted"
    assert client.get("/any", headers=headers(scope="b")).status_code == 200
    assert client.get("/any", headers=headers()).json()["code"] == "scope_not_granted"
    for requires in (RequiresFeature, RequiresScope, RequiresRole):
        with pytest.raises(TypeError, match="at least one name"):
            requires()


def test_without_a_middleware_it_is_a_crash() -> None:
    """A missing middleware never passes: it says what is missing."""
    app = FastAPI()
    app.get("/", dependencies=[RequiresFeature("gold")])(lambda: "ok")
    with pytest.raises(RuntimeError, match="LicenseMiddleware"):
        TestClient(app).get("/", headers=headers(features=["gold"]))


def test_overrides_replace_what_the_dependencies_read() -> None:
    """`app.dependency_overrides[request_entitlements]` serves all of them, as tests want it."""
    app = FastAPI()

    @app.get("/", dependencies=[RequiresFeature("gold")])
    async def view(entitlements: CurrentEntitlements) -> str:
        return entitlements.license_id

    with entitled(["gold"], license_id="lic_override") as bound:
        app.dependency_overrides[request_entitlements] = lambda: bound
        assert TestClient(app).get("/").json() == "lic_override"
    with entitled([]) as bound:
        app.dependency_overrides[request_entitlements] = lambda: bound
        with pytest.raises(LicenseError):
            TestClient(app).get("/")


def test_where_a_license_is_optional_a_requirement_asks_for_one() -> None:
    """With `required=False` an unlicensed request gets as far as the requirement: 401."""
    app = licensed(required=False)
    app.get("/", dependencies=[RequiresFeature("gold")])(lambda: "ok")
    answer = TestClient(app).get("/")
    assert (answer.status_code, answer.json()["code"]) == (401, "license_required")


def test_websockets() -> None:
    """The dependencies take websockets too; a refusal answers the handshake."""
    app = licensed()

    @app.websocket("/ws", dependencies=[RequiresFeature("gold")])
    async def socket(websocket: WebSocket, entitlements: CurrentEntitlements) -> None:
        await websocket.accept()
        await websocket.send_text(entitlements.license_id)
        await websocket.close()

    client = TestClient(app)
    with client.websocket_connect("/ws", headers=headers(features=["gold"])) as opened:
        assert opened.receive_text() == "lic_1"
    for fields, status in (({}, 401), (headers(), 403)):
        with (
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect("/ws", headers=fields),
        ):
            pass
        assert denied.value.status_code == status


@pytest.mark.parametrize("mode", ["report", "off"])
def test_where_nothing_is_enforced_dependencies_pass(mode: str) -> None:
    """On requests and websockets, without a license and with one that names nothing."""
    app = licensed(mode=mode)
    demands = [RequiresFeature("gold"), RequiresScope("reports:write"), RequiresRole("owner")]
    used = [Consumes("apiCalls"), Consumes("seats", by=lambda request: "bob")]
    app.get("/", dependencies=[*demands, *used])(lambda: "ok")

    @app.websocket("/ws", dependencies=[*demands, *used])
    async def socket(websocket: WebSocket, entitlements: CurrentEntitlements) -> None:
        await websocket.accept()
        await websocket.send_text(f"{entitlements.allows('gold')}")
        await websocket.close()

    client = TestClient(app)
    for fields in ({}, headers(features=[])):
        assert client.get("/", headers=fields).status_code == 200
        with client.websocket_connect("/ws", headers=fields) as opened:
            assert opened.receive_text() == "False"


def test_the_applications_handler_answers() -> None:
    """`@app.exception_handler(LicenseError)` answers for the middleware and for dependencies."""
    app = licensed()

    @app.exception_handler(LicenseError)
    async def refused(request: Request, error: LicenseError) -> Response:
        return PlainTextResponse(error.code, error.status)

    app.get("/", dependencies=[RequiresFeature("gold")])(lambda: "ok")
    client = TestClient(app)
    assert client.get("/").text == "license_required"
    assert client.get("/", headers=headers()).text == "feature_not_licensed"


def plan_of(entitlements: CurrentEntitlements) -> str | None:
    """Stand for a dependency of the application, in a thread."""
    return current_entitlements().plan if entitlements else None


def test_dependencies_of_the_application_see_the_license() -> None:
    """One may build on ours, in a thread too; after the request nothing is left."""
    app = licensed()

    @app.get("/")
    async def view(plan: Annotated[str, Depends(plan_of)]) -> str:
        return plan

    assert TestClient(app).get("/", headers=headers()).json() == "professional"
    assert find_entitlements() is None


# -- OpenAPI ---------------------------------------------------------------------------------------


def test_the_lock_is_in_the_openapi_document() -> None:
    """Each operation that asks shows the scheme and what is demanded; others show nothing."""
    app = licensed(exempt_paths=["/openapi.json"])
    app.get("/open")(lambda: "ok")
    app.get("/feature", dependencies=[RequiresFeature("a", "b")])(lambda: "ok")
    app.get("/scope", dependencies=[RequiresScope("s"), RequiresRole("r")])(lambda: "ok")
    app.get("/any", dependencies=[RequiresFeature("a", "b", any_of=True)])(lambda: "ok")

    @app.get("/mine")
    async def mine(entitlements: CurrentEntitlements) -> str:
        return entitlements.license_id

    document = TestClient(app).get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {
        "License": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "license+jwt",
            "description": "A license token, signed by its issuer.",
        }
    }
    operations = {path: methods["get"] for path, methods in document["paths"].items()}
    assert "security" not in operations["/open"]
    assert operations["/feature"]["security"] == [{"License": ["feature:a", "feature:b"]}]
    assert operations["/any"]["security"] == [{"License": []}]
    assert operations["/mine"]["security"] == [{"License": []}]
    demanded = [each["License"] for each in operations["/scope"]["security"]]
    assert sorted(scope for scopes in demanded for scope in scopes) == ["role:r", "s"]
    assert "parameters" not in operations["/mine"], "entitlements are no input"


def test_the_refusals_are_in_the_openapi_document() -> None:
    """`LICENSE_RESPONSES` describes each status as a problem document with its codes."""
    app = FastAPI(responses=LICENSE_RESPONSES)
    app.get("/", dependencies=[RequiresFeature("a")])(lambda: "ok")
    responses = app.openapi()["paths"]["/"]["get"]["responses"]
    assert responses.keys() == {"200", "400", "401", "402", "403", "429", "503"}
    content = responses["401"]["content"]
    assert content.keys() == {"application/problem+json"}
    schema = content["application/problem+json"]["schema"]
    assert schema["properties"]["status"] == {"type": "integer", "const": 401}
    codes = schema["properties"]["code"]["enum"]
    assert codes[:2] == ["license_required", "license_invalid"]
    answer = TestClient(licensed()).get("/").json()
    assert answer.keys() >= set(schema["required"])
    assert answer["code"] in codes
    assert "License required" in responses["401"]["description"]
    assert "feature_not_licensed" in str(responses["403"])
