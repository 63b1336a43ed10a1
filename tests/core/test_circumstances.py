"""Whose word is taken for where, when and from whom a request comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from licet.core.errors import BadHost
from licet.core.request.circumstances import MAX_EVIDENCE, Circumstances, Observer, Where
from licet.core.settings import Settings
from tests.core.hands import Hands
from tests.core.mmdb import place, write
from tests.core.observed import observer
from tests.core.presented import Presented
from tests.licenses import OPTIONS

PROXIED = {
    "host": ["inner.example"],
    "origin": ["https://app.example"],
    "x-forwarded-for": ["203.0.113.9"],
    "x-forwarded-host": ["reports.example:443"],
    "x-country": ["de-by"],
}


def of(facts: Presented, **options: object) -> Circumstances:
    return observer(**options).of(facts, 5.0)


def test_without_trusted_proxies_the_request_speaks_for_itself() -> None:
    """Forwarding fields are not even looked at; nobody knows the region."""
    seen = of(Presented(lines=PROXIED))
    assert (seen.now, seen.method) == (5.0, "GET")
    assert seen.fields("x-country") == ["de-by"]
    assert (seen.host(), seen.domain()) == ("inner.example", "inner.example")
    assert seen.origin() == "app.example"
    assert str(seen.address()) == "192.0.2.7"
    assert seen.region() is None


def test_behind_a_trusted_proxy_its_word_counts() -> None:
    """Host, client and region are the proxy's, in one set of settings."""
    proxies = {"trusted_proxies": ("192.0.2.0/24",), "region_header": "X-Country"}
    seen = of(Presented(lines=PROXIED), **proxies)
    assert seen.host() == "reports.example"
    assert str(seen.address()) == "203.0.113.9"
    assert seen.region() == "DE-BY"
    stranger = of(Presented(peer="198.51.100.1", lines=PROXIED), **proxies)
    assert stranger.host() == "inner.example"
    assert str(stranger.address()) == "198.51.100.1"
    assert stranger.region() is None


def test_a_framework_that_judges_the_host_has_the_last_word() -> None:
    """Not even a trusted proxy's field goes before it."""
    seen = of(Presented(host="vouched.example", lines=PROXIED), trusted_proxies=("192.0.2.0/24",))
    assert seen.host() == "vouched.example"


def test_proxies_speak_the_dialect_that_is_configured() -> None:
    """With `forwarded_headers="forwarded"` their `Forwarded` counts (RFC 7239)."""
    lines = {"forwarded": ["for=203.0.113.9;host=reports.example"], "host": ["inner.example"]}
    proxies = {"trusted_proxies": ("192.0.2.0/24",), "forwarded_headers": "forwarded"}
    seen = of(Presented(lines=lines), **proxies)
    assert (seen.host(), str(seen.address())) == ("reports.example", "203.0.113.9")


def test_a_database_knows_the_region_of_the_client(tmp_path: Path) -> None:
    """Of the client and not of the proxy before it; the observer's clock says when to look anew."""
    path = write(tmp_path / "places.mmdb", {"203.0.113.0/24": place("AT")})
    options = {"trusted_proxies": ("192.0.2.0/24",), "region_database": str(path)}
    hands = Hands()
    observer = Observer(Settings(**{**OPTIONS, **options}), hands.clock)
    seen = observer.of(Presented(lines=PROXIED), 5.0)
    assert seen.region() == "AT"
    assert observer.of(Presented(), 5.0).region() is None
    write(path, {"203.0.113.0/24": place("CH")})
    hands.advance(60)
    assert seen.region() == "CH"


def test_evidence_is_whatever_host_and_address_are_read_from() -> None:
    """Where one of these differs it differs; where only something else does, it does not."""

    def evidence(observer: Observer, **changed: str) -> object:
        lines = {"host": "h", "origin": "o", "x-forwarded-for": "f", "x-forwarded-host": "g"}
        lines |= {"forwarded": "w", "x-other": "x"} | {
            name.replace("_", "-"): value for name, value in changed.items()
        }
        facts = Presented(lines={name: [value] for name, value in lines.items()})
        return observer.of(facts, 5.0).evidence()

    forwarded = {"x_forwarded_for", "x_forwarded_host", "forwarded"}
    for options, read in (
        ({}, {"host"}),
        ({"domain_from": "origin"}, {"origin"}),
        ({"trusted_proxies": ("192.0.2.0/24",)}, {"host", *forwarded}),
        ({"trusted_proxies": ("unix",), "domain_from": "origin"}, {"origin", *forwarded}),
    ):
        by = observer(**options)
        assert evidence(by) == evidence(by) is not None
        changed = {
            name
            for name in ("host", "origin", "x_other", *forwarded)
            if evidence(by, **{name: "other"}) != evidence(by)
        }
        assert changed == read


def test_long_evidence_is_none() -> None:
    """Fields and target count together, as far as they are read."""

    def size(host: int, target: int | None = None) -> bool:
        absolute = None if target is None else "t" * target
        facts = Presented(lines={"host": ["h" * host]}, absolute_target=absolute)
        return observer().of(facts, 5.0).evidence() is not None

    assert size(MAX_EVIDENCE)
    assert size(1, MAX_EVIDENCE - 1)
    assert not size(MAX_EVIDENCE + 1)
    assert not size(2, MAX_EVIDENCE - 1)
    assert not size(1, MAX_EVIDENCE)


def test_domains_may_be_those_of_the_calling_page() -> None:
    """With `domain_from="origin"` the host is not asked for at all."""
    seen = of(Presented(lines=PROXIED), domain_from="origin")
    assert seen.domain() == "app.example"
    for lines in ([], ["null"], ["https://app.example"] * 2):
        assert of(Presented(lines={"origin": lines}), domain_from="origin").domain() is None


@pytest.mark.row("L01")
def test_a_request_without_host_is_refused_only_where_something_needs_it() -> None:
    """Making the circumstances looks at nothing."""
    seen = of(Presented())
    assert seen.address()
    with pytest.raises(BadHost):
        seen.host()


def test_an_application_may_say_what_holds() -> None:
    """Outside of requests; what is not said is unknown."""
    where = Where(host="Reports.example:8443", ip="::ffff:203.0.113.9", region="us-ca")
    where.check()
    told = observer().told(where, 7.0)
    assert (told.now, told.method, told.fields("host")) == (7.0, "", ())
    assert (told.host(), told.domain()) == ("reports.example", "reports.example")
    assert (str(told.address()), told.region()) == ("203.0.113.9", "US-CA")
    assert told.origin() is None
    Where(origin="https://app.example").check()
    page = observer(domain_from="origin").told(Where(origin="https://app.example"), 7.0)
    assert (page.domain(), page.host(), page.address(), page.region()) == (
        "app.example",
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("host", "a b"), ("ip", "10.1"), ("region", "Bavaria"), ("origin", "calling-page")],
)
def test_what_the_application_says_has_to_be_readable(name: str, value: str) -> None:
    """Its own mistake is an error, and no silent refusal; the value is not repeated."""
    with pytest.raises(ValueError, match=name) as caught:
        Where(**{name: value}).check()
    assert value not in str(caught.value).removeprefix(name)
    with pytest.raises(TypeError, match=rf"^{name} is a str, not int$"):
        Where(**{name: 5}).check()  # type: ignore[arg-type]
