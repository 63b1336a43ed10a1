"""The only HTTP client: one request, under one deadline for all of it and a cap on its answer.

Redirects are not followed, cookies not kept, compressed answers refused, and proxies, `.netrc`
and certificate files of the environment ignored, in threads and in event loops alike. Trusted is
what the TLS context vouches for.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import anyio
import anyio.to_thread
import httpcore
from anyio.lowlevel import RunVar

from licet.core.clock import SYSTEM_CLOCK
from licet.core.errors import ConfigError
from licet.core.tls import Contexts, TlsFailure, TlsOptions
from licet.core.transport import blocking, tasks
from licet.core.transport.messages import (
    FAILURES,
    Reason,
    Request,
    Response,
    TransportError,
    outgoing,
    told,
)

__all__ = ["READ_TIMEOUT", "Reason", "Request", "Response", "Send", "Transport", "TransportError"]

#: Seconds, for one read of a document.
READ_TIMEOUT = 3.0


class _Client(NamedTuple):
    """The connections of one process, and what they are made with."""

    process: int
    context: ssl.SSLContext
    pool: httpcore.ConnectionPool


class Transport:
    """Sends requests to one server; may be shared by threads and tasks and survives a fork.

    Args:
        tls: how TLS is spoken: a context, options for one, or contexts that several share; by
            default `TlsOptions()`. Options are tried at once; a client certificate among them is
            read again when its files change.
        monotonic: returns seconds that never run backwards.
        keep_alive: how many connections may be kept for the next request, for a few seconds. A
            request that finds a kept one dead fails with the reason `protocol`; to repeat it is
            the caller's to say.

    Raises:
        OSError: the authorities of the options cannot be read.
        ConfigError: another option cannot be used.
    """

    _client: _Client | None = None

    def __init__(
        self,
        tls: ssl.SSLContext | TlsOptions | Contexts | None = None,
        *,
        monotonic: Callable[[], float] = SYSTEM_CLOCK.monotonic,
        keep_alive: int = 0,
    ) -> None:
        self._in_loop: RunVar[tasks.Connections] = RunVar("licet.transport")
        self._keep = keep_alive
        self._backend = blocking.Backend(monotonic)
        self._context = tls if isinstance(tls, ssl.SSLContext) else None
        if isinstance(tls, Contexts):
            self._contexts = tls
        else:
            options = tls if isinstance(tls, TlsOptions) else TlsOptions()
            self._contexts = Contexts(options, monotonic=monotonic)
        if isinstance(tls, TlsOptions):
            self._contexts.current()

    def fetch(
        self, url: str, *, headers: Mapping[str, str], deadline: float, max_bytes: int
    ) -> Response:
        """Return what a GET of `url` answers, as `send` does."""
        request = Request("GET", url, headers)
        return self._send(request, deadline, max_bytes, min(deadline, READ_TIMEOUT))

    def send(self, request: Request, *, deadline: float, max_bytes: int) -> Response:
        """Return what `request` answers, blocking this thread.

        Args:
            request: what is asked.
            deadline: seconds that all of it may take together.
            max_bytes: the longest body that is read.

        Raises:
            TransportError: there is no answer, or none that is read to its end.
        """
        return self._send(request, deadline, max_bytes, deadline)

    async def asend(self, request: Request, *, deadline: float, max_bytes: int) -> Response:
        """Return what `send` does, in this task, under asyncio or trio.

        A cancelled task closes its connection.
        """
        try:
            with anyio.fail_after(deadline):
                message = outgoing(request, wait=deadline, kept=self._keep > 0)
                if self._contexts.due():
                    await anyio.to_thread.run_sync(self._contexts.look)
                connections = self._own_connections()
                pool = await connections.use(self._current())
                try:
                    return await tasks.exchange(pool, message, max_bytes)
                finally:
                    await connections.used(pool)
        except FAILURES as error:
            failure = told(error)
        raise failure

    def _send(self, request: Request, deadline: float, max_bytes: int, wait: float) -> Response:
        self._backend.start(deadline)
        try:
            message = outgoing(request, wait=wait, kept=self._keep > 0)
            client = self._own_client()
            try:
                return blocking.exchange(client.pool, message, max_bytes)
            finally:
                # Whoever replaces a client closes what nobody uses, and its last users the rest.
                if self._client is not client:
                    blocking.close_idle(client.pool)
        except FAILURES as error:
            failure = told(error)
        raise failure

    def _own_client(self) -> _Client:
        """Return this process's client, made when it is first needed."""
        # No lock, which a fork could leave held: two clients made at once do no harm. The
        # client of a parent is left alone, because its sockets are still the parent's.
        if self._contexts.due():
            self._contexts.look()
        process, context, before = os.getpid(), self._current(), self._client
        if before is not None and before.process == process and before.context is context:
            return before
        pool = blocking.connections(context, self._backend, self._keep)
        made = self._client = _Client(process, context, pool)
        if before is not None and before.process == process:
            blocking.close_idle(before.pool)
        return made

    def _own_connections(self) -> tasks.Connections:
        """Return this event loop's connections."""
        found = self._in_loop.get(None)
        if found is None:
            found = tasks.Connections(self._keep)
            self._in_loop.set(found)
        return found

    def _current(self) -> ssl.SSLContext:
        if self._context is not None:
            return self._context
        try:
            return self._contexts.current()
        except (ConfigError, OSError):
            raise TransportError("tls", TlsFailure("handshake", "files")) from None

    def __del__(self) -> None:
        # Connections of event loops end with their loops, and a parent's are the parent's.
        client = self._client
        if client is not None and client.process == os.getpid():
            client.pool.close()


@dataclass(frozen=True, slots=True)
class Send:
    """One request, as an effect: returns a `Response`, or raises `TransportError`.

    Args:
        transport: sends it.
        request: what is asked.
        deadline: seconds that all of it may take together.
        max_bytes: the longest body that is read.
    """

    transport: Transport
    request: Request
    deadline: float
    max_bytes: int

    def run(self) -> Response:
        """Send it in this thread."""
        return self.transport.send(self.request, deadline=self.deadline, max_bytes=self.max_bytes)

    async def arun(self) -> Response:
        """Send it in this task."""
        return await self.transport.asend(
            self.request, deadline=self.deadline, max_bytes=self.max_bytes
        )
