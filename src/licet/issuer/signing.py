"""Private keys of an issuer, and the file they live in.

Decides which algorithms sign and who may read the file. A private key leaves this module in one
way, `write`, and never in a text, a copy or a pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Self

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from licet.core import files
from licet.core.errors import LicetError
from licet.core.token import base64url

_KNOWN = get_default_algorithms()
# RFC 9864 gives Ed25519 a name of its own; the mathematics is that of EdDSA (RFC 8037).
_ALGORITHMS = {"EdDSA": _KNOWN["EdDSA"], "Ed25519": _KNOWN["EdDSA"]} | {
    family + bits: _KNOWN[family + bits]
    for family in ("ES", "PS", "RS")
    for bits in ("256", "384", "512")
}
_CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
#: The members that make a public key (RFC 7638, section 3.2; RFC 8037, section 2).
_PUBLIC = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}

#: The members that are numbers or octets in base64url (RFC 7518, section 6; RFC 8037).
_ENCODED = frozenset(("x", "y", "n", "e", "d", "p", "q", "dp", "dq", "qi"))


class KeyFileError(LicetError, ValueError):
    """A file of private keys that others may use, or that holds none."""


class ExposedError(LicetError):
    """Others than its owner may use a file of secrets; says so of the file."""


class SigningKey:
    """One private key and the one algorithm it signs with.

    Attributes:
        algorithm: its name in the header (RFC 7518, section 3.1; RFC 8037; RFC 9864).
        kid: the RFC 7638 thumbprint of its public half.
    """

    __slots__ = ("_algorithm", "_private", "algorithm", "kid")

    def __init__(self, algorithm: str, private: Any) -> None:
        self.algorithm = algorithm
        self._algorithm = _ALGORITHMS[algorithm]
        self._private = private
        self.kid = _thumbprint(self._public())

    @classmethod
    def generate(cls, algorithm: str) -> Self:
        """Make a new key.

        Raises:
            ValueError: `algorithm` cannot sign licenses.
        """
        if algorithm not in _ALGORITHMS:
            raise ValueError(
                f"{algorithm!r} cannot sign licenses; choose one of {', '.join(_ALGORITHMS)}"
            )
        if algorithm in _CURVES:
            return cls(algorithm, ec.generate_private_key(_CURVES[algorithm]))
        if algorithm[:2] in ("PS", "RS"):
            return cls(algorithm, rsa.generate_private_key(public_exponent=65537, key_size=2048))
        return cls(algorithm, ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> Self:
        """Read what `private_jwk` gave.

        Raises:
            Exception: it is no private key; the library's message may quote the key.
        """
        for name in _ENCODED & jwk.keys():
            # Before the library, whose decoder skips letters that no key holds: what was damaged
            # would load, or not, as its length falls.
            base64url.decode(jwk[name].encode("ascii"))
        private: Any = _ALGORITHMS[jwk["alg"]].from_jwk(dict(jwk))
        if not hasattr(private, "sign"):
            raise ValueError("a public key")
        return cls(jwk["alg"], private)

    def sign(self, message: bytes) -> bytes:
        """Return the signature of `message`, in the form of RFC 7518, section 3."""
        return self._algorithm.sign(message, self._private)

    def public_jwk(self) -> dict[str, str]:
        """Return the public half, as it is published (RFC 7517, section 4)."""
        return {**self._public(), "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def private_jwk(self) -> dict[str, Any]:
        """Return all of it, for the key file only."""
        return {**self._algorithm.to_jwk(self._private, as_dict=True), "alg": self.algorithm}

    def _public(self) -> dict[str, str]:
        jwk = self._algorithm.to_jwk(self._private.public_key(), as_dict=True)
        # By name, so that no private member can slip through whatever the library adds.
        return {name: jwk[name] for name in _PUBLIC[jwk["kty"]]}

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is neither copied nor pickled")


def _thumbprint(public: Mapping[str, str]) -> str:
    members = json.dumps(public, sort_keys=True, separators=(",", ":"))
    return base64url.encode(hashlib.sha256(members.encode("ascii")).digest()).decode("ascii")


def write(path: str | os.PathLike[str], issuer: str, keys: Sequence[SigningKey]) -> None:
    """Write the private keys of `issuer` to `path`, whole or not at all, mode 0600.

    A link at `path` is replaced, not followed.

    Raises:
        OSError: it cannot be written.
    """
    document = {"issuer": issuer, "keys": [key.private_jwk() for key in keys]}
    files.replace(path, json.dumps(document, indent=1).encode())


def contents(path: str | os.PathLike[str], most: int = -1) -> bytes:
    """Return what a file of secrets holds, its first `most` bytes where that is not negative.

    Raises:
        ExposedError: others than its owner may use it.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        # Of the open file, which nobody can exchange between this look and the reading.
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if os.name == "posix" and mode & 0o077:
            raise ExposedError(f"its mode {mode:04o} lets others use it")
        return file.read(most)


def read(path: str | os.PathLike[str]) -> tuple[str, list[SigningKey]]:
    """Return issuer and keys of a file that `write` wrote; the last key signs.

    Raises:
        KeyFileError: others than its owner may use the file, or it is no key file.
        OSError: it cannot be read.
    """
    try:
        content = contents(path)
    except ExposedError as error:
        raise KeyFileError(
            f"{os.fspath(path)} holds private keys, and {error}: run chmod 600 {os.fspath(path)}"
        ) from None
    try:
        document = json.loads(content)
        issuer, keys = document["issuer"], [SigningKey.from_jwk(jwk) for jwk in document["keys"]]
        if not isinstance(issuer, str) or not issuer or not keys:
            raise ValueError("nothing in it")
    except Exception:
        # Without its cause, whose message may quote a private key.
        raise KeyFileError(
            f"{os.fspath(path)} is no key file of an issuer; Issuer.save() makes one"
        ) from None
    return issuer, keys
