"""Which signature algorithms exist for Licet, and the one way to check a signature.

Only asymmetric algorithms of RFC 7518, RFC 8037 and RFC 9864 are listed, so that neither `none`
nor a shared secret can ever be configured. The mathematics are those of `cryptography`; a verifier
is bound to one algorithm and one public key beforehand, so no token chooses either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import cryptography
import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

#: Takes the signing input and the raw JWS signature; true only if the signature holds.
Verifier: TypeAlias = Callable[[bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One JOSE signature algorithm.

    Args:
        name: the value of the header parameter `alg`.
        kty: the key type it needs (RFC 7517, section 4.1).
        crv: the curve it needs, or None where the key type has none.
    """

    name: str
    kty: str
    crv: str | None = None


ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType(
    {
        algorithm.name: algorithm
        for algorithm in (
            Algorithm("Ed25519", "OKP", "Ed25519"),
            Algorithm("EdDSA", "OKP", "Ed25519"),
            Algorithm("ES256", "EC", "P-256"),
            Algorithm("ES384", "EC", "P-384"),
            Algorithm("ES512", "EC", "P-521"),
            Algorithm("PS256", "RSA"),
            Algorithm("PS384", "RSA"),
            Algorithm("PS512", "RSA"),
            Algorithm("RS256", "RSA"),
            Algorithm("RS384", "RSA"),
            Algorithm("RS512", "RSA"),
        )
    }
)

#: The oldest of each that Licet was tested with; older ones have holes that are known.
_OLDEST = {"PyJWT": (2, 15), "cryptography": (42, 0)}


def check_versions(versions: Mapping[str, str]) -> None:
    """Refuse libraries that another package's requirements have pulled back.

    Args:
        versions: what is installed, by the name of the distribution.

    Raises:
        ImportError: one is older than Licet was tested with.
    """
    for name, oldest in _OLDEST.items():
        if tuple(map(int, re.findall(r"\d+", versions[name])[:2])) < oldest:
            least = ".".join(map(str, oldest))
            raise ImportError(
                f"Licet needs {name} {least} or newer, and {versions[name]} is installed: "
                f'run pip install "{name}>={least}"'
            )


check_versions({"PyJWT": jwt.__version__, "cryptography": cryptography.__version__})

_CURVES = {"P-256": "secp256r1", "P-384": "secp384r1", "P-521": "secp521r1"}
_HASHES = {"256": SHA256(), "384": SHA384(), "512": SHA512()}


def family(alg: str) -> str:
    """Return what `alg` counts as: `Ed25519` (RFC 9864) and `EdDSA` (RFC 8037) are one."""
    return "EdDSA" if alg == "Ed25519" else alg


def names_of(algorithms: Collection[str]) -> frozenset[str]:
    """Return every header name under which a token of `algorithms` may come."""
    families = {family(alg) for alg in algorithms}
    return frozenset(name for name in ALGORITHMS if family(name) in families)


def verifier(alg: str, public_key: object) -> Verifier:
    """Return what checks signatures of `alg` under `public_key`, and nothing else.

    The verifier returns False for whatever is no signature of that key over that input, wrong
    lengths included, and raises nothing for any pair of `bytes`.

    Args:
        alg: a name in `ALGORITHMS`.
        public_key: a public key object of `cryptography` that fits the algorithm.

    Raises:
        ValueError: the algorithm is unknown, or the key is none of its public keys.
    """
    algorithm = ALGORITHMS.get(alg)
    match public_key:
        case Ed25519PublicKey() if algorithm and algorithm.kty == "OKP":
            return _bound(public_key.verify, 64)
        case EllipticCurvePublicKey() if (
            algorithm and algorithm.crv and _CURVES.get(algorithm.crv) == public_key.curve.name
        ):
            half = (public_key.key_size + 7) // 8
            return _bound(public_key.verify, 2 * half, ECDSA(_HASHES[alg[2:]]), half=half)
        case RSAPublicKey() if algorithm and algorithm.kty == "RSA":
            length, digest = (public_key.key_size + 7) // 8, _HASHES[alg[2:]]
            # The salt is as long as the digest (RFC 7518, section 3.5).
            pss = alg.startswith("PS")
            padding = PSS(MGF1(digest), digest.digest_size) if pss else PKCS1v15()
            return _bound(public_key.verify, length, padding, digest)
    raise ValueError(f"no public key for the algorithm {alg!r}")


def _bound(verify: Callable[..., None], length: int, *algorithm: object, half: int = 0) -> Verifier:
    """Return what has `verify` check signatures of exactly `length` bytes by `algorithm`.

    Args:
        half: of the length, where R and S stand side by side (RFC 7518, section 3.4): the
            library takes them in ASN.1.
    """

    def check(signing_input: bytes, signature: bytes) -> bool:
        if len(signature) != length:
            return False
        if half:
            r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
            signature = encode_dss_signature(r, s)
        try:
            verify(signature, signing_input, *algorithm)
        except (InvalidSignature, ValueError):
            # ValueError is said of values outside the ranges of the mathematics.
            return False
        return True

    return check
