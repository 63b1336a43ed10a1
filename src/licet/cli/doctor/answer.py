"""What a server answers to a GET, by the core's own client; nothing is followed, nothing kept."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from licet.cli.doctor import tls
from licet.cli.doctor.finding import Finding, Kind
from licet.cli.doctor.patience import Patience
from licet.core.tls import TlsFailure
from licet.core.transport import Request, Response, Transport, TransportError

#: Seconds for one answer.
WITHIN = 8.0
#: Bytes of an answer of which only the status counts.
LITTLE = 64 * 1024

REDIRECT = Kind(
    "http_redirect", "fault", "write the address that it is redirected to: none is ever followed"
)
MISSING = Kind("http_not_found", "fault", "correct the path, or have the server publish it there")
REFUSED = Kind("http_refused", "fault", "publish it for everybody: it is asked for without a key")
STATUS = Kind("http_status", "fault", "see the log of the server")
TIMEOUT = Kind("http_timeout", "fault", "see what keeps the server from answering")
BROKEN = Kind("http_broken", "fault", "see the log of the server, and of what stands before it")
ENCODED = Kind(
    "http_encoded", "fault", "switch compression off there: none is asked for and none is unpacked"
)
SERVED = Kind("status_list_ok", "ok")
TOO_LARGE = Kind("http_too_large", "fault", "serve less; nobody reads more than that")


def get(
    transport: Transport,
    url: str,
    patience: Patience,
    *,
    headers: Mapping[str, str],
    most: int = LITTLE,
) -> Response | Finding:
    """Return what a GET is answered, or why there is no answer.

    Args:
        transport: sends it.
        url: of what is asked for.
        patience: how long it may take.
        headers: of the request.
        most: the longest body that is of use, in bytes.
    """
    request = Request("GET", url, headers)
    try:
        return transport.send(request, deadline=patience.left(WITHIN), max_bytes=most)
    except TransportError as error:
        failure = error
    match failure.reason:
        case "tls":
            return tls.failed(failure.tls or TlsFailure("handshake", "failed"))
        case "timeout":
            return TIMEOUT("it takes the question and does not answer it in time")
        case "encoding":
            return ENCODED("its answer is compressed")
        case "too_large":
            return TOO_LARGE(f"its answer is longer than {most:,} bytes")
    return BROKEN(f"its answer is no HTTP, or breaks off ({failure.reason})")


def judged(response: Response) -> Finding | None:
    """Return what is wrong with the status of an answer; None for a 200."""
    status = response.status
    if status == 200:
        return None
    if 300 <= status < 400:
        return REDIRECT(f"it answers {status} and redirects to {_target(response)}")
    if status in (404, 410):
        return MISSING(f"it answers {status}: there is nothing at this address")
    if status in (401, 403):
        return REFUSED(f"it answers {status}: it wants to know who asks")
    return STATUS(f"it answers {status}")


def _target(response: Response) -> str:
    """Return where an answer leads, without what may be a secret."""
    said = response.headers.get("location", "nowhere")
    try:
        parts = urlsplit(said)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "what is no address"
    return f"{parts.scheme}://{host}{parts.path}"[:200] if host else parts.path[:200]
