"""What real ASGI servers make of refusals: in time, too late, and of a websocket."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio
import pytest

from licet import RoleNotGranted
from licet.asgi import LicenseMiddleware
from tests.adapters.contract import bearer
from tests.licenses import OPTIONS, license_token

# Of servers and their libraries, older ones above all.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Refuse: at once, after the response started, or after a websocket was accepted."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
        return
    if scope["path"] == "/late" and scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"piece", "more_body": True})
    elif scope["path"] == "/late":
        await receive()
        await send({"type": "websocket.accept"})
    raise RoleNotGranted


Serve = Callable[[Any, socket.socket, anyio.Event], Awaitable[None]]


async def uvicorn(app: Any, listening: socket.socket, stop: anyio.Event, **options: Any) -> None:
    """Serve `app` with uvicorn until `stop`."""
    module = pytest.importorskip("uvicorn")
    server = module.Server(module.Config(app, log_config=None, **options))
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, [listening])
        await stop.wait()
        server.should_exit = True


async def hypercorn(app: Any, listening: socket.socket, stop: anyio.Event) -> None:
    """Serve `app` with Hypercorn until `stop`."""
    from hypercorn.asyncio import serve

    await serve(app, hypercorn_config(listening), shutdown_trigger=stop.wait)


def hypercorn_config(listening: socket.socket) -> Any:
    """Return what Hypercorn serves a socket by."""
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listening.dup().detach()}"]  # which it will close
    config.errorlog = logging.getLogger("hypercorn.error")
    return config


@contextmanager
def serving(serve: Serve, app: Any = None, backend: str = "asyncio") -> Iterator[int]:
    """Serve an application on a free port of loopback: the one above, behind Licet, or another."""
    app = LicenseMiddleware(application, **OPTIONS) if app is None else app
    listening = socket.create_server(("127.0.0.1", 0))
    running = threading.Event()
    stopping: list[Callable[[], None]] = []

    async def main() -> None:
        stop = anyio.Event()
        stopping.append(lambda: anyio.from_thread.run_sync(stop.set, token=token))
        token = anyio.lowlevel.current_token()
        running.set()
        await serve(app, listening, stop)

    thread = threading.Thread(target=anyio.run, args=(main,), kwargs={"backend": backend})
    thread.start()
    try:
        assert running.wait(10)
        yield listening.getsockname()[1]
    finally:
        with suppress(anyio.RunFinishedError):  # it failed, and pytest tells of its thread
            stopping[0]()
        thread.join(20)
        listening.close()
    assert not thread.is_alive()


@pytest.fixture(params=[uvicorn, hypercorn], ids=["uvicorn", "hypercorn"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a real server."""
    pytest.importorskip(request.param.__name__)
    with serving(request.param) as port:
        yield port


def ask(port: int, path: str, *headers: tuple[str, str]) -> bytes:
    """Send one request and return all bytes that come until the server closes."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    return answer


def test_a_refusal_in_time_is_the_answer(port: int) -> None:
    """Of the middleware and of the application alike, as problem details."""
    for headers, status, code in (
        ([], b"HTTP/1.1 401", b"license_required"),
        (bearer(license_token()), b"HTTP/1.1 403", b"role_not_granted"),
    ):
        answer = ask(port, "/", *headers)
        assert answer.startswith(status)
        assert b"application/problem+json" in answer
        assert code in answer


def test_a_refusal_after_the_start_ends_the_response_unfinished(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """One status line, no second answer, no proper end; the server logs the error."""
    answer = ask(port, "/late", *bearer(license_token()))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"piece" in answer
    assert b"role_not_granted" not in answer
    assert not answer.endswith(b"0\r\n\r\n"), "a client must see that something is missing"
    errors = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert errors == [RoleNotGranted]


def test_a_websocket_is_denied_with_an_answer(port: int) -> None:
    """A real client sees 401, or the requirement's 403, and the problem document."""
    client = pytest.importorskip("websockets.sync.client")
    refused = pytest.importorskip("websockets.exceptions").InvalidStatus
    for headers, status, code in (
        ([], 401, b"license_required"),
        (bearer(license_token()), 403, b"role_not_granted"),
    ):
        with pytest.raises(refused) as denied:
            client.connect(f"ws://127.0.0.1:{port}/", additional_headers=headers)
        assert denied.value.response.status_code == status
        assert code in denied.value.response.body


def test_an_open_websocket_is_closed(port: int) -> None:
    """After `accept` a refusal is close code 1008 with the word for it."""
    client = pytest.importorskip("websockets.sync.client")
    closed = pytest.importorskip("websockets.exceptions").ConnectionClosed
    with (
        client.connect(
            f"ws://127.0.0.1:{port}/late", additional_headers=bearer(license_token())
        ) as socket,
        pytest.raises(closed) as end,
    ):
        socket.recv(10)
    assert (end.value.rcvd.code, end.value.rcvd.reason) == (1008, "role_not_granted")
