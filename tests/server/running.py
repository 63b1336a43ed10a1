"""Applications that are served in a thread of the test, and what is sent to them by hand."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import anyio

from licet.server.running.serving import Serving
from licet.server.running.sockets import listen

#: Seconds: no test waits for anything longer.
PATIENCE = 10.0

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


class Echo:
    """An application that keeps the scope of every request, and answers with its body.

    Attributes:
        scopes: of the requests, in their order.
        has_started, has_ended: what became of its lifespan.
        takes: seconds for each answer.
    """

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.takes = 0.0
        self.has_started = self.has_ended = False

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve."""
        if scope["type"] == "lifespan":
            await receive()
            self.has_started = True
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.has_ended = True
            await send({"type": "lifespan.shutdown.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.scopes.append(scope)
        await anyio.sleep(self.takes)
        fields = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(app: App, **options: Any) -> Iterator[tuple[str, int]]:
    """Serve in a thread; yield the address once it is ready."""
    listening = listen("127.0.0.1", 0)
    address: tuple[str, int] = listening.getsockname()
    ready = threading.Event()
    server = Serving(app, listening, ready=ready.set, **options)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield address
    finally:
        server.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@contextmanager
def connected(
    address: tuple[str, int],
    context: ssl.SSLContext | None = None,
    session: ssl.SSLSession | None = None,
) -> Iterator[socket.socket]:
    """Connect to a server, over TLS where there is a context."""
    with socket.create_connection(address, PATIENCE) as plain:
        if context is None:
            yield plain
            return
        with context.wrap_socket(plain, server_hostname=address[0], session=session) as secured:
            yield secured


REQUEST = b"POST / HTTP/1.1\r\nHost: server.example\r\nContent-Length: 5\r\n\r\nhello"


def ask(connection: socket.socket) -> bytes:
    """Send one request; return the answer's body, or nothing where the server hung up."""
    connection.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"\r\n\r\nhello"):
        received = connection.recv(65_536)
        if not received:
            return b""
        answer += received
    return b"hello"


def shown_by(connection: socket.socket) -> bytes:
    """Return the server's certificate."""
    assert isinstance(connection, ssl.SSLSocket)
    return connection.getpeercert(True) or b""
