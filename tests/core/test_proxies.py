"""Who is believed of what stands in front of the application, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.core.errors import BadHost, ConfigError, LicenseAmbiguous
from licet.core.request.addresses import Address
from licet.core.request.forwarded import _elements
from licet.core.request.proxies import Proxies

STRANGER = "203.0.113.9"
PROXY = "10.0.0.1"
INNER = "10.0.0.2"
TRUSTED = ("10.0.0.0/8", "2001:db8:1::/48")
by_networks = Proxies(TRUSTED)
by_rfc = Proxies(TRUSTED, "forwarded")


class Facts:
    """A request from this peer, with these header fields: a text, or one for each line."""

    method, path, query_string, is_handshake = "GET", "/", "", False
    is_judged, lists_hosts, absolute_target = False, False, None

    def __init__(
        self, peer: str | None = None, *, scheme: str = "http", **fields: str | list[str]
    ) -> None:
        self.peer = peer
        self.scheme = scheme
        self.asked: list[str] = []
        self._fields = {
            name.replace("_", "-"): [value] if isinstance(value, str) else value
            for name, value in fields.items()
        }

    def fields(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        return self._fields.get(name, [])

    def origin(self) -> str | None:
        return None

    def vouched_host(self) -> str | None:
        return None

    def server_variable(self, name: str) -> object:
        return None


def client(value: str | list[str], *, proxies: Proxies = by_networks, peer: str = PROXY) -> str:
    """Return the client that the list of hops makes out."""
    name = "forwarded" if proxies is by_rfc else "x_forwarded_for"
    return str(proxies.client(Facts(peer, **{name: value})))


# -- the setting -------------------------------------------------------------------------------


@pytest.mark.row("M03")
@pytest.mark.parametrize(
    "value",
    [
        ["*"],
        ["0.0.0.0/0"],
        ["::/0"],
        ["0.0.0.0/1", "128.0.0.0/1"],
        ["10.0.0.0/8", "::/0"],
        ["::ffff:0:0/96"],
        ["10.0.0.1/8"],
        ["10.0.0.0/0.255.255.255"],
        ["proxy.internal"],
        [""],
        [8],
        [None],
        "10.0.0.0/8",
        "server",
        "*",
        None,
        8,
        ["server", "10.0.0.0/8"],
        ["unix", "server"],
        ["unix", "proxy.internal"],
        ["Unix"],
    ],
    ids=repr,
)
def test_a_setting_that_trusts_strangers_or_cannot_work_stops_the_start(value: Any) -> None:
    """Everybody, host bits, names and `server` in company are a `ConfigError` with a remedy."""
    for make in (Proxies.checked, Proxies):
        with pytest.raises(ConfigError) as caught:
            make(value)
        assert caught.value.setting == "trusted_proxies"
        assert caught.value.remedy


@pytest.mark.parametrize(
    ("value", "problem", "remedy"),
    [
        ("10.0.0.0/8", "is not a list", "write a list or tuple of networks"),
        (
            ["server", "unix"],
            "names server beside others",
            "a server that resolves the client hides the proxies; write one or the other",
        ),
        (
            ["10.0.0.1/8"],
            "holds '10.0.0.1/8'",
            "write networks without host bits, as 10.0.0.0/8, or unix, or server",
        ),
        (["0.0.0.0/0"], "trusts every address", "name the networks your proxies are in"),
    ],
)
def test_what_is_wrong_with_the_setting_is_told(value: Any, problem: str, remedy: str) -> None:
    """Each mistake has its own words, and what to write instead."""
    with pytest.raises(ConfigError) as caught:
        Proxies.checked(value)
    assert (caught.value.problem, caught.value.remedy) == (problem, remedy)


def test_only_named_proxies_are_listened_to() -> None:
    """Without any, and with `server`, no forwarding field of anybody is read."""
    listening = [Proxies(named).listens for named in ((), ("server",), ("unix",), TRUSTED)]
    assert listening == [False, False, True, True]


@pytest.mark.parametrize(
    "value", [(), ("unix",), ("server",), ("10.0.0.1", "unix"), ("10.0.0.0/8", "2001:db8::/32")]
)
def test_a_setting_that_works_stays_as_it_is(value: tuple[str, ...]) -> None:
    """A list becomes a tuple, and nothing else changes."""
    assert Proxies.checked(list(value)) == value


# -- the client --------------------------------------------------------------------------------


@pytest.mark.row("M02")
def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    """Whatever it says of itself, and the header fields are not even looked at."""
    facts = Facts(STRANGER, x_forwarded_for="10.0.0.9", forwarded="for=10.0.0.9")
    assert Proxies().client(facts) == ip_address(STRANGER)
    assert Proxies().client(Facts("::ffff:203.0.113.9")) == ip_address(STRANGER)
    assert not Proxies().trusts(facts)
    assert facts.asked == []


def test_an_untrusted_peer_is_the_client_whatever_it_says() -> None:
    """Its header fields are a stranger's, however long or odd."""
    for value in ("10.0.0.9", "unknown", "x" * 9000):
        assert client(value, peer=STRANGER) == STRANGER
    for value in ("for=10.0.0.9", '"', "x" * 9000):
        assert client(value, peer=STRANGER, proxies=by_rfc) == STRANGER


@pytest.mark.row("M01")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (STRANGER, STRANGER),
        (f"10.6.6.6, {STRANGER}", STRANGER),
        (f"unknown, , x, {STRANGER}", STRANGER),
        (f"192.0.2.1, {STRANGER}, {INNER}", STRANGER),
        (f"{STRANGER},\t{INNER} , {PROXY}", STRANGER),
        (f"192.0.2.1,{STRANGER},2001:db8:1::7", STRANGER),
        ("2001:db8:2::7", "2001:db8:2::7"),
        ("::ffff:203.0.113.9", STRANGER),
        (f"{INNER}, {PROXY}", INNER),
        (", ".join(["192.0.2.7"] * 99 + [STRANGER]), STRANGER),
        (", ".join([STRANGER] + [INNER] * 99), STRANGER),
        ("", None),
        (" ", None),
        (",", None),
        (f"{STRANGER},", None),
        (f"{STRANGER}, , {INNER}", None),
        (f"{STRANGER}, unknown", None),
        (f"{STRANGER}, _hidden, {INNER}", None),
        (f"{STRANGER}:4711", None),
        (f"{STRANGER}, {INNER}:80", None),
        ('"203.0.113.9"', None),
        ("[2001:db8:2::7]", None),
        ("[2001:db8:2::7]:443", None),
        ("203.0.113.9 203.0.113.9", None),
        ("fe80::1%eth0", None),
        ("010.0.0.9", None),
        ("\u00a0203.0.113.9", None),
        ("192.0.2.7," * 500 + STRANGER, None),
        (STRANGER.rjust(4096), STRANGER),
        (STRANGER.rjust(4097), None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_x_forwarded_for_is_walked_from_the_right(value: str, expected: str | None) -> None:
    """Past trusted proxies to the first other; a hop before it that is no address hides it."""
    assert client(value) == str(expected)


@pytest.mark.row("M01")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"for={STRANGER}", STRANGER),
        (f"For={STRANGER};proto=https;by={PROXY}", STRANGER),
        (f"proto=https; for={STRANGER} ;host=x", STRANGER),
        (f"for=10.6.6.6, for={STRANGER}", STRANGER),
        (f'for="_gazonk", for="{STRANGER}:4711", for={INNER}', STRANGER),
        (f'for="{STRANGER}:_http"', STRANGER),
        ('for="[2001:db8:2::7]"', "2001:db8:2::7"),
        ('for="[2001:db8:2::7]:443"', "2001:db8:2::7"),
        ('for="[::ffff:203.0.113.9]:443"', STRANGER),
        ('for="203.0.113.\\9"', STRANGER),
        (f'by="a,b;for=10.6.6.6";for={STRANGER}', STRANGER),
        (f"for={INNER}, for={PROXY}", INNER),
        ("for=unknown", None),
        (f"for={STRANGER}, for=unknown, for={INNER}", None),
        ("for=_hidden", None),
        (f"for={STRANGER}, proto=https", None),
        (f"for={STRANGER};for={STRANGER}", None),
        (f"for={STRANGER}:4711", None),
        (f'for="{STRANGER}:"', None),
        (f'for="{STRANGER}:123456"', None),
        (f'for="[{STRANGER}]"', None),
        ('for="2001:db8:2::7"', None),
        ("for=[2001:db8:2::7]", None),
        ('for="[2001:db8:2::7"', None),
        ('for="[fe80::1%eth0]"', None),
        (f'for="{STRANGER}', None),
        (f'for="10.6.6.6, for={STRANGER}', None),
        (f"for= {STRANGER}", None),
        (f"for={STRANGER},", None),
        (f"for={STRANGER};", None),
        (f", for={STRANGER}", None),
        ("", None),
        (STRANGER, None),
        (f"for=192.0.2.7, {'x' * 4096}=1, for={STRANGER}", None),
        (f"x={'x' * (4096 - len(f'x=, for={STRANGER}'))}, for={STRANGER}", STRANGER),
        (f"x={'x' * (4097 - len(f'x=, for={STRANGER}'))}, for={STRANGER}", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_forwarded_is_walked_from_the_right(value: str, expected: str | None) -> None:
    """Quotes, ports and brackets as in RFC 7239; what breaks its grammar hides the client."""
    assert client(value, proxies=by_rfc) == str(expected)


@pytest.mark.row("M04")
def test_two_lines_are_one_list() -> None:
    """Lines are joined in order, and the same rule holds."""
    assert client(["192.0.2.1", STRANGER]) == STRANGER
    assert client([f"192.0.2.1, {STRANGER}", INNER]) == STRANGER
    assert client([STRANGER, ""]) == "None"
    assert client(["192.0.2.7"] * 400) == "192.0.2.7"
    assert client(["192.0.2.7"] * 500) == "None"
    assert client(["for=192.0.2.1", f"for={STRANGER}"], proxies=by_rfc) == STRANGER
    # A quote left open does not reach into the next proxy's line.
    assert client(['for=10.6.6.6;x="', f'";for={STRANGER}'], proxies=by_rfc) == "None"


def test_only_the_configured_fields_are_read() -> None:
    """Hops in the other dialect, or in fields that nobody configured, are not the client."""
    others = dict.fromkeys(("x_real_ip", "true_client_ip", "cf_connecting_ip"), "192.0.2.1")
    facts = Facts(PROXY, forwarded="for=192.0.2.1", **others)
    assert by_networks.client(facts) == ip_address(PROXY)
    assert by_rfc.client(Facts(PROXY, x_forwarded_for="192.0.2.1", **others)) == ip_address(PROXY)


def test_a_proxy_that_says_nothing_is_the_client_itself() -> None:
    """A trusted peer without a list has asked on its own account."""
    assert by_networks.client(Facts(PROXY)) == ip_address(PROXY)
    assert Proxies(("unix",)).client(Facts(None)) is None


@pytest.mark.row("M08")
def test_a_peer_without_address_is_trusted_only_as_unix() -> None:
    """Elsewhere its header fields are a stranger's and the client is unknown."""
    facts = Facts(None, x_forwarded_for=STRANGER)
    assert Proxies(("unix",)).client(facts) == ip_address(STRANGER)
    assert Proxies(("unix",)).trusts(facts)
    for proxies in (Proxies(), by_networks, Proxies(("server",))):
        assert proxies.client(facts) is None
    assert not by_networks.trusts(facts)
    # A peer that has a name instead of an address has not none.
    for peer in ("testclient", "", "fe80::1%eth0"):
        assert Proxies(("unix",)).client(Facts(peer, x_forwarded_for=STRANGER)) is None
    # Networks are not opened by `unix`, nor `unix` by networks.
    assert Proxies(("unix",)).client(Facts(PROXY, x_forwarded_for=STRANGER)) == ip_address(PROXY)


def test_server_takes_the_peer_as_it_is() -> None:
    """The server has resolved it already, so that no forwarding field is read a second time."""
    proxies = Proxies(("server",))
    facts = Facts(STRANGER, x_forwarded_for="192.0.2.1", x_forwarded_host="evil.example")
    assert proxies.client(facts) == ip_address(STRANGER)
    assert proxies.forwarded_host(facts) is None
    assert proxies.scheme(facts) == "http"
    assert proxies.trusts(facts)
    assert facts.asked == []


@given(
    st.lists(st.sampled_from([PROXY, INNER, "2001:db8:1::9"]), max_size=6),
    st.ip_addresses().filter(lambda one: not Proxies(TRUSTED).trusts(Facts(str(one)))),
    st.lists(st.text(alphabet=st.characters(codec="latin-1"), max_size=20), max_size=6),
    st.sampled_from(["x-forwarded", "forwarded"]),
)
def test_nothing_left_of_the_first_stranger_matters(
    proxies: list[str],
    stranger: Address,
    forged: list[str],
    form: Literal["x-forwarded", "forwarded"],
) -> None:
    """Whatever a stranger puts before, the proxies' own words decide, or the client is unknown."""

    def node(address: object) -> str:
        if form == "x-forwarded":
            return str(address)
        return f'for="[{address}]"' if ":" in str(address) else f"for={address}"

    written = [*forged, node(stranger), *map(node, proxies)]
    name = "forwarded" if form == "forwarded" else "x_forwarded_for"
    found = Proxies(TRUSTED, form).client(Facts(PROXY, **{name: ", ".join(written)}))
    mapped = getattr(stranger, "ipv4_mapped", None)
    expected = stranger if mapped is None else mapped
    # In `Forwarded` a forgery that breaks the grammar spoils the whole field, for its author.
    assert found == expected or (form == "forwarded" and forged and found is None)


def test_the_same_list_is_walked_once() -> None:
    """A repeated header is answered from memory, in which long ones take no room."""
    proxies = Proxies(TRUSTED)
    for _ in range(5):
        assert proxies.client(Facts(PROXY, x_forwarded_for=STRANGER)) == ip_address(STRANGER)
        proxies.client(Facts(PROXY, x_forwarded_for="x" * 5000))
    info = proxies._walk.cache_info()
    assert (info.misses, info.hits, info.maxsize) == (1, 4, 1024)


# -- the host ----------------------------------------------------------------------------------


@pytest.mark.row("L11")
@pytest.mark.parametrize("proxies", [Proxies(), by_networks, by_rfc, Proxies(("unix",))])
def test_a_strangers_word_for_the_host_is_ignored(proxies: Proxies) -> None:
    """No field that names a host counts from a peer that is no trusted proxy."""
    facts = Facts(
        STRANGER,
        x_forwarded_host="licensed.com",
        forwarded="host=licensed.com",
        x_original_host="licensed.com",
        x_host="licensed.com",
    )
    assert proxies.forwarded_host(facts) is None
    assert facts.asked == []


@pytest.mark.row("L11", "L12")
def test_only_the_configured_field_names_the_host() -> None:
    """From a trusted proxy as well, other fields for the same thing are not read as the host."""
    others = {"x_original_host": "evil.com", "x_host": "evil.com"}
    assert by_networks.forwarded_host(Facts(PROXY, forwarded="host=evil.com", **others)) is None
    assert by_rfc.forwarded_host(Facts(PROXY, x_forwarded_host="evil.com", **others)) is None


@pytest.mark.row("L12")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("licensed.com", "licensed.com"),
        ("evil.com, licensed.com", "licensed.com"),
        ("evil.com,licensed.com:8443\t", "licensed.com:8443"),
        (["evil.com", "licensed.com"], "licensed.com"),
        (["licensed.com", "x, evil.com"], "evil.com"),
        # Only what RFC 9110 calls white space is left off; the rest is no host.
        ("\xa0licensed.com", "\xa0licensed.com"),
    ],
    ids=repr,
)
def test_the_right_most_x_forwarded_host_is_the_nearest_proxys(
    value: str | list[str], expected: str
) -> None:
    """A proxy appends on the right, or leaves one value only."""
    assert by_networks.forwarded_host(Facts(PROXY, x_forwarded_host=value)) == expected


@pytest.mark.row("L12")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=192.0.2.1;host=licensed.com", "licensed.com"),
        ('host="licensed.com:8443"', "licensed.com:8443"),
        ('HOST="licensed\\.com"', "licensed.com"),
        ("host=evil.com, for=192.0.2.1;host=licensed.com", "licensed.com"),
        (["host=evil.com", "host=licensed.com"], "licensed.com"),
        ("host=evil.com, for=192.0.2.1", None),
        (f"x={'x' * (4096 - len('x=, host=b'))}, host=b", "b"),
    ],
    ids=repr,
)
def test_the_right_most_forwarded_element_is_the_nearest_proxys(
    value: str | list[str], expected: str | None
) -> None:
    """What it does not say, nobody further away says in its place."""
    assert by_rfc.forwarded_host(Facts(PROXY, forwarded=value)) == expected


@pytest.mark.row("L12")
def test_two_dialects_that_disagree_are_ambiguous() -> None:
    """400 and not a choice; the same host in both is no conflict."""
    by_networks, by_rfc = Proxies(TRUSTED), Proxies(TRUSTED, "forwarded")
    for both in (
        {"x_forwarded_host": "licensed.com", "forwarded": "host=evil.com"},
        {"x_forwarded_host": "licensed.com", "forwarded": 'host="'},
        {"x_forwarded_host": "licensed.com", "forwarded": f'x="{" " * 4096}"'},
        {"x_forwarded_host": "evil.com", "forwarded": "host=licensed.com"},
        {"x_forwarded_host": "", "forwarded": "host=licensed.com"},
    ):
        for proxies in (by_networks, by_rfc):
            with pytest.raises(BadHost) as caught:
                proxies.forwarded_host(Facts(PROXY, **both))
            assert caught.value.reason in ("ambiguous_host", "bad_forwarded_host")
    agreed = Facts(
        PROXY, x_forwarded_host="Licensed.com", forwarded="for=192.0.2.1;host=licensed.com"
    )
    assert by_networks.forwarded_host(agreed) == "Licensed.com"
    assert by_rfc.forwarded_host(agreed) == "licensed.com"
    silent = Facts(PROXY, x_forwarded_host="licensed.com", forwarded="for=192.0.2.1")
    assert by_networks.forwarded_host(silent) == "licensed.com"


@pytest.mark.row("L12")
@pytest.mark.parametrize("value", ["", " ", "licensed.com,", "licensed.com, "])
def test_an_empty_host_is_a_bad_one(value: str) -> None:
    """A trusted proxy that names no host has not left it to `Host`."""
    with pytest.raises(BadHost, match="host"):
        by_networks.forwarded_host(Facts(PROXY, x_forwarded_host=value))
    for element in ('host=""', "host=", f'host=a, {value}"', f'host="{"a" * 4096}"'):
        with pytest.raises(BadHost, match="host"):
            by_rfc.forwarded_host(Facts(PROXY, forwarded=element))


# -- the scheme --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ("wss", "https"),
        ("http", "http"),
        ("ws", "http"),
        ("http, https", "https"),
        ("https, http", "http"),
        ("", "http"),
        ("https,", "http"),
        ("on", "http"),
        ('"https"', "http"),
        ("httpſ", "http"),  # noqa: RUF001 - lower-cases to no ASCII letter
    ],
)
def test_the_nearest_proxy_tells_the_scheme(value: str, expected: str) -> None:
    """What cannot be read is `http`; a stranger's word is not asked for."""
    for scheme in ("http", "https"):
        trusted = Facts(PROXY, scheme=scheme, x_forwarded_proto=value)
        assert by_networks.scheme(trusted) == expected
        assert by_networks.is_secure(trusted) == (expected == "https")
        assert by_networks.scheme(Facts(STRANGER, scheme=scheme, x_forwarded_proto=value)) == scheme
        assert Proxies(("server",)).scheme(trusted) == scheme


def test_forwarded_tells_the_scheme() -> None:
    """In the right-most element; a malformed field is `http`."""
    for value, expected in {
        "proto=https": "https",
        "proto=http, for=192.0.2.1;proto=https": "https",
        "proto=https, proto=http": "http",
        'proto="https"': "https",
        "proto=https,": "http",
        'for="': "http",
    }.items():
        assert by_rfc.scheme(Facts(PROXY, scheme="https", forwarded=value)) == expected
    assert by_rfc.scheme(Facts(PROXY, scheme="https", forwarded="for=192.0.2.1")) == "https"
    assert by_rfc.scheme(Facts(PROXY, scheme="https")) == "https"


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_secure_unless_a_proxy_left_a_trace(peer: str) -> None:
    """Behind a proxy on the same machine, everybody comes from loopback."""
    for proxies in (Proxies(), Proxies(("127.0.0.0/8", "::1")), Proxies(("server",))):
        assert proxies.is_secure(Facts(peer))
        for name in (
            "forwarded",
            "x_forwarded_for",
            "x_forwarded_host",
            "x_forwarded_proto",
            "x_real_ip",
            "via",
        ):
            assert not proxies.is_secure(Facts(peer, **{name: ""}))


@pytest.mark.parametrize("peer", [None, STRANGER, "10.0.0.1", "testclient", "127.0.0.1%x", ""])
def test_plain_http_from_elsewhere_is_not_secure(peer: str | None) -> None:
    """Nor from a peer without address, nor from one that merely says it is local."""
    for proxies in (Proxies(), by_networks, Proxies(("unix",)), Proxies(("server",))):
        assert not proxies.is_secure(Facts(peer))
        assert not proxies.is_secure(Facts(peer, x_forwarded_for="127.0.0.1"))
        assert proxies.is_secure(Facts(peer, scheme="https"))


# -- other fields ------------------------------------------------------------------------------


@pytest.mark.row("O02", "O03")
def test_a_field_counts_from_a_trusted_proxy_only() -> None:
    """Once; two lines, or one in which a WSGI server joined two, are ambiguous."""
    for proxies, peer in (
        (by_networks, PROXY),
        (Proxies(("unix",)), None),
        (Proxies(("server",)), STRANGER),
        (Proxies(("server",)), None),
    ):
        assert proxies.trusted_field(Facts(peer, client_cert=" :AA==: "), "client-cert") == ":AA==:"
        # Only what RFC 9110 calls white space is left off.
        for odd in ("X1X", "\xa0:AA==:", ":AA==:\x0b"):
            assert proxies.trusted_field(Facts(peer, client_cert=odd), "client-cert") == odd
        assert proxies.trusted_field(Facts(peer), "client-cert") is None
        assert list(proxies.trusted_fields(Facts(peer, x=["1", "2"]), "x")) == ["1", "2"]
        for twice in ([":AA==:", ":AA==:"], [":AA==:, :AA==:"], ["", ""]):
            with pytest.raises(LicenseAmbiguous) as caught:
                proxies.trusted_field(Facts(peer, client_cert=twice), "client-cert")
            assert caught.value.reason == "repeated_field"
    for proxies in (Proxies(), by_networks, Proxies(("unix",))):
        facts = Facts(STRANGER, client_cert=[":AA==:", ":AA==:"])
        assert proxies.trusted_field(facts, "client-cert") is None
        assert list(proxies.trusted_fields(facts, "client-cert")) == []


@given(st.lists(st.text(alphabet='fo=r1.,;"\\ a', max_size=30), max_size=3))
def test_reading_forwarded_never_fails(lines: list[str]) -> None:
    """Whatever stands there is elements, or nothing."""
    for element in _elements(tuple(lines)):
        assert all(element)


def test_a_framework_that_judges_the_scheme_decides_alone() -> None:
    """What a trusted proxy says of it counts for nothing beside Django's own judgement."""

    class Judged(Facts):
        is_judged = True

    facts = Judged(PROXY, x_forwarded_proto="https")
    assert by_networks.scheme(facts) == "http"
    assert by_networks.scheme(Facts(PROXY, x_forwarded_proto="https")) == "https"
