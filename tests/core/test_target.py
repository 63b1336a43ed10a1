"""Which URLs are one: normal forms by RFC 3986, sections 6.2.2 and 6.2.3."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.core.errors import BadHost, ConfigError
from licet.core.possession.target import external, normalise, url_of
from tests.core.presented import Presented

#: RFC 3986, section 5.4: references against `http://a/b/c/d;p?q`, here as whole paths.
DOTS = {
    "/b/c/./g": "/b/c/g",
    "/b/c/g/": "/b/c/g/",
    "/b/c/.": "/b/c/",
    "/b/c/./": "/b/c/",
    "/b/c/..": "/b/",
    "/b/c/../": "/b/",
    "/b/c/../g": "/b/g",
    "/b/c/../..": "/",
    "/b/c/../../": "/",
    "/b/c/../../g": "/g",
    "/b/c/../../../g": "/g",
    "/b/c/../../../../g": "/g",
    "/./g": "/g",
    "/../g": "/g",
    "/b/c/g.": "/b/c/g.",
    "/b/c/.g": "/b/c/.g",
    "/b/c/g..": "/b/c/g..",
    "/b/c/..g": "/b/c/..g",
    "/b/c/./../g": "/b/g",
    "/b/c/./g/.": "/b/c/g/",
    "/b/c/g/./h": "/b/c/g/h",
    "/b/c/g/../h": "/b/c/h",
    "/b/c/g;x=1/./y": "/b/c/g;x=1/y",
    "/b/c/g;x=1/../y": "/b/c/y",
    "/a/b/c/./../../g": "/a/g",
    "/mid/content=5/../6": "/mid/6",
    "/a//../b": "/a/b",
    "/..//b": "//b",
}


@pytest.mark.parametrize(("path", "normal"), DOTS.items(), ids=DOTS)
def test_dot_segments_are_removed_as_rfc_3986_removes_them(path: str, normal: str) -> None:
    """The examples of section 5.4, and what empty segments make of the algorithm of 5.2.4."""
    assert normalise("http://a" + path) == "http://a" + normal


@pytest.mark.row("N11")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://a.example/r", "HTTPS://A.Example/r"),
        ("https://a.example/r", "https://a.example:443/r"),
        ("https://a.example/r", "https://a.example:0443/r"),
        ("https://a.example/r", "https://a.example:/r"),
        ("http://a.example/r", "http://a.example:80/r"),
        ("https://a.example/r", "https://a.example/r?q=1#f"),
        ("https://a.example/r", "https://a.example/r#f?q"),
        ("https://a.example", "https://a.example/"),
        ("https://a.example", "https://a.example?q=/x"),
        ("https://a.example/~u", "https://a.example/%7eu"),
        ("https://a.example/A", "https://a.example/%41"),
        ("https://a.example/%2F", "https://a.example/%2f"),
        ("https://a.example/r", "https://a.example/x/%2E%2e/r"),
        ("https://a.example/a|b[]", "https://a.example/a%7Cb%5b%5D"),
        ("https://[2001:DB8::1]/r", "https://[2001:db8::1]:443/r"),
    ],
    ids=str,
)
def test_what_is_one_url(one: str, other: str) -> None:
    """Spellings that RFC 3986 calls equivalent by syntax or scheme."""
    assert normalise(one) == normalise(other)


@pytest.mark.row("N11")
@pytest.mark.parametrize(
    "other",
    [
        "http://a.example/r",
        "https://b.example/r",
        "https://a.example./r",
        "https://a.example:8443/r",
        "https://a.example:80/r",
        "https://a.example/R",
        "https://a.example/r/",
        "https://a.example//r",
        "https://a.example/",
        "https://a.example/r%2F",
        "https://a.example/%2Fr",
        "https://a.example/%2572",
        "https://a.example/r;v=1",
        "https://a.example\\r",
    ],
)
def test_what_is_another_url(other: str) -> None:
    """A different scheme, host, port or path, where no rule says that they are the same."""
    try:
        assert normalise(other) != normalise("https://a.example/r")
    except ValueError:
        assert "\\" in other


@pytest.mark.row("N11")
@pytest.mark.parametrize(
    "url",
    [
        "",
        "/r",
        "//a.example/r",
        "a.example/r",
        "https:/a.example/r",
        "https:///r",
        "https://:443/r",
        "https://user@a.example/r",
        "https://user:pw@a.example/r",
        "https://a.example@b.example/r",
        "ftp://a.example/r",
        "wss://a.example/r",
        "https://bücher.example/r",
        "https://a.example/ü",
        "https://a.example/r?ü",
        "http\N{KELVIN SIGN}://a.example/",
        "https://a.example/\N{KELVIN SIGN}",
        "https://a.example/a b",
        "https://a.example/r\n",
        "https://a.example/r?a\tb",
        " https://a.example/r",
        "https://a.example/%",
        "https://a.example/%4",
        "https://a.example/%zz",
        "https://a%2eexample/r",
        "https://a,b/r",
        "https://a.example:123456/r",
        "https://a.example:x/r",
        "https://[::1/r",
        "https://[::1%25eth0]/r",
    ],
    ids=repr,
)
def test_what_is_no_url(url: str) -> None:
    """Nothing equals it: what names a user, another scheme, or is outside of the grammar."""
    with pytest.raises(ValueError, match=r"^no absolute http or https URL$"):
        normalise(url)


_HOST = st.from_regex(r"[A-Za-z0-9.-]{1,12}", fullmatch=True)
_PATH = st.text('/.%aA2~fF7eE5 |"<;=@:!', max_size=24).map(lambda path: "/" + path)
_URLS = st.builds(
    "{}://{}{}{}{}".format,
    st.sampled_from(["http", "HTTPS"]),
    _HOST,
    st.sampled_from(["", ":", ":80", ":443", ":0443", ":8080"]),
    _PATH,
    st.sampled_from(["", "?q=/../x", "#f", "?#"]),
)


@given(_URLS)
def test_the_normal_form_is_its_own(url: str) -> None:
    """Normalising is idempotent, and leaves neither dot segments nor anything to spell anew."""
    try:
        normal = normalise(url)
    except ValueError:
        return
    assert normalise(normal) == normal
    assert not {".", ".."}.intersection(normal.split("/")[3:])
    assert normal.isascii()
    assert not set(normal).intersection(' ?#|"<')


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_a_value_error(text: str) -> None:
    """Nothing else is raised, whatever a stranger writes."""
    with suppress(ValueError):
        assert normalise(text).startswith(("http://", "https://"))


def test_a_long_path_takes_no_time_to_refuse() -> None:
    """The pattern never tries a path in two ways: a megabyte is one pass."""
    with pytest.raises(ValueError, match="no absolute"):
        normalise("https://a.example/" + "a%41" * 250_000 + "%")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("https://api.example", "https://api.example"),
        ("https://API.example/", "https://api.example"),
        ("https://api.example:443", "https://api.example"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_external_url_is_scheme_and_host(value: str, kept: str) -> None:
    """It is kept in the normal form, without a slash, so that a path can follow."""
    assert external("external_url", value) == kept


@pytest.mark.parametrize(
    "value",
    [
        "",
        "api.example",
        "https://api.example/v1",
        "https://api.example//",
        "https://api.example/?",
        "https://api.example#x",
        "https://u@api.example",
        "wss://api.example",
    ],
)
def test_external_url_is_nothing_else(value: str) -> None:
    """A path would be said twice, and the rest is no place: a mistake at start-up."""
    with pytest.raises(ConfigError) as error:
        external("external_url", value)
    assert (error.value.setting, error.value.problem, error.value.remedy) in (
        ("external_url", "is not a URL", "write https://host"),
        ("external_url", "has a path, a query or a fragment", "write the scheme and host alone"),
    )


@pytest.mark.row("N12")
def test_only_somebody_vouched_for_names_the_host() -> None:
    """The setting comes first, then the framework; the `Host` field and its kind never count."""
    spoofed = {"host": ["evil.example"], "x-forwarded-host": ["evil.example"]}
    spoofed |= {"x-forwarded-proto": ["http"], "forwarded": ["host=evil.example;proto=http"]}
    facts = Presented(lines=spoofed, path="/r", scheme="http")
    assert url_of(facts, "https://api.example") == "https://api.example/r"
    assert url_of(facts, None) is None
    facts.host = "django.example:8000"
    assert url_of(facts, None) == "http://django.example:8000/r"
    assert url_of(facts, "https://api.example") == "https://api.example/r"
    # A framework that lets every host pass has vouched for none.
    facts.lists_hosts = False
    assert url_of(facts, None) is None
    assert url_of(facts, "https://api.example") == "https://api.example/r"


@pytest.mark.row("N12")
def test_a_host_the_framework_refuses_is_refused() -> None:
    """Its own refusal comes through: 400, not a proof that does not hold."""

    class Disallowed(Presented):
        def vouched_host(self) -> str | None:
            raise BadHost("disallowed_host")

    with pytest.raises(BadHost):
        url_of(Disallowed(), None)


@pytest.mark.parametrize("path", ["", "*", ".evil.example/", ":8443/", "@evil.example/", "x"])
def test_a_path_cannot_continue_the_host(path: str) -> None:
    """A request target that does not begin with a slash is the URL of nothing."""
    url = url_of(Presented(path=path), "https://api.example")
    assert url == ""
    with pytest.raises(ValueError, match="no absolute"):
        normalise(url)
