"""Whether the settings and a license fit each other: who, for what, how signed, and what it needs.

The core's readers judge it one member at a time, so that everything is found at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from licet.cli.doctor.finding import Finding, Kind
from licet.cli.findings import Reading
from licet.core.assembly.trust import profiles
from licet.core.errors import LicenseInvalid
from licet.core.keys.jwk import KeySet
from licet.core.settings import Settings
from licet.core.token.claims import Profile, check_audience, screen
from licet.core.token.compact import CompactToken, Header, HeaderCache, media_type, parse
from licet.issuer.proofreading import LARGEST

_EXACTLY = "compare the two to the letter; one of them is mistaken"

ISSUER = Kind("license_issuer", "fault", _EXACTLY)
AUDIENCE = Kind("license_audience", "fault", _EXACTLY)
ALGORITHM = Kind(
    "license_algorithm", "fault", "sign with an algorithm of the settings, or add it to them"
)
TYPE = Kind(
    "license_type", "fault", "sign with typ license+jwt, or set LICET_TOKEN_TYPE to what yours are"
)
LIFETIME = Kind(
    "license_lifetime", "fault", "issue it for less and anew in time, or set LICET_MAX_LIFETIME"
)
KEY = Kind(
    "license_key_unknown",
    "fault",
    "see that this is the issuer's set; what a retired key has signed is issued anew",
)
SIGNATURE = Kind(
    "license_signature",
    "fault",
    "have it issued anew: it was changed, or another key signed it under this id",
)
SIGNED = Kind("license_signed", "ok")
FITS = Kind("license_fits", "ok")


def by_settings(reading: Reading, settings: Settings) -> Iterator[Finding]:
    """Find where a license is not what the settings accept."""
    header, claims = reading.header or {}, reading.claims or {}
    known = profiles(settings)
    issuer = claims.get("iss")
    profile = known.get(issuer) if isinstance(issuer, str) else None
    found = []
    if profile is None:
        found.append(ISSUER(f"it is by {issuer!r}; the settings know {', '.join(known)}"))
        # Where there is one only, it is the one that is meant.
        profile = next(iter(known.values())) if len(known) == 1 else None
    if profile is not None:
        found += _by_profile(header, claims, profile)
    yield from found or [FITS("issuer, product, type and algorithm are those of the settings")]


def _by_profile(
    header: Mapping[str, Any], claims: Mapping[str, Any], profile: Profile
) -> Iterator[Finding]:
    audience, alg, typ = claims.get("aud"), header.get("alg"), header.get("typ")
    try:
        check_audience(audience, profile.audiences)
    except LicenseInvalid:
        yield AUDIENCE(f"it is for {audience!r}; the settings say {', '.join(profile.audiences)}")
    good = Header(min(profile.algorithms), "1", min(kind for kind in profile.types if kind))
    if isinstance(alg, str) and not _passes(Header(alg, "1", good.typ), {}, profile):
        accepted = ", ".join(sorted(profile.algorithms))
        yield ALGORITHM(f"it is signed with {alg}; the settings accept {accepted}")
    read = media_type(typ) if isinstance(typ, str) else None
    if not _passes(Header(good.alg, "1", read), {}, profile):
        types = ", ".join(sorted(kind for kind in profile.types if kind))
        yield TYPE(f"its typ is {typ!r}; the settings accept {types}")
    dates = {name: claims.get(name) for name in ("iat", "exp")}
    if not _passes(good, dates, profile, "lifetime_too_long"):
        days = profile.max_lifetime / 86_400
        yield LIFETIME(f"from iat to exp it is longer than the {days:g} days of the settings")


def _passes(
    header: Header, dates: Mapping[str, Any], profile: Profile, only: str | None = None
) -> bool:
    """Return whether a license that is good but for this would be looked at any further."""
    payload = {"iss": profile.issuer, "iat": 0, "exp": 1, **dates}
    try:
        screen(CompactToken(header, b"", payload, b"", b""), {profile.issuer: profile})
    except LicenseInvalid as refusal:
        return only is not None and refusal.reason != only
    return True


def by_keys(credential: bytes, keys: KeySet) -> Iterator[Finding]:
    """Hold the signature against the key set that is served now."""
    try:
        token = parse(credential, max_size=LARGEST, headers=HeaderCache())
    except LicenseInvalid:
        return  # Found before.
    kid, alg = token.header.kid, token.header.alg
    key = keys.keys.get((kid, alg))
    if key is None:
        yield KEY(f"the set that is served has no key {kid!r} for {alg} that can be used")
    elif key.verify(token.signing_input, token.signature):
        yield SIGNED(f"the key {kid} of the set that is served has signed it")
    else:
        yield SIGNATURE(f"its signature does not hold by the key {kid!r} of the set")
