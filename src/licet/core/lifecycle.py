"""Where a license stands in its life, by the clock."""

from __future__ import annotations

from enum import Enum

from licet.core.errors import LicenseExpired, LicenseInvalid, LicenseNotActive
from licet.core.token.claims import Claims


class Status(Enum):
    """Where a license stands."""

    ACTIVE = "active"
    TRIAL = "trial"
    GRACE = "grace"
    DOWNGRADED = "downgraded"
    UNLICENSED = "unlicensed"


def check_times(claims: Claims, now: float, leeway: float) -> None:
    """Hold the license's times against `now`.

    Args:
        claims: of a license somebody vouched for.
        now: wall time, seconds since the epoch.
        leeway: how far the clocks of issuer and application may differ, seconds.

    Raises:
        LicenseInvalid: issued in the future.
        LicenseNotActive: `now < nbf - leeway` (RFC 7519, section 4.1.5).
        LicenseExpired: `now >= exp + leeway` (RFC 7519, section 4.1.4).
    """
    if claims.issued_at > now + leeway:
        raise LicenseInvalid("issued_in_the_future")
    if now < claims.not_before - leeway:
        raise LicenseNotActive("not_yet_valid")
    if now >= claims.expires_at + leeway:
        raise LicenseExpired("expired")
