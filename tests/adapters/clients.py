"""Clients that call an ASGI or a WSGI application as its server would, header lines as given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import anyio

from tests.adapters.contract import Answer

Headers = list[tuple[str, str]] | None


def http_scope(method: str, target: str, headers: Headers = None, **changes: Any) -> dict[str, Any]:
    """Return the scope an ASGI server would make of a request."""
    path, _, query = target.partition("?")
    lines = [("host", "testserver"), *(headers or [])]
    if any(name.lower() == "host" for name, _ in headers or []):
        lines = lines[1:]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in lines],
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
        "state": {"shared": True},
        **changes,
    }


async def call(app: Any, scope: dict[str, Any]) -> Answer:
    """Send one request to an ASGI application in this event loop."""
    messages: list[dict[str, Any]] = []
    sent = False
    done = anyio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await done.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start" and messages:
            raise RuntimeError("a response has one start")
        messages.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            done.set()

    await app(scope, receive, send)
    start = messages[0]
    headers = [(name.decode(), value.decode()) for name, value in start.get("headers", [])]
    body = b"".join(message.get("body", b"") for message in messages[1:])
    return Answer(start["status"], headers, body)


class AsgiClient:
    """An ASGI application, one event loop for each request."""

    def __init__(self, app: Any, calls: list[str], backend: str = "asyncio") -> None:
        self.app = app
        self.calls = calls
        self.backend = backend

    def request(self, method: str, path: str, headers: Headers = None) -> Answer:
        """Send one request."""
        return anyio.run(call, self.app, http_scope(method, path, headers), backend=self.backend)


def environ(method: str, target: str, headers: Headers = None, **changes: Any) -> dict[str, Any]:
    """Return the environ a WSGI server would make of a request, equal fields joined."""
    path, _, query = target.partition("?")
    made: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "testserver",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": BytesIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    lines: dict[str, list[str]] = {}
    for name, value in headers or []:
        lines.setdefault("HTTP_" + name.upper().replace("-", "_"), []).append(value)
    for key, values in lines.items():
        made[key] = ("; " if key == "HTTP_COOKIE" else ",").join(values)
    return {**made, **changes}


class WsgiClient:
    """A WSGI application."""

    def __init__(self, app: Callable[..., Iterable[bytes]], calls: list[str]) -> None:
        self.app = app
        self.calls = calls

    def request(self, method: str, path: str, headers: Headers = None) -> Answer:
        """Send one request."""
        started: list[tuple[int, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Any:
            if exc_info and started:
                started.clear()
            assert not started, "start_response is called once"
            started.append((int(status.split()[0]), headers))
            return None

        body = self.app(environ(method, path, headers), start_response)
        try:
            whole = b"".join(body)
        finally:
            close = getattr(body, "close", None)
            if close:
                close()
        return Answer(*started[0], whole)
