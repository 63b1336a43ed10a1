"""Clients that send requests with bodies, piece by piece, as servers pass them on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Any

import anyio

from tests.adapters.clients import Headers, call, environ, http_scope
from tests.adapters.contract import Answer
from tests.pushed import Lines


class Body:
    """A body that is sent piece by piece, and counts what was taken of it.

    Args:
        pieces: of the body.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)
        self._rest = b""
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, as a WSGI server's stream does."""
        assert size >= 0, "everything was asked for, however long"
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        piece, self._rest = self._rest[:size], self._rest[size:]
        self.taken += len(piece)
        return piece

    def readline(self, size: int = -1) -> bytes:
        """Be there, as PEP 3333 demands."""
        raise NotImplementedError

    async def receive(self) -> dict[str, Any]:
        """Return the next message, as an ASGI server does."""
        piece = next(self._pieces, None)
        if piece is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        self.taken += len(piece)
        return {"type": "http.request", "body": piece, "more_body": True}


class AsgiPost:
    """Sends requests with bodies to an ASGI application.

    Args:
        app: the application.
        backend: of the event loop.
    """

    def __init__(self, app: Any, backend: str = "asyncio") -> None:
        self.app, self.backend = app, backend

    def __call__(
        self, method: str, path: str, headers: Headers = None, body: bytes | Body = b""
    ) -> Answer:
        """Send one request."""
        return anyio.run(self._call, method, path, headers, body, backend=self.backend)

    async def _call(self, method: str, path: str, headers: Headers, body: bytes | Body) -> Answer:
        sent = Body([body]) if isinstance(body, bytes) else body

        async def app(scope: Any, receive: Callable[[], Any], send: Any) -> None:
            over = False

            async def receiving() -> Any:
                nonlocal over
                if over:
                    return await receive()
                message = await sent.receive()
                over = not message["more_body"]
                return message

            await receive()  # the client's own, empty one
            await self.app(scope, receiving, send)

        if isinstance(body, bytes) and body:
            headers = [*(headers or []), ("Content-Length", str(len(body)))]
        return await call(app, http_scope(method, path, headers))


class WsgiPost:
    """Sends requests with bodies to a WSGI application, whose server ends chunked bodies.

    Args:
        app: the application.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(
        self, method: str, path: str, headers: Headers = None, body: bytes | Body = b"", **more: Any
    ) -> Answer:
        """Send one request."""
        started: list[tuple[int, Lines]] = []

        def start_response(status: str, fields: Lines, exc_info: Any = None) -> Any:
            started[:] = [(int(status[:3]), fields)]

        made = environ(method, path, headers)
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if f"HTTP_{name}" in made:
                made[name] = made.pop(f"HTTP_{name}")
        if isinstance(body, bytes):
            made["wsgi.input"] = BytesIO(body)
            if body:
                made.setdefault("CONTENT_LENGTH", str(len(body)))
        else:
            made["wsgi.input"], made["wsgi.input_terminated"] = body, True
        answer = self.app({**made, **more}, start_response)
        try:
            whole = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        return Answer(*started[0], whole)


class Broken(BytesIO):
    """A connection that is gone."""

    def read(self, size: int | None = -1) -> bytes:
        """Fail as servers do."""
        raise OSError("gone")
