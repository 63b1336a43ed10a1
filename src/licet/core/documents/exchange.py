"""One request for a document, and what its answer says: a new copy, the old one, or a failure.

Header fields are a stranger's advice (RFC 9111, RFC 9110): whoever calls clamps the numbers, and
nonsense counts as zero. No text of the other side gets into a failure's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import inf
from typing import Generic, TypeAlias, TypeVar

from licet.core.documents.unusable import Unusable
from licet.core.tls import TlsFailure
from licet.core.transport import Response, Transport, TransportError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a document is.

    Args:
        url: its address.
        content_types: the media types, in lower case, that its answers may have.
        max_bytes: the longest body.
        deadline: seconds for one fetch as a whole.
    """

    url: str
    content_types: tuple[str, ...]
    max_bytes: int
    deadline: float


@dataclass(frozen=True, slots=True)
class Fetched(Generic[T]):
    """A 200 that could be read: what the document says now, its tag and its lifetime."""

    value: T
    etag: str | None
    lifetime: float | None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A 304: the copy at hand is what the document says still, for another lifetime."""

    lifetime: float | None


@dataclass(frozen=True, slots=True)
class Failed:
    """Anything else.

    Args:
        error: why, in one word.
        retry_after: seconds that the other side asks to be left.
        tls: why there was no TLS connection, where that is it.
    """

    error: str
    retry_after: float | None = None
    tls: TlsFailure | None = None


Answer: TypeAlias = Fetched[T] | Confirmed | Failed


def exchange(
    source: Source,
    transport: Transport,
    parse: Callable[[Response], T],
    *,
    etag: str | None,
    wall: float,
) -> Answer[T]:
    """Ask for a document once; raises no Exception.

    Args:
        source: where it is.
        transport: what sends the request.
        parse: reads the body of a 200; raises ValueError where it is of no use, and Unusable to
            say why.
        etag: of the copy at hand; None to be given the document whatever it is.
        wall: now, in seconds since the Unix epoch.
    """
    headers = {"accept": ", ".join(source.content_types)}
    # A tag may hold octets beyond ASCII (RFC 9110, section 8.8.3), which cannot be sent from here.
    if etag is not None and not (etag.isascii() and etag.isprintable()):
        etag = None
    if etag is not None:
        headers["if-none-match"] = etag
    try:
        response = transport.fetch(
            source.url, headers=headers, deadline=source.deadline, max_bytes=source.max_bytes
        )
        fresh = lifetime(response.headers)
        if response.status == 304 and etag is not None:
            return Confirmed(fresh)
        if response.status != 200:
            return Failed(f"status_{response.status}", retry_after(response.headers, wall))
        if media_type(response.headers) not in source.content_types:
            return Failed("content_type")
        return Fetched(parse(response), response.headers.get("etag"), fresh)
    except TransportError as error:
        return Failed(error.reason, tls=error.tls)
    except Unusable as unusable:
        return Failed(unusable.word)
    except ValueError:
        return Failed("invalid")
    except Exception as error:
        return Failed(f"internal_{type(error).__name__}")


def lifetime(headers: Mapping[str, str]) -> float | None:
    """Return for how many more seconds an answer is fresh, or None where it does not say.

    RFC 9111, sections 4.2.1 and 5.2.2: `max-age` less `Age`; nothing for `no-store` and
    `no-cache`; the least of several values.

    Args:
        headers: names in lower case.
    """
    said: list[float] = []
    for directive in headers.get("cache-control", "").lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name.strip() in ("no-store", "no-cache"):
            said.append(0.0)
        elif name.strip() == "max-age":
            said.append(_seconds(value.strip().strip('"'), nonsense=0.0))
    if not said:
        return None
    ages = [_seconds(text.strip(), nonsense=inf) for text in headers.get("age", "0").split(",")]
    return max(0.0, min(said) - max(ages))


def retry_after(headers: Mapping[str, str], wall: float) -> float | None:
    """Return the seconds to wait that `Retry-After` names (RFC 9110, section 10.2.3).

    Args:
        headers: names in lower case.
        wall: now, in seconds since the Unix epoch.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return _seconds(text, nonsense=0.0)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall)
    except (ValueError, OverflowError):
        return None


def media_type(headers: Mapping[str, str]) -> str:
    """Return the media type in lower case, without parameters (RFC 9110, section 8.3.1)."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _seconds(text: str, *, nonsense: float) -> float:
    # Cut, because no honest number is that long and reading a long one is work.
    return float(text[:18]) if text.isascii() and text.isdecimal() else nonsense
