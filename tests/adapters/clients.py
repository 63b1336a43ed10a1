"""Clients that call an ASGI or a WSGI application as its server would, header lines as given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.adapters.contract import Answer

Headers = list[tuple[str, str]] | None


@dataclass(frozen=True)
class Connection:
    """What a server says of a connection, whatever lines came over it.

    Args:
        peer: the address at the other end; None for a unix socket.
        host: the `Host` of a request that brings none of its own; None for really none.
        tls: the TLS extension of ASGI, None where the server has none.
        variables: further WSGI variables, of the server's own.
    """

    peer: str | None = "127.0.0.1"
    host: str | None = "testserver"
    tls: Mapping[str, object] | None = None
    variables: Mapping[str, object] = field(default_factory=dict)

    def scope(self) -> dict[str, Any]:
        """Return what an ASGI server says of it."""
        said: dict[str, Any] = {"client": None if self.peer is None else (self.peer, 50000)}
        if self.tls is not None:
            said["extensions"] = {"tls": self.tls}
        return said

    def environ(self) -> dict[str, Any]:
        """Return what a WSGI server says of it."""
        return {"REMOTE_ADDR": self.peer or "", **self.variables}


LOOPBACK = Connection()


def http_scope(
    method: str,
    target: str,
    headers: Headers = None,
    host: str | None = "testserver",
    **changes: Any,
) -> dict[str, Any]:
    """Return the scope an ASGI server would make of a request; `host` where it brings none."""
    path, _, query = target.partition("?")
    lines = [*(headers or [])]
    if host is not None and not any(name.lower() == "host" for name, _ in lines):
        lines.insert(0, ("host", host))
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
    """An ASGI application, one event loop for each request; within `staying`, one for all."""

    def __init__(self, app: Any, calls: list[str], backend: str = "asyncio") -> None:
        self.app = app
        self.calls = calls
        self.backend = backend
        self._portal: BlockingPortal | None = None

    @contextmanager
    def staying(self) -> Iterator[None]:
        """Keep one event loop, which costs many requests less than each its own."""
        with start_blocking_portal(self.backend) as self._portal:
            try:
                yield
            finally:
                self._portal = None

    def request(
        self, method: str, path: str, headers: Headers = None, over: Connection = LOOPBACK
    ) -> Answer:
        """Send one request."""
        scope = self.made(method, path, headers, over)
        if self._portal is not None:
            return self._portal.call(call, self.app, scope)
        return anyio.run(call, self.app, scope, backend=self.backend)

    def at_once(self, requests: Iterable[tuple[str, str, Headers]]) -> list[Answer]:
        """Send these requests at the same time."""
        answers = []

        async def one(scope: dict[str, Any]) -> None:
            answers.append(await call(self.app, scope))

        async def every() -> None:
            async with anyio.create_task_group() as group:
                for request in requests:
                    group.start_soon(one, self.made(*request))

        anyio.run(every, backend=self.backend)
        return answers

    @staticmethod
    def made(
        method: str, path: str, headers: Headers = None, over: Connection = LOOPBACK
    ) -> dict[str, Any]:
        """Return the scope of a request over a connection."""
        return http_scope(method, path, headers, over.host, **over.scope())


def environ(
    method: str,
    target: str,
    headers: Headers = None,
    host: str | None = "testserver",
    **changes: Any,
) -> dict[str, Any]:
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
        **({} if host is None else {"HTTP_HOST": host}),
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

    def staying(self) -> AbstractContextManager[None]:
        """Do nothing: requests come one by one as they are."""
        return nullcontext()

    def at_once(self, requests: Iterable[tuple[str, str, Headers]]) -> list[Answer]:
        """Send these requests at the same time."""
        with ThreadPoolExecutor(32) as pool:
            return list(pool.map(lambda request: self.request(*request), requests))

    def request(
        self, method: str, path: str, headers: Headers = None, over: Connection = LOOPBACK
    ) -> Answer:
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

        made = environ(method, path, headers, over.host, **over.environ())
        body = self.app(made, start_response)
        try:
            whole = b"".join(body)
        finally:
            close = getattr(body, "close", None)
            if close:
                close()
        return Answer(*started[0], whole)
