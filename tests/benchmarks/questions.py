"""What is sent to a license server: whole requests, ready for the wire, each with a new nonce."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

#: The product that licenses are for.
AUDIENCE = "acme-reports"


def order(license_id: str) -> dict[str, object]:
    """Return what a license is ordered by; it holds at one domain, which is named after it."""
    return {
        "id": license_id,
        "customer": f"{license_id} GmbH",
        "plan": "professional",
        "features": ["reports", "export", "analytics"],
        "domains": [f"reports.{license_id}.example"],
        "expires_in": 31_536_000,
        "key": True,
        "status": True,
    }


class Requests:
    """Endless requests of each kind.

    Args:
        told: what `licet serve --dev --json` printed.
        issued: what `licet licenses import` printed.

    Attributes:
        of: the requests of each kind of load.
    """

    def __init__(self, told: Mapping[str, str], issued: Path) -> None:
        self._host = urlsplit(told["url"]).netloc
        self._keys = {"admin": told["admin_key"], "validation": told["validation_key"]}
        self._run = random.randbytes(6).hex()
        self._issued = 0
        with issued.open("rb") as lines:
            licenses = [json.loads(line) for line in lines]
        random.shuffle(licenses)
        asked = {kind: [(each["id"], each[kind]) for each in licenses] for kind in ("key", "token")}
        self.of: dict[str, Iterator[bytes]] = {
            **{kind: self._questions(credentials) for kind, credentials in asked.items()},
            "issue": self._issues(),
            "change": self._changes(),
        }

    def _head(self, path: str, kind: str) -> bytes:
        return (
            f"POST /v1/licenses{path} HTTP/1.1\r\nHost: {self._host}\r\n"
            f"Authorization: Bearer {self._keys[kind]}\r\nContent-Type: application/json\r\n"
            "Content-Length: "
        ).encode()

    def _questions(self, credentials: list[tuple[str, str]]) -> Iterator[bytes]:
        head = self._head("/validate", "validation")
        for license_id, credential in cycle(credentials):
            body = (
                f'{{"licenseKey":"{credential}","audience":"{AUDIENCE}",'
                f'"nonce":"{random.randbytes(16).hex()}","domain":"reports.{license_id}.example"}}'
            ).encode()
            yield b"%b%d\r\n\r\n%b" % (head, len(body), body)

    def _issue(self) -> tuple[str, bytes]:
        self._issued += 1
        license_id = f"b{self._run}-{self._issued}"
        body = json.dumps(order(license_id)).encode()
        return license_id, b"%b%d\r\n\r\n%b" % (self._head("", "admin"), len(body), body)

    def _issues(self) -> Iterator[bytes]:
        while True:
            yield self._issue()[1]

    def _changes(self) -> Iterator[bytes]:
        while True:
            license_id, request = self._issue()
            yield request
            yield self._head(f"/{license_id}/revoke", "admin") + b"2\r\n\r\n{}"
