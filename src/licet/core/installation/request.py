"""One request for a later token, and what its answer gives: a token that nothing vouches for yet.

Only a 200 with the members of the protocol is an answer. Everything else is none, and says at most
when to ask again.
"""

from __future__ import annotations

import json

from licet.core.clock import Clock
from licet.core.documents.exchange import media_type, retry_after
from licet.core.flow import Flow
from licet.core.online.answers import NoAnswer, lost
from licet.core.token import strictjson
from licet.core.transport import Request, Response, Send, Transport, TransportError

#: Seconds for one try, and bytes of its answer.
DEADLINE, MAX_BYTES = 10.0, 64 * 1024
MEDIA_TYPE = "application/json"
#: Statuses below 500 that speak of this moment, and not of this license.
PASSING = (408, 429)


def later_token(url: str, credential: bytes, transport: Transport, clock: Clock) -> Flow[bytes]:
    """Return what a license server gives for a token that is shown to it.

    Args:
        url: the whole endpoint.
        credential: the token; to have it is what permits to ask.
        transport: sends.
        clock: wall time.

    Raises:
        NoAnswer: nothing; `harmless` where asking again soon would change nothing.
    """
    body = json.dumps({"token": credential.decode("ascii")}).encode()
    request = Request("POST", url, {"content-type": MEDIA_TYPE, "accept": MEDIA_TYPE}, body)
    try:
        response = yield Send(transport, request, DEADLINE, MAX_BYTES)
    except TransportError as error:
        raise lost(error) from None
    return _read(response, clock.wall())


def _read(response: Response, wall: float) -> bytes:
    status = response.status
    if status != 200:
        refused = 400 <= status < 500 and status not in PASSING
        wait = retry_after(response.headers, wall)
        raise NoAnswer(f"status_{status}", harmless=refused, retry_after=wait)
    if media_type(response.headers) != MEDIA_TYPE:
        raise NoAnswer("content_type")
    try:
        answer = strictjson.loads(response.body)
    except ValueError:
        raise NoAnswer("garbage") from None
    token, lasts = answer.get("token"), answer.get("expires_in")
    # Not isinstance: True is an int.
    if not isinstance(token, str) or not token.isascii() or type(lasts) not in (int, float):
        raise NoAnswer("garbage")
    return token.encode("ascii")
