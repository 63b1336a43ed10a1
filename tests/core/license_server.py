"""A license server on loopback: answers questions as the protocol has it, or as a test likes."""

from __future__ import annotations

import hashlib
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from licet.core.token import base64url
from licet.issuer import Issuer
from tests.core.hands import Hands
from tests.core.loopback import Answer, Loopback, Request, Reset, reply
from tests.core.vendor import segment
from tests.licenses import AUDIENCE, ISSUER, ISSUER_NAME

JWKS, VALIDATE = "/.well-known/jwks.json", "/v1/licenses/validate"
MEDIA_TYPE = "application/jwt"
ANSWER_TYPE = "license-validation+jwt"
#: What an application shows to be answered.
CREDENTIALS = "val_applications-own"
#: Takes a member out of an answer, where None would make it null.
GONE = object()

MONTH = 30 * 86_400

#: One authority, which has signed nothing: to read `certifi`'s takes longer than most tests.
AUTHORITY = Path(__file__).with_name("authority.pem")


def asked(request: Request) -> dict[str, Any]:
    """Return what a request asks."""
    question = json.loads(request.body)
    assert isinstance(question, dict)
    return question


def digest(credential: str) -> str:
    """Return what an answer names a credential by."""
    return base64url.encode(hashlib.sha256(credential.encode()).digest()).decode("ascii")


def says(answer: bytes, status: int = 200, content_type: str = MEDIA_TYPE, **fields: str) -> bytes:
    """Return the HTTP answer that carries `answer`."""
    return reply(status, answer, content_type, **fields)


def unsigned(claims: object, **header: object) -> bytes:
    """Return a compact JWS that nobody signed."""
    return f"{segment({'typ': ANSWER_TYPE, 'alg': 'none', **header})}.{segment(claims)}.".encode()


class LicenseServer:
    """The issuer's server: its key set, and its answers to questions about keys and tokens.

    Args:
        signer: whose key signs answers; with another than the issuer's, `options` says so.
        hands: the clock it tells time by; the true one by default.
        context: speaks TLS if given.
        latency: seconds before each answer.
        license_domains: what the licenses it vouches for are bound to.

    Attributes:
        trouble: answers questions in its place, while it is set.
        keys_trouble: answers fetches of the key set in its place, while it is set.
        serves_jwks: whether the key set can be had.
        cache_for: seconds that an answer may be relied on, as it says.
    """

    def __init__(
        self,
        *,
        signer: Issuer = ISSUER,
        hands: Hands | None = None,
        context: ssl.SSLContext | None = None,
        latency: float = 0.0,
        license_domains: tuple[str, ...] = (),
    ) -> None:
        self.signer = signer
        self.hands = hands
        self.latency = latency
        self.license_domains = license_domains
        self.trouble: Callable[[Request], Answer] | None = None
        self.keys_trouble: Callable[[Request], Answer] | None = None
        self.serves_jwks = True
        self.cache_for: float = 3600
        self.server = Loopback(self._answer, context)
        self._origin = f"http{'s' if context else ''}://127.0.0.1:{self.server.port}"
        self._licenses: dict[str, dict[str, Any]] = {}
        self._errors: dict[str, str] = {}
        self._open = False

    def __enter__(self) -> Self:
        self.server.__enter__()
        self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        if self._open:
            self._open = False
            self.server.__exit__(kind, error, trace)

    def close(self) -> None:
        """Refuse connections from now on."""
        self.__exit__()

    # -- what it knows ---------------------------------------------------------------------------

    def add(self, license_key: str | None = None, **claims: Any) -> str:
        """Know a license key or token; return it.

        Args:
            license_key: by default one that nobody has.
            claims: of its license, beside the usual ones; None takes one out.
        """
        number = len(self._licenses) + 1
        key = license_key or f"lic_{digest(f'{id(self)} {number}')[:24].translate(_LETTERS)}"
        self._licenses[key] = {"sub": f"sold_{number}", **claims}
        return key

    def error(self, license_key: str, word: str | None) -> None:
        """Say no to a license from now on, with this word; None says yes again."""
        self._errors.pop(license_key, None)
        if word is not None:
            self._errors[license_key] = word

    def revoke(self, license_key: str) -> None:
        """Say no for good."""
        self.error(license_key, "revoked")

    @property
    def log(self) -> list[Request]:
        """All that was sent to it."""
        return self.server.log

    @property
    def questions(self) -> list[Request]:
        """What was asked: all but the fetches of keys."""
        return [request for request in self.log if request.target != JWKS]

    @property
    def now(self) -> float:
        """Its wall time."""
        return self.hands.wall if self.hands else time.time()

    # -- what it says ----------------------------------------------------------------------------

    def options(self, **changes: Any) -> dict[str, Any]:
        """Return the settings of an application that asks this server, but for `changes`."""
        made: dict[str, Any] = {
            "issuer": ISSUER_NAME,
            "audience": AUDIENCE,
            "jwks": None,
            "jwks_url": self._origin + JWKS,
            "validation_url": self._origin + VALIDATE,
            "validation_credentials": CREDENTIALS,
            "license_key_pattern": r"lic_[A-Za-z0-9]+",
            "tls_ca_file": str(AUTHORITY),
        }
        if self.signer is not ISSUER:
            made["validation_jwks"] = self.signer.jwks()
        return {**made, **changes}

    def license(self, license_key: str) -> dict[str, Any]:
        """Return the claims of a license it knows."""
        now = int(self.now)
        bound = {"domains": list(self.license_domains)} if self.license_domains else {}
        whole = {
            "iss": ISSUER_NAME,
            "aud": AUDIENCE,
            "iat": now - 60,
            "exp": now + MONTH,
            "plan": "professional",
            "features": ["analytics"],
            "limits": {"seats": 10},
            **bound,
            **self._licenses[license_key],
        }
        return {name: value for name, value in whole.items() if value is not None}

    def claims_for(self, question: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Return what the answer to a question says, but for `changes`; `GONE` takes one out."""
        credential = question["licenseKey"]
        word = self._errors.get(credential, None if credential in self._licenses else "unknown")
        verdict: dict[str, Any] = {"valid": False, "error": word}
        if word == "expired":
            verdict["license"] = self.license(credential)
        if word is None:
            verdict = {
                "valid": True,
                "grace": False,
                "license": self.license(credential),
                "cache_for": self.cache_for,
            }
        domain = {"domain": question["domain"]} if "domain" in question else {}
        whole = {
            "iss": ISSUER_NAME,
            "aud": question["audience"],
            "iat": int(self.now),
            "exp": int(self.now) + 300,
            "nonce": question["nonce"],
            "req": digest(credential),
            **domain,
            **verdict,
            **changes,
        }
        return {name: value for name, value in whole.items() if value is not GONE}

    def answer_for(
        self,
        body: bytes,
        *,
        signer: Issuer | None = None,
        header: dict[str, object] | None = None,
        **changes: Any,
    ) -> bytes:
        """Return the signed answer to the question in `body`.

        Args:
            body: of the request.
            signer: whose key signs it; the server's own by default.
            header: members beside or instead of the usual ones; None leaves one out.
            changes: members of the answer that are otherwise; `GONE` takes one out.
        """
        claims = self.claims_for(json.loads(body), **changes)
        return (
            (signer or self.signer)
            .sign(claims, header={"typ": ANSWER_TYPE, **(header or {})})
            .encode()
        )

    def _answer(self, request: Request) -> Answer:
        if request.target == JWKS:
            if not self.serves_jwks:
                raise Reset
            if self.keys_trouble is not None:
                return self.keys_trouble(request)
            return reply(200, json.dumps(ISSUER.jwks()).encode(), "application/jwk-set+json")
        if self.latency:
            self.server.stopping.wait(self.latency)
        if self.trouble is not None:
            return self.trouble(request)
        if request.headers.get("authorization") != f"Bearer {CREDENTIALS}":
            return reply(401)
        if (request.method, request.target) != ("POST", VALIDATE):
            return reply(404)
        if request.headers.get("content-type") != "application/json":
            return reply(415)
        return says(self.answer_for(request.body))


_LETTERS = str.maketrans("-_", "xy")
