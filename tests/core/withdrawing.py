"""A vendor on loopback who publishes keys and a status list, and whose licenses name it."""

from __future__ import annotations

import json
from typing import Any

from licet.core import flow
from licet.core.errors import LicenseError
from licet.core.flow import Flow
from licet.core.gate import Gate
from licet.core.settings import Settings
from licet.issuer import Issuer
from tests.core.hands import Hands
from tests.core.loopback import Answer, Loopback, Request, reply
from tests.core.presented import Presented
from tests.core.vendor import Served
from tests.licenses import AUDIENCE

PATH = "/status/1"


class Withdrawing(Served):
    """One vendor.

    Args:
        hands: a clock to move.
    """

    def __init__(self, hands: Hands | None = None) -> None:
        self.hands = hands or Hands()
        self.server = Loopback(self._answer)
        self.name = f"http://127.0.0.1:{self.server.port}"
        self.uri = self.name + PATH
        self.issuer = Issuer.generate(self.name)
        #: What the list says, by index; and how long a copy of it lives, in seconds.
        self.statuses: dict[int, Any] = {}
        self.ttl = 60.0
        #: Whether anybody is served.
        self.away = False
        #: In place of the list, and of the key set, while they are set.
        self.served: bytes | None = None
        self.published: dict[str, Any] | None = None

    def _answer(self, request: Request) -> Answer:
        if self.away:
            return reply(503)
        if request.target != PATH:
            keys = self.published or self.issuer.jwks()
            return reply(200, json.dumps(keys).encode(), "application/jwk-set+json")
        body = self.list() if self.served is None else self.served
        return reply(200, body, "application/statuslist+jwt")

    @property
    def fetches(self) -> int:
        """How often the list was asked for."""
        return sum(one.target == PATH for one in self.server.log)

    def list(self, **changes: Any) -> bytes:
        """Return the list as it stands now."""
        options = {
            "size": 64,
            "ttl": self.ttl,
            "expires_in": 30 * 86_400,
            "issued_at": self.hands.wall,
            **changes,
        }
        return self.issuer.status_list(self.uri, self.statuses, **options).encode()

    def license(self, idx: int | None = 7, **claims: Any) -> str:
        """Return a license of a year from now; without an index, one that names no list."""
        if idx is not None:
            claims = {"status": {"status_list": {"idx": idx, "uri": self.uri}}, **claims}
        return self.issuer.issue(
            audience=AUDIENCE,
            expires_in=365 * 86_400,
            **{
                "subject": "lic_1",
                "issued_at": self.hands.wall,
                "features": ["analytics"],
                **claims,
            },
        )

    def options(self, **changes: Any) -> dict[str, Any]:
        """Return settings that know this vendor's keys."""
        return {
            "issuer": self.name,
            "audience": AUDIENCE,
            "jwks": self.issuer.jwks(),
            **changes,
        }

    def gate(self, **changes: Any) -> Gate:
        """Return a gate of these settings, by this clock."""
        return Gate(Settings(**self.options(**changes)), clock=self.hands.clock)


def judged(gate: Gate, credential: str) -> Flow[str]:
    """Return `yes`, or the reason why one request is refused."""
    request = Presented(lines={"authorization": [f"Bearer {credential}"]})
    try:
        yield from gate.decide(request)
    except LicenseError as error:
        return error.reason
    return "yes"


def verdict(gate: Gate, credential: str) -> str:
    """Judge one request in this thread, as `judged`."""
    return flow.run(judged(gate, credential))
