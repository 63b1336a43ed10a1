"""How hostile tokens are made: any header, payload and signature, under any key there is.

Only what a row names is wrong with a token made here; everything else about it is good, and its
signature holds wherever the row does not say otherwise. So nothing is refused for another reason.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import HashAlgorithm

from licet.core.token import base64url
from licet.issuer import Issuer
from licet.issuer.signing import SigningKey
from tests import licenses

#: A header or a payload: members to be written as JSON, or bytes as they are.
Part = dict[str, Any] | bytes


def b64(value: bytes) -> str:
    """Return the canonical base64url spelling of `value`."""
    return base64url.encode(value).decode("ascii")


def unb64(segment: str) -> bytes:
    """Return what `segment` spells."""
    return base64url.decode(segment.encode("ascii"))


@cache
def issuer_of(alg: str) -> Issuer:
    """Return an issuer of the suite's name with a key of `alg`; the suite's own for EdDSA."""
    if alg == "EdDSA":
        return licenses.ISSUER
    return Issuer.generate(licenses.ISSUER_NAME, algorithm=alg)


def key_of(issuer: Issuer = licenses.ISSUER) -> SigningKey:
    """Return the key that signs for `issuer`."""
    return issuer._keys[-1]


def private_of(alg: str) -> Any:
    """Return the private key of `issuer_of(alg)`, to compute with."""
    return key_of(issuer_of(alg))._private


def jwk_of(alg: str) -> dict[str, str]:
    """Return the public JWK of `issuer_of(alg)`."""
    return key_of(issuer_of(alg)).public_jwk()


def all_keys(
    *further: dict[str, Any], algorithms: str = "EdDSA ES256 RS256 PS256"
) -> dict[str, Any]:
    """Return settings of a gate that knows a key of each of these, and `further` ones."""
    names = algorithms.split()
    return {
        "jwks": {"keys": [*map(jwk_of, names), *further]},
        "algorithms": tuple(names),
    }


def header(alg: str = "EdDSA", /, **changes: Any) -> dict[str, Any]:
    """Return the header of a good license of `alg`; a change to `...` removes the member."""
    good = {"typ": "license+jwt", "alg": alg, "kid": issuer_of(alg).kid}
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def dumps(part: Part) -> bytes:
    """Return a part as bytes; NaN and lone surrogates are written as they are asked for."""
    if isinstance(part, bytes):
        return part
    return json.dumps(part, separators=(",", ":")).encode("ascii")


def signed(head: str, body: str, alg: str = "EdDSA") -> str:
    """Return two segments, as they are, under a signature of `issuer_of(alg)` that holds."""
    signing_input = f"{head}.{body}".encode("utf-8", "surrogatepass")
    return f"{head}.{body}.{b64(key_of(issuer_of(alg)).sign(signing_input))}"


def jws(head: Part | None = None, body: Part | None = None, *, alg: str = "EdDSA") -> str:
    """Return a token with these parts under a signature that holds."""
    head = header(alg) if head is None else head
    body = licenses.claims() if body is None else body
    return signed(b64(dumps(head)), b64(dumps(body)), alg)


def with_header(alg: str = "EdDSA", /, **changes: Any) -> str:
    """Return a good license but for its header, over which its signature holds."""
    return jws(header(alg, **changes), alg=alg)


def with_signature(token: str, signature: bytes) -> str:
    """Return `token` under another signature."""
    return f"{token.rpartition('.')[0]}.{b64(signature)}"


def signing_input(token: str) -> bytes:
    """Return what the signature of `token` is over."""
    return token.rpartition(".")[0].encode("ascii")


def signature(token: str) -> bytes:
    """Return the raw signature of `token`."""
    return unb64(token.rpartition(".")[2])


def mac(secret: bytes, alg: str, head: dict[str, Any]) -> str:
    """Return a token whose signature is an HMAC, which no library has to consent to."""
    token = f"{b64(dumps(head))}.{b64(dumps(licenses.claims()))}"
    digest = getattr(hashlib, f"sha{alg[-3:]}")
    return f"{token}.{b64(hmac.digest(secret, token.encode('ascii'), digest))}"


def flipped(value: bytes, bit: int) -> bytes:
    """Return `value` with one bit turned over, counted from its start."""
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def rsa_raw(key: RSAPrivateKey, block: bytes) -> bytes:
    """Return the bare RSA signature of any encoded message (RFC 8017, section 5.2.1)."""
    numbers, value = key.private_numbers(), int.from_bytes(block)
    p, q = numbers.p, numbers.q
    # By the Chinese remainder theorem, which takes a third of the time.
    low, high = pow(value, numbers.dmq1, q), pow(value, numbers.dmp1, p)
    whole = low + q * (numbers.iqmp * (high - low) % p)
    return whole.to_bytes((key.key_size + 7) // 8)


def rsa_block(key: RSAPrivateKey, signature: bytes) -> bytes:
    """Return the encoded message that a signature is over (RFC 8017, section 5.2.2)."""
    public = key.public_key().public_numbers()
    return pow(int.from_bytes(signature), public.e, public.n).to_bytes(len(signature))


def raw_ecdsa(key: Any, message: bytes, digest: HashAlgorithm) -> bytes:
    """Return an ECDSA signature with any curve and digest, R and S side by side (RFC 7518, 3.4)."""
    r, s = decode_dss_signature(key.sign(message, ECDSA(digest)))
    length = (key.key_size + 7) // 8
    return r.to_bytes(length) + s.to_bytes(length)


def other_last_letters(segment: str) -> list[str]:
    """Return the spellings of a segment whose unused bits are not zero (RFC 4648, section 3.5)."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    unused = {2: 16, 3: 4}.get(len(segment) % 4, 1)
    last = letters.index(segment[-1])
    return [segment[:-1] + letters[last + n] for n in range(1, unused)]


def of_length(total: int) -> str:
    """Return a good license of exactly `total` characters."""
    whole = licenses.claims()
    for width in range(4):
        head = b64(dumps(header(x="x" * width)))
        room = total - len(head) - 2 - 86  # two dots, and 64 bytes of signature
        filler = room * 3 // 4 - len(dumps(whole | {"filler": ""}))
        for length in (filler - 1, filler, filler + 1):
            token = signed(head, b64(dumps(whole | {"filler": "x" * max(length, 0)})))
            if len(token) == total:
                return token
    raise ValueError("no license has that length")
