"""One connection: what it tells the application of its TLS, and how long it may take.

uvicorn's protocols bound an idle connection, and not the time of a request that never ends or of an
answer that nobody reads; with httptools also not the size of what is no body. And they say nothing
of a client's certificate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal, TypeAlias

from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.http.h11_impl import H11Protocol

from licet.server.running.extension import extension

Scope: TypeAlias = MutableMapping[str, Any]
App: TypeAlias = Callable[[Scope, Any, Any], Awaitable[None]]
Parser: TypeAlias = Literal["auto", "h11", "httptools"]

#: Bytes of a request line and all header fields.
MOST_HEAD = 32 * 1024
#: Seconds in which a whole request has to arrive, and some of an answer has to be taken.
REQUEST_WITHIN, TAKEN_WITHIN = 30.0, 30.0
#: Seconds in which a client has to agree, when the server ends, that its connection does.
CLOSED_WITHIN = 1.0


def protocol(parser: Parser = "auto") -> type[asyncio.Protocol]:
    """Return what connections are made of.

    Args:
        parser: of HTTP/1.1; `auto` for httptools where it is installed, else h11.
    """
    found = _parsing(parser)
    counted = () if issubclass(found, H11Protocol) else (_Counted,)
    return type("Connection", (_Timed, *counted, found), {})


def _parsing(parser: Parser) -> type[asyncio.Protocol]:
    if parser == "h11":
        return H11Protocol
    if parser == "httptools":
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

        return HttpToolsProtocol
    return AutoHTTPProtocol


class _Timed(asyncio.Protocol):
    """Before either of uvicorn's protocols, with the attributes that both have."""

    app: App
    cycle: Any
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    _late: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Whatever the system does not take at once waits for the client, and is waited for.
        self.transport.set_write_buffer_limits(high=1)
        connection = transport.get_extra_info("ssl_object")
        if connection is not None:
            self.app = _telling(self.app, extension(connection))
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            self._expect()
        else:
            self._unexpect()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch(None)

    def resume_writing(self) -> None:
        self._unwatch()
        super().resume_writing()

    def shutdown(self) -> None:
        super().shutdown()  # type: ignore[misc]
        if self.transport.is_closing() and not self.transport.get_write_buffer_size():
            # TLS waits for its client to close as well: one that idles does not look.
            self.loop.call_later(CLOSED_WITHIN, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unexpect()
        self._unwatch()
        super().connection_lost(exc)

    def _expect(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(REQUEST_WITHIN, self._give_up)

    def _unexpect(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        # Not `close`, which would wait for a client that reads no answers either.
        self.transport.abort()

    def _watch(self, before: int | None) -> None:
        """Look time and again whether the client takes anything of what waits for it."""
        waits = self.transport.get_write_buffer_size()
        if waits == before:
            self._give_up()
            return
        self._stuck = self.loop.call_later(TAKEN_WITHIN, self._watch, waits)

    def _unwatch(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None


class _Counted(asyncio.Protocol):
    """Before uvicorn's protocol with httptools: bounds what is no body, as h11 does by itself.

    What stands behind a body (RFC 9112, section 7.1.2) is dropped: it would be taken for header
    fields, of which nobody in front has seen anything.
    """

    transport: asyncio.Transport

    _no_body = 0
    _is_head = True

    def data_received(self, data: bytes) -> None:
        self._no_body += len(data)
        super().data_received(data)
        if self._no_body > MOST_HEAD:
            self.transport.abort()

    def on_message_begin(self) -> None:
        self._is_head = True
        super().on_message_begin()  # type: ignore[misc]

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_head:
            super().on_header(name, value)  # type: ignore[misc]

    def on_headers_complete(self) -> None:
        self._no_body, self._is_head = 0, False
        super().on_headers_complete()  # type: ignore[misc]

    def on_body(self, body: bytes) -> None:
        self._no_body = 0
        super().on_body(body)  # type: ignore[misc]


def _telling(app: App, tls: dict[str, Any]) -> App:
    """Return an application whose scopes say what the connection is."""

    async def told(scope: Scope, receive: Any, send: Any) -> None:
        scope.setdefault("extensions", {})["tls"] = tls
        await app(scope, receive, send)

    return told
