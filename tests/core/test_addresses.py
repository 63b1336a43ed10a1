"""Addresses and networks are read one way, or not at all."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.core.request import addresses
from licet.core.request.addresses import Address, AddressRanges, Network, read_address, read_network

some_addresses = st.one_of(
    st.ip_addresses(),
    # Dense corners, where networks and addresses meet.
    st.integers(0, 512).map(lambda low: IPv4Address(0x0A000000 + low)),
    st.integers(0, 512).map(lambda low: IPv6Address((0x20010DB8 << 96) + low)),
)


@st.composite
def some_networks(draw: st.DrawFn) -> Network:
    """Any network but `/0`, and IPv4 as IPv4."""
    address = draw(some_addresses)
    prefix = draw(st.integers(1, address.max_prefixlen))
    network = read_network(str(ip_network((address, prefix), strict=False)))
    assert network is not None
    return network if network.prefixlen else IPv4Network("10.0.0.0/8")


NO_ADDRESSES = [
    "",
    " ",
    "010.0.0.1",
    "10.0.0.01",
    "10.0.0.1:80",
    " 10.0.0.1",
    "10.0.0.1 ",
    "10.0.0.1\n",
    "10.1",
    "10",
    "0x0a.0.0.1",
    "167772161",
    "10.0.0.256",
    "10.0.0.1.",
    "10.0.0.0/8",
    "١٠.٠.٠.١",  # noqa: RUF001 - Arabic digits
    "１０.0.0.1",  # noqa: RUF001 - full width
    "[2001:db8::1]",
    "2001:db8::1]",
    "2001:db8:::1",
    "2001:db8::00001",
    "1:2:3:4:5:6:7:8:9",
    "::ffff:010.0.0.1",
    "unknown",
    "_hidden",
    "testclient",
    "localhost",
    "0" * 46,
    "2001:db8::1" + " " * 60_000,
]


@pytest.mark.row("M06")
@pytest.mark.parametrize("text", NO_ADDRESSES, ids=lambda text: repr(text[:24]))
def test_what_could_be_read_in_two_ways_is_no_address(text: str) -> None:
    """Odd spellings, ports, brackets, spaces and foreign digits are no address."""
    assert read_address(text) is None


@pytest.mark.row("M07")
@pytest.mark.parametrize("scope", ["%a", "%eth0", "%", "%1", "%eth0\r\nX"])
def test_an_address_with_a_scope_is_none(scope: str) -> None:
    """A scope id means something on one machine only, and may hold anything."""
    assert read_address(f"fe80::1{scope}") is None
    assert read_address("fe80::1") == IPv6Address("fe80::1")


@pytest.mark.row("M05")
def test_mapped_addresses_are_unmapped_and_translated_ones_are_not() -> None:
    """`::ffff:10.0.0.1` is 10.0.0.1; NAT64, 6to4 and IPv4-compatible addresses are themselves."""
    for text in ("::ffff:10.0.0.1", "::FFFF:a00:1", "0:0:0:0:0:ffff:10.0.0.1"):
        assert read_address(text) == IPv4Address("10.0.0.1")
    for text in ("64:ff9b::10.0.0.1", "2002:a00:1::", "::10.0.0.1"):
        assert read_address(text) == IPv6Address(text)


def test_the_longest_address_is_read() -> None:
    """45 characters are an address still."""
    text = "0000:0000:0000:0000:0000:ffff:255.255.255.255"
    assert len(text) == 45
    assert read_address(text) == IPv4Address("255.255.255.255")


def test_no_text_is_parsed_twice_and_no_long_one_is_kept() -> None:
    """The same object comes back for the same text; what cannot be an address takes no room."""
    first = read_address("198.51.100.77")
    before = addresses._address.cache_info()
    assert read_address("198.51.100.77") is first
    assert read_address("x" * 46) is None
    after = addresses._address.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits + 1)
    assert after.maxsize == 4096


@given(some_addresses)
def test_reading_is_idempotent(address: Address) -> None:
    """What was read, written and read again is the same."""
    once = read_address(str(address))
    assert once is not None
    assert read_address(str(once)) == once


@given(st.text(max_size=50) | st.from_regex(r"[0-9a-f:.%\[\] ]{1,45}", fullmatch=True))
def test_whatever_is_read_is_what_the_standard_library_reads(text: str) -> None:
    """Nothing is read that `ipaddress` refuses, and never another address."""
    address = read_address(text)
    if address is not None:
        model = ip_address(text)
        assert address in (model, getattr(model, "ipv4_mapped", None))


@pytest.mark.row("F08", "F09")
@pytest.mark.parametrize(
    "value",
    [
        0,
        True,
        None,
        1.5,
        b"10.0.0.0/8",
        ["10.0.0.0/8"],
        IPv4Network("10.0.0.0/8"),
        "",
        "*",
        "10.0.0.1/8",
        "10.0.0.0/0.255.255.255",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/08",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/8 ",
        "10.0.0.0/8\n",
        " 10.0.0.0/8",
        "10.0.0.0 /8",
        "10.0.0.0/",
        "10.0.0.0/٨",
        "10.0.0.0-10.0.0.9",
        "10.",
        "010.0.0.0/8",
        "2001:db8::1/32",
        "2001:db8::/129",
        "[2001:db8::]/32",
        "fe80::1%eth0\r\nX",
        "fe80::%a/128",
    ],
    ids=repr,
)
def test_what_is_no_network_is_refused(value: object) -> None:
    """Only text with a prefix length and no host bits is a network."""
    assert read_network(value) is None


def test_networks_are_read() -> None:
    """A network, one address, and a network of mapped addresses, which is IPv4."""
    assert read_network("10.0.0.0/8") == IPv4Network("10.0.0.0/8")
    assert read_network("203.0.113.9") == IPv4Network("203.0.113.9/32")
    assert read_network("2001:DB8::/32") == IPv6Network("2001:db8::/32")
    assert read_network("::1") == IPv6Network("::1/128")
    assert read_network("::ffff:10.0.0.0/104") == IPv4Network("10.0.0.0/8")
    assert read_network("::ffff:0:0/96") == IPv4Network("0.0.0.0/0")
    assert read_network("::/95") == IPv6Network("::/95")


@given(st.lists(some_networks(), max_size=12), some_addresses)
def test_ranges_hold_what_their_networks_hold(networks: list[Network], address: Address) -> None:
    """Merged and searched by halves, they agree with one look after the other."""
    try:
        ranges = AddressRanges(networks)
    except ValueError:
        kinds = ([n for n in networks if n.version == version] for version in (4, 6))
        merged = [n for kind in kinds for n in ipaddress.collapse_addresses(kind)]
        assert 0 in {network.prefixlen for network in merged}
        return
    assert (address in ranges) == any(address in network for network in networks)


@given(some_networks())
def test_ranges_begin_and_end_where_their_network_does(network: Network) -> None:
    """The first and the last address are inside, their neighbours are not."""
    ranges = AddressRanges([network])
    first, last = network[0], network[-1]
    assert first in ranges
    assert last in ranges
    kind = type(first)
    assert not int(first) or kind(int(first) - 1) not in ranges
    assert int(last) == 2**first.max_prefixlen - 1 or kind(int(last) + 1) not in ranges


@pytest.mark.parametrize(
    "texts",
    [["0.0.0.0/0"], ["::/0"], ["0.0.0.0/1", "128.0.0.0/1"], ["10.0.0.0/8", "::/1", "8000::/1"]],
)
def test_ranges_that_are_everything_are_refused(texts: list[str]) -> None:
    """`/0` is no restriction, in one piece or in two."""
    networks = [network for text in texts if (network := read_network(text))]
    assert len(networks) == len(texts)
    with pytest.raises(ValueError, match=r"^the networks cover every address$"):
        AddressRanges(networks)


def test_no_ranges_hold_nothing() -> None:
    """No networks are no addresses."""
    assert IPv4Address(0) not in AddressRanges([])
    assert IPv6Address(0) not in AddressRanges([])
