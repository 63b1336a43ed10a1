"""What is sent and what comes back, the same for threads and for event loops.

httpx writes requests and reads header fields, httpcore carries them; none of httpx's clients is
used, so there is nothing that could keep cookies, follow redirects, or read proxies and `.netrc`.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self, TypeAlias

import httpcore
import httpx

from licet.core.tls import TlsFailure, classify

#: Seconds, for one address of a host.
CONNECT_TIMEOUT = 2.0
#: Seconds that a connection is kept for the next request.
KEPT_FOR = 5.0

Reason: TypeAlias = Literal["timeout", "connect", "tls", "protocol", "encoding", "too_large", "url"]


class TransportError(Exception):
    """No answer could be had.

    Args:
        reason: one of `Reason`; nothing of the address or of what the libraries below say.
        tls: why there is no TLS connection, where `reason` is `tls`.
    """

    def __init__(self, reason: Reason, tls: TlsFailure | None = None) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.tls = tls

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason, self.tls)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked.

    Args:
        method: of HTTP.
        url: an http or https address; which of them is permitted is the caller's to say.
        headers: request header fields; may hold secrets.
        body: the content; may hold secrets.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whole.

    Args:
        status: the HTTP status code; redirects are answers like any other.
        headers: names in lower case; values of repeated fields joined by a comma; may hold what
            was sent.
        body: the content, never encoded; may hold what was sent.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class TlsBroken(httpcore.NetworkError):
    """The connection stood, but TLS did not.

    Args:
        error: what was raised.
    """

    def __init__(self, error: BaseException | None) -> None:
        super().__init__()
        self.failure = classify(error)


#: What sending a request may end in.
FAILURES = (
    TransportError,
    TimeoutError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpx.InvalidURL,
)


def told(error: Exception) -> TransportError:
    """Return what one of `FAILURES` is called. To be raised outside of its `except`.

    Raised inside, it would take the other one, which may quote a header field, with it.
    """
    match error:
        case TransportError():
            return error
        case TlsBroken():
            return TransportError("tls", error.failure)
        case TimeoutError() | httpcore.TimeoutException():
            return TransportError("timeout")
        case httpcore.ConnectError():
            return TransportError("connect")
        case httpx.InvalidURL() | httpcore.UnsupportedProtocol():
            return TransportError("url")
        case _:
            return TransportError("protocol")


def outgoing(request: Request, *, wait: float, kept: bool) -> httpcore.Request:
    """Return `request` as httpcore takes it.

    Args:
        request: what is asked.
        wait: the longest time for one read or write, seconds.
        kept: whether the connection may be used again.

    Raises:
        httpx.InvalidURL, httpcore.UnsupportedProtocol: its address is none.
    """
    fields = {"accept-encoding": "identity", "user-agent": "licet", **request.headers}
    if not kept:
        fields["connection"] = "close"
    message = httpx.Request(
        request.method, request.url, headers=fields, content=request.body or None
    )
    url = message.url
    if url.scheme not in ("http", "https") or not url.host:
        raise httpcore.UnsupportedProtocol
    return httpcore.Request(
        method=message.method,
        url=httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        ),
        headers=message.headers.raw,
        content=_Body(request.body),
        extensions={
            "timeout": {"connect": CONNECT_TIMEOUT, "read": wait, "write": wait, "pool": wait}
        },
    )


class _Body:
    """A body, in one piece.

    The library's own is a generator: one that a request leaves behind when it is given up in the
    middle is finished by the garbage collector, of which trio complains.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._pieces = iter((content,))

    def __iter__(self) -> Iterator[bytes]:
        return iter((self._content,))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


class Incoming:
    """A response as it comes in.

    Args:
        response: of which only the head has been read.
        max_bytes: the longest body.

    Raises:
        TransportError: the body is encoded.
    """

    def __init__(self, response: httpcore.Response, max_bytes: int) -> None:
        self._status, self._max_bytes = response.status, max_bytes
        self._headers = httpx.Headers(response.headers)
        self._body = bytearray()
        if self._headers.get("content-encoding", "identity").lower() != "identity":
            # None was asked for, and a small bomb unpacks to gigabytes.
            raise TransportError("encoding")
        self._too_large = int(self._headers.get("content-length", "0")) > max_bytes

    @property
    def too_large(self) -> bool:
        """Whether the body is, or says it will be, longer than permitted."""
        return self._too_large

    def add(self, chunk: bytes) -> None:
        """Take the next piece of the body."""
        if not self._too_large:
            self._body += chunk
            self._too_large = len(self._body) > self._max_bytes

    def whole(self) -> Response:
        """Return the answer, at its end.

        Raises:
            TransportError: it is too large.
        """
        if self._too_large:
            raise TransportError("too_large")
        return Response(self._status, dict(self._headers), bytes(self._body))


def during_tls(error: Exception) -> Exception:
    """Return what to raise for a failed read or write: TLS may end at either.

    Under TLS 1.3 a server judges its client's certificate when the client believes the handshake
    to be over; what it says then comes with the first read (RFC 8446, section 4.4.2.4), unless it
    resets the connection as well: then nothing tells it from any other broken connection.
    """
    cause = error if isinstance(error, ssl.SSLError) else error.__cause__
    return TlsBroken(cause) if isinstance(cause, ssl.SSLError) else error
