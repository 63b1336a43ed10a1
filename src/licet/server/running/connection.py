"""One connection: what it tells the application of its TLS, and how long it may take to ask.

uvicorn's protocols, with whichever parser is installed, bound an idle connection but neither the
time nor, with httptools, the size of a request that never ends; and they say nothing of a client's
certificate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal, TypeAlias

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from licet.server.running.extension import extension

Scope: TypeAlias = MutableMapping[str, Any]
App: TypeAlias = Callable[[Scope, Any, Any], Awaitable[None]]
Parser: TypeAlias = Literal["auto", "h11", "httptools"]

#: Bytes of a request line and all header fields.
MOST_HEAD = 32 * 1024
#: Seconds in which a whole request has to arrive.
REQUEST_WITHIN = 30.0


def protocol(parser: Parser = "auto") -> type[asyncio.Protocol]:
    """Return what connections are made of.

    Args:
        parser: of HTTP/1.1; `auto` for httptools where it is installed, else h11.
    """
    return type("Connection", (_Bounded, _parsing(parser)), {})


def _parsing(parser: Parser) -> type[asyncio.Protocol]:
    if parser == "h11":
        from uvicorn.protocols.http.h11_impl import H11Protocol

        return H11Protocol
    if parser == "httptools":
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

        return HttpToolsProtocol
    return AutoHTTPProtocol


class _Bounded(asyncio.Protocol):
    """Before either of uvicorn's protocols, with the attributes that both have."""

    app: App
    cycle: Any
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    _late: asyncio.TimerHandle | None = None
    _head = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        if connection is not None:
            self.app = _telling(self.app, extension(connection))
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._head += len(data)
            if self._head > MOST_HEAD:
                self.transport.close()
            self._expect()
        elif cycle.more_body:
            self._head = 0
            self._expect()
        else:
            self._head = 0
            self._unexpect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unexpect()
        super().connection_lost(exc)

    def _expect(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(REQUEST_WITHIN, self._give_up)

    def _unexpect(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        self.transport.close()


def _telling(app: App, tls: dict[str, Any]) -> App:
    """Return an application whose scopes say what the connection is."""

    async def told(scope: Scope, receive: Any, send: Any) -> None:
        scope.setdefault("extensions", {})["tls"] = tls
        await app(scope, receive, send)

    return told
