"""Whose word is taken for where, when and from whom a request comes."""

from __future__ import annotations

import pytest

from licet.core.circumstances import Circumstances, Where
from licet.core.errors import BadHost
from tests.core.observed import observer
from tests.core.presented import Presented

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
    page = observer(domain_from="origin").told(Where(origin="https://app.example"), 7.0)
    assert (page.domain(), page.host(), page.address(), page.region()) == (
        "app.example",
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("host", "a b"), ("ip", "10.1"), ("region", "Bavaria"), ("origin", "app.example")],
)
def test_what_the_application_says_has_to_be_readable(name: str, value: str) -> None:
    """Its own mistake is an error, and no silent refusal; the value is not repeated."""
    with pytest.raises(ValueError, match=name) as caught:
        Where(**{name: value}).check()
    assert value not in str(caught.value).removeprefix(name)
    with pytest.raises(TypeError, match=name):
        Where(**{name: 5}).check()  # type: ignore[arg-type]
