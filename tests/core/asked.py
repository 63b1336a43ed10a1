"""A question put to a license server, and answers to it, signed however a test likes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from licet.core.keys.jwk import VerifyKey, read_jwks
from licet.core.online.question import Answer, Dialect, KeyMissing, Question, Undecided
from licet.core.token import base64url
from licet.core.transport import Response
from tests.core.jwks import ed25519, private_key
from tests.core.vendor import segment

NOW = 1_800_000_000
URL = "https://licenses.acme.example/v1/licenses/validate"
CREDENTIALS = "vk_secret"
QUESTION = Question(
    credential="LK-4711-SECRET",
    issuer="https://licenses.acme.example",
    audience="acme-reports",
    domain="customer.example",
    nonce="nonce-of-this-question-abcdefghijklmnopqrst",
    asked_at=float(NOW),
)
LICENSE = {
    "iss": QUESTION.issuer,
    "aud": QUESTION.audience,
    "sub": "lic_1",
    "iat": NOW - 86_400,
    "exp": NOW + 86_400,
    "features": ["analytics"],
}


@dataclass(frozen=True)
class Server:
    """A license server whose key `a` is at hand."""

    url: str = URL
    credentials: str | None = CREDENTIALS
    unsigned: bool = False
    asked_for: list[tuple[str, str]] = field(default_factory=list)

    def key(self, kid: str, alg: str) -> VerifyKey:
        """Return the key, or say that there is none."""
        self.asked_for.append((kid, alg))
        keys = read_jwks({"keys": [ed25519("a")]}, ["EdDSA"]).keys
        if (kid, alg) not in keys:
            raise KeyMissing(kid, alg)
        return keys[kid, alg]


SERVER, LENIENT = Server(), Server(unsigned=True)


def sealed(claims: object, *, key: str = "a", **header: Any) -> bytes:
    """Return `claims` as a compact JWS signed by `key`; None leaves a member of its header out."""
    whole = {"alg": "EdDSA", "kid": "a", **header}
    head = segment({name: value for name, value in whole.items() if value is not None})
    signing_input = f"{head}.{segment(claims)}".encode()
    signer: Any = private_key("Ed25519", key)
    return signing_input + b"." + base64url.encode(signer.sign(signing_input))


def reply(body: bytes, content_type: str) -> Response:
    """Return an answer of status 200."""
    return Response(200, {"content-type": content_type}, body)


def without(members: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return `members` but for those named."""
    return {name: value for name, value in members.items() if name not in names}


def undecided(
    dialect: Dialect,
    response: Response,
    question: Question = QUESTION,
    server: Server = SERVER,
) -> Undecided:
    """Return why a response is no answer; it says nothing of what came."""
    with pytest.raises(Undecided) as raised:
        dialect.read(question, response, server)
    error = raised.value
    assert error.__cause__ is None
    assert question.credential not in str(error)
    assert question.nonce not in str(error)
    return error


def answer(
    dialect: Dialect,
    response: Response,
    question: Question = QUESTION,
    server: Server = SERVER,
) -> Answer:
    """Return what a response says."""
    return dialect.read(question, response, server)
