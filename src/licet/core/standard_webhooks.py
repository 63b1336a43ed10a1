"""How Standard Webhooks 1.0.0 signs a message symmetrically; for those who send and who receive.

The id, the moment of sending and the body are one text, signed by a secret that both sides have.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode


def key_of(secret: str) -> bytes:
    """Return the key that a secret spells: base64, with or without `whsec_` before it.

    Raises:
        ValueError: it is no base64.
    """
    return b64decode(secret.removeprefix("whsec_"), validate=True)


def signature(key: bytes, message_id: str, moment: str, body: bytes) -> str:
    """Return what stands in `webhook-signature`.

    Args:
        key: as `key_of` has it.
        message_id: `webhook-id`; without a full stop.
        moment: `webhook-timestamp`, seconds since the epoch.
        body: the bytes of the body.
    """
    text = b".".join((message_id.encode(), moment.encode(), body))
    return "v1," + b64encode(hmac.digest(key, text, hashlib.sha256)).decode()


def fields(secret: str, message_id: str, moment: int, body: bytes) -> dict[str, str]:
    """Return the header fields of a delivery.

    Args:
        secret: as for `key_of`, or several with spaces between them: each signs.
        message_id: of the event; the same at each attempt.
        moment: of this attempt, seconds since the epoch.
        body: what is said, JSON.
    """
    keys = map(key_of, secret.split())
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(moment),
        "webhook-signature": " ".join(
            signature(key, message_id, str(moment), body) for key in keys
        ),
    }
