"""What a license server says of itself, and of the key that this application has for it.

Nothing but GET is sent, so that nothing is asked of it that it would act on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from licet.cli.doctor.connection import Place
from licet.cli.doctor.finding import Finding, Kind
from licet.core.documents.exchange import media_type
from licet.core.transport import Response

#: Sends a GET: an address, and header fields.
Get = Callable[[str, dict[str, str]], Response | Finding]

_JSON = ("application/json", "application/problem+json")

HEALTHY = Kind("server_ok", "ok")
UNHEALTHY = Kind("server_unhealthy", "fault", "see the log of the license server")
ACCEPTED = Kind("credentials_ok", "ok")
REFUSED = Kind(
    "credentials_refused",
    "fault",
    "set LICET_VALIDATION_CREDENTIALS to a validation key that the server has not revoked",
)
UNTOLD = Kind("credentials_unchecked", "unchecked", "`licet verify` asks it about a license key")
NO_ENDPOINT = Kind("endpoint_not_found", "fault", "correct the path in the settings")
NO_RECEIVER = Kind(
    "webhook_not_found",
    "warning",
    "see that LICET_WEBHOOK_URL is where events are taken; some who take them know no GET",
)


def health(place: Place, get: Get) -> Iterator[Finding]:
    """Ask a server how it is, which one that is no license server does not know."""
    answer = get(f"{place.origin}/healthz", {})
    # Others may have a page at any address.
    if isinstance(answer, Response) and media_type(answer.headers) in _JSON:
        if answer.status == 200:
            yield HEALTHY("/healthz says that it is well")
        elif answer.status >= 500:
            yield UNHEALTHY(f"/healthz says {answer.status}: it cannot work")


def credentials(url: str, key: str | None, get: Get) -> Iterator[Finding]:
    """Find out whether the endpoint of questions is there, and takes our key.

    Args:
        url: of the endpoint.
        key: what the server knows this application by.
        get: sends it.
    """
    stranger = get(url, {})
    if isinstance(stranger, Finding):
        yield stranger
        return
    yield from endpoint(stranger)
    if key is None or stranger.status == 404:
        return
    ours = get(url, {"authorization": f"Bearer {key}"})
    if isinstance(ours, Finding):
        yield ours
    elif ours.status == 401:
        yield REFUSED("it answers 401 to the key of this application")
    elif stranger.status in (401, 403) and _knows(ours):
        yield ACCEPTED("it knows the key of this application")
    else:
        yield UNTOLD(
            "whether it knows the key of this application: it tells only who asks a question"
        )


def endpoint(answer: Response) -> Iterator[Finding]:
    """Find out whether there is an endpoint at an address; that it takes no GET is no fault."""
    if answer.status in (404, 410):
        yield NO_ENDPOINT(f"it answers {answer.status}: there is nothing at this address")


def receiver(answer: Response) -> Iterator[Finding]:
    """Find out whether there may be somebody to take events at an address."""
    if answer.status in (404, 410):
        yield NO_RECEIVER(f"it answers {answer.status} to a GET; events are sent by POST")


def _knows(answer: Response) -> bool:
    """Return whether a GET was refused for what it is, and not for who asks."""
    # A key that is good for something else (RFC 6750, section 3.1).
    limited = "insufficient_scope" in answer.headers.get("www-authenticate", "")
    return answer.status in (200, 400, 405, 415, 422) or (answer.status == 403 and limited)
