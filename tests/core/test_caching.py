"""What caches are told."""

from __future__ import annotations

import pytest

from licet.core.caching import licensed_headers, vary


@pytest.mark.parametrize(
    ("sources", "fields"),
    [
        ((), ""),
        (("authorization",), "Authorization"),
        (("authorization", "x-license-token"), "Authorization, X-License-Token"),
        (("cookie:license",), "Cookie"),
        (("cookie:a", "x-l", "cookie:b"), "Cookie, X-L"),
        (("query:license",), ""),
        (("query:license", "x-license"), "X-License"),
    ],
)
def test_vary_names_the_fields_that_sources_read(sources: tuple[str, ...], fields: str) -> None:
    """Headers by their name, all cookies as one field, query parameters not at all."""
    assert vary(sources) == fields


@pytest.mark.parametrize("source", ["", "authorization"])
def test_nothing_is_added_where_nothing_is_needed(source: str) -> None:
    """Shared caches keep out `Authorization` themselves; an installation has no secret answers."""
    assert licensed_headers(source) == ()


def test_an_own_header_varies_and_is_private() -> None:
    """A shared cache that does not know the field would serve one customer's page to another."""
    assert licensed_headers("x-license-token") == (
        ("Vary", "X-License-Token"),
        ("Cache-Control", "private"),
    )
    assert licensed_headers("cookie:license") == (("Vary", "Cookie"), ("Cache-Control", "private"))


def test_a_query_parameter_stays_out_of_caches_and_referrers() -> None:
    """The credential is part of the URL: the answer is stored nowhere and names it to nobody."""
    assert licensed_headers("query:license") == (
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
    )
