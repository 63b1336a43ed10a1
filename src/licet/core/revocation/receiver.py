"""Is a pushed event from the license server, and what does it say? (Standard Webhooks 1.0.0)

The server signs the id, the moment of sending and the body as one text, by a secret that it shares
with this side. Nothing of a delivery is believed before that signature holds over the bytes that
came; what it then says is read by the one strict reading of JSON.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeAlias

from licet.core.errors import LicetError
from licet.core.standard_webhooks import key_of, signature
from licet.core.token import strictjson

#: Seconds by which the moment of sending may differ from now.
TOLERANCE = 300.0
#: Signatures in one delivery: one for each secret of a rotation, and other schemes beside them.
MAX_SIGNATURES = 16

#: Returns the value of each line of a header field, by its name in lower case.
Fields: TypeAlias = Callable[[str], Sequence[str]]

# Without a full stop, which parts what is signed, and without the comma by which servers join the
# lines of a repeated field.
_ID = re.compile(r"[!-+\-/-~]{1,256}")
_TIMESTAMP = re.compile(r"0|[1-9][0-9]{0,11}")


class Delivery(NamedTuple):
    """What the license server has sent.

    Attributes:
        id: of the event; a repeated delivery has the same.
        sent_at: when it was sent, in seconds since the epoch.
        message: the body.
    """

    id: str
    sent_at: float
    message: Mapping[str, Any]


class DeliveryInvalid(LicetError):
    """Nobody with the secret has sent this, or not just now.

    Args:
        reason: why, for the log only; a fixed word.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DeliveryUnreadable(DeliveryInvalid):
    """The license server has sent this, and it does not say what it has to."""


class Receiver:
    """Knows the deliveries of one license server.

    Args:
        secret: as Standard Webhooks writes it: base64, with or without `whsec_` before it.
    """

    def __init__(self, secret: str) -> None:
        self._key = key_of(secret)

    def __repr__(self) -> str:
        return "Receiver()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is neither copied nor pickled")

    def authentic(self, fields: Fields, body: bytes, now: float) -> Delivery:
        """Return what was sent.

        Args:
            fields: of the request.
            body: the bytes that came.
            now: wall time, in seconds since the epoch.

        Raises:
            DeliveryInvalid: it was not sent by the license server, or too long ago.
            DeliveryUnreadable: it was, and is no JSON object.
        """
        event = _only(fields, "webhook-id", _ID)
        timestamp = _only(fields, "webhook-timestamp", _TIMESTAMP)
        if not abs(now - int(timestamp)) <= TOLERANCE:
            raise DeliveryInvalid("timestamp_off")
        signatures = _only(fields, "webhook-signature").split(" ")
        if len(signatures) > MAX_SIGNATURES:
            raise DeliveryInvalid("signatures")
        # Compared as it is written: of one signature there is one text.
        expected = signature(self._key, event, timestamp, body).encode()
        matches = [
            hmac.compare_digest(expected, one.encode("utf-8", "replace")) for one in signatures
        ]
        if not any(matches):
            raise DeliveryInvalid("signature")
        try:
            return Delivery(event, float(timestamp), strictjson.loads(body))
        except ValueError:
            raise DeliveryUnreadable("json") from None


def _only(fields: Fields, name: str, pattern: re.Pattern[str] | None = None) -> str:
    """Return the value of a field of which there is exactly one line."""
    lines = fields(name)
    if len(lines) != 1 or (pattern is not None and not pattern.fullmatch(lines[0])):
        raise DeliveryInvalid(name.replace("-", "_"))
    return lines[0]
