"""The only HTTP client: one GET, under one deadline for all of it and a cap on what comes back.

httpx's own timeouts are per read, so a server that drips can hold a caller for as long as it
likes. Here every connect, handshake, read and write takes at most the time that is left.
Redirects are not followed, cookies not kept, compressed answers refused, and proxies, `.netrc`
and certificate files of the environment ignored. What cannot be bounded is the resolver of the
operating system: its time counts, but the call returns only when it does.
"""

from __future__ import annotations

# Python's resolver imports it at its first look-up; a fork in the middle of that would strand the
# child on the module's lock.
import encodings.idna  # noqa: F401
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Literal, TypeAlias

import httpcore
import httpx

from licet.core.clock import SYSTEM_CLOCK
from licet.core.tls import client_context

CONNECT_TIMEOUT = 2.0
READ_TIMEOUT = 3.0

Reason: TypeAlias = Literal["timeout", "connect", "tls", "protocol", "encoding", "too_large", "url"]


class TransportError(Exception):
    """No answer could be had.

    Args:
        reason: one of `Reason`; nothing of the address or of what the libraries below say.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whole.

    Args:
        status: the HTTP status code; redirects are answers like any other.
        headers: names in lower case; values of repeated fields joined by a comma.
        body: the content, never encoded.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """Fetches documents; may be shared by threads and survives a fork.

    Args:
        context: how TLS is spoken; by default `tls.client_context()`.
        monotonic: returns seconds that never run backwards.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        *,
        monotonic: Callable[[], float] = SYSTEM_CLOCK.monotonic,
    ) -> None:
        self._context = context
        self._backend = _Backend(monotonic)
        self._client: tuple[int, httpx.Client] | None = None

    def fetch(
        self, url: str, *, headers: Mapping[str, str], deadline: float, max_bytes: int
    ) -> Response:
        """Return what a GET of `url` answers.

        Args:
            url: an http or https address; which of them is permitted is the caller's to say.
            headers: request header fields.
            deadline: seconds that all of it may take together.
            max_bytes: the longest body that is read.

        Raises:
            TransportError: there is no answer, or none that is read to its end.
        """
        self._backend.start(deadline)
        try:
            with self._own_client().stream("GET", url, headers=dict(headers)) as response:
                body = _read(response, max_bytes)
                return Response(response.status_code, dict(response.headers), body)
        except (httpcore.TimeoutException, httpx.TimeoutException):
            raise TransportError("timeout") from None
        except _HandshakeError:
            raise TransportError("tls") from None
        except httpcore.ConnectError:
            raise TransportError("connect") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpcore.UnsupportedProtocol):
            raise TransportError("url") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpx.HTTPError):
            raise TransportError("protocol") from None

    def _own_client(self) -> httpx.Client:
        """Return this process's client, made when it is first needed."""
        # No lock, which a fork could leave held: two clients made at once do no harm. The
        # client of a parent is left alone, because its sockets are still the parent's.
        process, made = os.getpid(), self._client
        if made is None or made[0] != process:
            if self._context is None:
                self._context = client_context()
            made = self._client = process, _client(self._context, self._backend)
        return made[1]


def _client(context: ssl.SSLContext, backend: _Backend) -> httpx.Client:
    return httpx.Client(
        transport=_PoolTransport(context, backend),
        headers={"accept-encoding": "identity", "connection": "close", "user-agent": "licet"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
        follow_redirects=False,
        trust_env=False,
    )


def _read(response: httpx.Response, max_bytes: int) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        # None was asked for, and a small bomb unpacks to gigabytes.
        raise TransportError("encoding")
    if int(response.headers.get("content-length", "0")) > max_bytes:
        raise TransportError("too_large")
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise TransportError("too_large")
    return bytes(body)


class _PoolTransport(httpx.BaseTransport):
    """httpx on a pool whose network back end is ours; both ends of it are public."""

    def __init__(self, context: ssl.SSLContext, backend: _Backend) -> None:
        # Nothing is kept alive: between two fetches a server has long hung up, and a dead
        # connection found at the next one would be a failure of ours.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            network_backend=backend,
            max_connections=None,
            max_keepalive_connections=0,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        response = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response))


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _HandshakeError(httpcore.ConnectError):
    """The connection stands, but TLS does not."""


class _Deadline(threading.local):
    at = float("inf")


class _Backend(httpcore.NetworkBackend):
    """The plain sockets of httpcore, each wait cut to what is left of this thread's deadline."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._sockets = httpcore.SyncBackend()
        self._monotonic = monotonic
        # A request runs in the thread that asked for it, from the first byte to the last.
        self._deadline = _Deadline()

    def start(self, seconds: float) -> None:
        self._deadline.at = self._monotonic() + seconds

    def left(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float:
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
    def __init__(self, stream: httpcore.NetworkStream, backend: _Backend) -> None:
        self._stream = stream
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._backend.left(timeout, httpcore.ReadTimeout))

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
        except httpcore.ConnectError:
            raise _HandshakeError from None
        return _Stream(stream, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
