"""JSON of which there is one reading (RFC 8259, narrowed as RFC 8725bis, section 3.7, advises).

Refused, beside what is no JSON: a top level that is no object, anything but UTF-8 without a byte
order mark, duplicate members, NaN and infinity in any spelling, integers beyond ±2^53, lone
surrogates, and more depth or members than any license has. The interpreter's own limits are not
relied on: they can be switched off.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 32
MAX_MEMBERS = 1_000
MAX_INTEGER = 2**53

# A string is left out whole, so that brackets inside strings do not count. One that never ends is
# left out to the end of the text: looking for its end again from each later quote would cost the
# square of the length.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def loads(data: bytes, *, max_members: int = MAX_MEMBERS) -> dict[str, Any]:
    """Return the object that `data` spells.

    Args:
        data: one JSON text in UTF-8.
        max_members: how many members all its objects may have together.

    Raises:
        ValueError: it is not JSON, or JSON that could be read in more than one way.
    """
    text = data.decode("utf-8").strip(_SPACE)
    # Counting is an upper bound that honest documents stay below; only beyond it the exact
    # number is worth its price.
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(data):
        raise ValueError("nested too deeply")
    try:
        value, end = _DECODER.raw_decode(text)
        if end != len(text):
            raise ValueError("more than one value")
        if type(value) is not dict:
            raise ValueError("not an object")
        # No member is shorter than `"":0`.
        if len(text) > 4 * max_members and _members(value) > max_members:
            raise ValueError("too many members")
        # Looking for one character costs a tenth of looking for two.
        if "\\" in text and "\\u" in text:
            # Raises UnicodeEncodeError, a ValueError, on a lone surrogate.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        # The caller's stack was nearly full: no statement about the document, but no license.
        raise ValueError("no stack left to read it") from None
    return value


def value(data: bytes, *, max_members: int = MAX_MEMBERS) -> Any:
    """Return what `data` spells, be it an object or not; else as `loads`.

    Raises:
        ValueError: it is no JSON that can be read in one way only.
    """
    (only,) = loads(b'{"":' + data + b"}", max_members=max_members).values()
    return only


def _is_deep(data: bytes) -> bool:
    """Return whether brackets are nested too deeply, or do not match.

    The innermost pairs are left out, all at once, as often as they may be nested: whole documents
    at the speed of C, for whoever sends nothing but brackets.
    """
    brackets = _STRING.sub(b"", data).translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _members(value: object) -> int:
    if type(value) is dict:
        return len(value) + sum(map(_members, value.values()))
    if type(value) is list:
        return sum(map(_members, value))
    return 0


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate member")
    return value


def _integer(digits: str) -> int:
    if len(digits) < 16:
        return int(digits)
    # Length first: reading a long number costs the square of its digits.
    if len(digits) > 17 or not -MAX_INTEGER <= (value := int(digits)) <= MAX_INTEGER:
        raise ValueError("integer out of range")
    return value


def _number(digits: str) -> float:
    value = float(digits)
    if value - value != 0.0:
        raise ValueError("number out of range")
    return value


def _constant(name: str) -> float:
    raise ValueError("not a number")


_SPACE = " \t\n\r"
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_number,
    parse_constant=_constant,
)
