"""Base64url: one spelling for each value, and no other is read."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.core.token import base64url

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(value=st.binary(min_size=1, max_size=200))
@settings(max_examples=200, deadline=None)
def test_what_is_encoded_decodes_to_itself(value: bytes) -> None:
    """Encoding is that of the standard library without padding, and decoding takes it back."""
    spelt = base64url.encode(value)
    assert spelt == base64.urlsafe_b64encode(value).rstrip(b"=")
    assert base64url.decode(spelt) == value


@given(
    segment=st.one_of(
        st.binary(max_size=12), st.text(alphabet=ALPHABET + "+/= \n", max_size=12).map(str.encode)
    )
)
@settings(max_examples=200, deadline=None)
def test_every_accepted_spelling_is_the_canonical_one(segment: bytes) -> None:
    """A21: whatever is read, encoded again, is what was read; all else is a ValueError."""
    try:
        value = base64url.decode(segment)
    except ValueError:
        return
    assert base64url.encode(value) == segment


def test_each_short_segment_is_canonical_or_refused() -> None:
    """A11: of all segments of two letters exactly the 256 that spell a byte are read."""
    read = set()
    for first in ALPHABET:
        for second in ALPHABET:
            try:
                read.add(base64url.decode((first + second).encode()))
            except ValueError:
                continue
    assert read == {bytes([byte]) for byte in range(256)}


@pytest.mark.parametrize(
    "segment",
    [
        pytest.param(b"", id="A02-empty"),
        pytest.param(b"AA=", id="A09-half-padded"),
        pytest.param(b"AA==", id="A09-padded"),
        pytest.param(b"AAA=", id="A09-one-padded"),
        pytest.param(b"AAAA=", id="A09-padded-whole"),
        pytest.param(b"AAAA====", id="A09-padding-alone"),
        pytest.param(b"++++", id="A10-plus"),
        pytest.param(b"AA//", id="A10-slash"),
        pytest.param(b"AB", id="A11-unused-bits-of-two"),
        pytest.param(b"AAB", id="A11-unused-bits-of-three"),
        pytest.param(b"A", id="A12-one"),
        pytest.param(b"AAAAA", id="A12-five"),
        pytest.param(b"AA!!", id="A13-junk"),
        pytest.param(b"A A ", id="A13-space"),
        pytest.param(b"AAA\t", id="A13-tab"),
        pytest.param(b"AA\r\n", id="A13-crlf"),
        pytest.param(b"AAA\0", id="A13-nul"),
        pytest.param(b"AAA\n", id="A14-newline"),
        pytest.param("AA\uff0eA".encode(), id="A15-fullwidth"),
        pytest.param(b"AAA\xe9", id="A17-latin-1"),
    ],
)
def test_other_spellings_are_refused(segment: bytes) -> None:
    """A09 to A17: padding, other alphabets, unused bits, impossible lengths and junk are errors."""
    with pytest.raises(ValueError):  # noqa: PT011 - its words are the decoder's
        base64url.decode(segment)


@pytest.mark.parametrize("segment", [b"", b"A", b"AB", b"AAAA="])
def test_a_refusal_says_what_was_expected(segment: bytes) -> None:
    """R06: in the same words whatever was read, so that no input is quoted."""
    with pytest.raises(ValueError, match=r"\Anot canonical base64url\Z"):
        base64url.decode(segment)
