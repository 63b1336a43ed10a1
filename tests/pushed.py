"""What a license server pushes, signed as Standard Webhooks has it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from itertools import count
from typing import Any, TypeAlias

Lines: TypeAlias = list[tuple[str, str]]
PATH = "/licet/webhooks"
JSON = ("Content-Type", "application/json")
_NUMBERS = count(1)


def new_secret() -> str:
    """Return a secret of its own, and with it settings that share a gate with no other test."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def event(kind: str = "license.revoked", timestamp: Any = None, **data: Any) -> bytes:
    """Return the body of an event that happened now."""
    at = time.time() if timestamp is None else timestamp
    return json.dumps({"type": kind, "timestamp": at, "data": data}).encode()


def mac(secret: str, event_id: str, at: object, body: bytes) -> bytes:
    """Return the code over a delivery."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return hmac.digest(key, f"{event_id}.{at}.".encode() + body, hashlib.sha256)


def signature(secret: str, event_id: str, at: object, body: bytes) -> str:
    """Return it as it is sent."""
    return "v1," + base64.b64encode(mac(secret, event_id, at, body)).decode()


def lines(
    secret: str, body: bytes, *, event_id: str | None = None, at: object = None, **changes: Any
) -> Lines:
    """Return the header lines of a delivery; changes replace values, None leaves a line out."""
    event_id = f"evt_{next(_NUMBERS)}" if event_id is None else event_id
    at = int(time.time()) if at is None else at
    fields = {
        "content_type": "application/json",
        "webhook_id": event_id,
        "webhook_timestamp": str(at),
        "webhook_signature": signature(secret, event_id, at, body),
        **changes,
    }
    return [(name.replace("_", "-"), value) for name, value in fields.items() if value is not None]


def revocation(options: dict[str, Any], license_id: str = "lic_1") -> tuple[Lines, bytes]:
    """Return the header lines and the body of a revocation."""
    body = event(license_id=license_id)
    return lines(options["webhook_receive_secret"], body), body
