"""Strict JSON: what is read has one reading, and reading never costs more than its length."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.core.token import strictjson
from licet.core.token.strictjson import MAX_DEPTH, MAX_INTEGER, MAX_MEMBERS

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
DOCUMENTS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.recursive(
        LEAVES,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text('ab{[:"\\', max_size=3), inner, max_size=4)
        ),
        max_leaves=12,
    ),
    max_size=6,
)


def exact(value: Any) -> Any:
    """Return `value` with types spelt out, so that 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return {name: exact(member) for name, member in value.items()}
    if isinstance(value, list):
        return [exact(member) for member in value]
    return type(value), repr(value)


@given(document=DOCUMENTS, ascii_only=st.booleans(), indent=st.sampled_from([None, 2]))
@settings(max_examples=200, deadline=None)
def test_honest_documents_are_read_as_the_standard_library_reads_them(
    document: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    """Every object of few members, small numbers and Unicode text is read to the same values."""
    data = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    assert exact(strictjson.loads(data)) == exact(json.loads(data))


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            *'{}[]:,"\\',
            '"a"',
            '"a":1',
            '"\\u0061":2',
            '"\\ud800"',
            '"\\ud83d\\ude00"',
            "NaN",
            "-Infinity",
            "1e999",
            "-0",
            "9007199254740993",
            "0.5",
            "null",
            " ",
            "\n",
            "\x00",
            "\ufeff",
        ]
    ),
    max_size=12,
).map("".join)


@given(data=st.one_of(st.binary(max_size=40), FRAGMENTS.map(lambda t: ("{" + t + "}").encode())))
@settings(max_examples=200, deadline=None)
def test_what_is_accepted_has_one_reading(data: bytes) -> None:
    """Anything is a ValueError, or reads as the standard library reads it, without duplicates."""
    try:
        value = strictjson.loads(data)
    except ValueError:
        return

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    assert exact(value) == exact(json.loads(data.decode("utf-8"), object_pairs_hook=unique))
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="D01-empty"),
        pytest.param(b"null", id="D01-null"),
        pytest.param(b"[]", id="B01-array"),
        pytest.param(b'"x"', id="B01-string"),
        pytest.param(b"1", id="B01-number"),
        pytest.param(b'{"alg":1,"alg":2}', id="B02-duplicate"),
        pytest.param(b'{"exp":1,"\\u0065xp":2}', id="D02-duplicate-in-disguise"),
        pytest.param(b'{"a":{"b":1,"b":1}}', id="D02-nested-duplicate"),
        pytest.param(b'{"a":[{"b":1,"b":1}]}', id="D02-duplicate-in-a-list"),
        pytest.param("{}".encode("utf-16"), id="B03-utf-16"),
        pytest.param("{}".encode("utf-16-le"), id="D03-utf-16-le"),
        pytest.param("{}".encode("utf-32-be"), id="D03-utf-32-be"),
        pytest.param(b"\xef\xbb\xbf{}", id="D03-byte-order-mark"),
        pytest.param(b'{"a":"\xff"}', id="B04-no-utf-8"),
        pytest.param(b'{"a":"\xc0\xaf"}', id="B04-overlong"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="B04-surrogate-in-utf-8"),
        pytest.param(b'{"a":"\n"}', id="B04-raw-newline"),
        pytest.param(b'{"a":"\x00"}', id="B04-raw-nul"),
        pytest.param(b'{"a":NaN}', id="D04-nan"),
        pytest.param(b'{"a":[Infinity]}', id="D04-infinity"),
        pytest.param(b'{"a":-Infinity}', id="D04-minus-infinity"),
        pytest.param(b'{"a":1e400}', id="D05-overflow"),
        pytest.param(b'{"a":-1e400}', id="D05-negative-overflow"),
        pytest.param(b'{"a":9007199254740993}', id="D06-above-2-53"),
        pytest.param(b'{"a":-9007199254740993}', id="D06-below-minus-2-53"),
        pytest.param(b'{"a":' + b"9" * 4000 + b"}", id="D06-4000-digits"),
        pytest.param(b'{"a":' + b"9" * 40_000 + b"}", id="D06-40000-digits"),
        pytest.param(b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", id="D07-33-deep"),
        pytest.param(b'{"a":' * 33 + b"1" + b"}" * 33, id="B05-33-deep"),
        pytest.param(b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", id="D07-900-deep"),
        pytest.param(b"[" * 100_000, id="D07-100000-deep"),
        pytest.param(b'{"a":' * 100_000, id="B05-100000-deep"),
        pytest.param(b"{}{}", id="D10-two"),
        pytest.param(b"{} x", id="D10-trailing"),
        pytest.param(b'{"a":1,}', id="D10-comma"),
        pytest.param(b"{'a':1}", id="D10-single-quotes"),
        pytest.param(b'{"a":01}', id="D10-leading-zero"),
        pytest.param(b'{"a":1}//x', id="D10-comment"),
        pytest.param(b'{"a":+1}', id="D10-plus"),
        pytest.param(b'{"a":.5}', id="D10-bare-fraction"),
        pytest.param('{"a":\uff11}'.encode(), id="D10-fullwidth-digit"),
        pytest.param(b'{"a":"\\ud800"}', id="D11-lone-surrogate"),
        pytest.param(b'{"\\udc00":1}', id="D11-lone-surrogate-in-a-name"),
        pytest.param(b'{"a":"\\ud800\\u0041"}', id="D11-half-a-pair"),
        pytest.param(b"\x80\x04}q\x00.", id="D14-pickle"),
        pytest.param(b"a: 1\n", id="D14-yaml"),
        pytest.param(b"\x1f\x8b\x08\x00", id="D14-gzip"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(data: bytes) -> None:
    """B01 to B05, D01 to D14: each is a ValueError and no other exception."""
    with pytest.raises(ValueError):  # noqa: PT011 - its words are the decoder's
        strictjson.loads(data)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b' {"a": 9007199254740992}\r\n\t', {"a": MAX_INTEGER}),
        (b'{"a":-9007199254740992}', {"a": -MAX_INTEGER}),
        (b'{"a":[-0,0.1e1,1e-9]}', {"a": [0, 1.0, 1e-9]}),
        (b'{"a":"\\ud83d\\ude00\\u0041"}', {"a": "\U0001f600A"}),
        (b'{"a":' + b"[" * 31 + b"]" * 31 + b"}", None),
        (b'{"a":"' + b"[" * 100 + b'\\"{{"}', {"a": "[" * 100 + '"{{'}),
        (b'{"a":[' + b",".join([b"[]"] * 100) + b"]}", {"a": [[]] * 100}),
        (b'{"__class__":1,"__init__":2}', {"__class__": 1, "__init__": 2}),
    ],
    ids=["2-53", "minus-2-53", "numbers", "pair", "32-deep", "text", "broad", "D13-names"],
)
def test_what_has_one_reading_is_read(data: bytes, value: object) -> None:
    """D13: the last value inside each bound passes, and brackets in text are no depth."""
    read = strictjson.loads(data)
    assert value is None or exact(read) == exact(value)


def test_members_are_counted_over_all_objects() -> None:
    """D08: 1,000 members pass and one more does not, colons in text are none."""
    inner = {str(n): ":" for n in range(MAX_MEMBERS - 2)}
    assert strictjson.loads(json.dumps({"a": [inner], "b": 1}).encode())
    with pytest.raises(ValueError, match="too many members"):
        strictjson.loads(json.dumps({"a": [inner], "b": 1, "c": 1}).encode())
    with pytest.raises(ValueError, match="too many members"):
        strictjson.loads(b'{"a":1,"b":2}', max_members=1)


def test_text_that_never_ends_costs_its_length_once() -> None:
    """R09: an unclosed text is one token to its end, so no quote in it is a beginning again."""
    unclosed = '"' + '\\"[' * 10_000 + "\\"
    found = strictjson._STRING.findall(unclosed.encode())
    assert found == [unclosed.removesuffix("\\").encode()]
    with pytest.raises(ValueError, match="nested too deeply"):
        strictjson.loads(b"[" * (MAX_DEPTH + 1) + unclosed.encode())


@pytest.mark.parametrize("blank", ["\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\u2003", "\ufeff"])
def test_only_four_characters_are_blank(blank: str) -> None:
    """Around a document as inside (RFC 8259, section 2): others are no white space of JSON."""
    for text in (blank + "{}", "{}" + blank):
        with pytest.raises(ValueError, match=r"Expecting value|more than one value"):
            strictjson.loads(text.encode())
    assert strictjson.loads(b" \t\n\r{} \t\n\r") == {}


def test_a_full_stack_is_a_refusal() -> None:
    """S07: whatever is left of the caller's stack, the answer is a value or a ValueError."""
    data = (
        b'{"a":'
        + b"[" * 30
        + b'"\\u0041"'
        + b"]" * 30
        + b',"b":{'
        + (b",".join(b'"%d":1' % n for n in range(MAX_MEMBERS)) + b"}}")
    )
    outcomes = set()

    def descend(left: int) -> None:
        if left:
            descend(left - 1)
            return
        try:
            strictjson.loads(data, max_members=MAX_MEMBERS + 10)
        except ValueError as error:
            outcomes.add(str(error))
        else:
            outcomes.add("read")

    depth = 0
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        depth += 1
    room = sys.getrecursionlimit() - depth
    for left in range(room - 80, room - 5):
        try:
            descend(left)
        except RecursionError:
            # The stack ended in the call itself, before the first line of `loads`.
            outcomes.add("no call")
    assert outcomes <= {"read", "no stack left to read it", "no call"}
    assert "read" in outcomes


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[]", "not an object"),
        (b"{}{}", "more than one value"),
        (b'{"":' * 32 + b"0" + b"}" * 32, "too many members"),
        (b'{"a":1,"a":2}', "duplicate member"),
        (b'{"a":9007199254740993}', "integer out of range"),
        (b'{"a":1e400}', "number out of range"),
        (b'{"a":NaN}', "not a number"),
        (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", "nested too deeply"),
    ],
)
def test_a_refusal_of_this_reader_quotes_nothing(data: bytes, why: str) -> None:
    """R06: its words are fixed, whatever the document holds."""
    with pytest.raises(ValueError, match=rf"\A{why}\Z"):
        # 32 members as short as they can be are one too many.
        strictjson.loads(data, max_members=31)


def test_too_many_members_are_told_in_fixed_words() -> None:
    """D08: the bound is that of the caller."""
    with pytest.raises(ValueError, match=r"\Atoo many members\Z"):
        strictjson.loads(b'{"a":1,"b":2}', max_members=1)


def test_depth_is_what_is_open_at_once() -> None:
    """D07: brackets that were closed again count no more, and no more than once."""
    beside = b'{"a":[' + b"[]," * 40 + b"[" * 30 + b"]" * 30 + b"]}"
    assert strictjson.loads(beside)["a"][0] == []
    for deeper in (1, 14):
        # 20 deep, once closed and opened again, then to 32 or 33.
        inner = b"[" * 19 + b"[" + b"]," + b"[" * (12 + deeper)
        closed = b"]" * (31 + deeper)
        with pytest.raises(ValueError, match="nested too deeply"):
            strictjson.loads(b'{"a":' + inner + closed + b"}")
    assert strictjson.loads(b'{"a":' + b"[" * 19 + b"[]," + b"[" * 12 + b"]" * 31 + b"}")


@pytest.mark.row("S10")
def test_numbers_are_short_whatever_the_interpreter_allows() -> None:
    """With its limit of digits switched off, a long number is refused, and refused quickly."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        begun = time.perf_counter()
        for digits in (b"9" * 4_000_000, b"-" + b"9" * 4_000_000, b"1" * 5_000):
            with pytest.raises(ValueError, match="integer out of range"):
                strictjson.loads(b'{"exp": ' + digits + b"}")
        # Reading four million digits takes the interpreter minutes.
        assert time.perf_counter() - begun < 5
    finally:
        sys.set_int_max_str_digits(before)


@pytest.mark.row("S11")
def test_another_json_in_its_place_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application that patches `json` for speed does not change how licenses are read."""

    def lenient(*_: object, **__: object) -> dict[str, object]:
        return {"iss": "anybody"}

    class Lenient(json.JSONDecoder):
        decode = raw_decode = lenient  # type: ignore[assignment]

    monkeypatch.setattr(json, "loads", lenient)
    monkeypatch.setattr(json, "load", lenient)
    monkeypatch.setattr(json, "JSONDecoder", Lenient)
    monkeypatch.setattr(json, "_default_decoder", Lenient())
    assert strictjson.loads(b'{"iss": "us"}') == {"iss": "us"}
    for data in (b'{"a": 1, "a": 2}', b'{"a": NaN}', b"[]", b"{", b'{"a": 1e400}'):
        with pytest.raises(ValueError, match=r"."):
            strictjson.loads(data)
