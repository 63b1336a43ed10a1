"""What counts as a valid license here: every option once, checked when `Settings` is made.

Settings are trusted: whoever writes them decides what the application accepts. They are checked
all the same, because a setting that cannot work must fail at start-up and not open a gate.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from licet.core.possession import target
from licet.core.possession.mtls import Certificates
from licet.core.request.paths import exempt_path
from licet.core.request.proxies import Proxies
from licet.core.settings import contradictions
from licet.core.settings.believed import issuers_of
from licet.core.settings.issuers import (
    ADDRESS,
    ALGORITHM_NAMES,
    AUDIENCE,
    CREDENTIALS,
    DAY,
    DEFAULT_ALGORITHMS,
    DEFAULT_JWKS_URL,
    LIFETIME,
    PATH,
    PROTOCOL,
    TOKEN_TYPE,
    IssuerSettings,
)
from licet.core.settings.options import (
    FLAG,
    Options,
    choice,
    host,
    mapping,
    number,
    option,
    optional,
    text,
    texts,
    url,
)
from licet.core.settings.values import (
    ca_file,
    ciphers,
    downgrade,
    header_name,
    key_pattern,
    license_source,
    mac_secret,
    origin,
    signing_secret,
    signing_secrets,
    sources_of,
)
from licet.core.stores import store_url

__all__ = ["IssuerSettings", "Settings"]


@dataclass(frozen=True, eq=False)
class Settings(Options):
    """Every option of Licet, checked; immutable, and equal where all options are.

    The table in the README says what each means. Durations are seconds.

    Raises:
        ConfigError: a value that cannot work, or values that contradict each other.
    """

    issuer: str | None = option(None, optional(text()))
    audience: str | tuple[str, ...] | None = option(None, AUDIENCE)
    issuers: Mapping[str, IssuerSettings] | None = option(None, optional(mapping()))
    jwks_url: str | None = option(DEFAULT_JWKS_URL, ADDRESS)
    insecure_http_hosts: tuple[str, ...] = option((), texts(check=host, empty=True))
    jwks: Mapping[str, Any] | str | Path | None = option(None, optional(text()), secret=True)
    jwks_snapshot: str | Path | None = option(None, PATH)
    jwks_max_age: float = option(600, number(0.1, DAY))
    jwks_max_stale: float = option(DAY, number(0, 366 * DAY))
    jwks_cooldown: float = option(30, number(0.1, 3600))
    algorithms: tuple[str, ...] = option(DEFAULT_ALGORITHMS, ALGORITHM_NAMES)
    token_type: str | None = option("license+jwt", TOKEN_TYPE)
    leeway: float = option(30, number(0, 300))
    max_lifetime: float = option(400 * DAY, LIFETIME)
    max_token_size: int = option(4096, number(256, 65_536, whole=True, unit="bytes"))
    sources: tuple[str, ...] | None = option(None, optional(texts(empty=True)))
    license: str | None = option(
        None, optional(text(check=license_source, strip=True)), secret=True
    )
    license_key_pattern: str | None = option(None, optional(text(check=key_pattern)))
    license_state: str | Path | None = option(None, PATH)
    mode: Literal["enforce", "report", "off"] = option(
        "enforce", choice("enforce", "report", "off")
    )
    required: bool = option(True, FLAG)
    require_https: bool = option(False, FLAG)
    exempt_paths: tuple[str, ...] = option((), texts(check=exempt_path, empty=True))
    grace_period: float = option(7 * DAY, number(0, 90 * DAY))
    downgrade_to: Mapping[str, Any] | None = option(None, optional(mapping(check=downgrade)))
    domain_from: Literal["host", "origin"] = option("host", choice("host", "origin"))
    trusted_proxies: tuple[str, ...] = option((), texts(empty=True))
    forwarded_headers: Literal["x-forwarded", "forwarded"] = option(
        "x-forwarded", choice("x-forwarded", "forwarded")
    )
    region_header: str | None = option(None, optional(text(check=header_name)))
    region_database: str | Path | None = option(None, PATH)
    client_certificate: str | None = option(None, optional(text(check=Certificates.checked)))
    external_url: str | None = option(None, optional(text(check=target.external)))
    dpop_nonce_secret: str | None = option(None, optional(text(check=mac_secret)), secret=True)
    store: str = option("memory://", text(check=store_url), secret=True)
    on_store_outage: Literal["refuse", "count_locally"] = option(
        "refuse", choice("refuse", "count_locally")
    )
    limit_period: Literal["minute", "hour", "day", "month", "term"] = option(
        "month", choice("minute", "hour", "day", "month", "term")
    )
    rate_limit_headers: bool = option(False, FLAG)
    validation_url: str | None = option(None, ADDRESS)
    validation_protocol: Any = option("licet", PROTOCOL)
    validation_credentials: str | None = option(None, CREDENTIALS, secret=True)
    validation_jwks: Mapping[str, Any] | str | Path | None = option(
        None, optional(text()), secret=True
    )
    validation_unsigned: bool = option(False, FLAG)
    revalidate_every: float | None = option(None, optional(number(1, 366 * DAY)))
    recheck_every: float | None = option(None, optional(number(0.1, 366 * DAY)))
    outage_limit: float = option(3 * DAY, number(0, 366 * DAY))
    online_timeout: float = option(3, number(0.05, 60))
    refresh_url: str | None = option(None, ADDRESS)
    usage_url: str | None = option(None, ADDRESS)
    status_max_stale: float = option(3 * DAY, number(0, 366 * DAY))
    status_origins: tuple[str, ...] = option((), texts(check=origin, empty=True))
    webhook_url: str | None = option(None, ADDRESS, secret=True)
    webhook_secret: str | None = option(None, optional(text(check=signing_secrets)), secret=True)
    webhook_receive_secret: str | None = option(
        None, optional(text(check=signing_secret)), secret=True
    )
    tls_minimum: Literal["1.2", "1.3"] = option("1.2", choice("1.2", "1.3"))
    tls_ca_file: str | None = option(None, optional(text(check=ca_file)))
    tls_ciphers: str | None = option(None, optional(text(check=ciphers)))
    tls_pins: tuple[str, ...] | None = option(None, optional(texts()))
    tls_single_pin: bool = option(False, FLAG)
    tls_client_cert: str | Path | None = option(None, PATH)
    tls_client_key: str | Path | None = option(None, PATH)
    grant_cache_size: int = option(1024, number(0, 10_000_000, whole=True, unit="grants"))
    grant_max_age: float = option(300, number(0, DAY))
    upgrade_url: str | None = option(None, optional(text(check=url)))
    error_response: str | None = option(None, optional(text()))

    def __post_init__(self) -> None:
        keep = object.__setattr__
        for each in fields(self):
            if each.name not in ("audience", "jwks", "validation_jwks"):
                kind = each.metadata["kind"]
                keep(self, each.name, kind.check(each.name, getattr(self, each.name)))
        keep(self, "sources", sources_of(self.license, self.sources))
        keep(self, "trusted_proxies", Proxies.checked(self.trusted_proxies))
        contradictions.check_proxies(self)
        contradictions.check_tls(self)
        by_issuer = self.by_issuer
        if self.issuers is not None:
            # Not as it was written: a plain mapping would show the secrets in it.
            keep(self, "issuers", by_issuer)
        if self.issuer is not None:
            keep(self, "audience", by_issuer[self.issuer].audience)
            keep(self, "jwks", by_issuer[self.issuer].jwks)
            keep(self, "validation_jwks", by_issuer[self.issuer].validation_jwks)
        contradictions.check_questions(self)
        contradictions.check_refresh(self)
        contradictions.check_usage(self)
        contradictions.check_webhook(self)
        contradictions.check_addresses(self)

    @cached_property
    def by_issuer(self) -> Mapping[str, IssuerSettings]:
        """What counts for each issuer: `issuers`, or the one that the flat fields spell."""
        return MappingProxyType(issuers_of(self))

    @cached_property
    def fingerprint(self) -> bytes:
        """SHA-256 over all options: equal for equal settings; gates are shared by it."""
        issuers = {issuer: _values(one) for issuer, one in self.by_issuer.items()}
        return hashlib.sha256(repr((_values(self), issuers)).encode()).digest()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Return the settings among the `LICET_…` variables of the environment.

        Args:
            environ: instead of the process's own environment.

        Raises:
            ConfigError: a value that cannot be read or cannot work, or a misspelt name.
        """
        from licet.core.settings import spellings

        return spellings.from_env(environ)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Settings:
        """Return the settings among the `LICET_…` entries of a framework's configuration.

        Raises:
            ConfigError: a value that cannot work, or an unknown name.
        """
        from licet.core.settings import spellings

        return spellings.from_mapping(mapping)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and other.fingerprint == self.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __deepcopy__(self, memo: object) -> Settings:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        secrets = (
            self.license,
            self.dpop_nonce_secret,
            self.webhook_secret,
            self.webhook_receive_secret,
            *(one.validation_credentials for one in self.by_issuer.values()),
        )
        # A password stands before the host, or in the query.
        if any(secret is not None for secret in secrets) or re.search("[@?]", self.store):
            raise TypeError("settings that hold a secret cannot be pickled")
        values: dict[str, Any] = dict(_values(self))
        for name in ("issuers", "downgrade_to"):
            if values[name] is not None:
                # A mapping proxy cannot be pickled.
                values[name] = dict(values[name])
        return _restored, (values,)


def _restored(values: dict[str, Any]) -> Settings:
    return Settings(**values)


def _values(settings: Settings | IssuerSettings) -> list[tuple[str, object]]:
    return [(each.name, getattr(settings, each.name)) for each in fields(settings)]
