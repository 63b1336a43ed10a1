"""Base64url without padding (RFC 7515, section 2), in its one canonical spelling.

Two spellings of one value would be two tokens of one license, so whatever the alphabet, the
length or the unused bits allow beyond the canonical form is refused (RFC 4648, section 3.5).
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# Everything outside the alphabet, `+`, `/` and `=` included, becomes a byte that the strict
# decoder refuses.
_TO_STANDARD = bytes(
    {45: 43, 95: 47}.get(byte, byte) if byte in _ALPHABET else 33 for byte in range(256)
)
# A last letter whose unused bits are zero, by the length of the segment modulo 4.
_LAST = {0: frozenset(_ALPHABET), 2: frozenset(b"AQgw"), 3: frozenset(b"AEIMQUYcgkosw048")}
_PADDING = {0: b"", 2: b"==", 3: b"="}


def decode(segment: bytes) -> bytes:
    """Return the bytes that `segment` spells.

    Raises:
        ValueError: the segment is empty, padded, has a letter outside the alphabet, a length
            that no value has, or unused bits that are not zero.
    """
    remainder = len(segment) & 3
    if not segment or remainder == 1 or segment[-1] not in _LAST[remainder]:
        raise ValueError("not canonical base64url")
    return a2b_base64(segment.translate(_TO_STANDARD) + _PADDING[remainder], strict_mode=True)


def encode(value: bytes) -> bytes:
    """Return the canonical base64url spelling of `value`, without padding."""
    return b2a_base64(value, newline=False).translate(_FROM_STANDARD).rstrip(b"=")


_FROM_STANDARD = bytes.maketrans(b"+/", b"-_")
