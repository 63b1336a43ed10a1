"""Domains: whoever matches an entry belongs to whom the entry belongs to."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from threading import Barrier, Thread

import idna
import publicsuffixlist
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from publicsuffixlist import PublicSuffixList

from licet.core.constraints import domain
from licet.core.constraints.domain import Domains, PublicSuffixes
from licet.core.errors import BadHost, ConstraintViolated, LicenseInvalid
from licet.core.request.hosts import read_authority
from tests import vectors

LIST = PublicSuffixList()


class At:
    """Circumstances of a request for one host."""

    def __init__(self, host: str | None) -> None:
        self.host = host

    def domain(self) -> str | None:
        return None if self.host is None else read_authority(self.host)


def holds(domains: Domains | list[str], host: str | None) -> bool:
    """Whether a license with such a claim holds for `host`; a bad host never does."""
    compiled = Domains.read(domains) if isinstance(domains, list) else domains
    try:
        return compiled.holds(At(host))
    except BadHost:
        return False


def compiles(*entries: object) -> bool:
    try:
        Domains.read(list(entries))
    except LicenseInvalid:
        return False
    return True


@pytest.mark.row("L02", "L13", "L15")
@pytest.mark.parametrize(
    "host",
    [
        *("licensed.com.evil.com", "evil-licensed.com", "evillicensed.com", "com", "licensed.co"),
        *("www.licensed.com", "licensed.com..", ".licensed.com", "licensed.comm", "xlicensed.com"),
        *("localhost", "licensed.localhost", "127.0.0.1", "[::1]", "10.0.0.1", "attacker.example"),
    ],
)
def test_a_name_allows_itself_alone(host: str) -> None:
    """Neither a name that ends or begins with it, nor one of this machine or of its network."""
    assert not holds(["licensed.com"], host)
    assert holds(["licensed.com"], "licensed.com")


@pytest.mark.row("L02", "L03", "L14")
@pytest.mark.parametrize(
    "entry", ["licensed.com", "LICENSED.Com", "licensed.com.", "Licensed.COM."]
)
@pytest.mark.parametrize("host", ["licensed.com", "LICENSED.com:8443", "licensed.com."])
def test_case_and_one_dot_are_no_part_of_a_name(entry: str, host: str) -> None:
    """On neither side."""
    assert holds([entry], host)
    assert holds([f"*.{entry}"], f"a.{host}")


@pytest.mark.row("L13")
def test_a_license_may_hold_on_this_machine() -> None:
    """Where it says so: for `localhost` and an address, each alone."""
    domains = Domains.read(["localhost", "127.0.0.1", "::1"])
    assert all(holds(domains, host) for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"))
    assert not any(holds(domains, host) for host in ("a.localhost", "127.0.0.2", "[::2]"))
    assert not compiles("*.localhost")


@pytest.mark.row("L09")
def test_a_wildcard_is_one_whole_label() -> None:
    """No label, two labels and half a label are none."""
    domains = Domains.read(["*.example.com"])
    assert holds(domains, "a.example.com")
    assert holds(domains, "xn--fa-hia.example.com"), "an A-label is a label"
    for host in ("example.com", "a.b.example.com", ".example.com", "*.example.com", "aexample.com"):
        assert not holds(domains, host), host
    assert not holds(domains, "a.example.com.evil.com")


@pytest.mark.row("L05")
def test_an_address_allows_itself_alone() -> None:
    """In its one spelling if it is IPv4; an IPv4 address within IPv6 is another address."""
    domains = Domains.read(["1.2.3.4", "2001:DB8::1", "[2001:db8:0::2]"])
    for host in ("1.2.3.4", "1.2.3.4:80", "[2001:db8::1]", "[2001:DB8:0:0::2]:443"):
        assert holds(domains, host), host
    for host in (
        "1.2.3.5",
        "16909060",
        "0x1.2.3.4",
        "01.2.3.4",
        "1.2.772",
        "1.2.3.4.",
        "a.1.2.3.4",
    ):
        assert not holds(domains, host), host
    for host in ("[::ffff:1.2.3.4]", "[::1.2.3.4]", "[2001:db8::3]", "2001:db8::1"):
        assert not holds(domains, host), host
    assert holds(["::ffff:1.2.3.4"], "[::ffff:102:304]")
    assert not holds(["::ffff:1.2.3.4"], "1.2.3.4")


@pytest.mark.row("L06", "L07")
@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("fa\u00df.de", "xn--fa-hia.de"),
        ("B\u00fccher.de", "xn--bcher-kva.de"),
        ("xn--fa-hia.de", "xn--fa-hia.de"),
        ("XN--Fa-Hia.de.", "XN--FA-HIA.DE."),
        ("\u98df\u72ee.\u516c\u53f8.cn", "xn--85x722f.xn--55qx5d.cn"),
        ("xn--fa-hia.b\u00fccher.de", "xn--fa-hia.xn--bcher-kva.de"),
    ],
)
def test_names_in_other_letters_are_compared_as_a_labels(entry: str, host: str) -> None:
    """By IDNA 2008, where the sharp s is a letter and not two."""
    assert holds([entry], host)
    assert not holds([entry], "fass.de")
    assert not holds(["fass.de"], host)
    assert holds([f"*.{entry}"], f"a.{host}")


@pytest.mark.row("L07")
def test_names_that_look_alike_are_others() -> None:
    """In a claim as in a request, whichever of them the license names."""
    alike = ["apple.com", "\u0430pple.com", "appl\u0435.com", "\u0391pple.com".lower()]
    names = [idna.encode(name).decode() for name in alike]
    for entry in [*alike, *names]:
        assert [holds([entry], name) for name in names].count(True) == 1


@pytest.mark.row("L06", "L08")
@pytest.mark.parametrize(
    "entry",
    [
        "\uff45xample.com",  # fullwidth e
        "example\u3002com",  # ideographic full stop
        "example\uff0ecom",  # fullwidth full stop
        "exam\u00adple.com",  # soft hyphen
        "exam\u200dple.com",  # zero width joiner
        "\u212aelvin.com",  # Kelvin sign
        "B\u00dcCHER.de",  # a capital outside of ASCII
        "bu\u0308cher.de",  # decomposed
        "\u1e9e.com",  # capital sharp s
        "\u2603.com",
        "\u0660.com",
        "\ud800.com",
        "a\u064a.com",
        "127.0.0.\u0661",
        *(
            "xn--.com",
            "xn--a.com",
            "xn--a-.com",
            "xn--te\u0161la.com",
            "xn---bbk.com",
            "xn--n3h.com",
        ),
        *(
            "a..com",
            ".com",
            ".",
            "",
            "-a.com",
            "a-.com",
            "a_b.com",
            f"{'a' * 64}.com",
            "a." * 127 + "com",
        ),
        "a." * 100_000,
    ],
    ids=ascii,
)
def test_a_name_that_is_none_refuses(entry: str) -> None:
    """Nothing is mapped to what it looks like."""
    assert not compiles(entry)
    assert not compiles(f"*.{entry}")


@pytest.mark.row("F07", "L10", "L14")
@pytest.mark.parametrize(
    "entry",
    [
        *(
            "*",
            "*.",
            "**",
            "*.*",
            "*.*.example.com",
            "a*.example.com",
            "*a.example.com",
            "ex*mple.com",
        ),
        *(
            "a.*.com",
            "example.*",
            "*example.com",
            "**.example.com",
            "[!a].com",
            "?xample.com",
            ".*",
        ),
        *("*.com", "*.co.uk", "*.github.io", "*.kobe.jp", "*.test.ck", "*.example", "*.COM."),
        *("com", "co.uk", "github.io", "kobe.jp", "GitHub.io.", "\u516c\u53f8.cn"),
        *("*.1.2.3.4", "*.::1", "*.[::1]", "*.3.4", "*.localhost", "*.internal"),
        *(
            "https://example.com",
            "example.com:443",
            "example.com/",
            "example.com/path",
            "//example.com",
        ),
        *("user@example.com", "example.com?", "example.com#", " example.com", "example.com\n"),
        *("10.0.0.0/8", "10.0.0.0/0.255.255.255", "10.0.0.0/255.0.0.0", "::/0", "1.2.3.4:80"),
        *("127.1", "0x7f.1", "2130706433", "0177.0.0.1", "1.2.3.4.", "0", "a.1", "1.2.3.256"),
        *(
            "[::1",
            "::1]",
            "[::1]:80",
            "[1.2.3.4]",
            "fe80::1%eth0",
            "[fe80::1%25eth0]",
            "::1%",
            ":::",
        ),
        *("example.com,example.org", "example.com example.org", "^example.com$", "example.com|a"),
    ],
    ids=ascii,
)
def test_an_entry_that_means_more_than_one_name_refuses(entry: str) -> None:
    """Patterns, networks, URLs, public suffixes and odd addresses, also beside good entries."""
    assert not compiles(entry)
    for entries in (["example.com", entry], [entry, "*.example.com"]):
        with pytest.raises(LicenseInvalid) as caught:
            Domains.read(entries)
        assert caught.value.reason == "bad_claim:domains"


@pytest.mark.row("F07", "L14")
@pytest.mark.parametrize(
    "value",
    [
        *("example.com", "*", b"example.com", None, True, 0, 1.0, {}, {"example.com": 1}, (), []),
        *([""], [None], [0], [True], [b"example.com"], [["example.com"]], [{"host": "a.com"}]),
        *(["example.com", None], ("example.com",), {"example.com"}),
    ],
    ids=repr,
)
def test_what_is_no_list_of_names_refuses(value: object) -> None:
    """An empty list too: it allows nothing, so nobody meant it."""
    with pytest.raises(LicenseInvalid) as caught:
        Domains.read(value)
    assert caught.value.reason == "bad_claim:domains"


@pytest.mark.row("F07")
def test_a_thousand_entries_are_read_and_no_more() -> None:
    """The last of them counts as the first does."""
    entries = [f"a{number}.example.com" for number in range(1_000)]
    assert holds(entries, "a999.example.com")
    assert not compiles(*entries, "example.org")
    assert not compiles(*(["example.com"] * 10_000))


def test_the_longest_name_may_be_licensed() -> None:
    """253 characters, and the trailing dot beside them; a longer one is none."""
    longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 57, "com"])
    assert len(longest) == 253
    for entry in (longest, f"{longest}."):
        assert holds([entry], longest)
    assert not compiles(f"{longest}m")


def test_it_says_which_rule_and_stays_as_it_is() -> None:
    """A compiled claim has the code of its refusal, equals its like, and cannot be changed."""
    assert Domains.code in ConstraintViolated.codes
    domains = Domains.read(["example.com"])
    assert domains == Domains.read(["EXAMPLE.com.", "example.com"])
    assert hash(domains) == hash(Domains.read(["example.com"]))
    with pytest.raises(FrozenInstanceError):
        domains.names = frozenset()  # type: ignore[misc]


@pytest.mark.row("L01")
def test_no_domain_is_no_permission() -> None:
    """An unknown one refuses, and a request without a host is a bad request."""
    domains = Domains.read(["example.com", "*.example.com"])
    assert domains.holds(At(None)) is False
    with pytest.raises(BadHost):
        domains.holds(At(""))


# -- the public suffix list ------------------------------------------------------------------------


def rules() -> Iterator[str]:
    """Yield every rule of the list as a name that is a public suffix."""
    lines = Path(publicsuffixlist.PSLFILE).read_text("utf-8").splitlines()
    for rule in (line.split()[0] for line in lines if line and not line.startswith("//")):
        if not rule.startswith("!"):
            yield rule.replace("*.", "anything.")


@pytest.mark.row("F07", "L10")
def test_no_license_holds_for_a_public_suffix() -> None:
    """Every rule of the list, private ones included, refuses alone and as a wildcard's name."""
    count = 0
    for rule in rules():
        name = idna.encode(rule).decode()
        with pytest.raises(LicenseInvalid):
            Domains.read([name])
        with pytest.raises(LicenseInvalid):
            Domains.read([f"*.{name}"])
        parent = name.partition(".")[2]
        assert not Domains(frozenset(), frozenset([parent])).holds(At(name)), name
        count += 1
    assert count > 9_000


@pytest.mark.row("L10")
def test_a_wildcard_covers_no_public_suffix() -> None:
    """Who lends out names one label further down has not bought for those who borrow them."""
    domains = Domains.read(["*.amazonaws.com", "*.ck.example.com"])
    assert "s3.amazonaws.com" in rules()
    assert not holds(domains, "s3.amazonaws.com")
    assert holds(domains, "other.amazonaws.com")
    assert holds(["*.city.kobe.jp", "www.ck"], "a.city.kobe.jp"), "exceptions of the list"


@pytest.mark.row("L10")
def test_registrable_domain_vectors() -> None:
    """39 names: right under a public suffix no wildcard stands; anywhere else one does."""
    ran: Counter[str] = Counter()
    for test in vectors.load("psl_registrable")["tests"]:
        name, registrable = test["domain"], test["registrable"]
        if registrable is None:
            assert not compiles(f"*.{name}" if name else None), test
            # A name of one label that the list does not know is a machine's.
            assert compiles(name) is (name == "example"), test
            ran["refused"] += 1
        else:
            assert compiles(name), test
            domains = Domains.read([f"*.{name}"])
            (canonical,) = domains.parents
            assert LIST.privatesuffix(canonical) == idna.encode(registrable.lower()).decode(), test
            assert holds(domains, f"x.{canonical}"), test
            assert not holds(domains, canonical), test
            ran["read"] += 1
    assert ran == {"refused": 14, "read": 25}
    assert ran.total() == 39


@pytest.mark.row("L06", "L08")
def test_to_ascii_vectors_as_entries() -> None:
    """87 names: what a claim may hold is what the URL Standard makes of it, and no more."""
    ran: Counter[str] = Counter()
    for test in vectors.load("wpt_toascii")["tests"]:
        try:
            domains = Domains.read([test["input"]])
        except LicenseInvalid:
            ran["refused" if test["output"] is None else "refused here alone"] += 1
        else:
            assert domains.names == {test["output"]}, test
            ran["same"] += 1
    assert ran == {"same": 17, "refused here alone": 51, "refused": 19}
    assert ran.total() == 87


@pytest.fixture
def without_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where the extra is not installed."""
    monkeypatch.setitem(sys.modules, "publicsuffixlist", None)
    monkeypatch.setattr(domain, "suffixes", PublicSuffixes())


@pytest.mark.usefixtures("without_list")
def test_without_the_list_wildcards_refuse(caplog: pytest.LogCaptureFixture) -> None:
    """The whole license; the log says once what to install. Names alone need no list."""
    with caplog.at_level(logging.WARNING, "licet"):
        for _ in range(3):
            with pytest.raises(LicenseInvalid) as caught:
                Domains.read(["example.com", "*.example.com"])
            assert caught.value.reason == "missing_extra:domains"
        assert holds(["example.com"], "example.com")
        assert not compiles("*.-.com")
    (record,) = caplog.records
    assert record.name == "licet"
    assert record.getMessage() == (
        "licenses with a wildcard in `domains` are refused, because the public suffix list is not"
        ' installed: pip install "licet[domains]"'
    )


def test_the_list_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many threads need it first."""
    made = []

    class Counted(PublicSuffixList):
        def __init__(self) -> None:
            made.append(self)
            super().__init__(["com"])

    monkeypatch.setattr(publicsuffixlist, "PublicSuffixList", Counted)
    suffixes, barrier, seen = PublicSuffixes(), Barrier(8), list[bool]()

    def ask() -> None:
        barrier.wait(20)
        seen.append(suffixes.forbid("com", wildcard=False))

    threads = [Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == [True] * 8
    # What a thread does that had to wait for the lock while another one read.
    suffixes._load()
    assert len(made) == 1


# -- properties ------------------------------------------------------------------------------------

LABELS = st.sampled_from(["a", "b", "www", "example", "s3", "xn--fa-hia", "kobe", "city", "1"])
SUFFIXES = st.sampled_from(
    ["com", "co.uk", "github.io", "amazonaws.com", "ck", "kobe.jp", "jp", "cn", "localhost", "lan"]
)
NAMES = st.builds(
    lambda labels, suffix: ".".join([*labels, suffix]), st.lists(LABELS, max_size=4), SUFFIXES
)
#: Names right at the edge of the list, where a rule more or less decides.
EDGES = st.sampled_from(sorted(rules())).map(lambda rule: idna.encode(rule).decode())


def one_label_up(name: str) -> str:
    return name.partition(".")[2]


@pytest.mark.row("L09", "L10")
@given(host=NAMES | EDGES | st.builds(lambda a, b: f"{a}.{b}", LABELS, EDGES), entry=st.data())
@example(host="s3.amazonaws.com", entry=None)
@settings(max_examples=400, deadline=None)
def test_a_match_is_of_the_same_registrable_domain(host: str, entry: st.DataObject | None) -> None:
    """By the list itself: an entry never opens a license to another customer of a registry."""
    near = [host, f"*.{one_label_up(host)}", f"*.{one_label_up(one_label_up(host))}", f"*.{host}"]
    for text in near if entry is None else [entry.draw(st.sampled_from(near) | NAMES)]:
        if not compiles(text):
            continue
        if holds([text], host):
            assert LIST.privatesuffix(host) == LIST.privatesuffix(text.removeprefix("*."))


@pytest.mark.row("L09")
@given(parent=NAMES, labels=st.lists(LABELS, max_size=4))
@settings(max_examples=200, deadline=None)
def test_a_wildcard_matches_exactly_one_more_label(parent: str, labels: list[str]) -> None:
    """Never none, never two, whatever they are."""
    assume(compiles(f"*.{parent}"))
    host = ".".join([*labels, parent])
    assert holds([f"*.{parent}"], host) is (len(labels) == 1 and not LIST.is_public(host))


@pytest.mark.row("L14")
@given(name=NAMES, wildcard=st.booleans(), upper=st.booleans(), dot=st.booleans())
@settings(max_examples=200, deadline=None)
def test_compiling_is_idempotent(name: str, wildcard: bool, upper: bool, dot: bool) -> None:
    """An entry in any case, with a dot or without, is the entry it is written as in the end."""
    prefix = "*." * wildcard
    assume(compiles(prefix + name))
    domains = Domains.read([prefix + (name.upper() if upper else name) + "." * dot])
    (canonical,) = domains.names | domains.parents
    assert canonical == name
    assert Domains.read([prefix + canonical]) == domains


@given(entries=st.lists(st.text(max_size=20) | st.text("a.*[]:1xn-ß", max_size=20), min_size=1))
@settings(max_examples=300, deadline=None)
def test_every_list_compiles_or_refuses(entries: list[str]) -> None:
    """There is one exception, and what compiles is made of hosts as requests have them."""
    try:
        domains = Domains.read(entries)
    except LicenseInvalid:
        return
    for name in domains.names | domains.parents:
        assert read_authority(f"[{name}]" if ":" in name else name) == name
