"""FastAPI's `Consumes`: charged before the path operation, given back where that fails."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx2", reason="Starlette's TestClient asks for it")

from fastapi import FastAPI, HTTPException, Response, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from licet import Charge, aconsume
from licet.fastapi import Consumes, LicenseMiddleware, RequiresFeature
from tests.adapters.contract import bearer
from tests.licenses import OPTIONS, license_token

_IDS = (f"lic_dependency_{number}" for number in itertools.count())


async def _user(request: Any) -> str:
    return str(request.headers["x-user"])


def _rows(request: Any) -> int:
    return int(request.query_params["rows"])


def application() -> FastAPI:
    """Return an application that consumes in every way there is."""
    app = FastAPI()
    app.add_middleware(LicenseMiddleware, **OPTIONS, rate_limit_headers=True)
    calls = [Consumes("calls")]

    @app.get("/plain", dependencies=calls)
    def plain() -> str:
        return "ok"

    @app.get("/rows")
    async def rows(charge: Annotated[Charge, Consumes("calls", cost=_rows)]) -> int:
        return charge.amount

    @app.get("/back")
    async def back(charge: Annotated[Charge, Consumes("calls")]) -> str:
        await charge.arefund()
        return "given back"

    @app.get("/seated", dependencies=[Consumes("seats", by=_user)])
    async def seated() -> str:
        return "ok"

    @app.get("/raises", dependencies=calls)
    async def raises() -> str:
        raise ZeroDivisionError

    @app.get("/refuses", dependencies=calls)
    async def refuses(status: int) -> str:
        raise HTTPException(status)

    @app.get("/answers", dependencies=calls)
    async def answers(status: int) -> Response:
        return Response(status_code=status)

    @app.get("/featured", dependencies=[*calls, RequiresFeature("gold")])
    async def featured() -> str:
        raise AssertionError

    @app.get("/streams", dependencies=calls)
    async def streams() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"begun"
            raise ZeroDivisionError

        return StreamingResponse(pieces())

    @app.get("/pieces")
    async def counted() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            charge = await aconsume("calls", 2)
            try:
                yield b"begun"
                raise ZeroDivisionError
            finally:
                await charge.arefund()

        return StreamingResponse(pieces())

    @app.websocket("/socket", dependencies=calls)
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        extra = await aconsume("calls")
        await extra.arefund()
        await websocket.send_text("ok")
        raise ZeroDivisionError

    return app


@pytest.fixture(name="client", scope="module")
def _client() -> TestClient:
    return TestClient(application(), raise_server_exceptions=False)


def line(**limits: Any) -> dict[str, str]:
    """Return the header that presents a license of its own."""
    return dict(bearer(license_token(limits=limits, sub=next(_IDS))))


def left(client: TestClient, headers: dict[str, str]) -> int:
    """Return how much is left of `calls`."""
    answer = client.get("/rows?rows=0", headers=headers)
    return int(answer.headers["ratelimit"].split(";")[1].removeprefix("r="))


def test_each_request_is_charged_before_it_is_served(client: TestClient) -> None:
    """One by default, or what the request says; beyond the limit it is 429."""
    headers = line(calls=4)
    assert client.get("/plain", headers=headers).status_code == 200
    assert client.get("/rows?rows=3", headers=headers).json() == 3
    refused = client.get("/plain", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (429, "limit_exceeded")
    assert int(refused.headers["retry-after"]) > 0
    other = client.get("/plain", headers=line(other=1))
    assert (other.status_code, other.json()["code"]) == (403, "feature_not_licensed")
    assert client.get("/plain").status_code == 401


def test_users_take_seats(client: TestClient) -> None:
    """By what tells of a request who it is, which may be async."""
    headers = line(seats=1)
    for user, status in (("alice", 200), ("bob", 429), ("alice", 200)):
        answer = client.get("/seated", headers={**headers, "X-User": user})
        assert answer.status_code == status


@pytest.mark.row("P07", adapter="fastapi")
@pytest.mark.parametrize(
    ("path", "used"),
    [
        ("/plain", 1),
        ("/back", 0),
        ("/raises", 0),
        ("/refuses?status=503", 0),
        ("/refuses?status=404", 0),
        ("/answers?status=503", 0),
        ("/answers?status=404", 1),
        ("/featured", 0),
        ("/streams", 1),
        ("/pieces", 0),
    ],
)
def test_what_fails_is_given_back(client: TestClient, path: str, used: int) -> None:
    """What raises, and a 5xx; an answer that has begun is had, but for what it gives back."""
    headers = line(calls=5)
    client.get(path, headers=headers)
    assert 5 - left(client, headers) == used


@pytest.mark.row("P07", adapter="fastapi")
def test_a_websocket_that_was_accepted_is_used(client: TestClient) -> None:
    """Though it fails later; what was charged besides can be given back still."""
    headers = line(calls=2)
    with pytest.raises(ZeroDivisionError):  # noqa: SIM117 - after the connection, not in it
        with client.websocket_connect("/socket", headers=headers) as socket:
            assert socket.receive_text() == "ok"
    assert left(client, headers) == 1
    client.get("/plain", headers=headers)
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("/socket", headers=headers),
    ):
        pass
    assert refused.value.status_code == 429


def test_the_limit_is_in_the_openapi_document() -> None:
    """Beside features, scopes and roles."""
    paths = application().openapi()["paths"]
    assert paths["/plain"]["get"]["security"] == [{"License": ["limit:calls"]}]
    demanded = [each["License"] for each in paths["/featured"]["get"]["security"]]
    assert sorted(name for names in demanded for name in names) == ["feature:gold", "limit:calls"]
    assert "parameters" not in paths["/seated"]["get"], "whose seat it is is no input"


@pytest.mark.parametrize(
    ("arguments", "options"),
    [(("",), {}), ((len,), {}), (("seats",), {}), (("calls",), {"cost": 0}), (("a",), {"by": 3})],
)
def test_mistakes_are_found_at_import(arguments: Any, options: Any) -> None:
    """What cannot be counted is a `TypeError`."""
    with pytest.raises(TypeError):
        Consumes(*arguments, **options)
