"""Which URL a request was for: `htu` and what it is held against, in one form (RFC 9449, 4.3).

Decides when two URLs are one: by syntax and scheme (RFC 3986, sections 6.2.2 and 6.2.3), never
by looking anything up. Both sides go through the same function, and what it cannot read is equal
to nothing.
"""

from __future__ import annotations

import re

from licet.core.errors import ConfigError
from licet.core.request.facts import RequestFacts

_URL = re.compile(
    r"(https?)://"
    r"([a-z0-9._~-]+|\[[0-9a-f:.]+\])"
    r"(?::([0-9]{0,5}))?"
    # Any visible character, as servers and browsers let through more than the grammar has.
    r"(/(?:[!\"$&->@-~]++|%[0-9a-f]{2})*+)?"
    r"(?:[?#][!-~]*)?",
    re.ASCII | re.IGNORECASE,
)
_PORTS = {"http": 80, "https": 443}
_TO_SPELL = re.compile(r"%([0-9A-Fa-f]{2})|[^A-Za-z0-9._~!$&'()*+,;=:@/-]", re.ASCII)
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def normalise(url: str) -> str:
    """Return `url` in its normal form, without query and fragment.

    Scheme and host in lower case, the scheme's own port left out, escapes of unreserved
    characters decoded and others in upper case, dot segments removed, the empty path as `/`.

    Raises:
        ValueError: it is no absolute http or https URL in ASCII, or names a user.
    """
    # Beside the pattern's own flag, without which ignoring case would let the Kelvin sign pass.
    match = _URL.fullmatch(url) if url.isascii() else None
    if match is None:
        raise ValueError("no absolute http or https URL")
    scheme, host, port, path = match.groups()
    scheme = scheme.lower()
    number = int(port or _PORTS[scheme])
    shown = "" if number == _PORTS[scheme] else f":{number}"
    return f"{scheme}://{host.lower()}{shown}{_normal_path(path or '/')}"


def external(name: str, value: str) -> str:
    """Return the checked setting `external_url`: scheme, host and port, without a path.

    Raises:
        ConfigError: it is no http or https URL, or says more than that.
    """
    try:
        url = normalise(value)
    except ValueError:
        raise ConfigError(name, "is not a URL", "write https://host") from None
    base = url.removesuffix("/")
    if base.count("/") != 2 or "?" in value or "#" in value:
        raise ConfigError(
            name, "has a path, a query or a fragment", "write the scheme and host alone"
        )
    return base


def url_of(facts: RequestFacts, base: str | None) -> str | None:
    """Return the URL of a request as its client knows it, None where nobody vouches for the host.

    Args:
        facts: of the request.
        base: the setting `external_url`, checked. Without it the host is what the framework
            vouches for, out of those it lists; a bare `Host` field never counts.

    Raises:
        BadHost: the framework does not serve this host.
    """
    if base is None:
        host = facts.vouched_host() if facts.lists_hosts else None
        if host is None:
            return None
        base = f"{facts.scheme}://{host}"
    path = facts.path
    # What does not begin with a slash would continue the host. Then it is the URL of nothing.
    return base + path if path.startswith("/") else ""


def _normal_path(path: str) -> str:
    kept: list[str] = []
    segments = _TO_SPELL.sub(_spelled, path).split("/")[1:]
    for segment in segments:
        if segment == "..":
            kept[-1:] = []
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _spelled(match: re.Match[str]) -> str:
    byte = ord(match[0]) if match[1] is None else int(match[1], 16)
    return chr(byte) if byte in _UNRESERVED else f"%{byte:02X}"
