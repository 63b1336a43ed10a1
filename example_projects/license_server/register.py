"""Which licenses were issued, what became of each, whether one holds, and its renewal.

Believes a license token when a published key of its own issuer has signed it, and an opaque key
when its digest is known. In memory: after a restart it knows no license that it has issued.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.constraints.domain import Domains
from licet.core.errors import LicenseInvalid
from licet.core.keys.jwk import read_jwks
from licet.core.token import base64url, compact
from licet.core.token.signature import ALGORITHMS
from licet.issuer import Issuer

#: The longest token that is looked at, in bytes.
LARGEST = 64 * 1024
#: Seconds for which an answer may be on its way.
ANSWER_LIFETIME = 300
ACTIVE, SUSPENDED, REVOKED = "active", "suspended", "revoked"


class Refused(Exception):
    """A license that is not renewed; says why."""


@dataclass
class License:
    """A license that was issued.

    Args:
        claims: what its token says.
        state: what became of it.
    """

    claims: Mapping[str, Any]
    state: str = ACTIVE


class Register:
    """The licenses, by their ids and by their keys.

    Args:
        cache_for: seconds for which a yes may be relied on.
        clock: by which licenses end.
    """

    def __init__(self, cache_for: int, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.cache_for, self._clock = cache_for, clock
        self.licenses: dict[str, License] = {}
        # By digest: whoever reads the memory has no key.
        self._keyed: dict[str, License] = {}

    def add(self, token: str, *, keyed: bool) -> str | None:
        """Take up the license of `token`; return its opaque key if it is to have one."""
        claims = _parse(token).payload
        license_ = self.licenses[claims["sub"]] = License(claims)
        if not keyed:
            return None
        key = f"lic_{secrets.token_urlsafe(32)}"
        self._keyed[_digest(key)] = license_
        return key

    def answer(
        self, issuer: Issuer, credential: str, audience: str, domain: str | None
    ) -> dict[str, Any]:
        """Return what is known of a credential, in all members of an answer but the nonce.

        Args:
            issuer: whose keys sign tokens, and the answer.
            credential: an opaque key or a license token.
            audience: the product that asks.
            domain: the host it is presented at, None where there is none.
        """
        now = self._clock.wall()
        answer = {"iss": issuer.name, "aud": audience, "iat": now, "exp": now + ANSWER_LIFETIME}
        answer["req"] = _digest(credential)
        if domain is not None:
            answer["domain"] = domain
        license_ = self._find(issuer, credential)
        if license_ is None:
            return {**answer, "valid": False, "error": "unknown"}
        if error := _objection(license_, audience, domain, now):
            # By its id a no is remembered for key and token alike.
            return {**answer, "valid": False, "error": error, "sub": license_.claims["sub"]}
        answer |= {"valid": True, "grace": now >= license_.claims["exp"]}
        return {**answer, "license": license_.claims, "cache_for": self.cache_for}

    def renewed(self, issuer: Issuer, credential: str) -> tuple[str, int]:
        """Return a license token like `credential` that lives as long from now on, and how long.

        Raises:
            Refused: it is no license of this server, is not current nor in grace, was withdrawn,
                or holds for the holder of a key, whose proof this server does not read.
        """
        token = self._verified(issuer, credential)
        license_ = None if token is None else self.licenses.get(token.payload["sub"])
        if token is None or license_ is None:
            raise Refused("This is no license of this server.")
        claims, now = token.payload, self._clock.wall()
        if license_.state != ACTIVE:
            raise Refused(f"The license is {license_.state}.")
        if not claims.get("nbf", 0) <= now < _end(claims):
            raise Refused("The license is not current, nor in grace.")
        if "cnf" in claims:
            raise Refused("The license holds for the holder of a key: issue another one.")
        lifetime = int(claims["exp"] - claims["iat"])
        begin = int(now)
        times = {"iat": begin, "exp": begin + lifetime, "jti": secrets.token_hex(16)}
        license_.claims = {**claims, **times}
        return issuer.sign(license_.claims), lifetime

    def _find(self, issuer: Issuer, credential: str) -> License | None:
        if credential.count(".") != 2:
            return self._keyed.get(_digest(credential))
        token = self._verified(issuer, credential)
        return None if token is None else self.licenses.get(token.payload["sub"])

    @staticmethod
    def _verified(issuer: Issuer, credential: str) -> compact.CompactToken | None:
        try:
            token = _parse(credential)
        except LicenseInvalid:
            return None
        header = token.header
        key = read_jwks(issuer.jwks(), ALGORITHMS).keys.get((header.kid, header.alg))
        # The same keys sign answers, which are no licenses.
        if header.typ != "license+jwt" or key is None:
            return None
        if not key.verify(token.signing_input, token.signature):
            return None
        return token


def _end(claims: Mapping[str, Any]) -> float:
    """Return when a license with these claims ends, its grace included, which a trial has not."""
    end: float = claims["exp"] + (0 if claims.get("trial") else claims.get("grace", 0))
    return end


def _objection(license_: License, audience: str, domain: str | None, now: float) -> str | None:
    """Return the word for why a license does not hold, None if it does."""
    claims = license_.claims
    audiences = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
    if audience not in audiences:
        return "unknown"
    if license_.state != ACTIVE:
        return license_.state
    if now >= _end(claims):
        return "expired"
    if domain is not None and "domains" in claims:
        listed = Domains.read(claims["domains"])
        if not (domain in listed.names or domain.partition(".")[2] in listed.parents):
            return "domain_mismatch"
    return None


def _parse(token: str) -> compact.CompactToken:
    return compact.parse(token.encode(), max_size=LARGEST, headers=compact.HeaderCache())


def _digest(credential: str) -> str:
    return base64url.encode(hashlib.sha256(credential.encode()).digest()).decode()
