"""Whether a license holds, without a server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from licet.server.licenses.judgement import License, end, introspection, validation

BEGIN = 1_800_000_000


def a_license(state: str = "active", **claims: Any) -> License:
    usual = {"aud": "acme-reports", "iat": BEGIN, "exp": BEGIN + 1000, "sub": "lic_a"}
    return License("lic_a", state, {**usual, **claims})


def verdict(license_: License | None, age: float = 0, domain: str | None = None) -> str:
    """Return the word for what is wrong, `valid` or `grace` where nothing is."""
    said = validation(license_, "acme-reports", domain, BEGIN + age, 60)
    return said.get("error") or ("grace" if said["grace"] else "valid")


@pytest.mark.parametrize(
    ("terms", "seen"),
    [
        ({}, ["valid", "expired", "expired", "expired"]),
        ({"grace": 500}, ["valid", "grace", "grace", "expired"]),
        ({"grace": 500, "trial": True}, ["valid", "expired", "expired", "expired"]),
    ],
)
def test_a_license_ends(terms: dict[str, Any], seen: list[str]) -> None:
    """Past its end a license is in the grace that it signs, which a trial has not, or expired."""
    license_ = a_license(**terms)
    assert [verdict(license_, age) for age in (999, 1000, 1499, 1500)] == seen
    assert (end(license_.claims) == BEGIN + 1500) is ("grace" in seen)


@pytest.mark.parametrize(
    ("domain", "word"),
    [
        ("example.com", "valid"),
        ("shop.example.com", "valid"),
        ("a.shop.example.com", "domain_mismatch"),
        ("example.com.evil.example", "domain_mismatch"),
        ("evil.example", "domain_mismatch"),
        ("", "domain_mismatch"),
    ],
)
def test_a_license_holds_where_it_says(domain: str, word: str) -> None:
    """Names and wildcards cover what they say, however they were written."""
    assert verdict(a_license(domains=["Example.COM", "*.example.com"]), domain=domain) == word


@pytest.mark.parametrize("domain", ["*.example.com", "a_b.example.com", "1.2", "[::1]", "a..b"])
def test_what_is_no_host_is_no_domain(domain: str) -> None:
    """What no gate would take for a host, or spells otherwise, is allowed by no license."""
    listed = [domain, "*.example.com", "::1"]
    assert verdict(a_license(domains=listed), domain=domain) == "domain_mismatch"


def test_a_yes_is_kept_no_longer_than_its_license_lasts() -> None:
    """Whoever keeps a yes for as long as it says keeps it to the end at most, in whole seconds."""
    license_ = a_license(grace=500)

    def kept(license_: License, age: float) -> object:
        return validation(license_, "acme-reports", None, BEGIN + age, 60)["cache_for"]

    assert [kept(license_, age) for age in (0, 1440, 1490, 1499.5)] == [60, 60, 10, 1]
    assert kept(replace(license_, presented_until=BEGIN + 700), 680) == 20


@pytest.mark.parametrize("domain", ["127.0.0.1", "::1", "localhost", "xn--mnchen-3ya.example"])
def test_every_kind_of_host_is_a_domain(domain: str) -> None:
    """Names and addresses are found as gates spell them."""
    listed = ["127.0.0.1", "[::1]", "localhost", "m\xfcnchen.example"]
    assert verdict(a_license(domains=listed), domain=domain) == "valid"


def test_a_wildcard_covers_no_public_suffix() -> None:
    """A host of which others have parts is nobody's, also below a name that somebody has."""
    license_ = a_license(domains=["*.amazonaws.com"])
    assert verdict(license_, domain="shop.amazonaws.com") == "valid"
    assert verdict(license_, domain="s3.amazonaws.com") == "domain_mismatch"


def test_a_single_domain_is_a_domain() -> None:
    """The claim in its singular form narrows a license as the plural does."""
    assert verdict(a_license(), domain="evil.example") == "valid"
    license_ = a_license(domain="example.com")
    assert verdict(license_, domain="example.com") == "valid"
    assert verdict(license_, domain="evil.example") == "domain_mismatch"


def test_domains_that_cannot_be_judged_hold_nowhere() -> None:
    """Where the claim cannot be read a license does not hold at any domain."""
    assert verdict(a_license(domains=["no domain"]), domain="example.com") == "domain_mismatch"


def test_what_became_of_a_license_stands_before_its_end() -> None:
    """A revoked license is that also when it has expired; an unknown one is unknown."""
    assert verdict(a_license("revoked"), 2000) == "revoked"
    assert verdict(a_license("suspended"), 2000, "evil.example") == "suspended"
    assert verdict(None) == "unknown"


def test_a_license_that_has_not_begun_is_not_active() -> None:
    """RFC 7662 has the server judge when a license begins; a validation leaves that to its claims.

    Both see the same license.
    """
    license_ = a_license(nbf=BEGIN + 100)
    assert introspection(license_, None, BEGIN + 99) == {"active": False}
    assert introspection(license_, None, BEGIN + 100)["active"] is True
    assert verdict(license_, 99) == "valid"


def test_nothing_but_the_server_says_active() -> None:
    """A claim of that name in a license is no word of the server's."""
    assert introspection(a_license(active=False), None, BEGIN)["active"] is True
    assert introspection(a_license("revoked", active=True), None, BEGIN) == {"active": False}
