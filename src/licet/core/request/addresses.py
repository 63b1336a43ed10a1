"""Internet addresses and networks as text: one strict reading, and each text read once.

Nothing here is trusted. What two readers could take for different addresses is none: scope ids,
leading zeros, ports, spaces, short forms. IPv4 mapped into IPv6 (RFC 4291, section 2.5.5.2) is the
IPv4 address, because one socket for both versions shows it so; NAT64 and 6to4 addresses are the
translator's and stay what they are.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

#: The longest address: IPv6 with its last 32 bits written as IPv4.
_MAX_LENGTH = 45
#: Prefix lengths only, and no scope id, in which `ipaddress` lets even a line feed pass.
_NETWORK = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:/(?:0|[1-9][0-9]{0,2}))?", re.ASCII)
_MAPPED = 96


def read_address(text: str) -> Address | None:
    """Return the address that `text` is, IPv4 where it is mapped into IPv6; None for any other."""
    # Before the cache, so that a stranger cannot fill it with long texts.
    return _address(text) if len(text) <= _MAX_LENGTH else None


@lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    if "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def read_network(text: object) -> Network | None:
    """Return the network that `text` is; an address alone is a network of one.

    None for anything else: numbers, host bits, netmasks and hostmasks. A network of mapped
    addresses is the IPv4 network, as the addresses in it are.
    """
    if not isinstance(text, str) or not _NETWORK.fullmatch(text):
        return None
    try:
        network = ip_network(text)
    except ValueError:
        return None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED))


class AddressRanges:
    """Networks, compiled: `address in ranges`. Immutable.

    Args:
        networks: as read by `read_network`.

    Raises:
        ValueError: one is `/0`, or they add up to it: no restriction at all.
    """

    __slots__ = ("_v4", "_v6")

    def __init__(self, networks: Iterable[Network]) -> None:
        networks = tuple(networks)
        v4 = collapse_addresses(one for one in networks if isinstance(one, IPv4Network))
        v6 = collapse_addresses(one for one in networks if isinstance(one, IPv6Network))
        self._v4, self._v6 = _bounds(v4), _bounds(v6)

    def __contains__(self, address: Address) -> bool:
        bounds = self._v4 if isinstance(address, IPv4Address) else self._v6
        # Behind an odd number of bounds, the last one passed is a beginning.
        return bisect_right(bounds, int(address)) % 2 == 1


def _bounds(networks: Iterable[Network]) -> list[int]:
    """Return where each network begins and where the next address after it is, in order."""
    bounds = []
    for network in networks:
        if not network.prefixlen:
            raise ValueError("the networks cover every address")
        first = int(network.network_address)
        bounds += [first, first + network.num_addresses]
    return bounds
