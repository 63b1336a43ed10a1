"""What a license needs of the settings before it can hold anywhere: sources, proofs, lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from licet.cli.doctor.finding import Finding, Kind
from licet.cli.remedies import explain
from licet.core.errors import LicenseError, LicenseInvalid
from licet.core.grants import UNLIMITED
from licet.core.grants.reading import read_terms
from licet.core.revocation.lists import own_origins
from licet.core.revocation.statuslist import StatusReference, read_reference
from licet.core.settings import Settings
from licet.core.settings.values import origin_of

CERTIFICATE = Kind(
    "license_needs_certificates",
    "fault",
    "set LICET_CLIENT_CERTIFICATE to where the client's certificate is found",
)
ADDRESS = Kind(
    "license_needs_address",
    "warning",
    "behind a proxy set LICET_EXTERNAL_URL: proofs (DPoP) name the address that callers use",
)
REGION = Kind(
    "license_needs_regions",
    "fault",
    "set LICET_REGION_HEADER with LICET_TRUSTED_PROXIES, or LICET_REGION_DATABASE",
)
PROXIES = Kind(
    "license_needs_proxies",
    "warning",
    "behind a proxy set LICET_TRUSTED_PROXIES: else every client has the proxy's address",
)
ORIGIN = Kind(
    "license_needs_origin",
    "warning",
    "see that every caller is a page that sends Origin, or set LICET_DOMAIN_FROM to host",
)
STORE = Kind(
    "license_needs_store",
    "warning",
    "with several workers set LICET_STORE: sqlite:///path on one machine, redis://… on many",
)
EXTRA = Kind("license_needs_extra", "fault")
STATUS_ORIGIN = Kind("license_status_origin", "fault", explain("status_origin")[1])
STATUS_UNFETCHED = Kind(
    "license_status_unfetched",
    "fault",
    "set LICET_JWKS_URL: without it nothing is fetched, its status list neither",
)


def examine(claims: Mapping[str, Any], settings: Settings) -> Iterator[Finding]:
    """Find what a license needs and the settings do not have."""
    for names, look in _NEEDS.items():
        value = next((claims[name] for name in names if name in claims), None)
        if value is not None:
            yield from look(value, settings)
    try:
        read_terms(dict(claims))
    except LicenseError as refusal:
        word, _, extra = refusal.reason.partition(":")
        if word == "missing_extra":
            yield EXTRA(f"its {extra} cannot be judged", f'run pip install "licet[{extra}]"')
    yield from _status(claims, settings)


def _bound(value: Any, settings: Settings) -> Iterator[Finding]:
    if not isinstance(value, dict):
        return
    if "x5t#S256" in value and settings.client_certificate is None:
        yield CERTIFICATE("it is bound to a certificate of its holder, and none is looked for")
    if "jkt" in value and settings.external_url is None:
        yield ADDRESS("it is bound to a key of its holder, and external_url is not set")


def _regions(value: Any, settings: Settings) -> Iterator[Finding]:
    if settings.region_header is None and settings.region_database is None:
        yield REGION("it holds in some regions, and nothing tells where a client is")


def _networks(value: Any, settings: Settings) -> Iterator[Finding]:
    if not settings.trusted_proxies:
        yield PROXIES("it holds for some addresses, and no proxy is trusted to tell them")


def _domains(value: Any, settings: Settings) -> Iterator[Finding]:
    if settings.domain_from == "origin":
        yield ORIGIN("it holds for some domains, and those of the calling page are looked at")


def _limits(value: Any, settings: Settings) -> Iterator[Finding]:
    try:
        limits = read_terms({"limits": value}).limits
    except LicenseInvalid:
        return  # Found before.
    counted = ", ".join(name for name, limit in limits.items() if 0 < limit < UNLIMITED)
    if counted and settings.store == "memory://":
        yield STORE(f"it limits {counted}, and each worker counts by itself (store is memory://)")


_NEEDS: dict[tuple[str, ...], Callable[[Any, Settings], Iterator[Finding]]] = {
    ("cnf",): _bound,
    ("regions", "region"): _regions,
    ("ip_ranges", "ip_range"): _networks,
    ("domains", "domain"): _domains,
    ("limits",): _limits,
}


def _status(claims: Mapping[str, Any], settings: Settings) -> Iterator[Finding]:
    named = _named(claims, settings)
    if named is None:
        return
    reference, fetches = named
    if not fetches:
        yield STATUS_UNFETCHED("it names a status list, and nothing is fetched")
    elif status_list(claims, settings) is None:
        yield STATUS_ORIGIN(f"its status list lies at {origin_of(reference.uri)}")


def status_list(claims: Mapping[str, Any], settings: Settings) -> str | None:
    """Return where the status list of a license is, None where none would be fetched."""
    reference, fetches = _named(claims, settings) or (None, False)
    if reference is None or not fetches:
        return None
    own = own_origins(claims["iss"], settings.insecure_http_hosts)
    return reference.uri if origin_of(reference.uri) in (*own, *settings.status_origins) else None


def _named(claims: Mapping[str, Any], settings: Settings) -> tuple[StatusReference, bool] | None:
    """Return the list that a license of a known issuer names, and whether anything is fetched."""
    issuer = claims.get("iss")
    one = settings.by_issuer.get(issuer) if isinstance(issuer, str) else None
    if one is None or "status" not in claims:
        return None
    try:
        return read_reference(claims["status"]), one.jwks_url is not None
    except LicenseInvalid:
        return None  # Found before.
