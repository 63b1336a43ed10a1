"""Claims: what is read of a license, whoever vouched for it (RFC 7519; the license token profile).

Two steps with the signature between them. `screen` believes nothing: it can only refuse, so that
no stranger's token costs a signature check or a question to the network that it cannot be worth.
`read` runs when somebody has vouched for the payload.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from licet.core.errors import LicenseInvalid
from licet.core.token.compact import CompactToken

#: The end of the year 9999, beyond which no date can be shown.
LATEST = 253_402_300_799
MAX_ENTRIES = 1_000


@dataclass(frozen=True, slots=True)
class Profile:
    """What one issuer's license tokens must look like.

    Args:
        issuer: the exact `iss`.
        audiences: of these, `aud` must hold one.
        algorithms: accepted `alg` values.
        types: accepted `typ` values as `media_type` writes them; None for an absent one.
        max_lifetime: longest `exp - iat`, seconds.
    """

    issuer: str
    audiences: Collection[str]
    algorithms: Collection[str]
    types: Collection[str | None]
    max_lifetime: float


class Claims:
    """A payload somebody vouched for, with the claims that every license has.

    Slots rather than a frozen dataclass, which costs several times as much: one is made on every
    miss.

    Attributes:
        issuer: `iss`.
        license_id: `sub`.
        customer: text for people, or None.
        issued_at: `iat`, seconds since the epoch.
        expires_at: `exp`, seconds since the epoch.
        not_before: `nbf`, or 0.
        payload: all claims, as they were signed.
    """

    __slots__ = (
        "customer",
        "expires_at",
        "issued_at",
        "issuer",
        "license_id",
        "not_before",
        "payload",
    )

    def __init__(
        self,
        issuer: str,
        license_id: str,
        customer: str | None,
        issued_at: float,
        expires_at: float,
        not_before: float,
        payload: Mapping[str, Any],
    ) -> None:
        self.issuer = issuer
        self.license_id = license_id
        self.customer = customer
        self.issued_at = issued_at
        self.expires_at = expires_at
        self.not_before = not_before
        self.payload = payload


def screen(token: CompactToken, profiles: Mapping[str, Profile]) -> Profile:
    """Return the profile that `token` claims to follow, still unverified.

    Raises:
        LicenseInvalid: no signature could make it a license of one of these issuers.
    """
    issuer = token.payload.get("iss")
    profile = profiles.get(issuer) if isinstance(issuer, str) else None
    if profile is None:
        raise LicenseInvalid("bad_issuer")
    if token.header.alg not in profile.algorithms:
        raise LicenseInvalid("alg_not_allowed")
    if token.header.typ not in profile.types:
        raise LicenseInvalid("wrong_type")
    _check_lifetime(token.payload, profile.max_lifetime)
    return profile


def read_answered(payload: Mapping[str, Any], profile: Profile) -> Claims:
    """Return the claims of a license that came in an answer and not in a token.

    Raises:
        LicenseInvalid: it is none of this issuer, or not as the profile says.
    """
    if payload.get("iss") != profile.issuer:
        raise LicenseInvalid("bad_issuer")
    _check_lifetime(payload, profile.max_lifetime)
    return read(payload, profile)


def read(payload: Mapping[str, Any], profile: Profile) -> Claims:
    """Return the claims of a payload that somebody vouched for and that passed `screen`.

    Raises:
        LicenseInvalid: another audience, or a claim that is missing or not as the profile says.
    """
    check_audience(payload.get("aud"), profile.audiences)
    expires_at = numeric_date(payload, "exp")
    not_before = numeric_date(payload, "nbf") if "nbf" in payload else 0.0
    if not_before > expires_at:
        raise LicenseInvalid("bad_claim:nbf")
    if "jti" in payload:
        identifier(payload, "jti")
    return Claims(
        issuer=profile.issuer,
        license_id=identifier(payload, "sub"),
        customer=optional_text(payload, "customer"),
        issued_at=numeric_date(payload, "iat"),
        expires_at=expires_at,
        not_before=not_before,
        payload=payload,
    )


def optional_text(payload: Mapping[str, Any], name: str) -> str | None:
    """Return a claim that is text where it is present.

    Raises:
        LicenseInvalid: it is present and no text.
    """
    value = payload.get(name)
    if value is None and name not in payload:
        return None
    if not isinstance(value, str):
        raise LicenseInvalid(f"bad_claim:{name}")
    return value


def _check_lifetime(payload: Mapping[str, Any], longest: float) -> None:
    issued_at, expires_at = numeric_date(payload, "iat"), numeric_date(payload, "exp")
    if expires_at < issued_at:
        raise LicenseInvalid("bad_claim:exp")
    if expires_at - issued_at > longest:
        raise LicenseInvalid("lifetime_too_long")


def numeric_date(payload: Mapping[str, Any], name: str) -> float:
    """Return a NumericDate (RFC 7519, section 2): a JSON number and nothing that looks like one.

    Raises:
        LicenseInvalid: it is none, or lies outside the years 1970 to 9999.
    """
    value = payload.get(name)
    if type(value) is not int and type(value) is not float:
        raise LicenseInvalid(f"{'bad' if name in payload else 'missing'}_claim:{name}")
    if not 0 <= value <= LATEST:
        raise LicenseInvalid(f"bad_claim:{name}")
    return value


def identifier(payload: Mapping[str, Any], name: str) -> str:
    """Return a claim that names something: 1 to 256 printable characters.

    Raises:
        LicenseInvalid: it is none.
    """
    value = payload.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= 256 or not value.isprintable():
        raise LicenseInvalid(f"bad_claim:{name}")
    return value


def check_audience(value: object, audiences: Collection[str]) -> None:
    """See to it that an `aud` (RFC 7519, section 4.1.3) names one of `audiences`.

    Raises:
        LicenseInvalid: it names none of them, or is none.
    """
    if isinstance(value, str) and value in audiences:
        return
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_ENTRIES:
        raise LicenseInvalid("bad_audience")
    if not all(isinstance(one, str) for one in values):
        raise LicenseInvalid("bad_audience")
    if not any(one in audiences for one in values):
        raise LicenseInvalid("bad_audience")
