"""An issuer whose key set a real server on loopback serves, however a test likes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from licet.core import flow
from licet.core.errors import LicenseError
from licet.core.gate import Gate
from licet.core.settings import Settings
from licet.core.token import base64url
from tests.core.hands import Hands
from tests.core.jwks import ed25519, key_set, private_key
from tests.core.loopback import Answer, Loopback, Request, reply
from tests.licenses import AUDIENCE, ISSUER_NAME


def segment(value: object) -> str:
    """Return a JSON value as one segment of a compact JWS."""
    return base64url.encode(json.dumps(value).encode()).decode()


def rest() -> None:
    """Wait until no background fetch runs."""
    for thread in threading.enumerate():
        if thread.name == "licet-flight":
            thread.join(20)


class Served:
    """Whom a server on loopback speaks for, while a block lasts; nothing is fetched after it."""

    server: Loopback

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.__exit__(kind, error, trace)
        rest()


class Vendor(Served):
    """One issuer: its keys, its server, whose log counts the fetches, and a clock to move.

    Args:
        kids: the keys that are published at first.
        hands: the clock.
        name: its `iss`.
    """

    def __init__(self, *kids: str, hands: Hands | None = None, name: str = ISSUER_NAME) -> None:
        self.kids = kids
        self.hands = hands or Hands()
        self.name = name
        #: Answers in place of the key set, while it is set.
        self.trouble: Callable[[Vendor], Answer] | None = None
        #: What the last good answer said.
        self.served: tuple[str, ...] = ()
        self.server = Loopback(self._answer)

    @property
    def fetches(self) -> int:
        """How often the server was asked."""
        return len(self.server.log)

    def _answer(self, request: Request) -> Answer:
        if self.trouble is not None:
            return self.trouble(self)
        self.served = self.kids
        etag = f'"{",".join(self.kids)}"'
        if request.headers.get("if-none-match") == etag:
            return reply(304, ETag=etag)
        return reply(200, self.key_set(), "application/jwk-set+json", ETag=etag)

    def key_set(self) -> bytes:
        """Return what is published."""
        return key_set(*self.kids)

    def jwks(self, *kids: str) -> dict[str, Any]:
        """Return a key set to start from."""
        return {"keys": [ed25519(kid) for kid in kids]}

    def license(self, kid: str = "a", key: str | None = None, **claims: Any) -> bytes:
        """Return a license of a year from now.

        Args:
            kid: what its header names.
            key: the key that signs it; by default the one that goes by `kid`.
            claims: other claims.
        """
        now = int(self.hands.wall)
        whole = {
            "iss": self.name,
            "aud": AUDIENCE,
            "sub": "lic_1",
            "iat": now,
            "exp": now + 365 * 86_400,
            **claims,
        }
        header = {"typ": "license+jwt", "alg": "EdDSA", "kid": kid}
        signing_input = f"{segment(header)}.{segment(whole)}".encode()
        signer = private_key("Ed25519", key or kid)
        assert isinstance(signer, Ed25519PrivateKey)
        return signing_input + b"." + base64url.encode(signer.sign(signing_input))

    def gate(self, hands: Hands | None = None, **options: Any) -> Gate:
        """Return a gate that fetches this issuer's keys."""
        given = {"issuer": self.name, "audience": AUDIENCE, "jwks_url": self.server.url}
        return Gate(Settings(**{**given, **options}), clock=(hands or self.hands).clock)


def outcome(gate: Gate, credential: bytes) -> int | LicenseError:
    """Return 200, or the refusal."""
    try:
        assert flow.run(gate.verify(credential))
    except LicenseError as error:
        return error
    return 200


def status(gate: Gate, credential: bytes) -> int:
    """Return the status of the answer that a request with this license gets."""
    result = outcome(gate, credential)
    return result if isinstance(result, int) else result.status
