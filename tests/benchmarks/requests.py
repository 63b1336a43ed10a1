"""Requests as servers hand them over, made anew for each, and one look at what comes back.

Names and values of header fields are new objects, as the parsers of servers make them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from tests.benchmarks.material import forged, fresh

#: Where the license is: the field, and what stands before it there.
PLACES = {"authorization": b"Bearer ", "x-license-token": b""}

OTHERS = {
    "host": b"reports.acme.example",
    "user-agent": b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "accept": b"application/json, text/plain, */*",
    "accept-encoding": b"gzip, deflate, br, zstd",
    "accept-language": b"en-GB,en;q=0.8,de;q=0.5",
    "connection": b"keep-alive",
}


def scope(token: bytes, place: str = "authorization", path: str = "/") -> dict[str, Any]:
    """Return an ASGI scope, as uvicorn makes it."""
    headers = [(fresh(name.encode()), fresh(value)) for name, value in OTHERS.items()]
    headers.append((fresh(place.encode()), PLACES[place] + token))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50_000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "state": {},
    }


def environ(token: bytes, place: str = "authorization", path: str = "/") -> dict[str, Any]:
    """Return a WSGI environ, as gunicorn makes it."""
    fields = {**OTHERS, place: PLACES[place] + token}
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": None,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **{
            "HTTP_" + name.upper().replace("-", "_"): value.decode("latin-1")
            for name, value in fields.items()
        },
    }


def many(make: Callable[..., Any], *args: Any) -> Callable[[int], Sequence[Any]]:
    """Return what makes so many new requests."""
    return lambda count: [make(*args) for _ in range(count)]


async def receive() -> dict[str, Any]:
    """Return the whole body of a request: none."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Any) -> None:
    """Take what an application sends."""


def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
    """Take the start of a response."""
    return len


def asgi(app: Any) -> Callable[[Any], Any]:
    """Return what sends one scope through `app`."""
    return lambda scope: app(scope, receive, send)


def wsgi(app: Any) -> Callable[[Any], None]:
    """Return what sends one environ through `app`, to the end of its body."""

    def serve(environ: Any) -> None:
        body = app(environ, start_response)
        for _ in body:
            pass
        close = getattr(body, "close", None)
        if close is not None:
            close()

    return serve


def asgi_status(app: Any, scope: Any, loop: asyncio.AbstractEventLoop) -> int:
    """Return the status with which an ASGI application answers."""
    seen: list[int] = []

    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            seen.append(message["status"])

    loop.run_until_complete(app(scope, receive, sent))
    return seen[0]


def wsgi_status(app: Any, environ: Any) -> int:
    """Return the status with which a WSGI application answers."""
    seen: list[str] = []

    def starting(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        seen.append(status)
        return len

    for _ in app(environ, starting):
        pass
    return int(seen[-1][:3])


def guards(status: Callable[[bytes], int], token: bytes, name: str) -> None:
    """Make sure that what is timed really judges its licenses.

    Args:
        status: answers a request with a token.
        token: a good one.
        name: of the case.
    """
    answers = status(token), status(forged(token))
    assert answers == (200, 401), f"{name} answered {answers} to a good and a forged license"
