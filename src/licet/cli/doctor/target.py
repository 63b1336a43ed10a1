"""What is looked at: the addresses that the settings name, or those that one address stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from licet.cli.doctor.connection import Place, place_of
from licet.cli.doctor.finding import Finding, Kind
from licet.cli.output import Failed
from licet.core.errors import ConfigError
from licet.core.keys.jwk import KeySet, read_jwks
from licet.core.keys.kept import SnapshotFile
from licet.core.settings import Settings
from licet.core.settings.options import url as checked

Role: TypeAlias = Literal["keys", "validation", "refresh", "status", "usage", "webhook"]

NOT_HTTPS = Kind(
    "url_not_https",
    "fault",
    "use https; plain http is for loopback, and for hosts in LICET_INSECURE_HTTP_HOSTS",
)

_WELL_KNOWN = "/.well-known/jwks.json"
#: What the last part of a path has in it where a key set is meant.
_KEYS = (".json", "jwks", "certs", "keys")
#: Where the endpoints of a license server are.
_SERVER = ("/v1/", "/status/", "/healthz")


@dataclass(frozen=True, slots=True)
class Target:
    """One address.

    Args:
        role: what is there.
        url: the address.
        issuer: whose it is.
    """

    role: Role
    url: str
    issuer: str

    @property
    def about(self) -> str:
        """The address as it is shown: what is behind `?` may be a secret.

        Of where events go all of the path may be one.
        """
        if self.role == "webhook":
            return f"{self.place.origin}/… (webhook_url)"
        return self.url.partition("?")[0]

    @property
    def place(self) -> Place:
        """The server it is at."""
        return place_of(self.url)


def configured(settings: Settings) -> Iterator[Target]:
    """Return what the settings name."""
    for issuer, one in settings.by_issuer.items():
        if one.jwks_url is not None:
            yield Target("keys", one.jwks_url, issuer)
        if one.validation_url is not None:
            yield Target("validation", one.validation_url, issuer)
    if settings.refresh_url is not None:
        yield Target("refresh", settings.refresh_url, next(iter(settings.by_issuer)))
    if settings.usage_url is not None:
        yield Target("usage", settings.usage_url, next(iter(settings.by_issuer)))
    if settings.webhook_url is not None:
        yield Target("webhook", settings.webhook_url, next(iter(settings.by_issuer)))


def of(url: str, settings: Settings) -> tuple[list[Target], list[Finding]]:
    """Return what an address stands for, and what is wrong with it.

    It may be an issuer, a key set, or anything at a license server.

    Raises:
        Failed: it is no address.
    """
    found = []
    try:
        checked("URL", url, http_hosts=settings.insecure_http_hosts)
    except ConfigError as error:
        _plain(url, error)
        found = [NOT_HTTPS("the address is one of plain http, and Licet would not speak it there")]
    named = [one for one in configured(settings) if url in (one.url, one.issuer)]
    if named:
        return named, found
    issuer = next(iter(settings.by_issuer))
    parts = urlsplit(url)
    if any(word in parts.path.rpartition("/")[2].lower() for word in _KEYS):
        return [Target("keys", url, issuer)], found
    if any(path in parts.path for path in _SERVER):
        url = f"{parts.scheme}://{parts.netloc}"
    return [Target("keys", url.rstrip("/") + _WELL_KNOWN, issuer)], found


def known_keys(settings: Settings, issuer: str, now: float) -> Mapping[str, KeySet]:
    """Return the key sets of an issuer that are here already, by where they are from."""
    one = settings.by_issuer[issuer]
    known = {}
    if one.keys is not None:
        known["the setting jwks"] = read_jwks(one.keys, one.algorithms)
    if one.snapshot_path is not None:
        kept = SnapshotFile(one.snapshot_path, issuer, lambda word: None).read(now)
        if kept is not None:
            known["the snapshot file"] = read_jwks(kept.jwks, one.algorithms)
    return known


def _plain(url: str, error: ConfigError) -> None:
    """See to it that nothing but the missing https is wrong with an address."""
    try:
        checked("URL", url, http_hosts=(urlsplit(url).hostname or "",))
    except (ConfigError, ValueError):
        raise Failed(f"the URL {error.problem}", error.remedy) from None
