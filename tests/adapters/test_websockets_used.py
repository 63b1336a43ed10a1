"""Websockets that use their license: charged with the handshake, and had once it is accepted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx2", reason="Starlette's TestClient asks for it")

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocket, WebSocketDisconnect

from licet import aconsume, consumes
from licet.starlette import LicenseMiddleware
from tests.adapters.contract import bearer
from tests.licenses import OPTIONS, license_token

_IDS = (f"lic_socket_{number}" for number in itertools.count())


@consumes("sockets")
async def talk(websocket: WebSocket) -> None:
    """Answer until the client goes away."""
    await websocket.accept()
    while True:
        await websocket.receive_text()
        used = await aconsume("messages")
        assert used.rate is not None
        await websocket.send_text(str(used.rate.used))


@consumes("sockets")
async def failing(websocket: WebSocket) -> None:
    """Fail before the handshake is done."""
    raise ZeroDivisionError


@consumes("seats", by=lambda websocket: websocket.headers["x-user"])
async def seated(websocket: WebSocket) -> None:
    """Say goodbye at once."""
    await websocket.accept()
    await websocket.close()


@pytest.fixture
def client() -> TestClient:
    """A client of these endpoints."""
    app = Starlette(
        routes=[
            WebSocketRoute("/talk", talk),
            WebSocketRoute("/failing", failing),
            WebSocketRoute("/seated", seated),
        ],
        middleware=[Middleware(LicenseMiddleware, **OPTIONS, rate_limit_headers=True)],
    )
    return TestClient(app)


def line(**limits: Any) -> dict[str, str]:
    """Return the header that presents a license of its own."""
    return dict(bearer(license_token(limits=limits, sub=next(_IDS))))


@contextmanager
def talking(client: TestClient, license_: dict[str, str]) -> Iterator[WebSocketTestSession]:
    """Talk until the caller hangs up, which the application hears of."""
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/talk", headers=license_) as socket,
    ):
        yield socket


@pytest.mark.row("P07", adapter="starlette")
def test_a_connection_that_was_accepted_is_used(client: TestClient) -> None:
    """Whoever goes away has used it still; the next beyond the limit is refused with 429."""
    license_ = line(sockets=2, messages=3)
    for expected in (["1", "2"], ["3"]):
        with talking(client, license_) as socket:
            for answer in expected:
                socket.send_text("count")
                assert socket.receive_text() == answer
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("/talk", headers=license_),
    ):
        pass
    assert refused.value.status_code == 429
    assert refused.value.headers["ratelimit"].startswith('"sockets";r=0;t=')


@pytest.mark.row("P07", adapter="starlette")
def test_one_that_fails_before_gives_back(client: TestClient) -> None:
    """A handshake that was never answered has used nothing."""
    license_ = line(sockets=1, messages=1)
    for _ in range(2):
        with (
            pytest.raises(ZeroDivisionError),
            client.websocket_connect("/failing", headers=license_),
        ):
            pass
    with talking(client, license_) as socket:
        socket.send_text("count")
        assert socket.receive_text() == "1"


def test_a_message_beyond_the_limit_closes_the_connection(client: TestClient) -> None:
    """What is raised after the handshake is told with the close."""
    with client.websocket_connect("/talk", headers=line(sockets=1, messages=0)) as socket:
        socket.send_text("count")
        closed = socket.receive()
    assert (closed["type"], closed["reason"]) == ("websocket.close", "limit_exceeded")


def test_users_take_seats_over_websockets(client: TestClient) -> None:
    """By what the handshake says of them."""
    license_ = line(seats=1)
    for user in ("alice", "alice"):
        with client.websocket_connect("/seated", headers={**license_, "X-User": user}):
            pass
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("/seated", headers={**license_, "X-User": "bob"}),
    ):
        pass
    assert refused.value.json()["code"] == "seat_limit_exceeded"
