"""The rows G of the attack table, each from the URL of a server that serves such a key set."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.core.jwks import ed25519, number, private_key, public_jwk, text
from tests.doctor.ward import KEY_SET, Ward, codes, found, served

GOOD = ed25519("good")
M2203 = 2**2203 - 1  # A Mersenne prime.


def rsa(**members: Any) -> dict[str, Any]:
    return public_jwk(private_key("RSA"), kid="k", **{"alg": "RS256", **members})


def ec(curve: str = "P-256", **members: Any) -> dict[str, Any]:
    return public_jwk(private_key(curve), kid="k", **members)


def roca() -> int:
    """Return a number that is a power of 65537 modulo every small prime, as such keys are."""
    least, product = 1, 1
    for prime in (n for n in range(3, 168) if all(n % d for d in range(2, n))):
        while least % prime != pow(65537, 3, prime):
            least += product
        product *= prime
    candidate = least + product * (2**2047 // product + 1)
    while any(candidate % d == 0 for d in (2, *range(3, 752, 2))):
        candidate += product
    return candidate


#: One key beside a good one: row, the key, the code, and the word that says why.
KEYS: list[tuple[str, Any, str, str]] = [
    ("G05", rsa(alg=["RS256"]), "keys_unfit", "alg_not_allowed"),
    ("G05", rsa(alg={"a": 1}), "keys_unfit", "alg_not_allowed"),
    ("G06", rsa(alg="none"), "keys_unfit", "alg_not_allowed"),
    ("G07", {"kty": "oct", "kid": "k"}, "keys_symmetric", "symmetric_in_jwks"),
    ("G08", None, "keys_malformed", "not_an_object"),
    ("G08", 1, "keys_malformed", "not_an_object"),
    ("G08", "x", "keys_malformed", "not_an_object"),
    ("G08", [], "keys_malformed", "not_an_object"),
    ("G09", {"kty": "oct", "kid": "k", "k": "CANARY"}, "keys_symmetric", "symmetric_in_jwks"),
    *(
        ("G10", ed25519("k", **{member: "CANARY"}), "keys_private", "private_key_in_jwks")
        for member in ("d", "p", "q", "dp", "dq", "qi", "k", "oth")
    ),
    ("G11", rsa(n=number(2**1024 - 1)), "keys_weak", "weak_key"),
    ("G11", rsa(n=number(2**2048 - 2)), "keys_weak", "weak_key"),
    ("G11", rsa(n=number(3**1300)), "keys_weak", "weak_key"),
    ("G11", rsa(n=number(M2203)), "keys_weak", "weak_key"),
    *(("G12", rsa(e=number(e)), "keys_weak", "weak_key") for e in (1, 2, 3, 2**2047 + 1)),
    ("G13", rsa(n=number(2**16_384 - 1)), "keys_weak", "key_too_large"),
    ("G14", rsa(n=number(roca())), "keys_weak", "weak_key"),
    ("G15", ec(y=text(bytes(31) + b"\1")), "keys_malformed", "bad_key"),
    ("G15", ec(x=text(bytes(32)), y=text(bytes(32))), "keys_malformed", "bad_key"),
    ("G15", ec(x=text(bytes(33))), "keys_malformed", "bad_key"),
    ("G16", ec(crv="P-256K"), "keys_unfit", "alg_key_mismatch"),
    ("G16", ec("P-521", alg="ES256"), "keys_unfit", "alg_key_mismatch"),
    ("G17", ed25519("k") | {"crv": "X25519"}, "keys_unfit", "alg_key_mismatch"),
    ("G17", ed25519("k") | {"crv": "Ed448"}, "keys_unfit", "alg_key_mismatch"),
    ("G17", ed25519("k") | {"x": text(bytes(31))}, "keys_malformed", "bad_key"),
    ("G17", ed25519("k") | {"x": text(bytes(32))}, "keys_malformed", "bad_key"),
    ("G18", ed25519("k", use="enc"), "keys_unfit", "wrong_use"),
    ("G18", ed25519("k", key_ops=["sign"]), "keys_unfit", "wrong_use"),
    ("G19", public_jwk(private_key("RSA"), kid="k"), "keys_ambiguous", "alg_ambiguous"),
    ("G20", rsa(alg="RSA-OAEP"), "keys_unfit", "alg_not_allowed"),
    ("G20", rsa(alg="HS256"), "keys_unfit", "alg_not_allowed"),
    ("G22", ed25519("k") | {"kid": 5}, "keys_malformed", "bad_kid"),
    ("G22", ed25519("k") | {"kid": "k" * 300}, "keys_malformed", "bad_kid"),
    ("G23", rsa(n=rsa()["n"] + "="), "keys_malformed", "non_canonical_base64"),
    ("G23", rsa(e="!!!!"), "keys_malformed", "non_canonical_base64"),
    ("G23", rsa(e=text(b"\0\1\0\1")), "keys_malformed", "non_canonical_base64"),
    ("G24", {"kty": "AKP", "kid": "k", "alg": "ML-DSA-44"}, "keys_unfit", "unsupported_kty"),
    ("G24", {"kty": ["RSA"], "kid": "k"}, "keys_unfit", "unsupported_kty"),
]
#: A whole document: row, what is served, the code.
DOCUMENTS: list[tuple[str, bytes, str]] = [
    ("G01", b"{}", "keys_unreadable"),
    ("G01", b'{"keys": null}', "keys_unreadable"),
    ("G01", b'{"keys": {}}', "keys_unreadable"),
    ("G01", b'{"keys": "x"}', "keys_unreadable"),
    ("G01", b'{"keys": []}', "keys_none_usable"),
    ("G01", b'{"keys": [{"kty": "oct"}, {}]}', "keys_none_usable"),
    ("G02", b"[]", "keys_unreadable"),
    ("G02", b'"x"', "keys_unreadable"),
    ("G02", b"7", "keys_unreadable"),
    ("G02", b"keys", "keys_unreadable"),
    ("G02", b"<!doctype html>", "keys_unreadable"),
    ("G02", b"", "keys_unreadable"),
    ("G02", KEY_SET[:-3], "keys_unreadable"),
    ("G03", b'{"keys": [], "x": "\xff"}', "keys_unreadable"),
    ("G03", KEY_SET.decode().encode("utf-16"), "keys_unreadable"),
    ("G03", b"\xef\xbb\xbf" + KEY_SET, "keys_unreadable"),
    ("G03", b'{"keys": [], "x": NaN}', "keys_unreadable"),
    ("G03", b'{"keys": [], "keys": []}', "keys_unreadable"),
    ("G04", b'{"keys":' + b"[" * 100_000, "keys_unreadable"),
    ("G22", json.dumps({"keys": [GOOD] * 101}).encode(), "keys_unreadable"),
    ("G22", b" " * (5 * 2**20), "keys_too_large"),
    ("G22", json.dumps({"keys": [ed25519("k") | {"kid": "k" * 2**20}]}).encode(), "keys_too_large"),
]


def _marked(cases: list[Any]) -> list[Any]:
    return [
        pytest.param(*case, id=f"{row} {place}", marks=pytest.mark.row(row))
        for place, (row, *case) in enumerate(cases)
    ]


@pytest.mark.parametrize(("key", "code", "word"), _marked(KEYS))
def test_a_bad_key(key: Any, code: str, word: str, ward: Ward) -> None:
    """It is named, with the reason; the good key beside it is found to be of use."""
    body = json.dumps({"keys": [key, GOOD]}).encode()
    said = ward.visit(ward.serve(served(body)))
    finding = found(said, code)
    assert f"({word})" in finding["detail"]
    named = isinstance(key, dict) and isinstance(key["kid"], str)
    assert finding["detail"].startswith("key k" if named else "key ?")
    assert "good" in found(said, "keys_ok")["detail"]
    assert "CANARY" not in said.out


@pytest.mark.parametrize(("document", "code"), _marked(DOCUMENTS))
def test_a_bad_set(document: bytes, code: str, ward: Ward) -> None:
    """It is a fault, and no key is said to be of use."""
    said = ward.visit(ward.serve(served(document)))
    assert said.status == 1
    assert found(said, code)["severity"] == "fault"
    assert "keys_ok" not in codes(said)


@pytest.mark.row("G21")
def test_g21_two_keys_of_one_id(ward: Ward) -> None:
    """Both are of no use, and the id is named."""
    twins = {"keys": [ed25519("k"), ed25519("l") | {"kid": "k"}]}
    said = ward.visit(ward.serve(served(json.dumps(twins).encode())))
    assert "key k " in found(said, "keys_duplicate_kid")["detail"]
    assert "keys_none_usable" in codes(said)


@pytest.mark.row("G25")
def test_g25_certificates_in_a_set(ward: Ward) -> None:
    """What they say is not looked at, so nothing is wrong with a key that has others'."""
    assert isinstance(private_key("RSA"), RSAPrivateKey)
    key = rsa(x5c=["AAAA"], x5t="AAAA")
    said = ward.visit(ward.serve(served(json.dumps({"keys": [key]}).encode())))
    assert said.status == 0
    assert "keys_ok" in codes(said)


@pytest.mark.row("G26")
def test_g26_a_set_without_any_key_from_before(ward: Ward) -> None:
    """It is told of where keys came with the installation; with one in common it is not."""
    url = ward.serve(served(json.dumps({"keys": [ed25519("a"), ed25519("b")]}).encode()))
    bundled = ward.directory / "bundled.json"
    options = ("--issuer", "https://a.example", "--audience", "a", "--jwks-url", url)
    told = []
    for kid in ("b", "c"):
        bundled.write_text(json.dumps({"keys": [ed25519(kid)]}))
        told.append("keys_disjoint" in codes(ward.visit(url, *options, "--jwks", bundled)))
    assert told == [False, True]
