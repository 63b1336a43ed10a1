"""Whether a license holds, and in which words that is said: pure, and trusting what it is given.

A no names the reason and the license, and nothing that could be taken for one. Of a license that
has ended it says what that was: an application may leave something of it, under its conditions.
When a license begins is for whoever asked to see: its claims say so, and a yes carries them
(`protocol.md`, section 3); an introspection says itself whether it has begun (RFC 7662, section 4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from licet.core.constraints.domain import Domains
from licet.core.errors import BadHost, LicenseInvalid
from licet.core.request.hosts import read_literal, read_name

ACTIVE, SUSPENDED, REVOKED = "active", "suspended", "revoked"
#: Seconds for which an answer may be on its way.
ANSWER_LIFETIME = 300


@dataclass(frozen=True, slots=True)
class License:
    """A license that was issued here.

    Args:
        id: its `sub`.
        state: `active`, `suspended` or `revoked`.
        claims: what its latest token says.
        term_ends_at: the moment beyond which it does not renew itself; None for never.
        presented_until: when the token that it was presented by ends, its grace included.
    """

    id: str
    state: str
    claims: Mapping[str, Any]
    term_ends_at: float | None = None
    presented_until: float = math.inf

    @property
    def ends_at(self) -> float:
        """When it ends for who presents it, its grace included.

        An older token of a license that was renewed holds no longer than it says.
        """
        return min(end(self.claims), self.presented_until)


def end(claims: Mapping[str, Any]) -> float:
    """Return when a license with these claims ends, its grace included, which a trial has not."""
    last: float = claims["exp"] + (0 if claims.get("trial") else claims.get("grace", 0))
    return last


def objection(
    license_: License, audience: str | None, domain: str | None, now: float
) -> str | None:
    """Return the word for why a license does not hold, None if it does.

    Args:
        license_: which.
        audience: the product that asks; None for whichever the license is for.
        domain: the host it is presented at; None where there is none.
        now: seconds since the epoch.
    """
    claims = license_.claims
    aud = claims["aud"]
    if audience is not None and audience not in ((aud,) if isinstance(aud, str) else aud):
        return "unknown"
    if license_.state != ACTIVE:
        return license_.state
    if now >= license_.ends_at:
        return "expired"
    if domain is not None and not _names(claims, domain):
        return "domain_mismatch"
    return None


def validation(
    license_: License | None, audience: str, domain: str | None, now: float, cache_for: int
) -> dict[str, Any]:
    """Return what is answered, in the members that are not of the question.

    Args:
        license_: that the credential is; None where nobody knows it.
        audience: the product that asks.
        domain: the host it is presented at; None where there is none.
        now: seconds since the epoch.
        cache_for: seconds for which a yes may be relied on, unless the license ends before.
    """
    if license_ is None:
        return {"valid": False, "error": "unknown"}
    word = objection(license_, audience, domain, now)
    if word is not None:
        # By its id a no is remembered for key and token alike.
        no = {"valid": False, "error": word, "sub": license_.id}
        return {**no, "license": license_.claims} if word == "expired" else no
    claims = license_.claims
    return {
        "valid": True,
        "grace": now >= claims["exp"],
        "license": claims,
        "cache_for": min(cache_for, math.ceil(license_.ends_at - now)),
    }


def introspection(license_: License | None, audience: str | None, now: float) -> dict[str, Any]:
    """Return the members of an introspection response (RFC 7662, section 2.2).

    One that is not active is that and nothing else: neither why, nor whether there is a license.
    """
    if license_ is None or objection(license_, audience, None, now) is not None:
        return {"active": False}
    if now < license_.claims.get("nbf", 0):
        return {"active": False}
    return {**license_.claims, "active": True}


def _names(claims: Mapping[str, Any], domain: str) -> bool:
    """Return whether a license holds at `domain`."""
    listed = claims.get("domains", claims.get("domain"))
    if listed is None:
        return True
    listed = (listed,) if isinstance(listed, str) else tuple(listed)
    if not _is_host(domain):
        return False
    # Most licenses spell their host as it is asked about. To compile a claim costs more than to
    # read the license, and compiled ones are remembered for a few licenses only.
    if domain in listed:
        return True
    try:
        return _compiled(listed).allows(domain)
    except LicenseInvalid:
        # Without the list of public suffixes no wildcard can be judged, here as at any gate.
        return False


def _is_host(domain: str) -> bool:
    """Return whether this is a host, in the spelling in which gates ask about it."""
    try:
        address = read_literal(f"[{domain}]" if ":" in domain else domain)
        return domain == (address or read_name(domain))
    except BadHost:
        return False


@lru_cache(maxsize=1024)
def _compiled(listed: tuple[str, ...]) -> Domains:
    return Domains.read(list(listed))
