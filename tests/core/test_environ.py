"""Requests as CGI variables: what the core reads of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.core.entitlements import Entitlements
from licet.core.environ import EnvironFacts, EnvironMemory, environ_key, environ_path
from licet.core.flow import run
from licet.core.gate import Gate
from licet.core.settings import Settings
from tests.licenses import OPTIONS, license_token

TOKEN = license_token()
OTHER = license_token(sub="lic_2")
SOURCES = ("authorization", "x-license-token", "cookie:license", "query:license")


def warmed(**options: Any) -> Gate:
    """Return a gate that remembers both licenses."""
    gate = Gate(Settings(**{**OPTIONS, **options}))
    for token in (TOKEN, OTHER):
        run(gate.verify(token.encode()))
    return gate


def test_a_field_is_found_under_its_variable() -> None:
    """RFC 3875, section 4.1.18: capitals, underscores, and `HTTP_` before it."""
    assert environ_key("x-license-token") == "HTTP_X_LICENSE_TOKEN"
    facts = EnvironFacts({"HTTP_X_LICENSE_TOKEN": "a", "HTTP_COOKIE": ""})
    assert list(facts.fields("x-license-token")) == ["a"]
    assert list(facts.fields("cookie")) == [""]
    assert list(facts.fields("authorization")) == []


def test_facts_of_an_empty_environ_are_empty() -> None:
    """Missing variables are empty text, no host is no origin, and nothing raises."""
    facts = EnvironFacts({})
    assert (facts.method, facts.query_string, facts.origin()) == ("", "", None)
    assert facts.is_handshake is False
    assert environ_path({}) == "/"


def test_facts_are_those_of_the_request() -> None:
    """Method and query string come as they were sent, the origin in lower case."""
    facts = EnvironFacts(
        {
            "REQUEST_METHOD": "POST",
            "QUERY_STRING": "a=1",
            "HTTP_HOST": "App.Example:8443",
            "wsgi.url_scheme": "https",
        }
    )
    assert (facts.method, facts.query_string) == ("POST", "a=1")
    assert facts.origin() == "https://app.example:8443"
    assert EnvironFacts({"HTTP_HOST": ""}).origin() is None


@pytest.mark.row("N11")
@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({}, ""),
        ({"RAW_URI": "/a%2Fb?x=1"}, "/a%2Fb"),
        ({"REQUEST_URI": "/app/a", "SCRIPT_NAME": "/app"}, "/app/a"),
        ({"REQUEST_URI": "/app", "SCRIPT_NAME": "/app"}, "/app"),
        ({"RAW_URI": "/a", "SCRIPT_NAME": "/app", "PATH_INFO": "/a"}, "/app/a"),
        ({"RAW_URI": "/apple", "SCRIPT_NAME": "/app", "PATH_INFO": "/apple"}, "/app/apple"),
        ({"RAW_URI": "*", "SCRIPT_NAME": "/app", "PATH_INFO": "/a"}, "/app/a"),
        ({"SCRIPT_NAME": "/app", "PATH_INFO": "/users/@me"}, "/app/users/@me"),
        ({"PATH_INFO": "/!$&'()*+,;=:@-._~"}, "/!$&'()*+,;=:@-._~"),
        ({"PATH_INFO": '/\xc3\xa9 "%?#'}, "/%C3%A9%20%22%25%3F%23"),
    ],
)
def test_the_whole_path_is_as_clients_send_it(environ: dict[str, str], path: str) -> None:
    """With the root that a proxy took off, and only that escaped which has to be (RFC 3986)."""
    assert EnvironFacts(environ).path == path


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"SCRIPT_NAME": "/app", "PATH_INFO": "/health"}, "/health"),
        ({"SCRIPT_NAME": "/app", "PATH_INFO": ""}, "/"),
        ({"PATH_INFO": "/\xc3\xa9"}, "/é"),
        ({"PATH_INFO": "/\xff"}, "/\ufffd"),
        ({"PATH_INFO": "/\ud800\u20ac"}, "/??"),
    ],
    ids=["K12-relative", "K12-root", "utf-8", "broken", "no-latin-1"],
)
def test_the_path_is_relative_and_decoded_once(environ: dict[str, str], path: str) -> None:
    """K12: `PATH_INFO` alone, as UTF-8 behind latin-1 (PEP 3333), whatever it holds."""
    assert environ_path(environ) == path


@pytest.mark.parametrize(
    ("environ", "source"),
    [
        ({"HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}, "authorization"),
        ({"HTTP_AUTHORIZATION": f"bEARER {TOKEN}"}, "authorization"),
        ({"HTTP_X_LICENSE_TOKEN": TOKEN}, "x-license-token"),
        (
            {"HTTP_X_LICENSE_TOKEN": TOKEN, "QUERY_STRING": "a=1", "HTTP_COOKIE": "a=1"},
            "x-license-token",
        ),
    ],
    ids=["bearer", "K04-case", "header", "unlisted"],
)
def test_a_known_license_in_one_field_is_recalled(environ: dict[str, str], source: str) -> None:
    """One listed field with one remembered license is answered from memory, with its source."""
    entitlements = EnvironMemory(warmed()).recall(environ)
    assert entitlements is not None
    assert (entitlements.license_id, entitlements.source) == ("lic_1", source)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"HTTP_AUTHORIZATION": f"Bearer {TOKEN}", "HTTP_X_LICENSE_TOKEN": TOKEN},
        {"HTTP_AUTHORIZATION": f"Basic {TOKEN}"},
        {"HTTP_AUTHORIZATION": f"DPoP {TOKEN}"},
        {"HTTP_AUTHORIZATION": TOKEN},
        {"HTTP_AUTHORIZATION": f"Bearer {TOKEN},Bearer {TOKEN}"},
        {"HTTP_X_LICENSE_TOKEN": f"{TOKEN}, {TOKEN}"},
        {"HTTP_X_LICENSE_TOKEN": ""},
        {"HTTP_X_LICENSE_TOKEN": TOKEN + "\xe9"},
        {"HTTP_X_LICENSE_TOKEN": TOKEN + "\ud800"},
        {"HTTP_X_LICENSE_TOKEN": TOKEN, "HTTP_COOKIE": "a=1"},
        {"HTTP_X_LICENSE_TOKEN": TOKEN, "QUERY_STRING": "a=1"},
        {"HTTP_COOKIE": f"license={TOKEN}"},
        {"QUERY_STRING": f"license={TOKEN}"},
    ],
    ids=[
        "A01", "K02", "K04-basic", "dpop", "no-scheme", "K01", "K01-header", "A02", "A17", "A16",
        "cookie-beside", "query-beside", "cookie", "query",
    ],
)  # fmt: skip
def test_everything_else_is_left_to_the_gate(environ: dict[str, str]) -> None:
    """A16, A17, K01, K02: nothing, two, odd letters and other sources are not recalled."""
    assert EnvironMemory(warmed(sources=SOURCES)).recall(environ) is None


GATE = warmed(sources=SOURCES)
MEMORY = EnvironMemory(GATE)
VALUES = st.sampled_from(
    [
        *(TOKEN, f"Bearer {TOKEN}", f"DPoP {TOKEN}", f"Basic x, Bearer {TOKEN}", f"Bearer {OTHER}"),
        *("", "Bearer", "x", "\xe9", "\ud800", f"{TOKEN},{OTHER}", f"license={TOKEN}", "a=1; b=2"),
    ]
)


@given(
    environ=st.dictionaries(
        st.sampled_from(
            ["HTTP_AUTHORIZATION", "HTTP_X_LICENSE_TOKEN", "HTTP_COOKIE", "QUERY_STRING"]
        ),
        VALUES,
    )
)
@settings(max_examples=200, deadline=None)
def test_memory_says_nothing_that_the_gate_would_not_say(environ: dict[str, str]) -> None:
    """K02: whatever is recalled, the whole decision grants too, to the same license and source."""
    recalled = MEMORY.recall(environ)
    if recalled is None:
        return
    decided = run(GATE.decide(EnvironFacts(environ)))
    assert (recalled.license_id, recalled.source) == (decided.license_id, decided.source)


def test_an_installation_license_needs_no_field() -> None:
    """It covers every request, is recalled once it was judged, and has no source."""
    gate = Gate(Settings(**OPTIONS, license=TOKEN))
    memory = EnvironMemory(gate)
    assert memory.recall({}) is None
    run(gate.decide(EnvironFacts({})))
    entitlements = memory.recall({"HTTP_X_LICENSE_TOKEN": OTHER})
    assert isinstance(entitlements, Entitlements)
    assert (entitlements.license_id, entitlements.source) == ("lic_1", "")


def test_a_license_not_seen_yet_is_not_recalled() -> None:
    """Memory verifies nothing: a good license that was never judged is left to the gate."""
    memory = EnvironMemory(Gate(Settings(**OPTIONS)))
    assert memory.recall({"HTTP_X_LICENSE_TOKEN": TOKEN}) is None
