"""The dialect of keygen.sh: `POST /v1/accounts/{account}/licenses/actions/validate-key`.

Believed is only what the account's Ed25519 key has signed. The body repeats the key and the nonce
that were sent, so that the answer to another question is none to this one. The license's own
terms are its metadata.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from licet.core.documents.exchange import media_type
from licet.core.errors import ConfigError
from licet.core.keys.jwk import VerifyKey, read_jwks
from licet.core.online.dialects import signed, unsigned
from licet.core.online.dialects.http_signature import verified
from licet.core.online.dialects.posted import post
from licet.core.online.question import (
    Answer,
    Denied,
    Granted,
    LicenseServer,
    Question,
    Undecided,
)
from licet.core.token import base64url, strictjson
from licet.core.transport import Request, Response

MEDIA_TYPE = "application/vnd.api+json"
#: Seconds between the date of an answer and the question.
MAX_DRIFT = 300

_CODE = re.compile(r"[A-Z][A-Z_]{0,63}", re.ASCII)
_ERRORS = {
    "NOT_FOUND": "unknown",
    "EXPIRED": "expired",
    "SUSPENDED": "suspended",
    # Of the license's user, and lifted again as a suspension is.
    "BANNED": "suspended",
    **dict.fromkeys(
        "TOO_MANY_MACHINES TOO_MANY_CORES TOO_MANY_PROCESSES TOO_MANY_USERS TOO_MANY_USES"
        " TOO_MUCH_MEMORY TOO_MUCH_DISK".split(),
        "over_limit",
    ),
}
#: Claims that metadata may spell the way the rest of the API is spelt.
_SPELT = {
    "ipRange": "ip_range",
    "ipRanges": "ip_ranges",
    "timeLimit": "time_limit",
    "timeWindow": "time_window",
    "timeWindows": "time_windows",
    "mustUnderstand": "must_understand",
}
#: Claims that only the license itself can have, never its metadata.
_OWN = frozenset("iss aud sub iat exp".split())


@dataclass(frozen=True)
class Keygen:
    """Speaks to keygen.sh, or to a Keygen server of one's own.

    Args:
        public_key: the account's Ed25519 verify key: 64 hexadecimal digits, or 32 bytes.
        product: the id of the product that licenses must be for; an account may have several.
        fingerprint: what machine this is, where the policy demands to be told.

    Raises:
        ConfigError: the key is none.
    """

    asks_domain = False

    public_key: str | bytes
    product: str
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        """Check the key, and write it in one way whichever was given."""
        key = self.public_key
        object.__setattr__(self, "public_key", key.hex() if isinstance(key, bytes) else key)
        _verify_key(str(self.public_key))
        if not isinstance(self.product, str) or not self.product:
            raise ConfigError(
                "validation_protocol", "has a Keygen product that is none", "give the product's id"
            )

    def request(self, question: Question, server: LicenseServer) -> Request:
        """Return what to send: the credential and the nonce stand in the body alone."""
        scope = {"product": self.product}
        if self.fingerprint is not None:
            scope["fingerprint"] = self.fingerprint
        meta = {"key": question.credential, "nonce": number(question.nonce), "scope": scope}
        body = json.dumps({"meta": meta})
        plain = post(server, body, content_type=MEDIA_TYPE, accept=MEDIA_TYPE)
        signed_by = {"keygen-accept-signature": 'algorithm="ed25519"'}
        return replace(plain, headers={**plain.headers, **signed_by})

    def read(self, question: Question, response: Response, server: LicenseServer) -> Answer:
        """Return what the response says about this very question.

        Raises:
            Undecided: it is no answer to it, or none that may be believed.
        """
        if media_type(response.headers) != MEDIA_TYPE:
            raise Undecided("content_type")
        if len(response.body) > signed.MAX_ANSWER:
            raise Undecided("malformed")
        said_at = verified(_verify_key(str(self.public_key)), "post", server.url, response)
        try:
            said = strictjson.loads(response.body)
        except ValueError:
            raise Undecided("malformed") from None
        meta, resource = _object(said.get("meta")), said.get("data")
        if type(meta.get("nonce")) is not int or not signed.same(
            str(meta["nonce"]), str(number(question.nonce))
        ):
            raise Undecided("nonce", "replay")
        if abs(said_at - question.asked_at) > MAX_DRIFT:
            raise Undecided("date")
        if resource is not None:
            _check_about(_object(resource), question)
        if meta.get("valid") is False:
            # Where no license is named, nothing says of which key it was said.
            about = resource["id"] if resource else None
            return Denied(_error(meta.get("code")), resource is not None, said_at, about)
        if meta.get("valid") is not True:
            raise Undecided("valid")
        if resource is None:
            raise Undecided("license")
        _check_product(resource, self.product)
        return Granted(_claims(resource, question), True, said_at)


def number(nonce: str) -> int:
    """Return a nonce as an integer below 2^53: Keygen takes no other, JSON no larger."""
    return int.from_bytes(hashlib.sha256(nonce.encode()).digest()[:8]) >> 11


@lru_cache(maxsize=16)
def _verify_key(public_key: str) -> VerifyKey:
    """Return the key, judged as the keys of any key set are."""
    try:
        x = base64url.encode(bytes.fromhex(public_key)).decode("ascii")
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "keygen"}
        return read_jwks({"keys": [jwk]}, ["Ed25519"]).keys["keygen", "Ed25519"]
    except (ValueError, KeyError):
        raise ConfigError(
            "validation_protocol",
            "has a Keygen public key that is none",
            "copy the Ed25519 verify key of the account, 64 hexadecimal digits",
        ) from None


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Undecided("malformed")
    return value


def _check_about(resource: dict[str, Any], question: Question) -> None:
    """Refuse an answer about another key: whoever can change a request can have it asked."""
    if not signed.same(_object(resource.get("attributes")).get("key"), question.credential):
        raise Undecided("license", "replay")
    signed.license_id({"sub": resource.get("id")}, question)


def _check_product(resource: dict[str, Any], product: str) -> None:
    named = resource
    for member in ("relationships", "product", "data"):
        named = _object(named.get(member))
    if named.get("id") != product:
        raise Undecided("audience", "replay")


def _error(code: object) -> str:
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise Undecided("code")
    return _ERRORS.get(code, code.lower())


def _claims(resource: dict[str, Any], question: Question) -> dict[str, Any]:
    attributes = resource["attributes"]
    metadata = _object(attributes.get("metadata", {}))
    terms = {_SPELT.get(name, name): value for name, value in metadata.items()}
    if len(terms) < len(metadata) or not _OWN.isdisjoint(terms):
        # Two spellings of one claim could say two things.
        raise Undecided("metadata")
    if isinstance(attributes.get("name"), str):
        terms.setdefault("customer", attributes["name"])
    told = {**terms, "sub": resource["id"], "expiry": attributes.get("expiry")}
    return unsigned.claims(told, question)
