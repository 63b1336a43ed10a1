"""Which JSON Web Key may be used, and for what (RFC 7517, RFC 7518, RFC 8037).

A key set is a stranger's document even when TLS vouches for its host: every key is judged by
itself, what is refused is forgotten but for its escaped `kid` and a word why, and one bad key
never spoils the others. Of a key only its required public members are ever passed on; `x5c`,
`x5t`, `x5u` and whatever else it carries are not looked at.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import gcd, prod
from typing import Any

from jwt import PyJWK

from licet.core.events.log import escape
from licet.core.token import base64url
from licet.core.token.signature import ALGORITHMS, Verifier, family, names_of, verifier

MAX_KEYS = 100
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
#: The members that say a key was given up (OpenID Federation 1.0, section 8.7.2).
REVOKED = frozenset({"revoked", "revoked_at"})
#: The members a thumbprint is made of (RFC 7638, section 3.2; RFC 8037, section 2).
REQUIRED = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A public key that may verify signatures of one algorithm.

    Args:
        kid: its key id.
        alg: the header's `alg` under which it is found.
        thumbprint: its SHA-256 thumbprint (RFC 7638), base64url.
        verify: takes signing input and signature, returns whether the signature holds.
        jwk: what of its JWK was looked at, public members only, fit to be written down.
    """

    kid: str
    alg: str
    thumbprint: str
    verify: Verifier
    jwk: Mapping[str, str] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A key that was not taken: its `kid`, escaped and cut, or `?`; and why."""

    kid: str
    reason: str


@dataclass(frozen=True, slots=True)
class KeySet:
    """What of a key set may be used, by `(kid, alg)`, and what may not."""

    keys: Mapping[tuple[str, str], VerifyKey]
    rejected: tuple[Rejected, ...]


#: What is true of a key under whatever guise it stands there a second time: whoever has read the
#: set can sign with it, or its issuer has given it up.
_SPOILING = ("private_key_in_jwks", "revoked")


class _Refused(Exception):
    """Why one key is not taken; never leaves this module."""


def read_jwks(document: Mapping[str, Any], algorithms: Collection[str]) -> KeySet:
    """Return the keys of a JWK Set (RFC 7517, section 5) that `algorithms` can use.

    Args:
        document: the parsed set.
        algorithms: the configured names; `Ed25519` and `EdDSA` each stand for both.

    Returns:
        The usable keys, possibly none, and the rejected ones with reasons.

    Raises:
        ValueError: it is no key set, or one of more than 100 keys.
    """
    jwks = document.get("keys")
    if not isinstance(jwks, list):
        raise ValueError("no array `keys`")
    if len(jwks) > MAX_KEYS:
        raise ValueError("too many keys")
    names = sorted(names_of(algorithms))
    keys: dict[tuple[str, str], VerifyKey] = {}
    thumbprints: dict[str, str] = {}
    rejected: list[Rejected] = []
    spoilt: set[str] = set()
    given_up: set[str] = set()
    for jwk in jwks:
        kid = jwk.get("kid") if isinstance(jwk, dict) else None
        try:
            taken = _read(jwk, names)
            if thumbprints.setdefault(taken[0].kid, taken[0].thumbprint) != taken[0].thumbprint:
                # Nothing says which of the two the issuer means.
                spoilt.add(taken[0].kid)
                raise _Refused("duplicate_kid")
            keys.update({(key.kid, key.alg): key for key in taken})
        except _Refused as refused:
            rejected.append(Rejected(escape(kid) if isinstance(kid, str) else "?", str(refused)))
            if str(refused) in _SPOILING:
                if isinstance(kid, str):
                    spoilt.add(kid)
                given_up.update(_named(jwk))
    usable = {
        name: key
        for name, key in keys.items()
        if key.kid not in spoilt and key.thumbprint not in given_up
    }
    return KeySet(usable, tuple(rejected))


def _read(jwk: object, names: list[str]) -> list[VerifyKey]:
    """Return one key under each header name it serves."""
    if not isinstance(jwk, dict):
        raise _Refused("not_an_object")
    if not REVOKED.isdisjoint(jwk):
        # Whatever they say: who writes it means that the key is to be used no longer.
        raise _Refused("revoked")
    kty = jwk.get("kty")
    if kty == "oct":
        raise _Refused("symmetric_in_jwks")
    if not PRIVATE.isdisjoint(jwk):
        raise _Refused("private_key_in_jwks")
    if not isinstance(kty, str) or kty not in REQUIRED:
        raise _Refused("unsupported_kty")
    kid = jwk.get("kid")
    if not (isinstance(kid, str) and 1 <= len(kid) <= 256 and kid.isascii() and kid.isprintable()):
        raise _Refused("bad_kid")
    _check_use(jwk)
    served = _algorithms(jwk, names)
    members: dict[str, Any] = {name: jwk.get(name) for name in REQUIRED[kty]}
    _check_numbers(kty, members)
    named = thumbprint(members)
    kept = {**members, "kid": kid} | ({"alg": jwk["alg"]} if "alg" in jwk else {})
    try:
        public = PyJWK(members, algorithm=family(served[0])).key
        return [VerifyKey(kid, name, named, verifier(name, public), kept) for name in served]
    except Exception:
        # The libraries below know many ways to say no; what they say quotes the key.
        raise _Refused("bad_key") from None


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the SHA-256 thumbprint of a JWK (RFC 7638), base64url.

    Raises:
        KeyError: its `kty` is none of ours, or a required member is missing.
    """
    members = {name: jwk[name] for name in REQUIRED[jwk["kty"]]}
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode("ascii")
    return base64url.encode(hashlib.sha256(canonical).digest()).decode("ascii")


def _named(jwk: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the thumbprint of a JWK of which nothing is known, if it has one."""
    try:
        return (thumbprint(jwk),)
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()


def _check_use(jwk: Mapping[str, Any]) -> None:
    """Refuse a key that is meant for something else (RFC 7517, sections 4.2 and 4.3)."""
    if "use" in jwk and jwk["use"] != "sig":
        raise _Refused("wrong_use")
    if "key_ops" in jwk:
        ops = jwk["key_ops"]
        if not isinstance(ops, list) or not all(isinstance(op, str) for op in ops):
            raise _Refused("wrong_use")
        if "verify" not in ops or len(set(ops)) != len(ops):
            raise _Refused("wrong_use")
        if "use" in jwk and not {"sign", "verify"}.issuperset(ops):
            raise _Refused("wrong_use")


def _algorithms(jwk: Mapping[str, Any], names: list[str]) -> list[str]:
    """Return the header names under which this key may be asked for."""
    fitting = [
        name
        for name in names
        if ALGORITHMS[name].kty == jwk["kty"] and ALGORITHMS[name].crv in (None, jwk.get("crv"))
    ]
    if "alg" in jwk:
        alg = jwk["alg"]
        if not isinstance(alg, str) or alg not in names:
            raise _Refused("alg_not_allowed")
        fitting = [name for name in fitting if family(name) == family(alg)]
    if not fitting:
        raise _Refused("alg_key_mismatch")
    if len({family(name) for name in fitting}) > 1:
        # One key, one algorithm (RFC 8725bis, section 3.1): the reason says what to choose from.
        raise _Refused(f"alg_ambiguous:keep one of {','.join(fitting)} in algorithms")
    return fitting


def _check_numbers(kty: str, members: Mapping[str, object]) -> None:
    """Refuse spellings and values that the libraries below would take."""
    values: dict[str, bytes] = {}
    for name in ("n", "e", "x", "y"):
        if name in members:
            text = members[name]
            try:
                if not isinstance(text, str):
                    raise ValueError
                values[name] = base64url.decode(text.encode("ascii"))
            except ValueError:
                raise _Refused("non_canonical_base64") from None
    if kty == "RSA":
        if values["n"][0] == 0 or values["e"][0] == 0:
            # The shortest spelling is the only one (RFC 7518, section 2).
            raise _Refused("non_canonical_base64")
        _check_rsa(int.from_bytes(values["n"]), int.from_bytes(values["e"]))
    elif kty == "OKP" and not _is_sound_point(values["x"]):
        raise _Refused("bad_key")


def _check_rsa(n: int, e: int) -> None:
    if n.bit_length() > 8192:
        raise _Refused("key_too_large")
    # The bounds of FIPS 186-5, appendix A.1.1.
    if n.bit_length() < 2048 or not (65537 <= e < 2**256 and e % 2) or not _is_sound_modulus(n):
        raise _Refused("weak_key")


def _primes(below: int) -> list[int]:
    return [n for n in range(2, below) if all(n % d for d in range(2, int(n**0.5) + 1))]


_SMALL_FACTORS = prod(_primes(752))  # NIST SP 800-89, section 5.3.3
_ROCA = {
    prime: frozenset(pow(65537, power, prime) for power in range(prime))
    for prime in _primes(168)
    if prime > 2
}


@lru_cache(maxsize=256)  # Costs milliseconds, and the same key comes again with every refresh.
def _is_sound_modulus(n: int) -> bool:
    """Return whether `n` may be the product of two large primes that nobody can guess."""
    if gcd(n, _SMALL_FACTORS) != 1:
        return False
    # By Fermat, `n` is a prime or the power of one; beyond 4096 bits finding that out would hold
    # up every thread for longer than the answer is worth.
    if n.bit_length() <= 4096 and gcd(pow(2, n, n) - 2, n) != 1:
        return False
    # ROCA (CVE-2017-15361): modulo every small prime its keys are powers of 65537.
    return not all(n % prime in powers for prime, powers in _ROCA.items())


_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_ORDER_8 = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)


def _is_sound_point(encoded: bytes) -> bool:
    """Return whether this is the canonical spelling of an Ed25519 point of large order.

    RFC 8032, section 5.1.3. Under a point of small order a signature can hold for any message.
    """
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    if len(encoded) != 32 or y >= _P or y in (0, _ORDER_8, _P - _ORDER_8):
        return False
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    # Zero, hence refused too, for the points of order 1 and 2.
    return pow(square, (_P - 1) // 2, _P) == 1
