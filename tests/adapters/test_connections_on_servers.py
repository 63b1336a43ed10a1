"""What real servers make of connections that end with their license."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import anyio
import pytest

from tests.adapters.contract import bearer
from tests.adapters.test_servers import Serve, hypercorn, hypercorn_config, serving, uvicorn
from tests.adapters.wire import EVENTS, World

pytest.importorskip("uvicorn")
pytest.importorskip("hypercorn")
client = pytest.importorskip("websockets.sync.client")
closed = pytest.importorskip("websockets.exceptions").ConnectionClosed

# Of servers and their libraries, older ones above all.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


async def hypercorn_on_trio(app: Any, listening: socket.socket, stop: anyio.Event) -> None:
    """Serve `app` with Hypercorn under trio until `stop`."""
    from hypercorn.trio import serve

    await serve(app, hypercorn_config(listening), shutdown_trigger=stop.wait)


#: Open connections are given a second when a server stops.
uvicorn_on_h11 = functools.partial(uvicorn, http="h11", timeout_graceful_shutdown=1)

SERVERS: dict[str, tuple[Serve, str]] = {
    "uvicorn": (uvicorn_on_h11, "asyncio"),
    "uvicorn-wsproto": (functools.partial(uvicorn_on_h11, ws="wsproto"), "asyncio"),
    "hypercorn": (hypercorn, "asyncio"),
    "hypercorn-trio": (hypercorn_on_trio, "trio"),
}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Open up and stay idle, push, or flood; each until somebody says that it is over."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        piece: Any = {"type": "websocket.send", "bytes": bytes(100_000)}
        small: Any = {"type": "websocket.send", "text": "tick"}
    else:
        await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        piece = {"type": "http.response.body", "body": bytes(100_000), "more_body": True}
        small = {"type": "http.response.body", "body": b"data: tick\n\n", "more_body": True}
    await send(small)
    try:
        while scope["path"] == "/flood":
            await send(piece)
            await anyio.lowlevel.checkpoint()  # servers may swallow what comes for one who left
        while scope["path"] == "/push":
            await send(small)
            await anyio.sleep(0.01)
        while not (await receive())["type"].endswith(".disconnect"):
            pass
    except OSError:
        pass  # the client has left, or its license has


class Site(NamedTuple):
    """A running server, and the world it lives in."""

    port: int
    world: World


@pytest.fixture(name="site", params=SERVERS)
def _site(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    world = World(monkeypatch)
    serve, backend = SERVERS[request.param]
    with serving(serve, world.guard(application), backend) as port:
        yield Site(port, world)


@pytest.fixture(autouse=True)
def _no_error(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No server logs an error because of the end of a license."""
    yield
    assert not [record for record in caplog.records if record.exc_info]


def websocket(site: Site, path: str) -> Any:
    """Open a websocket."""
    headers = bearer(site.world.token())
    return client.connect(
        f"ws://127.0.0.1:{site.port}{path}",
        additional_headers=headers,
        compression=None,
        close_timeout=1,
    )


def end_of(websocket: Any) -> tuple[int, str]:
    """Read until the server closes, and return what it says."""
    try:
        while True:
            websocket.recv(10)
    except closed as end:
        return end.rcvd.code, end.rcvd.reason


def stream(site: Site, path: str) -> socket.socket:
    """Ask for an event stream and return the connection, with its first event read."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in bearer(site.world.token())]
    connection = socket.create_connection(("127.0.0.1", site.port), 10)
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    seen = b""
    while b"tick\n\n\r\n" not in seen:
        seen += (got := connection.recv(65_536))
        assert got, seen
    return connection


def test_websockets_and_event_streams_end(site: Site) -> None:
    """Idle and pushing ones alike: 1008 with the word for it, or the proper end of a body."""
    with (
        websocket(site, "/idle") as idle,
        websocket(site, "/push") as pushing,
        stream(site, "/idle") as quiet,
        stream(site, "/push") as busy,
    ):
        site.world.end()
        for one in (idle, pushing):
            assert end_of(one) == (1008, "license_expired")
        for one in (quiet, busy):
            seen = b"\r\n"
            while not seen.endswith(b"\r\n0\r\n\r\n"):
                seen = seen[-6:] + (got := one.recv(65_536))
                assert got, "the body is cut off"


@pytest.mark.parametrize("kind", ["websocket", "http"])
def test_a_client_that_reads_nothing_is_left(site: Site, kind: str) -> None:
    """It holds up neither the server nor the end of its own connection."""
    with flooded(site, kind) as flood:
        flood.settimeout(10)
        with websocket(site, "/idle") as another:
            site.world.end()
            assert end_of(another) == (1008, "license_expired")
        # What had been sent by then is finite, and the end comes after it.
        seen, got = b"", b"any"
        with suppress(ConnectionError):
            while got and not seen.endswith((b"license_expired", b"\r\n0\r\n\r\n")):
                seen = seen[-20:] + (got := flood.recv(1_000_000))


def flooded(site: Site, kind: str) -> socket.socket:
    """Ask for more than anybody reads, and return the connection, of which nothing was read."""
    asked = ["GET /flood HTTP/1.1", f"Host: 127.0.0.1:{site.port}"]
    if kind == "websocket":
        asked += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        asked += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    asked += [f"{name}: {value}" for name, value in bearer(site.world.token())]
    connection = socket.create_connection(("127.0.0.1", site.port), 10)
    connection.sendall(("\r\n".join(asked) + "\r\n\r\n").encode())
    return connection


def test_a_server_stops_while_connections_are_open(site: Site) -> None:
    """What looks at their licenses keeps no server alive; the fixture sees that it stops."""
    with websocket(site, "/idle"), stream(site, "/idle"):
        pass
