"""One exchange: what is asked, and what each answer says."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate

import pytest

from licet.core.documents.exchange import (
    Confirmed,
    Failed,
    Fetched,
    Source,
    exchange,
    lifetime,
    media_type,
    retry_after,
)
from licet.core.tls import TlsFailure
from licet.core.transport import Response, Transport, TransportError

SOURCE = Source("https://licenses.test/x", ("text/plain", "text/csv"), 100, 5.0)
WALL = 1_800_000_000.0


class Once(Transport):
    """A transport with one answer, which notes what it was asked."""

    def __init__(self, answer: Response | Exception) -> None:
        super().__init__()
        self._answer = answer
        self.asked: list[tuple[str, dict[str, str], float, int]] = []

    def fetch(
        self, url: str, *, headers: Mapping[str, str], deadline: float, max_bytes: int
    ) -> Response:
        self.asked.append((url, dict(headers), deadline, max_bytes))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def read(response: Response) -> str:
    return response.body.decode("utf-8")


def asked_of(
    answer: Response | Exception, etag: str | None = None
) -> Fetched[str] | Confirmed | Failed:
    return exchange(SOURCE, Once(answer), read, etag=etag, wall=WALL)


@pytest.mark.parametrize("etag", [None, '"v1"'])
def test_what_is_asked(etag: str | None) -> None:
    """Address, types, limits, and the tag of the copy at hand if there is one; nothing else."""
    transport = Once(Response(304, {}, b""))
    exchange(SOURCE, transport, read, etag=etag, wall=WALL)
    headers = {"accept": "text/plain, text/csv"} | ({"if-none-match": etag} if etag else {})
    assert transport.asked == [("https://licenses.test/x", headers, 5.0, 100)]


@pytest.mark.parametrize("etag", ['"\xe9"', '"\u202e"', '"\t"'])
def test_a_tag_that_cannot_be_sent_is_left_out(etag: str) -> None:
    """The document is then asked for whole, as if there were no copy at hand."""
    transport = Once(Response(200, {"content-type": "text/csv", "etag": etag}, b"two"))
    assert exchange(SOURCE, transport, read, etag=etag, wall=WALL) == Fetched("two", etag, None)
    assert "if-none-match" not in transport.asked[0][1]


def test_a_200_brings_value_tag_and_lifetime() -> None:
    """What the reader makes of the body, and what the fields say of it."""
    fields = {"content-type": "Text/CSV; charset=utf-8", "etag": '"1"'}
    aged = {**fields, "cache-control": "max-age=90", "age": "20"}
    assert asked_of(Response(200, aged, b"one")) == Fetched("one", '"1"', 70.0)
    assert asked_of(Response(200, fields, b"one")) == Fetched("one", '"1"', None)
    assert asked_of(Response(200, {"content-type": "text/csv"}, b"")) == Fetched("", None, None)


def test_a_304_confirms_only_what_was_asked_for() -> None:
    """With a tag, for as long as it says; without one it is a failure."""
    answer = Response(304, {"cache-control": "max-age=90"}, b"")
    assert asked_of(answer, '"v1"') == Confirmed(90.0)
    assert asked_of(answer) == Failed("status_304")


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (Response(500, {"retry-after": "7"}, b"x"), Failed("status_500", 7.0)),
        (Response(204, {"content-type": "text/plain"}, b""), Failed("status_204")),
        (Response(200, {"content-type": "text/html"}, b"x"), Failed("content_type")),
        (Response(200, {}, b"x"), Failed("content_type")),
        (Response(200, {"content-type": "text/plain"}, b"\xff"), Failed("invalid")),
        (TransportError("timeout"), Failed("timeout")),
        (
            TransportError("tls", TlsFailure("pin", "mismatch")),
            Failed("tls", tls=TlsFailure("pin", "mismatch")),
        ),
        (OSError("secret address"), Failed("internal_OSError")),
    ],
)
def test_anything_else_is_a_failure_in_one_word(
    answer: Response | Exception, failure: Failed
) -> None:
    """No text of the other side is in it."""
    assert asked_of(answer) == failure


def test_retry_after_as_a_date_counts_from_now() -> None:
    """RFC 9110 knows both forms; a date that is past asks for nothing."""
    later = formatdate(WALL + 90, usegmt=True)
    assert asked_of(Response(503, {"retry-after": later}, b"")) == Failed("status_503", 90.0)
    assert retry_after({"retry-after": later}, WALL) == 90.0
    assert retry_after({"retry-after": formatdate(0, usegmt=True)}, WALL) == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("9" * 400, 1e18),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("\u0663", None),
        ("Mon, 01 Jan 99999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_with_suspicion(value: str, seconds: float | None) -> None:
    """Whole seconds, cut before they are work to read; nonsense is as if it were not there."""
    assert retry_after({"retry-after": value}, WALL) == seconds


def test_without_a_retry_after_there_is_none() -> None:
    """An answer that asks for nothing."""
    assert retry_after({}, WALL) is None


@pytest.mark.row("H13")
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"cache-control": "public"}, None),
        ({"cache-control": ""}, None),
        ({"cache-control": "max-age=300"}, 300),
        ({"cache-control": 'MAX-AGE="300", public'}, 300),
        ({"cache-control": "max-age=300, max-age=200"}, 200),
        ({"cache-control": "max-age=300, no-store"}, 0),
        ({"cache-control": "no-cache"}, 0),
        ({"cache-control": "max-age"}, 0),
        ({"cache-control": "max-age=-5"}, 0),
        ({"cache-control": "max-age=1e9"}, 0),
        ({"cache-control": "max-age=NaN"}, 0),
        ({"cache-control": "max-age=X60X"}, 0),
        ({"cache-control": "max-age=\u0663"}, 0),
        ({"cache-control": "max-age=" + "9" * 5000}, 1e18),
        ({"cache-control": "s-maxage=5"}, None),
        ({"cache-control": "max-age=300", "age": "100"}, 200),
        ({"cache-control": "max-age=300", "age": "400"}, 0),
        ({"cache-control": "max-age=300", "age": "10, 100"}, 200),
        ({"cache-control": "max-age=300", "age": "new"}, 0),
        ({"age": "100"}, None),
        ({"cache-control": "no-cache=5, max-age=60"}, 0),
        ({"cache-control": " max-age = 60 "}, 60),
    ],
)
def test_h13_the_lifetime_is_read_with_suspicion(
    headers: dict[str, str], seconds: float | None
) -> None:
    """`max-age` less `Age`; nonsense is no lifetime at all."""
    assert lifetime(headers) == seconds


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("text/plain", "text/plain"),
        (" Text/Plain ; charset=utf-8; x=y", "text/plain"),
        ("text/plain, text/html", "text/plain, text/html"),
        ("", ""),
    ],
)
def test_the_media_type_is_without_parameters(value: str, found: str) -> None:
    """In lower case; a list of types is none."""
    assert media_type({"content-type": value}) == found
    assert media_type({}) == ""
