"""Where the one credential is, and that two are never one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.core.errors import ConfigError, LicenseAmbiguous, LicenseError, LicenseInvalid
from licet.core.request import Credential, Sources, find_credential

ALL = ("authorization", "x-license-token", "cookie:license", "query:license")
HOST = "https://app.example"


class Request:
    """Facts that a test writes down, one value for each line of a field."""

    is_handshake = False

    def __init__(
        self,
        *lines: tuple[str, str],
        method: str = "GET",
        query: str = "",
        handshake: bool = False,
        origin: str | None = HOST,
    ) -> None:
        self.lines = lines
        self.method = method
        self.query_string = query
        self.is_handshake = handshake
        self._origin = origin

    def fields(self, name: str) -> Sequence[str]:
        return [value for field, value in self.lines if field == name]

    def origin(self) -> str | None:
        return self._origin


class Joined(Request):
    """The same as WSGI servers give it: lines joined by a comma."""

    def fields(self, name: str) -> Sequence[str]:
        lines = super().fields(name)
        return [",".join(lines)] if lines else []


def found(request: Request, sources: Sequence[str] = ALL) -> Credential | None:
    return find_credential(request, Sources.of(sources))


def bearer(text: str) -> tuple[str, str]:
    return "authorization", f"Bearer {text}"


TOKEN = ("x-license-token", "tok")
COOKIE = ("cookie", "a=1; license=tok; b=2")


@pytest.mark.parametrize(
    ("request_", "credential"),
    [
        (Request(bearer("tok")), Credential(b"tok", "authorization", "bearer")),
        (Request(("authorization", "DPoP tok")), Credential(b"tok", "authorization", "dpop")),
        (Request(("authorization", "bEARER  tok ")), Credential(b"tok", "authorization", "bearer")),
        (Request(("authorization", "\tBearer tok")), Credential(b"tok", "authorization", "bearer")),
        (Request(TOKEN), Credential(b"tok", "x-license-token")),
        (Request(("x-license-token", " tok\t")), Credential(b"tok", "x-license-token")),
        (Request(COOKIE), Credential(b"tok", "cookie:license")),
        (
            Request(("cookie", "a=1"), ("cookie", "license=a=b")),
            Credential(b"a=b", "cookie:license"),
        ),
        (Request(query="a=1&license=tok"), Credential(b"tok", "query:license")),
        (Request(query="%6cicense=%74ok"), Credential(b"tok", "query:license")),
        (Request(("authorization", "Basic dTpw"), TOKEN), Credential(b"tok", "x-license-token")),
    ],
)
def test_one_credential_is_found(request_: Request, credential: Credential) -> None:
    """K04 to K07: in each kind of source, with its name, and the scheme where there is one."""
    assert found(request_) == credential


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(Request(), id="A01"),
        pytest.param(Request(("authorization", "Basic dTpw")), id="K04-basic"),
        pytest.param(Request(("authorization", 'Digest username="a", realm="b"')), id="K04-digest"),
        pytest.param(Request(("authorization", "Bearer: tok")), id="K04-colon"),
        pytest.param(Request(("authorization", "Bearer\ttok")), id="K04-tab"),
        pytest.param(Request(("authorization", "Bearertok")), id="K04-no-space"),
        pytest.param(Request(("cookie", "licensed=tok; x-license=tok; license")), id="K07-others"),
        pytest.param(Request(("cookie", "license =tok; LICENSE=tok")), id="K07-spelling"),
        pytest.param(Request(query="licensed=tok&License=tok"), id="K06-others"),
        pytest.param(Request(query="a=1;license=tok"), id="K06-semicolon"),
        pytest.param(Request(("x-license-key", "tok")), id="K05-unlisted"),
    ],
)
def test_none_is_none(request_: Request) -> None:
    """A01, K04 to K07: other schemes, other names and unlisted places carry nothing."""
    assert found(request_) is None


@pytest.mark.parametrize("source", ALL)
def test_a_source_that_is_not_listed_is_never_looked_at(source: str) -> None:
    """F13, K05: with one source listed, credentials in all the others change nothing."""
    everywhere = Request(
        bearer("a"), ("x-license-token", "b"), ("cookie", "license=c"), query="license=d"
    )
    credential = found(everywhere, [source])
    assert credential is not None
    assert credential.source == source


@pytest.mark.parametrize("kind", [Request, Joined])
@pytest.mark.parametrize(
    ("lines", "query"),
    [
        pytest.param([bearer("tok"), bearer("tok")], "", id="K01-equal-lines"),
        pytest.param([bearer("tok"), bearer("other")], "", id="K01-lines"),
        pytest.param([bearer("tok,tok")], "", id="K01-joined"),
        pytest.param([bearer("tok, Bearer tok")], "", id="K01-joined-schemes"),
        pytest.param([("authorization", "Basic x, Bearer tok")], "", id="K01-behind-basic"),
        pytest.param([("authorization", "Basic x,\tdpop")], "", id="K01-behind-basic-empty"),
        pytest.param([("authorization", "Basic x"), bearer("tok")], "", id="K01-basic-and-bearer"),
        pytest.param([bearer("tok"), ("authorization", "Basic x")], "", id="K01-bearer-and-basic"),
        pytest.param([TOKEN, TOKEN], "", id="K01-header-lines"),
        pytest.param([("x-license-token", "a,b")], "", id="K01-header-joined"),
        pytest.param([("x-license-token", ",")], "", id="K01-two-empty"),
        pytest.param([bearer("tok"), TOKEN], "", id="K02-headers"),
        pytest.param([bearer("tok"), ("x-license-token", "")], "", id="K02-one-empty"),
        pytest.param([TOKEN, COOKIE], "", id="K02-header-and-cookie"),
        pytest.param([TOKEN], "license=tok", id="K02-header-and-query"),
        pytest.param([COOKIE], "license=tok", id="K02-cookie-and-query"),
        pytest.param([("cookie", "license=a; license=a")], "", id="K07-cookie-twice"),
        pytest.param([], "license=a&license=a", id="K06-query-twice"),
        pytest.param([], "license=a&%6Cicense=", id="K06-query-in-disguise"),
    ],
)
def test_two_are_ambiguous(kind: type[Request], lines: list[tuple[str, str]], query: str) -> None:
    """K01, K02, K06, K07: two credentials are 400 even when equal, in one source or in two."""
    with pytest.raises(LicenseAmbiguous):
        found(kind(*lines, query=query))


def test_two_lines_of_authorization_are_ambiguous_whatever_their_scheme() -> None:
    """K01: also where neither carries a credential."""
    with pytest.raises(LicenseAmbiguous):
        found(Request(("authorization", "Basic a"), ("authorization", "Basic b")))


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        pytest.param(Request(("authorization", "")), "empty", id="A02-field"),
        pytest.param(Request(("authorization", " \t ")), "empty", id="A02-blank-field"),
        pytest.param(Request(("authorization", "Bearer")), "empty", id="A02-scheme"),
        pytest.param(Request(("authorization", "DPoP   ")), "empty", id="A02-scheme-and-spaces"),
        pytest.param(Request(("x-license-token", "")), "empty", id="A02-header"),
        pytest.param(Request(("x-license-token", "  ")), "empty", id="A02-blank-header"),
        pytest.param(Request(("cookie", "license=")), "empty", id="A02-cookie"),
        pytest.param(Request(query="license="), "empty", id="A02-query"),
        pytest.param(Request(query="license"), "empty", id="A02-query-name"),
        pytest.param(Request(("x-license-token", "tok\xe9")), "malformed", id="A17-latin-1"),
        pytest.param(Request(("x-license-token", "tok\ud800")), "malformed", id="A16-surrogate"),
        pytest.param(Request(bearer("\uff0e")), "malformed", id="A15-fullwidth"),
        pytest.param(Request(query="license=%ff"), "malformed", id="K06-broken"),
        pytest.param(Request(query="&".join(["a"] * 1001)), "too_many_parameters", id="K06-1001"),
        pytest.param(Request(query="&" * 10_000), "too_many_parameters", id="K06-10000"),
    ],
)
def test_what_is_there_and_no_credential_is_invalid(request_: Request, why: str) -> None:
    """A02, A15, A16, A17, K06: present and empty, or no ASCII, is `license_invalid`, not absent."""
    with pytest.raises(LicenseInvalid) as refused:
        found(request_)
    assert refused.value.reason == why


def test_a_thousand_parameters_are_read() -> None:
    """K06: the last of 1,000 parameters is found."""
    credential = found(Request(query="&".join(["a"] * 999) + "&license=tok"))
    assert credential is not None
    assert credential.value == b"tok"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_cookie_counts_where_nothing_is_changed(method: str) -> None:
    """K08: on safe methods a cookie needs no witness, wherever the request came from."""
    assert found(Request(COOKIE, ("origin", "https://evil.example"), method=method)) is not None


@pytest.mark.parametrize(
    "witness",
    [
        [("sec-fetch-site", "same-origin")],
        [("sec-fetch-site", "none")],
        [("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
        [("origin", HOST)],
        [("origin", "HTTPS://App.Example")],
    ],
    ids=str,
)
@pytest.mark.parametrize("how", [{"method": "POST"}, {"handshake": True}], ids=str)
def test_a_cookie_of_the_users_own_request_counts(
    witness: list[tuple[str, str]], how: dict[str, object]
) -> None:
    """K08: `Sec-Fetch-Site` says so, or in its absence `Origin` is the request's own."""
    assert found(Request(COOKIE, *witness, **how)) is not None  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Request, Joined])
@pytest.mark.parametrize(
    "witness",
    [
        [],
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],
        [("sec-fetch-site", "")],
        [("sec-fetch-site", "cross-site"), ("origin", HOST)],
        [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
        [("origin", "https://evil.example")],
        [("origin", "null")],
        [("origin", "http://app.example")],
        [("origin", f"{HOST}:444")],
        [("origin", f"{HOST}.evil.example")],
        [("origin", HOST), ("origin", HOST)],
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "how", [{"method": "POST"}, {"method": "get"}, {"method": "X"}, {"handshake": True}], ids=str
)
def test_a_cookie_that_another_site_sent_does_not_count(
    kind: type[Request], witness: list[tuple[str, str]], how: dict[str, object]
) -> None:
    """K08, K13: on anything but safe methods a cookie without a witness is absent, not refused."""
    assert found(kind(COOKIE, *witness, **how)) is None  # type: ignore[arg-type]
    beside = found(kind(COOKIE, TOKEN, *witness, **how))  # type: ignore[arg-type]
    assert beside is not None
    assert beside.source == "x-license-token"


def test_a_request_without_an_origin_of_its_own_has_none_to_compare() -> None:
    """K08: where the host is unclear, `Origin: null` and no origin are not the request's own."""
    for witness in ([("origin", "null")], [("origin", "none")], []):
        assert found(Request(COOKIE, *witness, method="POST", origin=None)) is None


TEXT = st.one_of(
    st.text(max_size=12),
    st.lists(
        st.sampled_from(
            [
                "Bearer",
                "bearer ",
                "DPoP ",
                "Basic ",
                " ",
                ",",
                "\t",
                "tok",
                "license=",
                ";",
                "=",
                "é",
            ]
        ),
        max_size=6,
    ).map("".join),
)
FIELDS = st.sampled_from(["authorization", "x-license-token", "cookie", "sec-fetch-site", "origin"])


@given(
    lines=st.lists(st.tuples(FIELDS, TEXT), max_size=5),
    query=st.one_of(TEXT, st.just("license=tok"), st.text("license=&%;+", max_size=30)),
    method=st.sampled_from(["GET", "POST", ""]),
    kind=st.sampled_from([Request, Joined]),
)
@settings(max_examples=200, deadline=None)
def test_any_request_has_one_none_or_is_refused(
    lines: list[tuple[str, str]], query: str, method: str, kind: type[Request]
) -> None:
    """K01, K02: no headers at all raise anything but the two refusals, and a find stands alone."""
    try:
        credential = found(kind(*lines, query=query, method=method))
    except (LicenseAmbiguous, LicenseInvalid):
        return
    if credential is None:
        return
    assert credential.value
    assert credential.source in ALL
    assert (credential.scheme in ("bearer", "dpop")) == (credential.source == "authorization")
    # No other source alone has anything.
    for source in ALL:
        try:
            alone = found(kind(*lines, query=query, method=method), [source])
        except LicenseError:
            alone = Credential(b"refused", source)
        assert (alone is not None) == (source == credential.source)


def test_a_credential_shows_where_it_was_and_not_what_it_is() -> None:
    """R01: neither `repr` nor `str` holds the secret."""
    credential = Credential(b"canary-5d1f", "authorization", "bearer")
    assert "canary" not in f"{credential!r}{credential}{[credential]}"
    assert "authorization" in repr(credential)


def test_sources_are_compiled_by_kind() -> None:
    """Names keep their case but for header fields, whose lower case is kept."""
    checked = Sources.checked(["X-License-Token", "cookie:__Host-License", "query:Key"])
    assert checked == ("x-license-token", "cookie:__Host-License", "query:Key")
    assert Sources.of(checked) == Sources(("x-license-token",), ("__Host-License",), ("Key",))


@pytest.mark.parametrize(
    "source",
    [
        *(
            "",
            "a b",
            "a\r\nb",
            "é",
            "cookie:",
            "query:",
            "cookie:a:b",
            "cookie:a;b",
            "body:x",
            ":a",
        ),
        *("cookie", "Cookie", "query", "x,y", "x-token\n"),
    ],
)
def test_a_source_that_could_never_carry_one_is_refused(source: str) -> None:
    """K21: no header name, no kind, or a kind without its name is a ConfigError."""
    with pytest.raises(ConfigError) as refused:
        Sources.checked([source])
    assert refused.value.setting == "sources"


def test_a_source_is_named_once() -> None:
    """The same header in two cases is one source; cookies differ by case."""
    with pytest.raises(ConfigError, match="repeats"):
        Sources.checked(["X-A", "x-a"])
    assert Sources.checked(["cookie:a", "cookie:A"]) == ("cookie:a", "cookie:A")


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (Request(bearer("a"), bearer("b")), "repeated_field"),
        (Request(("authorization", "Basic x, Bearer tok")), "repeated_field"),
        (Request(TOKEN, TOKEN), "repeated_field"),
        (Request(("x-license-token", "a,b")), "repeated_field"),
        (Request(bearer("tok"), TOKEN), "two_credentials"),
        (Request(query="license=a&license=a"), "two_credentials"),
    ],
)
def test_the_log_tells_a_repeated_field_from_two_sources(request_: Request, why: str) -> None:
    """K01, K02: which of the two it was, in fixed words."""
    with pytest.raises(LicenseAmbiguous) as refused:
        found(request_)
    assert refused.value.reason == why


@pytest.mark.parametrize("edge", ["\x0b", "\x0c", "\x1f", "X"])
def test_only_spaces_and_tabs_surround_a_value(edge: str) -> None:
    """A13: RFC 9110, section 5.5, knows no other white space; what else stands there is said."""
    for line, value in (
        (("x-license-token", f"{edge}tok"), f"{edge}tok"),
        (("x-license-token", f"tok{edge}"), f"tok{edge}"),
        (bearer(f"tok{edge}"), f"tok{edge}"),
        (("cookie", f"license=tok{edge}"), f"tok{edge}"),
    ):
        credential = found(Request(line))
        assert credential is not None
        assert credential.value == value.encode()
    assert found(Request(("authorization", f"{edge}Bearer tok"))) is None
    assert found(Request(("cookie", f"a=1;{edge}license=tok"))) is None


def test_parameters_are_not_counted_where_none_is_listed() -> None:
    """K06: a query that carries no credential is the application's own business."""
    assert found(Request(query="&" * 10_000), ["x-license-token", "cookie:license"]) is None


def test_a_refused_source_says_what_to_write() -> None:
    """K21: the setting, what is wrong with it, and the remedy."""
    with pytest.raises(ConfigError) as refused:
        Sources.checked(["a b"])
    assert (refused.value.setting, refused.value.problem, refused.value.remedy) == (
        "sources",
        "holds 'a b'",
        "write a header name, cookie:NAME or query:NAME",
    )
    with pytest.raises(ConfigError) as repeated:
        Sources.checked(["a", "A"])
    assert (repeated.value.setting, repeated.value.problem, repeated.value.remedy) == (
        "sources",
        "repeats an entry",
        "name each once",
    )
