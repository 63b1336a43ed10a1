"""Whoever wants to hear of what happens: each told in order, signed as Standard Webhooks are.

One thread for each receiver, so that one that is slow or gone holds up no other. What it does not
take within a minute it is not told again: it is in memory, and it is news.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import logging
import queue
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .bodies import NO_STORE, read_object

log = logging.getLogger(__name__)

EVENTS = frozenset("license.revoked license.suspended license.resumed keys.rotated".split())
MEMBERS = frozenset(("url", "events", "secret"))
LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
#: Seconds before each further attempt, and for an answer.
PAUSES, PATIENCE = (0.2, 1.0, 5.0, 15.0), 5.0
#: Receivers there may be, and events that one may be behind.
MOST_RECEIVERS, MOST_WAITING = 100, 10_000


class Receiver:
    """One address that is told.

    Args:
        url: where it listens.
        events: which it is told of.
        secret: `whsec_` and base64, known to both.
        client: what delivers.
    """

    def __init__(self, url: str, events: frozenset[str], secret: str, client: httpx.Client) -> None:
        self.url, self.events, self.secret, self.client = url, events, secret, client
        self.waiting: queue.Queue[tuple[str, bytes]] = queue.Queue(MOST_WAITING)
        threading.Thread(target=self._deliver, name="webhooks", daemon=True).start()

    def take(self, message_id: str, body: bytes) -> None:
        """Have a message delivered after those that wait."""
        try:
            self.waiting.put_nowait((message_id, body))
        except queue.Full:
            log.error("webhook lost: too many wait for one receiver")

    def _deliver(self) -> None:
        while True:
            message_id, body = self.waiting.get()
            for pause in (*PAUSES, None):
                if self._taken(message_id, body):
                    break
                if pause is None:
                    log.error("webhook given up: the receiver does not take it")
                else:
                    time.sleep(pause)

    def _taken(self, message_id: str, body: bytes) -> bool:
        moment = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": moment,
            "webhook-signature": sign(self.secret, message_id, moment, body),
        }
        try:
            return self.client.post(self.url, content=body, headers=headers).is_success
        except httpx.HTTPError:
            return False


class Webhooks:
    """All receivers."""

    def __init__(self) -> None:
        self.receivers: dict[str, Receiver] = {}
        self._client = httpx.Client(trust_env=False, timeout=PATIENCE)
        self._telling = threading.Lock()
        self._sequence = 0

    def tell(self, event: str, **data: object) -> None:
        """Tell whoever wants to hear of it, after what was told before."""
        now = datetime.now(UTC)
        with self._telling:
            # Of the clock, so that it grows across restarts too, after which nothing is known.
            self._sequence = max(self._sequence + 1, int(now.timestamp() * 1000))
            said = {
                "type": event,
                "timestamp": now.isoformat(),
                "data": {**data, "sequence": self._sequence},
            }
            body, message_id = json.dumps(said).encode(), f"msg_{secrets.token_urlsafe(18)}"
            for receiver in self.receivers.values():
                if event in receiver.events:
                    receiver.take(message_id, body)

    async def put(self, request: Request) -> Response:
        """Tell an address from now on; one that is told already may want other events."""
        body = await read_object(request, MEMBERS)
        url, events = body.get("url"), body.get("events", sorted(EVENTS))
        if not isinstance(url, str) or not is_address(url):
            raise HTTPException(400, "url is an https address, or an http one of this machine.")
        if not isinstance(events, list) or not events or not EVENTS.issuperset(map(str, events)):
            raise HTTPException(400, f"events is a list of {', '.join(sorted(EVENTS))}.")
        known = self.receivers.get(url)
        secret = body.get("secret", known.secret if known else new_secret())
        if not is_secret(secret):
            raise HTTPException(400, "secret is whsec_ and 24 to 64 bytes in base64.")
        if known is not None:
            known.events, known.secret = frozenset(events), secret
        elif len(self.receivers) >= MOST_RECEIVERS:
            raise HTTPException(409, f"There are {MOST_RECEIVERS} receivers already.")
        else:
            # Not while somebody walks through the old one.
            added = {url: Receiver(url, frozenset(events), secret, self._client)}
            self.receivers = {**self.receivers, **added}
        return JSONResponse({"secret": secret}, headers=NO_STORE)


def sign(secret: str, message_id: str, moment: str, body: bytes) -> str:
    """Return the signature of a message (Standard Webhooks, symmetric)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{moment}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def is_secret(secret: Any) -> bool:
    if not isinstance(secret, str) or not secret.startswith("whsec_"):
        return False
    try:
        return 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64
    except (binascii.Error, ValueError):
        return False


def is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK))
