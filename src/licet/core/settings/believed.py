"""Which issuers settings believe, and what counts for each: `issuers`, or the flat fields."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from licet.core.errors import ConfigError
from licet.core.settings.issuers import (
    DEFAULT_JWKS_URL,
    VALIDATION,
    IssuerSettings,
    issuer_settings,
)
from licet.core.settings.options import text, url

if TYPE_CHECKING:
    from licet.core.settings.settings import Settings


def issuers_of(settings: Settings) -> dict[str, IssuerSettings]:
    """Return what counts for each issuer.

    Raises:
        ConfigError: no issuer, one that cannot work, or flat fields beside `issuers`.
    """
    if settings.issuers is None:
        if settings.issuer is None:
            raise ConfigError("issuer", "is missing", 'write the "iss" of your licenses')
        return {
            settings.issuer: _with_address(
                settings,
                settings.issuer,
                IssuerSettings(
                    audience=settings.audience,  # type: ignore[arg-type]  # None is refused there
                    jwks_url=settings.jwks_url,
                    jwks=settings.jwks,
                    jwks_snapshot=settings.jwks_snapshot,
                    algorithms=settings.algorithms,
                    token_type=settings.token_type,
                    max_lifetime=settings.max_lifetime,
                    **{name: getattr(settings, name) for name in VALIDATION},
                ),
            )
        }
    flat = ("issuer", "audience", "jwks", "jwks_url", "jwks_snapshot", "algorithms")
    for name in (*flat, "token_type", "max_lifetime", *VALIDATION):
        if getattr(settings, name) != type(settings).__dataclass_fields__[name].default:
            raise ConfigError(
                name, "is set together with issuers", "put it into each IssuerSettings"
            )
    if not settings.issuers:
        raise ConfigError("issuers", "is empty", "name at least one issuer")
    checked = {
        text().check("issuers", issuer): _with_address(settings, issuer, issuer_settings(one))
        for issuer, one in settings.issuers.items()
    }
    paths = [one.jwks_snapshot for one in checked.values() if one.jwks_snapshot is not None]
    if len(set(paths)) != len(paths):
        raise ConfigError("jwks_snapshot", "is one for two issuers", "give each its own file")
    return checked


def _with_address(settings: Settings, issuer: str, one: IssuerSettings) -> IssuerSettings:
    """Return `one` with the address of its keys written out, and all its addresses checked."""
    hosts = settings.insecure_http_hosts
    if one.validation_url is not None:
        url("validation_url", one.validation_url, http_hosts=hosts, setting="insecure_http_hosts")
    if one.jwks_url is None:
        return one
    address = one.jwks_url
    if address == DEFAULT_JWKS_URL:
        if not re.fullmatch(r"https?://[^?#]+", issuer):
            raise ConfigError(
                "jwks_url",
                "cannot be derived from an issuer that is no plain URL",
                "set jwks_url, or jwks with jwks_url=None",
            )
        address = issuer.removesuffix("/") + "/.well-known/jwks.json"
    url("jwks_url", address, http_hosts=hosts, setting="insecure_http_hosts")
    return replace(one, jwks_url=address)
