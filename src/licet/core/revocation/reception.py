"""One request to the receiver of pushed events: what is asked of it, and what it is answered.

The same wherever it is mounted. Everything about a request is a stranger's word until its
signature holds; no answer tells more than its status, and nothing of the request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from licet.core import flow
from licet.core.errors import ConfigError
from licet.core.events.log import FailureLog, Ration
from licet.core.flow import Flow
from licet.core.gate import Gate
from licet.core.problem import Problem, answer, members
from licet.core.revocation.receiver import (
    DeliveryInvalid,
    DeliveryUnreadable,
    Fields,
    Receiver,
)
from licet.core.stores import StoreUnavailable

#: Bytes of a body.
MAX_BODY = 65_536
#: Seconds after which a sender may try again, where this side could not take what it said.
RETRY_AFTER = 10

logger = logging.getLogger("licet")


class _Kind(NamedTuple):
    """One way to be refused."""

    code: str
    status: int
    title: str
    detail: str
    header: tuple[str, str] | None = None


INVALID: Final = _Kind(
    "webhook_invalid",
    401,
    "Webhook invalid",
    "The delivery is not signed by its sender, or was not sent just now.",
    # A 401 has to name a scheme (RFC 9110, section 15.5.2).
    ("WWW-Authenticate", 'Standard-Webhooks realm="licet"'),
)
UNREADABLE: Final = _Kind(
    "webhook_unreadable",
    400,
    "Webhook unreadable",
    "The delivery does not say what it has to.",
)
METHOD: Final = _Kind(
    "method_not_allowed",
    405,
    "Method not allowed",
    "Events are delivered by POST.",
    ("Allow", "POST"),
)
LENGTH: Final = _Kind(
    "body_too_large", 413, "Body too large", "The body of the delivery is too large."
)
MEDIA: Final = _Kind(
    "unsupported_media_type",
    415,
    "Unsupported media type",
    "Events are delivered as application/json, not encoded further.",
    ("Accept", "application/json"),
)
UNTOLD: Final = _Kind(
    "webhook_unavailable",
    503,
    "Webhook not taken",
    "The delivery could not be taken in full at the moment.",
    ("Retry-After", str(RETRY_AFTER)),
)
TAKEN: Final = Problem(204, (("Cache-Control", "no-store"),), b"")


class Reception:
    """Answers the requests to one receiver.

    Args:
        gate: in which what is said comes into force.

    Raises:
        ConfigError: its settings have no `webhook_receive_secret`.
    """

    def __init__(self, gate: Gate) -> None:
        secret, pushed = gate.settings.webhook_receive_secret, gate.pushed
        if secret is None or pushed is None:
            raise ConfigError(
                "webhook_receive_secret",
                "is missing",
                "set the secret (whsec_…) that the license server signs its events with",
            )
        self._receiver, self._pushed = Receiver(secret), pushed
        self._wall = gate.clock.wall
        self._gate, self._is_alone = gate, not gate.boards
        self._rations = Ration(gate.clock)
        self._failed = FailureLog(gate.clock, "the event has to be delivered again")

    def respond(self, method: str, fields: Fields, read: Callable[[int], bytes]) -> Problem:
        """Answer one request, in this thread.

        Args:
            method: of the request.
            fields: of the request.
            read: returns up to so many bytes of its body, none at the end; may raise OSError.
        """
        refusal = self.head(method, fields)
        if refusal is not None:
            return refusal
        # Not bytes: to add a byte to them is to copy them all.
        body = bytearray()
        try:
            while len(body) <= MAX_BODY and (piece := read(MAX_BODY + 1 - len(body))):
                body += piece
        except OSError:
            return self._refuse(UNREADABLE, "body")
        return flow.run(self.take(fields, bytes(body)))

    def head(self, method: str, fields: Fields) -> Problem | None:
        """Return why a request is refused before its body is read, None where it is not."""
        if method != "POST":
            refusal = self._refuse(METHOD, "method")
            # What would be said of another method is not sent (RFC 9110, section 9.3.2).
            return refusal._replace(body=b"") if method == "HEAD" else refusal
        media, encodings = fields("content-type"), fields("content-encoding")
        if len(media) != 1 or media[0].partition(";")[0].strip().lower() != "application/json":
            return self._refuse(MEDIA, "content_type")
        if any(one.strip().lower() != "identity" for one in encodings):
            return self._refuse(MEDIA, "content_encoding")
        # What it says of its length need not be true; it saves reading what is too long.
        for said in fields("content-length"):
            digits = said.strip().lstrip("0")
            if digits.isdecimal() and (len(digits) > 6 or int(digits) > MAX_BODY):
                return self._refuse(LENGTH, "content_length")
        return None

    def take(self, fields: Fields, body: bytes) -> Flow[Problem]:
        """Put into force what was delivered, and answer.

        Args:
            fields: of the request.
            body: as much of it as came, or more than `MAX_BODY` of it.
        """
        if len(body) > MAX_BODY:
            return self._refuse(LENGTH, "body")
        try:
            delivery = self._receiver.authentic(fields, body, self._wall())
            yield from self._pushed.take(delivery)
            self._doubt()
        except DeliveryUnreadable as error:
            return self._refuse(UNREADABLE, error.reason)
        except DeliveryInvalid as error:
            return self._refuse(INVALID, error.reason)
        except StoreUnavailable as error:
            return self._refuse(UNTOLD, f"store:{error.reason}")
        except Exception as error:
            self._failed(error)
            return _ANSWERS[UNTOLD]
        return TAKEN

    def _doubt(self) -> None:
        """Tell once where what was said may be known to nobody who judges by it."""
        if self._is_alone and not self._gate.grant_stats().misses:
            self._is_alone = False
            logger.warning(
                "an event was taken by settings that have judged no license in this process, and "
                "are shared with no other: give the receiver the settings of the middleware, and "
                "with several workers set store or license_state"
            )

    def _refuse(self, kind: _Kind, reason: str) -> Problem:
        withheld = self._rations.withheld((kind.code, reason))
        if withheld is not None:
            more = f" suppressed={withheld}" if withheld else ""
            logger.warning("pushed event refused: code=%s reason=%s%s", kind.code, reason, more)
        return _ANSWERS[kind]


def _answer(kind: _Kind) -> Problem:
    """Return a refusal as problem details (RFC 9457): the same bytes for every request."""
    described = members(kind.code, kind.status, kind.title, kind.detail)
    made = answer(kind.status, described)
    more = () if kind.header is None else (kind.header,)
    return made._replace(headers=(*made.headers, *more))


_ANSWERS = {kind: _answer(kind) for kind in (INVALID, UNREADABLE, METHOD, LENGTH, MEDIA, UNTOLD)}
