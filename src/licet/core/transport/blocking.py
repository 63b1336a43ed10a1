"""Requests in threads: plain sockets, each wait cut to what is left of the deadline.

The timeouts of httpcore are per read, so a server that drips could hold a caller for as long as
it likes. Here every connect, handshake, read and write takes at most the time that is left. What
cannot be bounded is the resolver of the operating system: its time counts, but the call returns
only when it does.
"""

from __future__ import annotations

# Python's resolver imports it at its first look-up; a fork in the middle of that would strand the
# child on the module's lock.
import encodings.idna  # noqa: F401
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any

import httpcore

from licet.core.transport.messages import KEPT_FOR, Incoming, Response, TlsBroken, during_tls


def connections(context: ssl.SSLContext, backend: Backend, keep: int) -> httpcore.ConnectionPool:
    """Return connections that are made with `context`, of which `keep` may be kept."""
    return httpcore.ConnectionPool(
        ssl_context=context,
        network_backend=backend,
        max_connections=None,
        max_keepalive_connections=keep,
        keepalive_expiry=KEPT_FOR,
    )


def exchange(pool: httpcore.ConnectionPool, message: httpcore.Request, max_bytes: int) -> Response:
    """Send a request and return its answer."""
    response = pool.handle_request(message)
    try:
        answer = Incoming(response, max_bytes)
        if not answer.too_large:
            for chunk in response.iter_stream():
                answer.add(chunk)
                if answer.too_large:
                    break
        return answer.whole()
    finally:
        response.close()


def close_idle(pool: httpcore.ConnectionPool) -> None:
    """Close the connections that nobody uses."""
    for connection in pool.connections:
        if connection.is_idle():
            connection.close()


class _Deadline(threading.local):
    at = float("inf")


class Backend(httpcore.NetworkBackend):
    """The plain sockets of httpcore, under this thread's deadline.

    Args:
        monotonic: returns seconds that never run backwards.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._sockets = httpcore.SyncBackend()
        self._monotonic = monotonic
        # A request runs in the thread that asked for it, from the first byte to the last.
        self._deadline = _Deadline()

    def start(self, seconds: float) -> None:
        """Let the time of this thread's next request begin."""
        self._deadline.at = self._monotonic() + seconds

    def left(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float:
        """Return the seconds that a wait may take; raise `late` if there are none."""
        seconds = self._deadline.at - self._monotonic()
        if seconds <= 0:
            raise late
        return seconds if timeout is None else min(seconds, timeout)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Return a connection to the first address of a host that takes one."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise httpcore.ConnectError from None
        error: Exception = httpcore.ConnectError()
        # One by one, so that a host of many addresses gets no more time than a host of one.
        for *_, address in found:
            wait = self.left(timeout, httpcore.ConnectTimeout)
            try:
                stream = self._sockets.connect_tcp(
                    str(address[0]), port, wait, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
            else:
                return _Stream(stream, self)
        raise error


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, backend: Backend) -> None:
        self._stream = stream
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        wait = self._backend.left(timeout, httpcore.ReadTimeout)
        try:
            return self._stream.read(max_bytes, wait)
        except httpcore.ReadError as error:
            raise during_tls(error) from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._backend.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        wait = self._backend.left(timeout, httpcore.ConnectTimeout)
        try:
            stream = self._stream.start_tls(ssl_context, server_hostname, wait)
        except httpcore.ConnectError as error:
            raise TlsBroken(error.__cause__) from None
        return _Stream(stream, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
