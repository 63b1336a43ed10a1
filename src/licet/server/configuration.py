"""What can be said of a license server when it is started, checked when it is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from licet.server.errors import ServerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """How a license server runs.

    Args:
        data: the directory that everything is kept in; made, 0700, where it is not there.
        issuer: the `iss` of its licenses; settled at the first start.
        audience: the product that licenses are for where nobody names another; likewise.
        url: where applications find this server; where not given, its `issuer` if that is an
            address, else what a request was sent to.
        algorithm: of the first key, as `Issuer.generate` takes it.
        key_file: where the private keys are; `issuer.json` in `data` where not given.
        passphrase: keep them in the database instead, sealed under it.
        unlock_file: or sealed under what this file holds; 32 bytes or more.
        jwks_max_age: seconds for which the key set may be cached.
        cache_for: seconds for which a yes may be relied on.
        status_ttl: seconds for which a copy of a status list is fresh.
        validation_rate: questions a second that each validation key has answered at once; more
            of them wait.

    Raises:
        ServerError: a value cannot work, or two contradict each other.
    """

    data: Path
    issuer: str | None = None
    audience: str | None = None
    url: str | None = None
    algorithm: str = "EdDSA"
    key_file: Path | None = None
    passphrase: str | None = field(default=None, repr=False)
    unlock_file: Path | None = None
    jwks_max_age: int = 300
    cache_for: int = 3600
    status_ttl: int = 300
    validation_rate: int = 200

    def __post_init__(self) -> None:
        for name in ("jwks_max_age", "cache_for", "status_ttl", "validation_rate"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= 10**9:
                raise ServerError(f"{name} is {value!r}", "write a whole number, 1 or more")
        for name in ("issuer", "audience", "url", "passphrase"):
            if getattr(self, name) == "":
                raise ServerError(f"{name} is empty", "write something, or leave it out")
        # An issuer may have any name; one that looks like an address is taken for one.
        for name, value in (("url", self.url), ("issuer", self.issuer)):
            named = value is not None and (name == "url" or value.startswith(("http:", "https:")))
            if named and not _is_address(str(value)):
                raise ServerError(f"{name} is {value!r}", "write it as https://host or with a path")
        places = [self.key_file, self.passphrase, self.unlock_file]
        if sum(place is not None for place in places) > 1:
            raise ServerError(
                "private keys have one place",
                "give a key file, a passphrase or a file that unlocks them, and one only",
            )

    @property
    def key_path(self) -> Path:
        """Where private keys are, unless they are in the database."""
        return self.key_file or self.data / "issuer.json"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and not (parts.query or parts.fragment)
