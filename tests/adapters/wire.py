"""The server's end of one ASGI connection, held by a test, as strict as servers are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio

from licet.asgi import LicenseMiddleware
from licet.core import gates
from licet.core.gate import Gate
from licet.core.settings import Settings
from tests.adapters.clients import http_scope
from tests.adapters.contract import bearer
from tests.core.hands import Hands
from tests.licenses import OPTIONS, license_token

#: Seconds after which a test gives up.
BOUND = 10.0
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8")]


class World:
    """A gate with a clock of its own, for all adapters with these settings.

    Args:
        monkeypatch: takes the gate away again.
        kind: of gate.
        options: of Licet.
    """

    def __init__(self, monkeypatch: Any, kind: Callable[..., Gate] = Gate, **options: Any) -> None:
        self.options = {**OPTIONS, "recheck_every": 0.1, **options}
        self.hands = Hands()
        settings = Settings(**self.options)
        self.gate = kind(settings, clock=self.hands.clock)
        monkeypatch.setitem(gates._gates, settings.fingerprint, self.gate)

    def token(self, **claims: Any) -> str:
        """Return a license of one hour from now."""
        now = int(self.hands.wall)
        return license_token(**{"iat": now, "exp": now + 3600, **claims})

    def guard(self, app: Any) -> LicenseMiddleware:
        """Return `app` behind Licet."""
        return LicenseMiddleware(app, **self.options)

    def end(self) -> None:
        """Let every license end."""
        self.hands.advance(4000)


class Wire:
    """One connection.

    Args:
        kind: `websocket` or `http`.
        token: what it presents; None for nothing.
        scope: what else the server says of it.

    Attributes:
        sent: the types of what the application sent, in order.
        last: the last message.
        over: set when no more may be sent.
        stuck: while set, the client takes nothing.
        gone: whether the client has left.
    """

    def __init__(self, kind: str, token: str | None, path: str = "/", **scope: Any) -> None:
        lines = [] if token is None else bearer(token)
        self.scope = http_scope("GET", path, lines, type=kind, **scope)
        self.sent: list[str] = []
        self.last: dict[str, Any] = {}
        self.over = anyio.Event()
        self.opened = anyio.Event()
        self.stuck: anyio.Event | None = None
        self.gone = False
        self._sending = 0
        self._then: Callable[[], object] = lambda: None
        self._said: list[dict[str, Any]] = [
            {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request"}
        ]
        self._heard = anyio.Event()

    def say(self, message: dict[str, Any]) -> None:
        """Let the client say something."""
        self._said.append(message)
        self._heard.set()

    async def receive(self) -> dict[str, Any]:
        """Return what the client says next."""
        while not self._said:
            self._heard = anyio.Event()
            await self._heard.wait()
        return self._said.pop(0)

    async def send(self, message: Any) -> None:
        """Take what the application sends."""
        assert not self._sending, "servers promise nothing of two messages at once"
        if self.over.is_set():
            raise RuntimeError(f"unexpected {message['type']} after the end")
        self._sending += 1
        try:
            if self.stuck is not None:
                await self.stuck.wait()
            if self.gone:
                raise BrokenPipeError
            await anyio.lowlevel.checkpoint()
        finally:
            self._sending -= 1
        kind = message["type"]
        self.sent.append(kind)
        self.last = dict(message)
        if kind in ("websocket.accept", "http.response.start"):
            self.opened.set()
            self._then()
        if kind == "websocket.close" or (
            kind == "http.response.body" and not message.get("more_body", False)
        ):
            self.over.set()

    async def serve(self, app: Any, then: Callable[[], object] = lambda: None) -> None:
        """Serve the connection until the application returns, within bounds.

        Args:
            app: the application.
            then: called when the connection is open.
        """
        self._then = then
        with anyio.fail_after(BOUND):
            await app(self.scope, self.receive, self.send)


async def open_up(scope: Any, receive: Any, send: Any) -> None:
    """Accept a websocket, or start an event stream and send one event."""
    await receive()
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})


def piece(scope: Any) -> dict[str, Any]:
    """Return one more message of an open connection."""
    if scope["type"] == "websocket":
        return {"type": "websocket.send", "text": "more"}
    return {"type": "http.response.body", "body": b"data: 2\n\n", "more_body": True}
