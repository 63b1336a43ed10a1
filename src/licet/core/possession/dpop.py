"""Proofs of possession of a key (RFC 9449): whether one holds for this request and license.

Nothing of a proof is trusted but what the key that the license names has signed. The order is
that of RFC 9449, section 4.3, with one step brought forward: the thumbprint is compared before
the key is used, so that no mathematics is done with a key that no issuer has named. What a proof
leaves behind to be seen only once is for the caller to record, after everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Any, NamedTuple

from licet.core.clock import Clock
from licet.core.errors import PossessionInvalid
from licet.core.keys.jwk import VerifyKey, read_jwks, thumbprint
from licet.core.possession.nonces import Nonces
from licet.core.possession.target import normalise
from licet.core.token import base64url, strictjson
from licet.core.token.compact import FORBIDDEN, media_type

#: What a proof may be signed with, in the order in which a challenge names it.
ALGORITHMS = ("ES256", "Ed25519", "EdDSA", "PS256", "RS256")
MAX_PROOF = 8192
#: Seconds a proof may be old, and that its maker's clock may be ahead.
MAX_AGE, MAX_AHEAD = 60, 5
#: Seconds for which a proof has to be remembered: as long as it could be shown again.
REMEMBERED = MAX_AGE + MAX_AHEAD + 1

_MAX_JTI = 128
_FORBIDDEN = FORBIDDEN - {"jwk"}


class Seen(NamedTuple):
    """What a proof is known by when it comes again: never what its sender could vary.

    Attributes:
        jkt: the thumbprint of its key.
        jti: its id, which is unique for that key.
    """

    jkt: str
    jti: str


class _Keys(dict[bytes, VerifyKey]):
    """Keys by the encoded header that brought them, of proofs whose signature held.

    A client sends the same header each time, so what its key was judged by is the same bytes.
    """

    CAPACITY = 1024

    def remember(self, header: bytes, key: VerifyKey) -> None:
        if header not in self:
            if len(self) >= self.CAPACITY:
                self.clear()
            self[header] = key


class Dpop:
    """Checks proofs; one for each gate.

    Args:
        clock: wall time.
        nonces: where given, a proof has to carry one of these.
    """

    def __init__(self, clock: Clock, nonces: Nonces | None = None) -> None:
        self._wall = clock.wall
        self._nonces = nonces
        self._keys = _Keys()

    def check(
        self, proofs: Sequence[str], *, method: str, url: str, credential: bytes, jkt: str
    ) -> Seen:
        """Check the proof that came with a license.

        Args:
            proofs: the values of the header field `DPoP`, one for each line.
            method: the request's own method, which no override field changes.
            url: what the request was for, as its client knows it.
            credential: the license, as it was presented.
            jkt: the thumbprint that the license is bound to.

        Returns:
            What the caller has to record for `REMEMBERED` seconds, and to refuse if it was.

        Raises:
            PossessionInvalid: the proof does not hold; with `use_dpop_nonce` and a nonce where
                nothing but the nonce is missing.
        """
        header, payload, signature = _segments(proofs)
        signing_input = header + b"." + payload
        key = self._keys.get(header) or _key(header, jkt)
        # Again where it was remembered: it may have come with another license.
        if not compare_digest(key.thumbprint, jkt):
            raise PossessionInvalid("dpop_jkt")
        if not key.verify(signing_input, _decoded(signature)):
            raise PossessionInvalid("dpop_signature")
        self._keys.remember(header, key)
        claims = _loaded(payload)
        seen = Seen(jkt, _jti(claims.get("jti")))
        if claims.get("htm") != method:
            raise PossessionInvalid("dpop_htm")
        if not _same(claims.get("htu"), url):
            raise PossessionInvalid("dpop_htu")
        if not self._is_fresh(claims.get("iat")):
            raise PossessionInvalid("dpop_iat")
        ath = claims.get("ath")
        expected = base64url.encode(sha256(credential).digest())
        if not isinstance(ath, str) or not compare_digest(ath.encode(), expected):
            raise PossessionInvalid("dpop_ath")
        if self._nonces is not None and not self._nonces.accepts(claims.get("nonce")):
            raise PossessionInvalid(
                "dpop_nonce", code="use_dpop_nonce", nonce=self._nonces.current()
            )
        return seen

    def _is_fresh(self, iat: object) -> bool:
        # True is a number to Python. Neither infinity nor NaN gets this far.
        if isinstance(iat, bool) or not isinstance(iat, (int, float)):
            return False
        return -MAX_AHEAD <= self._wall() - iat <= MAX_AGE


def _segments(proofs: Sequence[str]) -> list[bytes]:
    """Return the three parts of the one proof (RFC 7515, section 7.1), still encoded."""
    if len(proofs) == 1 and len(proofs[0]) <= MAX_PROOF:
        segments = proofs[0].strip(" \t").encode("ascii", "replace").split(b".")
        if len(segments) == 3:
            return segments
    raise PossessionInvalid("dpop_malformed")


def _key(segment: bytes, jkt: str) -> VerifyKey:
    """Return the key that a proof's header holds, if it is the one named `jkt` and a good one."""
    header = _loaded(segment)
    typ, alg, jwk = header.get("typ"), header.get("alg"), header.get("jwk")
    if not isinstance(typ, str) or media_type(typ) != "dpop+jwt":
        raise PossessionInvalid("dpop_type")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise PossessionInvalid("dpop_alg")
    if not _FORBIDDEN.isdisjoint(header):
        raise PossessionInvalid("dpop_header")
    try:
        if not compare_digest(thumbprint(jwk), jkt):  # type: ignore[arg-type]  # caught below
            raise PossessionInvalid("dpop_jkt")
    except (KeyError, TypeError):
        raise PossessionInvalid("dpop_jwk") from None
    # Judged as a key set of this key alone: what is not good enough for an issuer is not here.
    judged = read_jwks({"keys": [{**jwk, "kid": jkt}]}, [alg])  # type: ignore[dict-item]
    if judged.rejected:
        raise PossessionInvalid(f"dpop_jwk:{judged.rejected[0].reason}")
    return judged.keys[jkt, alg]


def _loaded(segment: bytes) -> dict[str, Any]:
    try:
        return strictjson.loads(base64url.decode(segment))
    except ValueError:
        # Without its cause: the message of a decoder quotes what it could not read.
        raise PossessionInvalid("dpop_malformed") from None


def _decoded(segment: bytes) -> bytes:
    try:
        return base64url.decode(segment)
    except ValueError:
        raise PossessionInvalid("dpop_malformed") from None


def _jti(jti: object) -> str:
    if not isinstance(jti, str) or not 1 <= len(jti) <= _MAX_JTI:
        raise PossessionInvalid("dpop_jti")
    if not jti.isascii() or not jti.isprintable():
        raise PossessionInvalid("dpop_jti")
    return jti


def _same(htu: object, url: str) -> bool:
    try:
        return isinstance(htu, str) and normalise(htu) == normalise(url)
    except ValueError:
        return False
