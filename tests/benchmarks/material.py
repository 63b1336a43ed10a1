"""Keys and licenses of the size that licenses have: ten claims, ten features, limits.

Signed by PyJWT, so that one key serves Licet, the peers and the bare verification beside them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from licet import Settings
from licet.core.token import base64url

ISSUER = "https://licenses.acme.example/"
AUDIENCE = "https://reports.acme.example"
FEATURES = "analytics exports dashboards alerts audit sso webhooks api teams branding".split()
ALGORITHMS = {"Ed25519": "EdDSA", "ES256": "ES256", "RS256": "RS256"}
DAY = 86_400


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a license that is good for thirty days."""
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "lic_01J9ZQ4M6T8V0X2Y4Z6A8B0C2D",
        "iat": now,
        "exp": now + 30 * DAY,
        "plan": "professional",
        "features": FEATURES,
        "limits": {"seats": 25, "projects": 100, "apiCalls": {"max": 50_000, "per": "month"}},
        "scope": "reports:read reports:write",
        "roles": ["admin", "editor"],
        **changes,
    }


class Signer:
    """One private key, and what is made with it.

    Args:
        name: of its algorithm, a key of `ALGORITHMS`.
        kid: its key id.
    """

    def __init__(self, name: str, kid: str = "bench-1") -> None:
        self.alg, self.kid = ALGORITHMS[name], kid
        self.private: Any = {
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "RS256": lambda: rsa.generate_private_key(65537, 2048),
        }[self.alg]()
        self.public = self.private.public_key()

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key (RFC 7517)."""
        jwk = jwt.get_algorithm_by_name(self.alg).to_jwk(self.public, as_dict=True)
        members = {name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in jwk}
        return {**members, "kid": self.kid, "alg": self.alg, "use": "sig"}

    @property
    def pem(self) -> str:
        """The public key (RFC 7468)."""
        info = PublicFormat.SubjectPublicKeyInfo
        return str(self.public.public_bytes(Encoding.PEM, info).decode())

    def token(self, **changes: Any) -> bytes:
        """Return a license, good but for `changes`."""
        headers = {"kid": self.kid, "typ": "license+jwt"}
        return jwt.encode(claims(**changes), self.private, self.alg, headers).encode()

    def tokens(self, count: int) -> list[bytes]:
        """Return so many licenses of one plan, each of another licensee."""
        if self.alg != "EdDSA" or count < 1_000:
            return [self.token(sub=f"lic_{number:026}") for number in range(count)]
        # By hand, because PyJWT would take the better part of a minute for the largest rows.
        header = self.token().partition(b".")[0]
        whole, made = claims(), []
        for number in range(count):
            whole["sub"] = f"lic_{number:026}"
            signed = header + b"." + base64url.encode(json.dumps(whole).encode())
            made.append(signed + b"." + base64url.encode(self.private.sign(signed)))
        return made

    def bare(self, token: bytes) -> Callable[[], object]:
        """Return the verification of `token` by `cryptography` alone, everything else done."""
        signed, _, segment = token.rpartition(b".")
        signature, verify = base64url.decode(segment), self.public.verify
        if self.alg == "EdDSA":
            return lambda: verify(signature, signed)
        if self.alg == "RS256":
            padding, digest = PKCS1v15(), SHA256()
            return lambda: verify(signature, signed, padding, digest)
        half, ecdsa = len(signature) // 2, ec.ECDSA(SHA256())
        r, s = (int.from_bytes(part) for part in (signature[:half], signature[half:]))
        der = encode_dss_signature(r, s)
        return lambda: verify(der, signed, ecdsa)


@cache
def signer(name: str) -> Signer:
    """Return this run's key of an algorithm."""
    return Signer(name)


def settings(*signers: Signer, **options: Any) -> Settings:
    """Return settings that know the keys of `signers` without a network."""
    jwks = {"keys": [one.jwk for one in signers or (signer("Ed25519"),)]}
    return Settings(
        **{"issuer": ISSUER, "audience": AUDIENCE, "jwks": jwks, "jwks_url": None, **options}
    )


def forged(token: bytes) -> bytes:
    """Return `token` with another signature."""
    head, _, signature = token.rpartition(b".")
    letter = b"A" if signature[20:21] != b"A" else b"B"
    return head + b"." + signature[:20] + letter + signature[21:]


def fresh(token: bytes) -> bytes:
    """Return a copy, whose hash nobody has asked for."""
    return bytes(bytearray(token))


def copies(tokens: Iterable[bytes]) -> list[bytes]:
    """Return a copy of each."""
    return [bytes(bytearray(token)) for token in tokens]
