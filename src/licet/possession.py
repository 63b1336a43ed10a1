"""The holder's side of a license that is bound to a key or to a certificate.

For clients, and for tests of licensed code. The private key stays with its holder; the issuer
is told its thumbprint and writes it into the license, `cnf={"jkt": key.jkt}` or
`cnf={"x5t#S256": certificate_thumbprint(pem)}`. Then a stolen license is of no use to the thief.

    key = ProofKey.generate()
    headers = {
        "Authorization": f"DPoP {license}",
        "DPoP": key.proof("GET", "https://api.example/reports", license),
    }
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NoReturn, Self

from licet.core.clock import SYSTEM_CLOCK
from licet.core.errors import PossessionInvalid
from licet.core.keys.jwk import REQUIRED
from licet.core.possession import mtls
from licet.core.possession.dpop import ALGORITHMS
from licet.core.token import base64url
from licet.issuer.signing import SigningKey

__all__ = ["ProofKey", "certificate_thumbprint"]


class ProofKey:
    """A private key that proves who presents a license (RFC 9449); neither copied nor pickled.

    Args:
        algorithm: `ES256`, `Ed25519`, `EdDSA`, `PS256` or `RS256`.
        private_key: a private key object of `cryptography` that fits it, as
            `load_pem_private_key` returns one.

    Raises:
        ValueError: no gate accepts proofs of that algorithm.
    """

    def __init__(self, algorithm: str, private_key: Any) -> None:
        self._key = SigningKey(_known(algorithm), private_key)

    @classmethod
    def generate(cls, algorithm: str = "ES256") -> Self:
        """Make a new key.

        Raises:
            ValueError: no gate accepts proofs of that algorithm.
        """
        made = cls.__new__(cls)
        made._key = SigningKey.generate(_known(algorithm))
        return made

    @property
    def jkt(self) -> str:
        """The key's thumbprint (RFC 7638), for the claim `cnf`."""
        return self._key.kid

    def proof(
        self,
        method: str,
        url: str,
        token: str,
        *,
        nonce: str | None = None,
        iat: float | None = None,
        jti: str | None = None,
        header: Mapping[str, object] | None = None,
        **claims: object,
    ) -> str:
        """Return a proof for one request, to be sent in the header field `DPoP`.

        Args:
            method: of the request; a websocket opens with `GET`.
            url: of the request, http or https; query and fragment are left out.
            token: the license that the request carries.
            nonce: what the field `DPoP-Nonce` of the last refusal said, if there was one.
            iat: seconds since the epoch; now where not given.
            jti: what makes the proof unique; random where not given.
            header: for tests, members beside or instead of its own; None leaves one out.
            **claims: for tests, likewise.
        """
        public = self._key.public_jwk()
        jwk = {member: public[member] for member in REQUIRED[public["kty"]]}
        members = {
            "htm": method,
            "htu": url.partition("#")[0].partition("?")[0],
            "iat": int(SYSTEM_CLOCK.wall()) if iat is None else iat,
            "jti": secrets.token_urlsafe(16) if jti is None else jti,
            "ath": base64url.encode(sha256(token.encode()).digest()).decode("ascii"),
            "nonce": nonce,
            **claims,
        }
        named = {"typ": "dpop+jwt", "alg": self._key.algorithm, "jwk": jwk, **(header or {})}
        signing_input = _segment(named) + b"." + _segment(members)
        signature = base64url.encode(self._key.sign(signing_input))
        return (signing_input + b"." + signature).decode("ascii")

    def __repr__(self) -> str:
        return f"<ProofKey {self._key.algorithm} {self.jkt}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is neither copied nor pickled")


def certificate_thumbprint(certificate: str | bytes) -> str:
    """Return the SHA-256 of a certificate, base64url, for the claim `cnf` (RFC 8705, 3.1).

    Args:
        certificate: one, in PEM or DER.

    Raises:
        ValueError: it is neither, more than one, or larger than gates read.
    """
    try:
        return mtls.digest(mtls.read(certificate))
    except PossessionInvalid:
        raise ValueError("this is not one certificate in PEM or DER of at most 16 KiB") from None


def _known(algorithm: str) -> str:
    if algorithm not in ALGORITHMS:
        raise ValueError(f"no gate accepts {algorithm!r}; choose one of {', '.join(ALGORITHMS)}")
    return algorithm


def _segment(members: Mapping[str, object]) -> bytes:
    kept = {name: value for name, value in members.items() if value is not None}
    return base64url.encode(json.dumps(kept, separators=(",", ":")).encode())
