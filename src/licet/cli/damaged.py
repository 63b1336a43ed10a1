"""What can be read of a token that no gate would read: to show it, and to say what is wrong.

Nothing that comes of it is judged by, let alone believed.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Sequence
from typing import Any

from licet.core.token import base64url, strictjson

#: Brackets in a text that is read although no gate would: more could nest too deeply.
_MOST_BRACKETS = 200


def members(segment: bytes) -> dict[str, Any] | None:
    """Return the object in a segment, also if no gate would read it; None if there is none."""
    try:
        text = urlsafe_b64decode(segment + b"==").decode("utf-8", "replace")
        if text.count("[") + text.count("{") > _MOST_BRACKETS:
            return strictjson.loads(base64url.decode(segment))
        value = json.loads(text, parse_float=_number, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _number(digits: str) -> float | str:
    """Return a number; as a text where JSON has no such number."""
    value = float(digits)
    return digits if value - value != 0.0 else value


def problems(segments: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    """Return which of the three parts no gate would read, each with what is wrong with it."""
    for at, segment in zip(("header", "payload", "signature"), segments, strict=True):
        try:
            decoded = base64url.decode(segment)
            if at != "signature":
                strictjson.loads(decoded)
        except ValueError as error:
            said = f"it is no {at} of a license: {_sentence(error)}"
            yield at, said if segment else f"it has no {at}"


def _sentence(error: ValueError) -> str:
    """Return what is wrong without what it is wrong with."""
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON ({error.msg.lower()} at character {error.pos})"
    return "no UTF-8" if isinstance(error, UnicodeError) else str(error).lower()
