"""Whether a license holds, without a server."""

from __future__ import annotations

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
