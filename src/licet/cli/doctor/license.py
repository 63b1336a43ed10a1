"""What is wrong with a license, or soon will be: in itself, with the clock, and with its size.

It is a stranger's word and a credential: of it claims are shown, and never the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from licet.cli import findings
from licet.cli.doctor.finding import Finding, Kind
from licet.cli.moments import told
from licet.cli.remedies import explain
from licet.core.assembly.trust import course
from licet.core.errors import LicenseError, LicenseInvalid
from licet.core.grants import Terms
from licet.core.grants.reading import read_terms
from licet.core.lifecycle import Status
from licet.core.settings import Settings
from licet.core.settings.issuers import DAY
from licet.core.token.claims import Claims, numeric_date
from licet.issuer import COMFORTABLE_SIZE

_NEXT = "have the next one issued in time, or set LICET_REFRESH_URL where it is an installation's"

UNREADABLE = Kind("license_unreadable", "fault")
DEFECTIVE = Kind("license_defective", "fault")
EXPIRED = Kind("license_expired", "fault", "have the next one issued")
IN_GRACE = Kind(
    "license_in_grace", "warning", "have it refreshed, or the next one issued, while grace lasts"
)
DOWNGRADED = Kind(
    "license_downgraded", "warning", "have the next one issued; until then little is allowed"
)
NOT_ACTIVE = Kind("license_not_active", "fault", explain("not_yet_valid")[1])
FROM_THE_FUTURE = Kind("license_issued_in_the_future", "fault", explain("issued_in_the_future")[1])
ENDS = Kind("license_expires_soon", "warning", _NEXT)
CURRENT = Kind("license_current", "ok")
TOO_LARGE = Kind(
    "license_too_large",
    "fault",
    "leave claims out, or set LICET_MAX_TOKEN_SIZE, and see that the servers in front take it",
)
TOO_LARGE_FOR_SERVERS = Kind(
    "license_too_large_for_servers",
    "warning",
    "leave claims out: most servers and proxies refuse header fields over 8 KiB",
)
LARGE = Kind(
    "license_large", "warning", "leave claims out: some proxies refuse header fields over 4 KiB"
)

#: Found by the settings at hand, and not by the usual ones.
_BY_SETTINGS = frozenset(
    "alg_not_allowed wrong_type lifetime_too_long token_too_large status_origin expired "
    "not_yet_valid issued_in_the_future".split()
)
#: Days before its end that it is told of, of a license that lasts for long.
SOON = 30
_FIELD = len("Authorization: Bearer ")


def itself(reading: findings.Reading) -> Iterator[Finding]:
    """Find what no gate would accept, whatever its settings."""
    kind = DEFECTIVE
    if reading.header is None or reading.claims is None:
        kind = UNREADABLE
    for found in reading.findings:
        if found.reason not in _BY_SETTINGS:
            at = f" ({found.at})" if found.at else ""
            yield kind(f"{found.reason}{at}: {found.problem}", found.remedy)


def size(reading: findings.Reading, settings: Settings) -> Iterator[Finding]:
    """Find out whether it is too large for gates, or for what stands before them."""
    said = f"it takes {reading.size:,} bytes"
    if reading.size > settings.max_token_size:
        yield TOO_LARGE(f"{said}, and the settings accept {settings.max_token_size:,}")
    if settings.license is not None:
        return  # No request carries it.
    if reading.size + _FIELD > findings.COMMON_SERVERS:
        yield TOO_LARGE_FOR_SERVERS(said)
    elif reading.size + _FIELD > COMFORTABLE_SIZE:
        yield LARGE(said)


def times(claims: Mapping[str, Any], now: float, settings: Settings) -> Iterator[Finding]:
    """Find out where it stands in its life.

    Args:
        claims: what it says.
        now: wall time, seconds since the epoch.
        settings: those of an installation have a grace for it, and may have the next one fetched.
    """
    try:
        read = _dated(claims)
    except LicenseInvalid:
        return  # Found before.
    lives = course(settings)
    terms = _terms(claims)
    try:
        status = lives.at(read, terms, now).stage.status
    except LicenseError as refusal:
        yield _not_now(refusal, read, now)
        return
    ended = f"it ended {told(read.expires_at, now)}"
    if status is Status.GRACE:
        until = told(read.expires_at + lives.grace(read, terms), now)
        # What the state remembers is for the application to read.
        earned = ", if it was seen here before its end" if settings.license_state else ""
        yield IN_GRACE(f"{ended}; its grace lasts until {until}{earned}")
    elif status is Status.DOWNGRADED:
        yield DOWNGRADED(f"{ended}; what is left of it is what downgrade_to says")
    else:
        renewed = settings.refresh_url is not None
        yield _while_it_lasts(read, now, renewed, status is Status.TRIAL)


def _while_it_lasts(read: Claims, now: float, renewed: bool, trial: bool) -> Finding:
    left, whole = read.expires_at - now, read.expires_at - read.issued_at
    what = "it is a trial, and" if trial else "it"
    # A short one is told of when a quarter of it is left.
    if not renewed and left < min(SOON * DAY, whole / 4):
        # With the leeway it lasts a little longer.
        verb = "ends" if left > 0 else "ended"
        return ENDS(f"{what} {verb} {told(read.expires_at, now)}")
    return CURRENT(f"{what} lasts until {told(read.expires_at, now)}")


def _not_now(refusal: LicenseError, read: Claims, now: float) -> Finding:
    if refusal.reason == "issued_in_the_future":
        return FROM_THE_FUTURE(f"it was issued {told(read.issued_at, now)}")
    if refusal.reason == "not_yet_valid":
        return NOT_ACTIVE(f"it begins {told(read.not_before, now)}")
    return EXPIRED(f"it ended {told(read.expires_at, now)}")


def _terms(claims: Mapping[str, Any]) -> Terms:
    try:
        return read_terms(dict(claims))
    except LicenseError:
        return read_terms({})  # Found before.


def _dated(claims: Mapping[str, Any]) -> Claims:
    return Claims(
        issuer="",
        license_id="",
        customer=None,
        issued_at=numeric_date(claims, "iat"),
        expires_at=numeric_date(claims, "exp"),
        not_before=numeric_date(claims, "nbf") if "nbf" in claims else 0.0,
        payload=claims,
    )
