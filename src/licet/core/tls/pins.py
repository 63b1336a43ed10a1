"""Pinned keys of a server: a short list that its certificate must answer to besides all else.

A pin names the leaf's key, not its certificate, so that a renewal with the same key needs no new
settings (RFC 7469, section 2.4).
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Collection, Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from licet.core.errors import ConfigError

_PREFIX = "sha256/"
_REMEDY = "write sha256/ and the base64 of the SHA-256 of the key's SubjectPublicKeyInfo"


def pins_of(
    pins: Sequence[str], single: bool = False, *, name: str = "tls_pins"
) -> frozenset[bytes]:
    """Return the digests that `pins` name.

    Args:
        pins: each `sha256/` and the base64 of the SHA-256 of a SubjectPublicKeyInfo in DER.
        single: whether one is enough. It leaves no way to change the server's key, so that by
            default there must be two (RFC 7469, section 4.3).
        name: the setting to blame.

    Raises:
        ConfigError: one is malformed, or there are too few: none is an error and not no pinning.
    """
    digests = frozenset(_digest(pin, name) for pin in pins)
    if not digests:
        raise ConfigError(name, "is empty", f"{_REMEDY}, or remove it")
    if len(digests) < 2 and not single:
        raise ConfigError(
            name,
            "has no second pin",
            "pin the key that will follow this one, or set tls_single_pin",
        )
    return digests


def pin_of(certificate: bytes) -> str:
    """Return the pin of a certificate.

    Args:
        certificate: in DER.
    """
    return _PREFIX + b64encode(_spki(certificate)).decode("ascii")


def matches(certificate: bytes | None, digests: Collection[bytes]) -> bool:
    """Say whether a certificate, in DER, has one of the pinned keys."""
    if certificate is None:
        return False
    try:
        found = _spki(certificate)
    except (ValueError, UnsupportedAlgorithm):
        # OpenSSL could read it; what cannot be read here is none of the pinned keys.
        return False
    return any(hmac.compare_digest(found, digest) for digest in digests)


def _spki(certificate: bytes) -> bytes:
    key = x509.load_der_x509_certificate(certificate).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def _digest(pin: str, name: str) -> bytes:
    text = pin.removeprefix(_PREFIX)
    try:
        digest = b64decode(text, validate=True)
    except ValueError:
        digest = b""
    # Encoded once more, because the decoder takes spare bits that it does not look at.
    if text == pin or len(digest) != 32 or b64encode(digest).decode("ascii") != text:
        raise ConfigError(name, "holds something that is no pin", _REMEDY)
    return digest
