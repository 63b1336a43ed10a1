"""What is left of a license server that was killed, beside what its clients remember."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import jwt

from tests.server.ears import Heard
from tests.server.processes import Served
from tests.server.shop import PATIENCE, Counting, Issuing, Rotating, Withdrawing
from tests.server.visitors import Visitor

AUDIENCE = "acme-reports"
#: What a license is after an event.
STATES = {
    "license.revoked": "revoked",
    "license.suspended": "suspended",
    "license.resumed": "active",
}


def caller(server: Served, key: str) -> httpx.Client:
    """Return what calls a server with a key that it said when it was ready."""
    headers = {"Authorization": f"Bearer {server.told[key]}"}
    return httpx.Client(
        base_url=server.told["url"], headers=headers, trust_env=False, timeout=PATIENCE
    )


@dataclass
class Aftermath:
    """The server that runs in the end, and what everybody remembers.

    Attributes:
        admin, validation: talk to the server.
        server, data: its process and its directory.
        heard: what came to the receiver of webhooks, in the order it came.
    """

    admin: httpx.Client
    validation: httpx.Client
    server: Served
    data: Path
    issuing: Issuing
    withdrawing: Withdrawing
    rotating: Rotating
    counting: Counting
    visitors: list[Visitor]
    heard: list[Heard]

    def get(self, path: str, **query: object) -> Any:
        """Return what the vendor reads at a path."""
        answer = self.admin.get(path, params={name: str(each) for name, each in query.items()})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def verdict(self, credential: str) -> str:
        """Return what the server says of a credential, once its signature held."""
        body = {"licenseKey": credential, "audience": AUDIENCE, "nonce": "n" * 43}
        answer = self.validation.post("/v1/licenses/validate", json=body)
        assert answer.status_code == 200, answer.text
        key = self.keys[jwt.get_unverified_header(answer.text)["kid"]]
        said = jwt.decode(answer.text, key, audience=AUDIENCE)
        return "active" if said["valid"] else str(said["error"])

    @cached_property
    def keys(self) -> jwt.PyJWKSet:
        """The keys that are published."""
        return jwt.PyJWKSet.from_dict(self.get("/.well-known/jwks.json"))

    @cached_property
    def record(self) -> dict[str, list[str]]:
        """Of each subject in the audit what was done to it, in order."""
        done: dict[str, list[str]] = {}
        after = 0
        while lines := self.get("/v1/audit", after=after, limit=1000)["entries"]:
            after = lines[-1]["id"]
            for line in lines:
                done.setdefault(line["subject"], []).append(line["action"])
        return done

    def state(self, name: str) -> str:
        """Return the state of a license that was acknowledged last."""
        done = self.withdrawing.done.get(name)
        return STATES[done[-1]] if done else "active"
