"""Keys for tests: JWKs made by hand from real keys, so that any member can be made wrong."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from licet.core.token import base64url

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey
_CURVES = {"P-256": SECP256R1, "P-384": SECP384R1, "P-521": SECP521R1}


def text(value: bytes) -> str:
    """Return bytes as base64url."""
    return base64url.encode(value).decode("ascii")


def number(value: int) -> str:
    """Return an integer in its shortest spelling (RFC 7518, section 2)."""
    return text(value.to_bytes((value.bit_length() + 7) // 8))


@cache
def private_key(kind: str, name: str = "") -> PrivateKey:
    """Return the key of this kind and name, the same each time."""
    if kind == "Ed25519":
        return Ed25519PrivateKey.generate()
    if kind == "RSA":
        return generate_rsa(65537, 2048)
    return generate_private_key(_CURVES[kind]())


def public_jwk(key: PrivateKey, **members: Any) -> dict[str, Any]:
    """Return the required members of a key's public half, and those given."""
    public = key.public_key()
    if isinstance(key, Ed25519PrivateKey):
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "x": text(raw), **members}
    if isinstance(key, RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **members}
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    half = len(point) // 2
    curve = next(crv for crv, kind in _CURVES.items() if kind().name == key.curve.name)
    x, y = text(point[:half]), text(point[half:])
    return {"kty": "EC", "crv": curve, "x": x, "y": y, **members}


def ed25519(kid: str, **members: Any) -> dict[str, Any]:
    """Return the Ed25519 JWK that goes by `kid`, the same key each time."""
    return public_jwk(private_key("Ed25519", kid), kid=kid, **members)


def key_set(*kids: str) -> bytes:
    """Return a JWK Set of Ed25519 keys, as bytes."""
    return json.dumps({"keys": [ed25519(kid) for kid in kids]}).encode()
