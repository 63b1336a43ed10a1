"""Kinds of values: what passes, what is kept, and what the environment's text means."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.core.errors import ConfigError
from licet.core.settings.options import (
    FLAG,
    Kind,
    choice,
    host,
    mapping,
    number,
    optional,
    text,
    texts,
    unknown,
    url,
)


def problem(kind: Kind, value: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        kind.check("some_setting", value)
    assert refused.value.setting == "some_setting"
    assert refused.value.remedy
    return refused.value.problem


@pytest.mark.parametrize("value", [None, 1, b"x", ["x"], "", "  ", "\t"])
def test_text_is_text_and_not_blank(value: object) -> None:
    """Other types and nothing but white space are no text."""
    assert problem(text(), value) == "is empty or no text"


@pytest.mark.parametrize("value", ["a\r", "a\nb", "\r\nX: y", "\0", "a\x1b[0m", "a\x7f", "\ud800"])
def test_text_has_no_control_characters(value: str) -> None:
    """K21: CR, LF and the like, and what is no text at all, are refused."""
    assert problem(text(), value) == "contains a control character"


@pytest.mark.parametrize("value", ["x", "x,y", None, {"x": 1}, 5, (each for each in "x"), b"y"])
def test_texts_are_a_list(value: object) -> None:
    """E12: a bare text is no list, nor is a mapping or an iterator."""
    assert problem(texts(), value) == "is not a list"


def test_texts_are_some_and_none_twice() -> None:
    """An empty list is not 'no restriction'; entries are texts and stand once."""
    assert "not 'no restriction'" in problem(texts(), [])
    assert texts(empty=True).check("x", []) == ()
    assert problem(texts(), ["a", "a"]) == "repeats an entry"
    assert problem(texts(), ["a", ""]) == "is empty or no text"
    assert problem(texts(), [["a"]]) == "is empty or no text"
    assert texts().check("x", ["a", "b"]) == ("a", "b")
    assert texts().read(" a , b ") == ("a", "b")
    assert texts().read("  ") == ()


@pytest.mark.parametrize(
    "value", [True, False, None, "5", "", b"6", [5], math.nan, math.inf, -math.inf, 1j, Decimal(5)]
)
def test_a_number_is_finite_and_no_boolean(value: object) -> None:
    """E10: NaN, infinity, text and booleans are no numbers."""
    assert problem(number(0, 10), value) == "is not a finite number"
    assert problem(number(0, 10, whole=True), value) == "is not a whole number"


@pytest.mark.parametrize(
    "value", [-0.001, -1, 10.001, 11, 10**400, -(10**400), 1 << 20_000, 1e308], ids=range(8)
)
def test_a_number_is_within_its_range(value: float) -> None:
    """E10: whatever its size, the answer is the range, never an OverflowError."""
    assert problem(number(0, 10), value) == "is out of range"


def test_a_whole_number_has_no_fraction() -> None:
    """5.0 is no whole number; both ends of the range belong to it."""
    assert problem(number(0, 10, whole=True), 5.0) == "is not a whole number"
    assert [number(0, 10).check("x", each) for each in (0, 10, 0.5)] == [0, 10, 0.5]


@pytest.mark.parametrize(
    ("spelt", "value"), [("5", 5), (" 5 ", 5), ("-5", -5), ("0.5", 0.5), ("1e3", 1000.0)]
)
def test_a_number_is_read_as_it_is_spelt(spelt: str, value: float) -> None:
    """Whole ones stay whole, so that equal settings are equal in every spelling."""
    read = number(0, 10).read(spelt)
    assert (type(read), read) == (type(value), value)


def test_booleans_are_true_and_false() -> None:
    """`true|false|1|0` in the environment, `bool` elsewhere, nothing else anywhere."""
    assert FLAG.read("true") is FLAG.read("1") is True
    assert FLAG.read("FALSE") is FLAG.read(" 0 ") is False
    for wrong in ("", "yes", "on", "2"):
        with pytest.raises(KeyError):
            FLAG.read(wrong)
    for value in (0, 1, "true", None, []):
        assert problem(FLAG, value) == "is not a boolean"
    assert FLAG.check("x", True) is True


def test_a_choice_is_one_of_its_words() -> None:
    """Other values of any type are unknown."""
    kind = choice("1.2", "1.3")
    assert kind.check("x", "1.3") == "1.3"
    for value in ("1.1", 1.2, None, ["1.2"], {}):
        assert problem(kind, value) == "is unknown"


def test_nothing_is_an_option_where_it_is_optional() -> None:
    """None passes and an empty variable is None; everything else is the kind's affair."""
    kind = optional(number(0, 10))
    assert kind.check("x", None) is None
    assert kind.read("") is None
    assert kind.read("5") == 5
    assert problem(kind, "") == "is not a finite number"


@pytest.mark.parametrize(
    "spelt",
    ['{"a":1,"a":2}', "[]", '{"a":NaN}', "", "{", "[" * 100_000, '{"a":"\\ud800"}', "\ud800"],
)
def test_a_mapping_is_json_with_one_reading(spelt: str) -> None:
    """D02, D04, D07: duplicates, NaN, depth and broken text in the environment are unreadable."""
    with pytest.raises(ValueError):  # noqa: PT011 - its words are the decoder's
        mapping().read(spelt)


def test_a_mapping_is_a_mapping() -> None:
    """Pairs and text are none."""
    assert mapping().read('{"a": {"b": [1]}}') == {"a": {"b": [1]}}
    assert problem(mapping(), [("a", 1)]) == "is not a mapping"


@pytest.mark.parametrize(
    "value",
    [
        "https://keys.example/jwks.json",
        "https://keys.example:8443/a?b=c",
        "HTTPS://keys.example",
        "https://[::1]/",
        "http://localhost:8000/jwks",
        "http://127.0.0.1/",
        "http://[::1]:8000/",
        "http://keys:8000/jwks",
        "http://KEYS/jwks",
    ],
)
def test_https_and_named_or_loopback_http_are_addresses(value: str) -> None:
    """Plain http only for loopback and the hosts that a setting names."""
    assert url("x", value, http_hosts=("keys",)) == value


@pytest.mark.parametrize(
    "value",
    [
        "http://keys.example/jwks",
        "http://keys.evil.example",
        "http://127.0.0.1.evil.example/",
        "http://127.1/",
        "http://localhost.example/",
        "ftp://keys.example/",
        "file:///etc/passwd",
        "//keys.example/",
        "keys.example",
        "https:///jwks",
        "https://",
        "https://user@keys.example/",
        "https://user:pw@keys.example/",
        "https://@keys.example/",
        "https://keys.example/#top",
        "https://keys.example:99999/",
        "https://keys.example:x/",
        "https://[::1/",
        "https://keys.example\\@evil.example/",
        "https://keys example/",
        "https://keys.example/\n",
        "https://keys.example/\0",
        "https://keys.example/\x7f",
        "\x01https://keys.example/",
        "https://k\u00e9ys.example/",
        "",
    ],
)
def test_everything_else_is_none(value: str) -> None:
    """Other schemes, user information, fragments, odd characters: a ConfigError, nothing else."""
    with pytest.raises(ConfigError):
        url("x", value, http_hosts=("keys",), setting="insecure_http_hosts")


def test_the_remedy_names_the_setting_that_would_help() -> None:
    """Where plain http could be allowed, the error says by which setting."""
    with pytest.raises(ConfigError, match="list the host in some_hosts"):
        url("x", "http://keys/", setting="some_hosts")
    with pytest.raises(ConfigError) as refused:
        url("x", "http://keys/")
    assert "list the host" not in refused.value.remedy


@pytest.mark.parametrize(
    "value", ["keys", "Keys.Example", "10.0.0.1", "fd00::1", "fe80::1%eth0", "a_b-c"]
)
def test_a_host_is_kept_in_lower_case(value: str) -> None:
    """Names and addresses compare as URLs spell them."""
    assert host("x", value) == value.lower()


@pytest.mark.parametrize(
    "value",
    [
        *("http://keys", "keys:80", "keys/", "[::1]", "*", "a b", "é"),
        *("fe80::1%a/b", "fe80::1% ", "fe80::1%a\nb"),
    ],
)
def test_a_host_stands_alone(value: str) -> None:
    """With scheme, port or path it would never match, so it is refused."""
    with pytest.raises(ConfigError, match="without scheme, port and path"):
        host("x", value)


@given(
    value=st.text(max_size=30)
    | st.builds("{}://{}".format, st.sampled_from(["http", "https"]), st.text())
)
@settings(max_examples=200, deadline=None)
def test_any_text_is_an_address_or_refused(value: str) -> None:
    """No text raises anything but ConfigError, and none that passes is plain http to a stranger."""
    try:
        assert url("x", value) == value
    except ConfigError:
        return
    assert value.lower().startswith(("https://", "http://"))


def test_an_unknown_name_comes_with_the_nearest() -> None:
    """The remedy says what was probably meant, or where the list is."""
    assert "did you mean issuer (LICET_ISSUER)?" in str(unknown("Isuer", ["issuer", "leeway"]))
    assert "README" in unknown("zzz", ["issuer"]).remedy
    assert "issuer" in unknown("zzz", ["issuer"], likeness=0).remedy
