"""Rows C: signatures that do not hold, and keys that do not count."""

from __future__ import annotations

import json
import random
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha1, sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.attacks.case import Case, bearer, row
from tests.attacks.forge import (
    all_keys,
    b64,
    dumps,
    flipped,
    header,
    issuer_of,
    jwk_of,
    jws,
    key_of,
    mac,
    private_of,
    raw_ecdsa,
    rsa_block,
    rsa_raw,
    signature,
    signing_input,
    unb64,
    with_header,
    with_signature,
)
from tests.attacks.token import N256, mirrored
from tests.core.jwks import number, private_key, public_jwk, text
from tests.licenses import FORGER, claims, license_token

KEYS = all_keys()


@row("C01")
def changed() -> Iterator[Case]:
    """A signature holds for its bytes alone; every bit of many tokens is `test_flips`."""
    chance = random.Random("C01")
    for alg in ("EdDSA", "ES256", "RS256", "PS256"):
        token = jws(alg=alg)
        length = len(signature(token))
        cut = token.rpartition(".")[0]
        yield Case(f"{alg} holds", bearer(token), 200, None, options=KEYS)
        yield Case(f"{alg} stripped", bearer(f"{cut}."), options=KEYS)
        yield Case(f"{alg} stripped with its dot", bearer(cut), options=KEYS)
        for name, other in {
            "random": chance.randbytes(length),
            "zero": bytes(length),
            "ones": b"\xff" * length,
            "one byte": b"\0",
            "of another license": signature(jws(None, claims(sub="lic_2"), alg=alg)),
            "of the payload alone": key_of(issuer_of(alg)).sign(token.split(".")[1].encode()),
            "twice": signature(token) * 2,
            "half": signature(token)[: length // 2],
            "reversed": signature(token)[::-1],
        }.items():
            yield Case(f"{alg} {name}", bearer(with_signature(token, other)), options=KEYS)
        for place, part in enumerate(("header", "payload", "signature")):
            parts = [one.encode() for one in token.split(".")]
            for bit in chance.sample(range(8 * len(parts[place])), 4):
                turned = [*parts]
                turned[place] = flipped(parts[place], bit)
                text = b".".join(turned).decode("latin-1")
                # A bit away from a letter may be a comma, which divides two values.
                answer = (400, "license_ambiguous") if "," in text else (401, "license_invalid")
                yield Case(f"{alg} {part} bit {bit}", bearer(text), *answer, options=KEYS)
        body = dumps(claims()).replace(b'"analytics"', b'"analytics","all"')
        richer = f"{token.split('.')[0]}.{b64(body)}.{token.split('.')[2]}"
        yield Case(f"{alg} one more feature", bearer(richer), options=KEYS)
    yield Case("by another's key", bearer(license_token(FORGER)))
    yield Case("by another's key in our name", bearer(_forged()))


def _forged() -> str:
    return FORGER.sign(claims(), header={"kid": issuer_of("EdDSA").kid})


def resigned(alg: str, signatures: dict[str, bytes], token: str) -> Iterator[Case]:
    """Yield `token` under each of these signatures, none of which holds."""
    yield Case(f"{alg} as it is", bearer(token), 200, None, options=KEYS)
    for name, other in signatures.items():
        yield Case(f"{alg} {name}", bearer(with_signature(token, other)), options=KEYS)


@row("C02")
def rsa_lengths() -> Iterator[Case]:
    """An RSA signature is as long as its modulus, and less than it."""
    n = private_of("RS256").public_key().public_numbers().n
    token = jws(alg="RS256")
    good = signature(token)
    made = {
        "zero": bytes(256),
        "one": (1).to_bytes(256),
        "n": n.to_bytes(256),
        "n - 1": (n - 1).to_bytes(256),
        "n + 1": (n + 1).to_bytes(256),
        "ones": b"\xff" * 256,
        "255 bytes": good[:-1],
        "255 bytes, from behind": good[1:],
        "257 bytes": good + b"\0",
        "a leading zero": b"\0" + good,
        "512 bytes": good + good,
        "one byte": b"\1",
    }
    if (larger := int.from_bytes(good) + n) < 2**2048:
        made["s + n"] = larger.to_bytes(256)
    yield from resigned("RS256", made, token)


#: DigestInfo of SHA-256 (RFC 8017, section 9.2, note 1), without the digest.
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")


def _padded(tail: bytes, *, kind: int = 1, fill: bytes = b"\xff", length: int = 256) -> bytes:
    room = length - 3 - len(tail)
    return bytes([0, kind]) + fill * room + b"\0" + tail


@row("C03")
def rsa_padding() -> Iterator[Case]:
    """PKCS #1 v1.5 has one encoding; whatever is nearly it is refused."""
    token = jws(alg="RS256")
    message = signing_input(token)
    digest = sha256(message).digest()
    key = private_of("RS256")
    assert rsa_raw(key, _padded(_SHA256 + digest)) == signature(token), "the true one"
    info = _SHA256 + digest
    oid = bytes.fromhex("0609608648016503040201")
    blocks = {
        "no NULL": _padded(bytes.fromhex("302f300b") + oid + b"\x04\x20" + digest),
        "long NULL": _padded(bytes.fromhex("3032300e") + oid + b"\5\x81\0" + b"\x04\x20" + digest),
        "no DigestInfo": _padded(digest),
        "garbage after the digest": _padded(info + b"garbage"),
        "garbage within": _padded(
            bytes.fromhex("3033300d") + oid + b"\5\0\4\x20" + digest + b"\5\0"
        ),
        "long form of a length": _padded(b"\x30\x81\x31" + info[2:]),
        "indefinite length": _padded(b"\x30\x80" + info[2:] + b"\0\0"),
        "long form, inner": _padded(b"\x30\x32" + info[2:17] + b"\4\x81\x20" + digest),
        "leading zero length": _padded(b"\x30\x82\0\x31" + info[2:]),
        "SHA-1's name": _padded(bytes.fromhex("302d300906052b0e03021a05000420") + digest),
        "SHA-512's name": _padded(info.replace(oid, oid[:-1] + b"\3")),
        "a SHA-1 digest": _padded(
            bytes.fromhex("3021300906052b0e03021a05000414")
            + sha1(message, usedforsecurity=False).digest()
        ),
        "a digest cut": _padded(bytes.fromhex("3030300d") + oid + b"\5\0\4\x1f" + digest[:-1]),
        "block type 0": _padded(info, kind=0),
        "block type 2": _padded(info, kind=2),
        "block type 2, filled so": _padded(info, kind=2, fill=b"\x5a"),
        "filled with zeros": _padded(info, fill=b"\0"),
        "filled with fe": _padded(info, fill=b"\xfe"),
        "short fill, garbage behind": (b"\0\1" + b"\xff" * 8 + b"\0" + info).ljust(256, b"\xaa"),
        "no fill, garbage behind": (b"\0\1\0" + info).ljust(256, b"\xaa"),
        "short fill, zeros behind": (b"\0\1" + b"\xff" * 8 + b"\0" + info).ljust(256, b"\0"),
        "no separator": b"\0\1" + b"\xff" * (254 - len(info)) + info,
        "a first byte": b"\1\1" + _padded(info)[2:],
        "shifted": _padded(info)[1:] + b"\0",
        "another digest": _padded(_SHA256 + sha256(b"").digest()),
        "one bit of the fill": flipped(_padded(info), 8 * 100),
    }
    made = {name: rsa_raw(key, block) for name, block in blocks.items()}
    yield from resigned("RS256", made, token)
    for exponent in (3, 1):
        # Bleichenbacher 2006: under e = 3 a cube root is a signature for readers who stop early.
        members = {"kty": "RSA", "n": jwk_of("RS256")["n"], "e": number(exponent), "alg": "RS256"}
        options = all_keys({**members, "kid": "small"})
        bare = jws(header("RS256", kid="small"), alg="RS256")
        prefix = b"\0\1" + b"\xff" * 8 + b"\0" + _SHA256 + sha256(signing_input(bare)).digest()
        target = int.from_bytes(prefix.ljust(256, b"\xff"))
        root = _cube_root(target) if exponent == 3 else target
        forged = with_signature(bare, root.to_bytes(256))
        yield Case(f"BB06, e = {exponent}", bearer(forged), options=options)


def _cube_root(value: int) -> int:
    low, high = 0, 1 << (value.bit_length() // 3 + 2)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= value else (low, middle - 1)
    return low


@row("C04")
def pss_parameters() -> Iterator[Case]:
    """PS256 is SHA-256, MGF1 with SHA-256 and a salt of 32 bytes (RFC 7518, section 3.5)."""
    key = private_of("PS256")
    token = jws(alg="PS256")
    message = signing_input(token)

    def pss(salt: int, mask: Any = hashes.SHA256, digest: Any = hashes.SHA256) -> bytes:
        return bytes(key.sign(message, padding.PSS(padding.MGF1(mask()), salt), digest()))

    block = rsa_block(key, signature(token))
    made = {
        **{f"salt of {salt}": pss(salt) for salt in (0, 1, 20, 31, 33, 64, 222)},
        "MGF1 with SHA-1": pss(32, hashes.SHA1),
        "MGF1 with SHA-384": pss(32, hashes.SHA384),
        "MGF1 with SHA-512": pss(32, hashes.SHA512),
        "SHA-1": pss(32, hashes.SHA256, hashes.SHA1),
        "SHA-384": pss(48, hashes.SHA384, hashes.SHA384),
        "SHA-512": pss(64, hashes.SHA512, hashes.SHA512),
        "SHA-512/256": pss(32, hashes.SHA512_256, hashes.SHA512_256),
        "PKCS #1 v1.5": key.sign(message, padding.PKCS1v15(), hashes.SHA256()),
        "trailer cc": rsa_raw(key, block[:-1] + b"\xcc"),
        "trailer 33cc": rsa_raw(key, block[:-2] + b"\x33\xcc"),
        "trailer 00": rsa_raw(key, block[:-1] + b"\0"),
        "top bit": rsa_raw(key, flipped(block, 7))
        if int.from_bytes(flipped(block, 7)) < key.public_key().public_numbers().n
        else bytes(256),
        "masked digest": rsa_raw(key, flipped(block, 8 * 250)),
        "zero": bytes(256),
        "255 bytes": signature(token)[:-1],
        "257 bytes": signature(token) + b"\0",
    }
    yield from resigned("PS256", made, token)


@row("C05")
def ecdsa_values() -> Iterator[Case]:
    """R and S lie between 1 and n - 1 and stand side by side in 32 bytes each."""
    token = jws(alg="ES256")
    good = signature(token)
    r, s = int.from_bytes(good[:32]), int.from_bytes(good[32:])
    n, p = N256, 2**256 - 2**224 + 2**192 + 2**96 - 1
    pairs = {
        f"({a}, {b})": (x, y)
        for a, x in {"0": 0, "1": 1, "n": n, "n-1": n - 1, "n+1": n + 1, "p": p}.items()
        for b, y in {"0": 0, "1": 1, "n": n, "n-1": n - 1, "n+1": n + 1}.items()
    }
    pairs |= {"(r, 0)": (r, 0), "(0, s)": (0, s), "(s, r)": (s, r), "(r, n)": (r, n)}
    pairs |= {"(n-r, s)": (n - r, s), "(r, s+1)": (r, s + 1), "(2^256-1, …)": (2**256 - 1,) * 2}
    made = {name: x.to_bytes(32) + y.to_bytes(32) for name, (x, y) in pairs.items()}
    der = encode_dss_signature(r, s)
    made |= {
        "63 bytes": good[:-1],
        "63 bytes, from behind": good[1:],
        "65 bytes": good + b"\0",
        "a leading zero": b"\0" + good,
        "leading zeros in both": b"\0" + good[:32] + b"\0" + good[32:],
        "trailing zeros": good + bytes(8),
        "DER": der,
        "DER cut to 64": der[:64],
        "DER filled to 72": der.ljust(72, b"\0"),
        "the length of ES384": bytes(16) + good[:32] + bytes(16) + good[32:],
        "over SHA-1": raw_ecdsa(private_of("ES256"), signing_input(token), hashes.SHA1()),  # noqa: S303 - an input
        "over SHA-384": raw_ecdsa(private_of("ES256"), signing_input(token), hashes.SHA384()),
    }
    # What overflows 32 bytes cannot be written.
    for name, (x, y) in {"(r+n, s)": (r + n, s), "(r, s+n)": (r, s + n)}.items():
        if x < 2**256 and y < 2**256:
            made[name] = x.to_bytes(32) + y.to_bytes(32)
    yield from resigned("ES256", made, token)


@row("C06")
def other_s() -> Iterator[Case]:
    """(r, n-s) is a valid signature too, and its token another token of the same license."""
    for turn in range(3):
        token = jws(alg="ES256")
        yield Case(f"{turn}: (r, s)", bearer(token), 200, None, options=KEYS)
        yield Case(f"{turn}: (r, n-s)", bearer(mirrored(token)), 200, None, options=KEYS)


#: The order of the base point of Ed25519 (RFC 8032, section 5.1).
L = 2**252 + 27742317777372353535851937790883648493
P = 2**255 - 19


@row("C07")
def ed25519_values() -> Iterator[Case]:
    """R is a point in its one spelling, S less than the order of the base point."""
    token = jws()
    good = signature(token)
    r, s = good[:32], int.from_bytes(good[32:], "little")

    def number(value: int) -> bytes:
        return value.to_bytes(32, "little")

    yield from resigned(
        "EdDSA",
        {
            "zero": bytes(64),
            "ones": b"\xff" * 64,
            "S + L": r + number(s + L),
            "S + 2 L": r + number(s + 2 * L),
            "S + 8 L": r + number(s + 8 * L),
            "S = L": r + number(L),
            "S = 0": r + bytes(32),
            "L - S": r + number(L - s),
            "S, top bits set": r + number(s | 7 << 253),
            "63 bytes": good[:-1],
            "65 bytes": good + b"\0",
            "a leading zero": b"\0" + good,
            "32 bytes": r,
            "128 bytes": good + good,
            "R the identity": number(1) + good[32:],
            "R the identity, S = 0": number(1) + bytes(32),
            "R the identity with a sign": number(1 | 1 << 255) + bytes(32),
            "R = p + 1": number(P + 1) + bytes(32),
            "R = p": number(P) + good[32:],
            "R of order 2": number(P - 1) + bytes(32),
            "R of order 4": bytes(64),
            "R with another sign": flipped(r, 8 * 31 + 7) + good[32:],
            "R off the curve": number(2) + good[32:],
            "S before R": good[32:] + r,
        },
        token,
    )
    # The whole of RFC 8032: neither with a context nor over a digest.
    digest = key_of(issuer_of("EdDSA")).sign(sha256(signing_input(token)).digest())
    yield Case("over a digest", bearer(with_signature(token, digest)))


def _spellings(alg: str) -> Iterator[tuple[str, bytes]]:
    """Yield what people have taken for a secret that was a public key."""
    key = private_of(alg).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    yield "PEM", pem
    yield "PEM, stripped", pem.strip()
    yield "PEM, a space before", b" " + pem
    yield "PEM, a line feed before", b"\n" + pem
    yield "PEM, CRLF", pem.replace(b"\n", b"\r\n")
    yield "DER", der
    yield "base64 of DER", b64encode(der)
    yield "base64 of PEM", b64encode(pem)
    yield "SSH", key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    jwk = jwk_of(alg)
    yield "JWK", json.dumps(jwk).encode()
    yield "JWK, compact and sorted", json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode()
    yield "key set", json.dumps({"keys": [jwk]}).encode()
    yield "kid", jwk["kid"].encode()
    for member in ("n", "x", "y"):
        if member in jwk:
            yield f"text of {member}", jwk[member].encode()
            yield f"bytes of {member}", unb64(jwk[member])
    if alg == "RS256":
        yield "PKCS #1 DER", key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        yield "PKCS #1 PEM", key.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    if alg == "ES256":
        yield "point", key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        yield "certificate", _certificate(alg)
    yield "nothing", b""


def _certificate(alg: str) -> bytes:
    """Return a self-signed certificate of the key, in PEM."""
    key = private_of(alg)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "licenses.acme.example")])
    made = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2100, 1, 1, tzinfo=UTC),
    ).sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM)


@row("C09")
def confusion() -> Iterator[Case]:
    """What everybody can read is no secret: no MAC under a public key is a signature."""
    for key in ("RS256", "ES256", "EdDSA"):
        for name, secret in _spellings(key):
            for alg in ("HS256", "HS384", "HS512"):
                token = mac(secret, alg, header(key, alg=alg))
                yield Case(f"{alg} by {key} as {name}", bearer(token), options=KEYS)
            token = mac(secret, "HS256", header(key))
            yield Case(f"an HMAC named {key} by {name}", bearer(token), options=KEYS)


@row("C10")
def another_curve() -> Iterator[Case]:
    """An algorithm of elliptic curves has one curve."""
    options = all_keys(algorithms="EdDSA ES256 ES384 ES512")
    for alg in ("ES256", "ES384", "ES512"):
        yield Case(f"{alg} as it is", bearer(jws(alg=alg)), 200, None, options=options)
        for other in ("ES256", "ES384", "ES512"):
            if other != alg:
                token = jws(header(alg, alg=other), alg=alg)
                yield Case(f"{other} by the key of {alg}", bearer(token), options=options)
    digests = {"ES256": hashes.SHA256(), "ES384": hashes.SHA384()}
    for alg, key in (("ES256", "ES384"), ("ES384", "ES256")):
        # The digest that the name asks for, under the curve that it does not.
        bare = jws(header(key, alg=alg), alg=key)
        raw = raw_ecdsa(private_of(key), signing_input(bare), digests[alg])
        yield Case(f"{alg} truly by {key}", bearer(with_signature(bare, raw)), options=options)
    koblitz = ec.generate_private_key(ec.SECP256K1())
    point = koblitz.public_key().public_numbers()
    for crv in ("secp256k1", "P-256"):
        x, y = text(point.x.to_bytes(32)), text(point.y.to_bytes(32))
        members = {"kty": "EC", "crv": crv, "x": x, "y": y, "kid": "koblitz"}
        for alg in ("ES256", "ES256K"):
            bare = jws(header("ES256", alg=alg, kid="koblitz"), alg="ES256")
            raw = raw_ecdsa(koblitz, signing_input(bare), hashes.SHA256())
            token = with_signature(bare, raw)
            yield Case(f"{alg} by {crv}", bearer(token), options=all_keys(members))


@row("C13")
def another_purpose() -> Iterator[Case]:
    """The issuer's keys sign answers and status lists too: `typ` and `use` keep them apart."""
    for typ in (
        "license-validation+jwt",
        "statuslist+jwt",
        "token-introspection+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "at+jwt",
    ):
        yield Case(f"a license called {typ}", bearer(with_header(typ=typ)))
        answer = {**claims(), "valid": True, "license": claims(), "nonce": "x", "req": "x"}
        yield Case(f"an answer, {typ}", bearer(jws(header(typ=typ), answer)))
    proof = {"jti": "x", "htm": "GET", "htu": "http://testserver/me", "iat": claims()["iat"]}
    other = private_key("P-256", "proof")
    head = header("ES256", typ="dpop+jwt", jwk=public_jwk(other), kid=...)
    bare = jws(head, proof, alg="ES256")
    raw = raw_ecdsa(other, signing_input(bare), hashes.SHA256())
    yield Case("a proof of possession", bearer(with_signature(bare, raw)), options=KEYS)
    for name, members in {
        "encryption": {"use": "enc"},
        "signing only": {"key_ops": ["sign"]},
        "wrapping": {"key_ops": ["wrapKey"]},
        "exchange": {"use": "sig", "key_ops": ["deriveKey"]},
        "an unknown use": {"use": "license"},
    }.items():
        jwk = {**public_jwk(other), "kid": "other", "alg": "ES256", **members}
        bare = jws(header("ES256", kid="other"), alg="ES256")
        raw = raw_ecdsa(other, signing_input(bare), hashes.SHA256())
        token = with_signature(bare, raw)
        yield Case(f"a key for {name}", bearer(token), options=all_keys(jwk))
    good = {**public_jwk(other), "kid": "other", "alg": "ES256", "use": "sig"}
    yield Case("a key for signatures", bearer(token), 200, None, options=all_keys(good))
    yield Case("the webhook's secret", bearer(mac(b"whsec_" * 6, "HS256", header(alg="HS256"))))
