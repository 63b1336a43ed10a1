"""What single settings may say, where that takes more than a kind of value."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from licet.core.errors import ConfigError, LicenseInvalid
from licet.core.request.credential import Sources
from licet.core.settings.patterns import is_slow

DEFAULT_SOURCES = ("authorization", "x-license-token")
#: Bytes of a secret that a MAC stands on (RFC 2104, section 3: the length of the digest).
MIN_SECRET = 32


def license_source(name: str, value: str) -> str:
    """Return where the installation license is, or the license itself.

    Raises:
        ConfigError: it is none.
    """
    if value in ("file:", "env:"):
        raise ConfigError(name, "names nothing", "write file:PATH, env:NAME or the license itself")
    return value


def ca_file(name: str, value: str) -> str:
    """Return the path of a PEM file that TLS can be set up with.

    Raises:
        ConfigError: it is none.
    """
    from licet.core.tls import client_context

    try:
        client_context(ca_file=value)
    except OSError as error:
        raise ConfigError(
            name, f"cannot be used ({type(error).__name__})", "write the path of a PEM file"
        ) from None
    return value


def ciphers(name: str, value: str) -> str:
    """Return a list of cipher suites in OpenSSL's words that TLS can be set up with.

    Raises:
        ConfigError: it is none, or one that weakens what TLS 1.2 has to be.
    """
    from licet.core import tls

    return tls.ciphers(name, value)


def key_pattern(name: str, value: str) -> str:
    """Return what opaque license keys look like, as a regular expression.

    Raises:
        ConfigError: it is none, one that also fits the empty text, or one that may take for ever.
    """
    try:
        fits_nothing = re.compile(value, re.ASCII).fullmatch("")
    except re.error:
        raise ConfigError(
            name, "is no regular expression", "write one as lic_[A-Za-z0-9]{32}"
        ) from None
    if fits_nothing:
        raise ConfigError(name, "fits the empty text", "write one as lic_[A-Za-z0-9]{32}")
    if is_slow(value):
        raise ConfigError(
            name,
            "may take very long to find that a text does not fit",
            "let no repetition hold another, as (?:[A-Z0-9]{4}-){3}[A-Z0-9]{4}",
        )
    return value


def header_name(name: str, value: str) -> str:
    """Return the name of a header field, in lower case.

    Raises:
        ConfigError: it is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9-]+", value):
        raise ConfigError(name, f"holds {value!r}", "write the name of a header field")
    return value.lower()


def mac_secret(name: str, value: str) -> str:
    """Return a secret that is long enough for a MAC to stand on.

    Raises:
        ConfigError: it is none.
    """
    if len(value.encode()) < MIN_SECRET:
        raise ConfigError(
            name, "is too short", f"write at least {MIN_SECRET} random bytes, the same everywhere"
        )
    return value


def signing_secret(name: str, value: str) -> str:
    """Return a secret that events are signed with, as Standard Webhooks writes it.

    Raises:
        ConfigError: it is none.
    """
    try:
        key = b64decode(value.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    # The length that Standard Webhooks asks for.
    if len(key) < 24:
        raise ConfigError(
            name, "is no secret of Standard Webhooks", "write whsec_ and 24 bytes or more in base64"
        )
    return value


def signing_secrets(name: str, value: str) -> str:
    """Return a secret that events are signed with, or several with spaces between them.

    Who changes the secret has both until the receiver knows the new one.

    Raises:
        ConfigError: there is none, or one is none.
    """
    return " ".join(signing_secret(name, one) for one in value.split(" "))


def origin(name: str, value: str) -> str:
    """Return scheme, host and port of somebody's documents, as a browser writes them.

    Raises:
        ConfigError: it is none, or says more.
    """
    remedy = "write scheme and host as https://status.example"
    try:
        parts = urlsplit(value)
        made = origin_of(value)
    except ValueError:
        raise ConfigError(name, "is no address", remedy) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ConfigError(name, "is no origin", remedy)
    # Visible ASCII only, and no pattern: no list's address has any such thing in its origin.
    if not re.fullmatch(r"[!-~]+", value) or set(parts.netloc) & set("\\*%"):
        raise ConfigError(name, "is no origin", remedy)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigError(name, "says more than an origin", remedy)
    return made


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address, each in its one form (RFC 6454, section 6.2).

    Raises:
        ValueError: it has no such thing.
    """
    parts = urlsplit(url)
    host, scheme = parts.hostname or "", parts.scheme
    if ":" in host:
        host = f"[{host}]"
    default = {"http": 80, "https": 443}.get(scheme)
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{scheme}://{host}{port}"


def sources_of(installation: str | None, sources: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the sources of credentials, which an installation license leaves none of.

    Raises:
        ConfigError: both are set, neither is, or a source is none.
    """
    if installation is not None and sources:
        raise ConfigError(
            "license",
            "is set together with sources",
            "an installation license covers every request; remove one of the two",
        )
    if installation is None and sources == ():
        raise ConfigError(
            "sources",
            "is empty and no installation license is set",
            f"name where requests carry their license, as {DEFAULT_SOURCES}",
        )
    default = () if installation is not None else DEFAULT_SOURCES
    return Sources.checked(sources if sources is not None else default)


def downgrade(name: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what an expired license is still good for, as a license would say it.

    Raises:
        ConfigError: it says something else, or nothing.
    """
    # Not at the top: most settings refuse what has expired.
    from licet.core.grants.reading import read_terms

    remedy = 'write {"plan": "free", "features": […], "limits": {…}}, each as licenses write it'
    if not value or not value.keys() <= {"plan", "features", "limits"}:
        raise ConfigError(name, "has other members than plan, features and limits", remedy)
    features = value.get("features", ())
    if not isinstance(features, (list, tuple, set, frozenset)):
        raise ConfigError(name, "has features that are no list", remedy)
    limits = value.get("limits", {})
    if not isinstance(limits, Mapping):
        raise ConfigError(name, "has limits that are no mapping", remedy)
    kept: dict[str, Any] = {
        "plan": value.get("plan"),
        "features": list(features),
        "limits": {
            each: dict(limit) if isinstance(limit, Mapping) else limit
            for each, limit in limits.items()
        },
    }
    try:
        read_terms({member: told for member, told in kept.items() if told is not None})
        features = sorted(kept["features"])
    except LicenseInvalid as error:
        raise ConfigError(name, f"cannot be read ({error.reason})", remedy) from None
    except TypeError:
        raise ConfigError(name, "has a name that is no text", remedy) from None
    return MappingProxyType({**kept, "features": features})
