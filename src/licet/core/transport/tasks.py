"""Requests in event loops, asyncio's and trio's: no thread waits for a server.

The deadline is a cancellation, so it reaches every wait. One thing runs in a thread: the look-up
of a host name, which neither loop can do by itself; a numeric address needs none.
"""

# httpcore's interface hands timeouts on.
# ruff: noqa: ASYNC109

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import anyio
import anyio.lowlevel
import httpcore

from licet.core.transport.messages import KEPT_FOR, Incoming, Response, TlsBroken, during_tls

#: Bytes for one read.
AT_ONCE = 4_096


class Connections:
    """The connections of one event loop.

    Args:
        keep: how many may be kept for the next request.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._context: ssl.SSLContext | None = None
        self._pool: httpcore.AsyncConnectionPool | None = None
        self._end = self._until_the_end()

    async def use(self, context: ssl.SSLContext) -> httpcore.AsyncConnectionPool:
        """Return connections that are made with `context`; leave those made with another."""
        before = self._pool
        if before is not None and context is self._context:
            return before
        self._context = context
        self._pool = pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            network_backend=_Backend(),
            max_connections=None,
            max_keepalive_connections=self._keep,
            keepalive_expiry=KEPT_FOR,
        )
        if before is None:
            await anext(self._end)
        else:
            await _close_idle(before)
        return pool

    async def used(self, pool: httpcore.AsyncConnectionPool) -> None:
        """Hear that somebody is done with `pool`: the last one closes what was left."""
        if pool is not self._pool:
            await _close_idle(pool)

    async def _until_the_end(self) -> AsyncGenerator[None, None]:
        """Close what is kept when the loop ends.

        That is what event loops promise to generators that are still alive then (PEP 525), and
        the only word of its end that one gives to a library.
        """
        try:
            yield
        finally:
            if self._pool is not None:  # pragma: no branch - it begins once there is a pool
                await self._pool.aclose()


async def exchange(
    pool: httpcore.AsyncConnectionPool, message: httpcore.Request, max_bytes: int
) -> Response:
    """Send a request and return its answer."""
    response = await pool.handle_async_request(message)
    try:
        answer = Incoming(response, max_bytes)
        if not answer.too_large:
            await _receive(response, answer)
        return answer.whole()
    finally:
        await response.aclose()


async def _close_idle(pool: httpcore.AsyncConnectionPool) -> None:
    """Close the connections that nobody uses."""
    with anyio.CancelScope(shield=True):
        for connection in pool.connections:
            if connection.is_idle():
                await connection.aclose()


async def _receive(response: httpcore.Response, answer: Incoming) -> None:
    try:
        async for chunk in response.aiter_stream():
            answer.add(chunk)
            if answer.too_large:
                # Closed, and then read to its end: generators that are left in the middle would
                # be finished by the garbage collector, of which trio complains.
                await response.aclose()
    except httpcore.NetworkError:
        if not answer.too_large:
            raise


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self) -> None:
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            stream = await self._sockets.connect_tcp(
                host, port, timeout, local_address, socket_options
            )
        except UnicodeError:
            raise httpcore.ConnectError from None
        return _Stream(stream)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            # Little by little, and others in between: bytes that have come already are handed
            # over without a turn of the loop, and a server can make many pieces of a few.
            await anyio.lowlevel.checkpoint()
            return await self._stream.read(min(max_bytes, AT_ONCE), timeout)
        except (httpcore.ReadError, ssl.SSLError) as error:
            raise during_tls(error) from None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            await self._stream.write(buffer, timeout)
        except ssl.SSLError as error:
            raise during_tls(error) from None

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except httpcore.ConnectError as error:
            raise TlsBroken(error.__cause__) from None
        except BaseException:
            # httpcore closes after errors only, and a cancelled handshake is none.
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
            raise
        return _Stream(stream)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
