"""Which host a request is for, in one spelling (RFC 9110, section 7.2; RFC 6454; RFC 5891).

Nothing here is trusted. A host has one canonical text, by which it is compared and nothing else:
a name in lower case as A-labels without the trailing dot, an IPv4 address as four decimal
numbers, an IPv6 address as RFC 5952 writes it, without brackets. What two readers could take for
two hosts is refused rather than mended: another spelling of an address, user information, white
space, percent-encoding, anything but ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import idna

from licet.core.errors import BadHost
from licet.core.request.facts import RequestFacts

#: The longest name, its trailing dot apart (RFC 1035, section 2.3.4).
MAX_NAME = 253
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]*\]|[A-Za-z0-9.-]*)(?::(.*))?", re.ASCII)
# Without leading zeros: one port, one spelling.
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
# What a browser would read as the last number of an IPv4 address (URL Standard, section 3.5).
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_ORIGIN = re.compile(r"https?://(.+)", re.ASCII | re.IGNORECASE)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)", re.ASCII)
_KEPT = 1024


# A refusal is an exception, and those are not kept: what fills the cache is short and well formed.
@lru_cache(maxsize=_KEPT)
def read_authority(text: str) -> str:
    """Return the canonical host of `text`, which is `host` or `host:port`.

    Args:
        text: the value of a `Host` field or of a forwarded host, or what an origin names.

    Raises:
        BadHost: it is not exactly that (RFC 9112, section 3.2).
    """
    if not text:
        raise BadHost("empty_host")
    if len(text) > MAX_NAME + len(".:65535"):
        raise BadHost("host_too_long")
    if not text.isascii():
        raise BadHost("host_not_ascii")
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise BadHost("malformed_host")
    host, port = found.groups()
    if port is not None and not (_PORT.fullmatch(port) and int(port) <= 65535):
        raise BadHost("bad_port")
    return read_literal(host) or read_name(host.lower())


def read_literal(text: str) -> str | None:
    """Return the canonical text of an IP address, None where `text` is none.

    Args:
        text: an IPv4 address, or an IPv6 address in brackets.

    Raises:
        BadHost: there are brackets, and no IPv6 address without scope id between them.
    """
    try:
        if not text.startswith("["):
            return str(IPv4Address(text))
        if text[-1] != "]" or "%" in text:
            raise BadHost("bad_address")
        address = IPv6Address(text[1:-1])
    except AddressValueError:
        if text.startswith("["):
            raise BadHost("bad_address") from None
        return None
    # Python writes these in two ways, by its version.
    mapped = address.ipv4_mapped
    return f"::ffff:{mapped}" if mapped else str(address)


def read_name(text: str) -> str:
    """Return the canonical text of a DNS name.

    Args:
        text: ASCII in lower case; one trailing dot is left out.

    Raises:
        BadHost: it is no host name (RFC 1123, section 2.1), one of its labels only looks like an
            A-label (RFC 5891, section 5.4), or it is an odd spelling of an IPv4 address.
    """
    name = text.removesuffix(".")
    if len(name) > MAX_NAME:
        raise BadHost("host_too_long")
    labels = name.split(".")
    for label in labels:
        if not _LABEL.fullmatch(label) or (label.startswith("xn--") and not _is_a_label(label)):
            raise BadHost("bad_label")
    if _NUMBER.fullmatch(labels[-1]):
        raise BadHost("odd_address")
    return name


def _is_a_label(label: str) -> bool:
    try:
        # There and back: one U-label has one A-label.
        return idna.alabel(idna.ulabel(label)) == label.encode()
    except ValueError:
        return False


def read_origin(lines: Sequence[str]) -> str | None:
    """Return the canonical host of the one web origin of `Origin` (RFC 6454, section 7).

    Args:
        lines: the values of the field, one for each line of it.

    Returns:
        The host; None where the field is missing, repeated, `null`, or anything but
        `http://host`, `https://host` or these with a port.
    """
    if len(lines) != 1:
        return None
    try:
        return _read_origin(lines[0])
    except BadHost:
        return None


@lru_cache(maxsize=_KEPT)
def _read_origin(line: str) -> str:
    found = _ORIGIN.fullmatch(line)
    if found is None:
        raise BadHost("bad_origin")
    return read_authority(found[1])


def request_host(facts: RequestFacts, forwarded: str | None) -> str:
    """Return the canonical host that the request is for.

    A framework that judges hosts decides, then a trusted proxy, then the `Host` field. The name
    of the server never does: it is nobody's request.

    Args:
        facts: the request.
        forwarded: the host and port that a trusted proxy says it was asked for, None where no
            such proxy is, or it says nothing.

    Raises:
        BadHost: there is no host, there are two, or the one there is is malformed; or the
            framework does not serve it.
    """
    text = facts.vouched_host()
    if text is None:
        if forwarded is not None:
            return read_authority(forwarded)
        lines = facts.fields("host")
        if not lines:
            raise BadHost("missing_host")
        # Lines that a WSGI server joined with a comma are no host.
        if len(lines) > 1 or "," in lines[0]:
            raise BadHost("ambiguous_host")
        text = lines[0]
    host = read_authority(text)
    target = facts.absolute_target
    if target is not None:
        _check_target(target, host)
    return host


def _check_target(target: str, host: str) -> None:
    """Refuse a request target that names another host (RFC 9112, section 3.2.2).

    Servers should have seen to it; some hand the target on as it came.
    """
    found = _ABSOLUTE.match(target)
    if found and read_authority(found[1]) != host:
        raise BadHost("ambiguous_host")
