"""What a server says of how long its key set is good for, and what Licet makes of it (RFC 9111)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from licet.cli.doctor.finding import Finding, Kind
from licet.cli.moments import span
from licet.core.documents.exchange import lifetime
from licet.core.documents.schedule import MIN_AGE
from licet.core.transport import Response

DAY = 86_400.0
_SAY = "send Cache-Control: max-age=300, or another time from a minute to a day"

CACHED = Kind("caching_ok", "ok")
NO_ETAG = Kind(
    "caching_no_etag",
    "warning",
    "send an ETag: without it the whole set is sent each time (Last-Modified is not used)",
)
NOT_HONOURED = Kind(
    "caching_not_modified",
    "warning",
    "answer 304 where If-None-Match names the ETag: the same set is sent each time",
)
NO_LIFETIME = Kind("caching_no_lifetime", "warning", _SAY)
NO_STORE = Kind("caching_no_store", "warning", _SAY)
SHORT = Kind("caching_too_short", "warning", _SAY)
LONG = Kind("caching_too_long", "warning", _SAY)
STALE = Kind(
    "caching_stale",
    "warning",
    "have the cache before the server renew its copy: a rotation is seen late",
)


def examine(
    response: Response, again: Callable[[str], Response | Finding], max_age: float
) -> Iterator[Finding]:
    """Find what is wrong with how a key set may be cached.

    Args:
        response: the answer.
        again: asks once more, with If-None-Match.
        max_age: seconds that the settings keep a set at most.
    """
    good = True
    for finding in (*_lifetime(response, max_age), *_validator(response, again)):
        good = False
        yield finding
    if good:
        seconds = lifetime(response.headers) or 0.0
        yield CACHED(f"it is good for {span(seconds)}, and is not sent again until it changes")


def _lifetime(response: Response, max_age: float) -> Iterator[Finding]:
    control = response.headers.get("cache-control", "")
    declared = lifetime({"cache-control": control})
    if declared is None:
        yield NO_LIFETIME(f"it does not say for how long it is good; {span(max_age)} are assumed")
    elif declared < MIN_AGE and ("no-store" in control.lower() or "no-cache" in control.lower()):
        yield NO_STORE(
            f"it is not to be kept, which would need the server for every request; "
            f"it is kept for {span(MIN_AGE)}"
        )
    elif declared < MIN_AGE:
        yield SHORT(f"it is good for {span(declared)}, and kept for {span(MIN_AGE)} all the same")
    elif declared > DAY:
        yield LONG(f"it is good for {span(declared)}; till then a cache on the way hides rotations")
    elif not lifetime(response.headers):
        yield STALE("what comes is an old copy: its Age is beyond its max-age")


def _validator(response: Response, again: Callable[[str], Response | Finding]) -> Iterator[Finding]:
    etag = response.headers.get("etag")
    if etag is None or not (etag.isascii() and etag.isprintable()):
        yield NO_ETAG("it has no ETag" if etag is None else "it has an ETag that is no ASCII")
        return
    answer = again(etag)
    # A failure, or another set, says nothing of this.
    if isinstance(answer, Response) and answer.status == 200 and answer.body == response.body:
        yield NOT_HONOURED("it is sent again although If-None-Match says that it is here")
