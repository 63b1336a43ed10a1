"""The host of a request: one spelling for each, and what has two readings is refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from licet.asgi import AsgiFacts
from licet.core.environ import EnvironFacts
from licet.core.errors import BadHost
from licet.core.request.facts import RequestFacts
from licet.core.request.hosts import (
    MAX_NAME,
    read_authority,
    read_literal,
    read_origin,
    request_host,
)
from tests import vectors

LONGEST_NAME = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
assert len(LONGEST_NAME) == MAX_NAME


class Facts:
    """A request for a host, as a server hands it on."""

    method, path, query_string, is_handshake, scheme, peer = "GET", "/", "", False, "https", None
    is_judged = lists_hosts = False

    def __init__(
        self,
        *hosts: str,
        vouched: str | BadHost | None = None,
        target: str | None = None,
    ) -> None:
        self.hosts, self.vouched, self.absolute_target = hosts, vouched, target

    def fields(self, name: str) -> Sequence[str]:
        return self.hosts if name == "host" else ()

    def origin(self) -> str | None:
        return None

    def vouched_host(self) -> str | None:
        if isinstance(self.vouched, BadHost):
            raise self.vouched
        return self.vouched

    def server_variable(self, name: str) -> object:
        return None


def refused(text: str) -> str:
    with pytest.raises(BadHost) as caught:
        read_authority(text)
    return caught.value.reason


@pytest.mark.row("L02", "L03", "L05", "L06", "L07")
@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("licensed.com", "licensed.com"),
        ("licensed.com.", "licensed.com"),
        ("LICENSED.Com", "licensed.com"),
        ("licensed.com:443", "licensed.com"),
        ("licensed.com.:8443", "licensed.com"),
        ("licensed.com:1", "licensed.com"),
        ("licensed.com:65535", "licensed.com"),
        ("licensed.com.evil.com", "licensed.com.evil.com"),
        ("localhost:8000", "localhost"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("r3---sn-x.example", "r3---sn-x.example"),
        ("xn--fa-hia.de", "xn--fa-hia.de"),
        ("XN--FA-HIA.DE", "xn--fa-hia.de"),
        ("xn--pple-43d.com", "xn--pple-43d.com"),
        (LONGEST_NAME, LONGEST_NAME),
        (f"{LONGEST_NAME}.:65535", LONGEST_NAME),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1:8000", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[::1]:8000", "::1"),
        ("[2001:DB8:0:0::1]", "2001:db8::1"),
        ("[::ffff:1.2.3.4]", "::ffff:1.2.3.4"),
        ("[::ffff:102:304]", "::ffff:1.2.3.4"),
        ("[::1.2.3.4]", "::102:304"),
    ],
)
def test_a_host_has_one_spelling(text: str, host: str) -> None:
    """Case, port, one trailing dot and the ways to write IPv6 make no other host of it."""
    assert read_authority(text) == host


@pytest.mark.parametrize(
    ("reason", "texts"),
    [
        pytest.param("empty_host", [""], id="empty", marks=pytest.mark.row("L01")),
        pytest.param(
            "bad_label",
            ["licensed.com..", ".licensed.com", ".", "..", "a..b", ":80", ".:80"],
            id="empty-label",
            marks=pytest.mark.row("L02", "L08"),
        ),
        pytest.param(
            "bad_port",
            [
                *(f"licensed.com:{port}" for port in ("", "0", "99999", "65536", "080", "123456")),
                *(f"licensed.com:{port}" for port in ("+1", "-1", "1e3", "8_0", "0x50", "80 ")),
                "licensed.com:80:80",
                "licensed.com:80@evil.com",
                "licensed.com:80,evil.com",
                "licensed.com:80/",
                "https://licensed.com",
                "[::1]:",
                "[::1]:0",
                "::1",
                "fe80::1",
            ],
            id="port",
            marks=pytest.mark.row("L03", "L04", "L05"),
        ),
        pytest.param(
            "malformed_host",
            [
                *("licensed.com@evil.com", "evil.com@licensed.com", "user@", "@licensed.com"),
                *(f"licensed.com{odd}" for odd in "\\#?/ \t%_*,;!\"$&'()+=~`{}|^<>[]\r\n\x00\x7f"),
                *(f"{odd}licensed.com" for odd in "\\#?/ \t%_*,;!\"$&'()+=~`{}|^<>[]\r\n\x00\x7f"),
                "licensed%2ecom",
                "licensed.com%00",
                "licensed_com.example",
                "*",
                "*.licensed.com",
                "[::1",
                "[::1]x",
                "[::1].",
                "[[::1]]",
                "[fe80::1%25eth0]",
                "[fe80::1%eth0]",
                "[v1.a]",
            ],
            id="malformed",
            marks=pytest.mark.row("L04", "L05", "L08", "L09"),
        ),
        pytest.param(
            "host_not_ascii",
            [
                "licensed.com:\uff18\uff10",  # fullwidth digits
                "licensed.com:\u0668\u0660",  # Arabic-Indic digits
                "\u212a.com",  # Kelvin sign
                "\uff45xample.com",  # fullwidth e
                "example\u3002com",  # ideographic full stop
                "exam\u00adple.com",  # soft hyphen
                "exam\u200dple.com",  # zero width joiner
                "fa\u00df.de",
                "\u0430pple.com",  # Cyrillic a
                "b\u00c3\u00bccher.de",  # UTF-8 that a server read as latin-1
            ],
            id="not-ascii",
            marks=pytest.mark.row("L03", "L06", "L07"),
        ),
        pytest.param(
            "odd_address",
            [
                *("127.1", "0x7f.1", "2130706433", "0177.0.0.1", "127.0.0.01", "127.0.0.256"),
                *("127.0.0.1.", "1.2.3", "1.2.3.4.5", "0x7f000001", "0x", "0X7F.0.0.1"),
                *("licensed.com.1", "licensed.com.0x1f", "licensed.com.09", "0", "1.2.3.08"),
            ],
            id="odd-ipv4",
            marks=pytest.mark.row("L05"),
        ),
        pytest.param(
            "bad_address",
            ["[]", "[:]", "[:::]", "[1.2.3.4]", "[::1.2.3]", "[12345::]", "[1:2:3:4:5:6:7:8:9]"],
            id="bad-ipv6",
            marks=pytest.mark.row("L05"),
        ),
        pytest.param(
            "bad_label",
            [
                *("-a.com", "a-.com", "a.-", "-", f"{'a' * 64}.com"),
                *("xn--", "xn--.com", "xn--a", "xn--a.com", "xn--0.com", "xn--a-", "xn--abc-"),
                "xn---bbk",  # another spelling of xn--bbk
                "xn--a-yoc",  # breaks the rule for right-to-left labels
                "xn--1ug.example",  # a joiner alone
                "xn--zn7c.com",  # U+FFFD
                "xn--1ch",  # a symbol
                "xn--xample-hy68a.com",  # fullwidth e
                "xn--elvin-r74b.com",  # Kelvin sign
                "xn--example-mka.com",  # soft hyphen
                "xn--n3h.com",  # a snowman
                "xn--a-ecp.ru",
                "xn--99999999.com",
            ],
            id="label",
            marks=pytest.mark.row("L06", "L07", "L08"),
        ),
        pytest.param(
            "host_too_long",
            [f"{LONGEST_NAME}e", f"{LONGEST_NAME}e.", "a." * 10_000, "a" * 100_000],
            id="long",
            marks=pytest.mark.row("L08"),
        ),
    ],
)
def test_what_is_not_exactly_a_host_is_refused(reason: str, texts: list[str]) -> None:
    """Each with the word for what is wrong with it, and without its text in the error."""
    assert [(text, refused(text)) for text in texts] == [(text, reason) for text in texts]


@pytest.mark.parametrize("text", ["[::1", "[::1]x", "[fe80::1%eth0]", "[", "[1.2.3.4]"])
def test_brackets_hold_an_ipv6_address_and_nothing_else(text: str) -> None:
    """Open, followed by something, or around a scope id they refuse."""
    with pytest.raises(BadHost) as caught:
        read_literal(text)
    assert caught.value.reason == "bad_address"


def test_no_refusal_carries_the_host() -> None:
    """Neither the text nor the reason of an error repeats what was sent."""
    with pytest.raises(BadHost) as caught:
        read_authority("hidden@licensed.com")
    assert "hidden" not in f"{caught.value!r} {caught.value} {vars(caught.value)}"


@given(text=st.one_of(st.text(max_size=40), st.text("aA0.-:[]xn@%ß。 \n", max_size=40)))
@example("xn--" + "9" * 59)
@example("[::ffff:0:0]")
@settings(max_examples=400, deadline=None)
def test_every_text_is_a_host_or_refused(text: str) -> None:
    """Whatever comes, the only exception is BadHost, and a canonical host reads as itself."""
    try:
        host = read_authority(text)
    except BadHost:
        return
    assert text.isascii()
    assert host == host.lower()
    assert not set(host) & set("[]@%/\\ ,*_")
    assert read_authority(f"[{host}]" if ":" in host else host) == host


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True).filter(
    lambda label: not label.startswith("xn--")
)
NAMES = st.builds(
    lambda labels, last: ".".join([*labels, last]),
    st.lists(LABELS, max_size=4),
    st.from_regex(r"[a-z]{2,8}", fullmatch=True),
)


@pytest.mark.row("L03")
@given(name=NAMES, upper=st.booleans(), dot=st.booleans(), port=st.none() | st.integers(1, 65535))
@settings(max_examples=200, deadline=None)
def test_case_dot_and_port_are_no_part_of_a_name(
    name: str, upper: bool, dot: bool, port: int | None
) -> None:
    """However a name is written, it is the same host."""
    text = (name.upper() if upper else name) + "." * dot + ("" if port is None else f":{port}")
    assert read_authority(text) == name


@given(
    address=st.ip_addresses(v=6),
    upper=st.booleans(),
    exploded=st.booleans(),
    port=st.none() | st.integers(1, 65535),
)
@settings(max_examples=200, deadline=None)
def test_an_ipv6_address_is_the_same_however_it_is_written(
    address: object, upper: bool, exploded: bool, port: int | None
) -> None:
    """Long or short, with either case and any port."""
    short = str(address)
    text = getattr(address, "exploded") if exploded else short  # noqa: B009
    text = f"[{text.upper() if upper else text}]" + ("" if port is None else f":{port}")
    assert read_authority(text) == read_literal(f"[{short}]")


def test_a_host_is_parsed_once() -> None:
    """A second look at the same text is answered from a cache, which holds no refusal."""
    read_authority.cache_clear()
    before = read_authority.cache_info()
    for _ in range(3):
        assert read_authority("Licensed.COM:443") == "licensed.com"
        refused("a" * 100_000)
        refused("-")
    after = read_authority.cache_info()
    assert (after.hits - before.hits, after.currsize) == (2, 1)
    assert after.maxsize is not None


# -- origins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("https://licensed.com", "licensed.com"),
        ("http://licensed.com", "licensed.com"),
        ("https://licensed.com:8443", "licensed.com"),
        ("HTTPS://Licensed.COM", "licensed.com"),
        ("https://[::1]:8000", "::1"),
        ("https://127.0.0.1", "127.0.0.1"),
    ],
)
def test_an_origin_names_a_host(line: str, host: str) -> None:
    """Scheme and port of an origin are not judged."""
    assert read_origin([line]) == host
    assert read_origin((line,)) == host


@pytest.mark.row("L04", "L06")
@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["null"],
        [""],
        ["https://licensed.com", "https://licensed.com"],
        ["https://licensed.com,https://licensed.com"],
        ["https://licensed.com https://evil.com"],
        ["https://licensed.com/"],
        ["https://licensed.com/path"],
        ["https://licensed.com?q"],
        ["https://licensed.com#f"],
        ["https://user@licensed.com"],
        ["https://evil.com\\@licensed.com"],
        ["https://licensed.com:0"],
        ["https://licensed.com:"],
        ["https://"],
        ["https:licensed.com"],
        ["//licensed.com"],
        ["licensed.com"],
        [" https://licensed.com"],
        ["https://licensed.com\n"],
        ["https://https://licensed.com"],
        ["ftp://licensed.com"],
        ["file://licensed.com"],
        ["chrome-extension://licensed.com"],
        ["http\u017f://licensed.com"],  # long s, which is an s to a careless ignoring of case
        ["https://\u212a.com"],
        ["https://" + "a" * 100_000],
    ],
    ids=str,
)
def test_anything_but_one_web_origin_is_none(lines: list[str]) -> None:
    """Missing, opaque, repeated, of another scheme, or with more than host and port."""
    assert read_origin(lines) is None


# -- the host of a request -------------------------------------------------------------------------


@pytest.mark.row("L11")
def test_who_decides_on_the_host() -> None:
    """The framework before the trusted proxy, and the proxy before the field."""
    assert request_host(Facts("A.example:80"), None) == "a.example"
    assert request_host(Facts("a.example"), "B.example:443") == "b.example"
    assert request_host(Facts(), "b.example") == "b.example"
    assert request_host(Facts("a.example", vouched="C.example:1"), "b.example") == "c.example"


@pytest.mark.row("L01", "L12", "L16")
@pytest.mark.parametrize(
    ("facts", "forwarded", "reason"),
    [
        (Facts(), None, "missing_host"),
        (EnvironFacts({"SERVER_NAME": "licensed.com"}), None, "missing_host"),
        (Facts(""), None, "empty_host"),
        (Facts("licensed.com", "licensed.com"), None, "ambiguous_host"),
        (Facts("licensed.com,licensed.com"), None, "ambiguous_host"),
        (Facts("licensed.com, evil.com"), None, "ambiguous_host"),
        (Facts("licensed.com "), None, "malformed_host"),
        (Facts("licensed.com"), "", "empty_host"),
        (Facts("licensed.com"), "evil.com, licensed.com", "malformed_host"),
        (Facts("licensed.com", vouched="under_score"), None, "malformed_host"),
        (Facts("licensed.com", vouched=""), None, "empty_host"),
        (Facts("licensed.com", vouched=BadHost("disallowed_host")), None, "disallowed_host"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_no_host_two_hosts_and_bad_hosts_are_refused(
    facts: RequestFacts, forwarded: str | None, reason: str
) -> None:
    """Nothing else is asked in their place, the name of the server least of all."""
    with pytest.raises(BadHost) as caught:
        request_host(facts, forwarded)
    assert caught.value.reason == reason


@pytest.mark.row("L01")
@pytest.mark.parametrize("target", ["http://{}/x", "http://{}", "HTTPS://{}?x"])
@pytest.mark.parametrize("vouched", [None, "licensed.com"])
def test_a_target_that_names_another_host_is_refused(target: str, vouched: str | None) -> None:
    """In whichever form it comes; one that names the same host is not."""

    def host(named: str) -> str:
        return request_host(
            Facts("licensed.com", vouched=vouched, target=target.format(named)), None
        )

    assert host("licensed.com") == host("LICENSED.com.") == "licensed.com"
    for other in ("evil.com", "user@licensed.com", "", "licensed.com.evil.com"):
        with pytest.raises(BadHost) as caught:
            host(other)
        if other.endswith("evil.com"):
            assert caught.value.reason == "ambiguous_host"


@pytest.mark.parametrize("target", ["*", "", "x"])
def test_other_targets_name_no_host(target: str) -> None:
    """The asterisk of OPTIONS, and what is no URL."""
    assert request_host(Facts("licensed.com", target=target), None) == "licensed.com"


@pytest.mark.row("L01")
@pytest.mark.parametrize(
    ("facts", "target"),
    [
        (AsgiFacts({"path": "/x", "raw_path": b"/x"}), None),
        (AsgiFacts({"path": ""}), None),
        (AsgiFacts({"path": "http://evil.com/x"}), "http://evil.com/x"),
        (EnvironFacts({"PATH_INFO": "/x"}), None),
        (EnvironFacts({"RAW_URI": "/http://evil.com/"}), None),
        (EnvironFacts({"RAW_URI": "http://evil.com/x"}), "http://evil.com/x"),
        (EnvironFacts({"REQUEST_URI": "http://evil.com/x"}), "http://evil.com/x"),
    ],
)
def test_servers_hand_a_whole_url_on_in_their_own_ways(
    facts: RequestFacts, target: str | None
) -> None:
    """As the path (ASGI), or in a variable (WSGI); what begins with a slash is a path."""
    assert facts.absolute_target == target


# -- public vectors --------------------------------------------------------------------------------


@pytest.mark.row("L06", "L08")
def test_to_ascii_vectors() -> None:
    """87 names: what we take is what the URL Standard makes of it, and we take no more."""
    ran: Counter[str] = Counter()
    for test in vectors.load("wpt_toascii")["tests"]:
        try:
            host = read_authority(test["input"])
        except BadHost:
            ran["refused" if test["output"] is None else "refused here alone"] += 1
        else:
            assert host == test["output"], test
            ran["same"] += 1
    assert ran == {"same": 5, "refused here alone": 63, "refused": 19}
    assert ran.total() == 87


@pytest.mark.row("L04", "L05")
def test_url_host_vectors() -> None:
    """192 URLs: the authority of one is read as browsers read it, or refused."""
    ran: Counter[str] = Counter()
    for test in vectors.load("wpt_url_hosts")["tests"]:
        authority = re.match(r"https?://([^/?#]*)", test["input"])
        if authority is None:
            ran["no authority"] += 1
            continue
        try:
            host = read_authority(authority[1])
        except BadHost:
            ran["refused" if test.get("failure") else "refused here alone"] += 1
        else:
            assert not test.get("failure"), test
            assert host == test["hostname"].strip("[]"), test
            ran["same"] += 1
    assert ran == {"same": 49, "refused here alone": 28, "refused": 102, "no authority": 13}
    assert ran.total() == 192
