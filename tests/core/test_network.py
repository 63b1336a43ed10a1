"""The claim `ip_ranges`: strictly read, and closed to whoever cannot be located."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.core.constraints.network import Networks
from licet.core.errors import ConstraintViolated, LicenseInvalid
from licet.core.request.addresses import Address, Network, read_address
from licet.core.request.proxies import Proxies
from tests.core.test_addresses import NO_ADDRESSES, some_addresses, some_networks
from tests.core.test_proxies import Facts


class At:
    """Circumstances of a client at this address."""

    def __init__(self, address: Address | None) -> None:
        self._address = address

    def address(self) -> Address | None:
        return self._address


def holds(ranges: list[str], text: str) -> bool:
    address = read_address(text)
    assert address is not None
    return Networks.read(ranges).holds(At(address))


@pytest.mark.row("F08", "F09")
@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        1,
        True,
        False,
        "",
        "10.0.0.0/8",
        {},
        {"10.0.0.0/8": 1},
        [],
        [""],
        [0],
        [True],
        [None],
        [["10.0.0.0/8"]],
        ["*"],
        ["0.0.0.0/0"],
        ["::/0"],
        ["::ffff:0:0/96"],
        ["0.0.0.0/1", "128.0.0.0/1"],
        ["10.0.0.0/0.255.255.255"],
        ["10.0.0.0/255.0.0.0"],
        ["10.0.0.1/8"],
        ["fe80::1%eth0\r\nX"],
        ["10.0.0.0/8", "10.0.0.1/8"],
        ["10.0.0.0/8", 0],
        ["10.0.0.1"] * 1001,
    ],
    ids=lambda value: repr(value)[:32],
)
def test_a_malformed_claim_refuses_the_license(value: Any) -> None:
    """Also beside good entries; the reason names the claim and nothing of it."""
    with pytest.raises(LicenseInvalid) as caught:
        Networks.read(value)
    assert caught.value.reason == "bad_claim:ip_ranges"


def test_the_claim_names_a_code_that_adapters_know() -> None:
    """The refusal is `license_ip`, and a thousand entries are still read."""
    networks = Networks.read([f"10.{i // 250}.{i % 250}.0/24" for i in range(1000)])
    assert networks.code == "license_ip"
    assert networks.code in ConstraintViolated.codes
    assert not hasattr(networks, "__dict__")


@pytest.mark.row("M05")
def test_an_address_is_compared_unmapped() -> None:
    """Mapped is IPv4, in the request and in the claim; NAT64 and 6to4 are not."""
    assert holds(["10.0.0.0/8"], "::ffff:10.0.0.1")
    assert holds(["::ffff:10.0.0.0/104"], "10.0.0.1")
    assert not holds(["10.0.0.0/8"], "64:ff9b::a00:1")
    assert not holds(["10.0.0.0/8"], "2002:a00:1::")
    assert holds(["10.0.0.0/8", "2001:db8::/32"], "2001:db8::1")


@pytest.mark.row("M06", "M07", "M08")
@pytest.mark.parametrize("peer", [None, "fe80::1%a", *NO_ADDRESSES], ids=lambda p: repr(p)[:24])
def test_an_unknown_address_is_in_no_network(peer: str | None) -> None:
    """No peer, or one that cannot be read, is outside, however wide the networks are."""
    networks = Networks.read(["0.0.0.0/1", "128.0.0.0/2", "fe80::/10", "2000::/3"])
    assert not networks.holds(At(Proxies().client(Facts(peer))))


@given(st.lists(some_networks(), min_size=1, max_size=8), some_addresses)
def test_networks_agree_with_the_standard_library(
    networks: list[Network], address: Address
) -> None:
    """A license holds where one of its networks has the address."""
    texts = [str(network) for network in networks]
    try:
        compiled = Networks.read(texts)
    except LicenseInvalid:
        assert sum(2.0**-network.prefixlen for network in networks) >= 1
        return
    assert compiled.holds(At(address)) == any(address in ip_network(text) for text in texts)
