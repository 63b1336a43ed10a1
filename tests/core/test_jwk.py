"""Which JWK may be used: keys.md, section 5, and the attack rows G."""

from __future__ import annotations

import json
import random
from math import prod
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import get_default_algorithms

from licet.core.keys.jwk import KeySet, Rejected, _primes, read_jwks
from tests.core.jwks import ed25519, number, private_key, public_jwk, text

DEFAULT = ("Ed25519", "EdDSA", "ES256", "PS256", "RS256")
P = 2**255 - 19


def read(*keys: Any, algorithms: tuple[str, ...] = DEFAULT) -> KeySet:
    return read_jwks({"keys": list(keys)}, algorithms)


def reason(jwk: Any, algorithms: tuple[str, ...] = DEFAULT) -> str:
    """Return why one key is refused, having seen that a good one beside it is not."""
    found = read(jwk, ed25519("good"), algorithms=(*algorithms, "EdDSA"))
    assert {kid for kid, _ in found.keys} == {"good"}
    [rejected] = found.rejected
    return rejected.reason


def rsa_jwk(n: int | None = None, e: int = 65537, **members: Any) -> dict[str, Any]:
    key = private_key("RSA")
    assert isinstance(key, rsa.RSAPrivateKey)
    n = n or key.public_key().public_numbers().n
    return {"kty": "RSA", "kid": "r", "alg": "RS256", "n": number(n), "e": number(e), **members}


def ec_jwk(curve: str = "P-256", **members: Any) -> dict[str, Any]:
    return public_jwk(private_key(curve), kid="e", **members)


def is_prime(n: int) -> bool:
    return n % 2 == 1 and all(pow(base, n - 1, n) == 1 for base in (2, 3, 5))


#: Mersenne primes: large, and prime by repute.
M1279, M2203 = 2**1279 - 1, 2**2203 - 1


def test_a_key_without_alg_serves_the_one_algorithm_that_fits() -> None:
    """P-256 fits ES256 only, Ed25519 both of its names."""
    found = read(ec_jwk(), ed25519("o"))
    assert set(found.keys) == {("e", "ES256"), ("o", "Ed25519"), ("o", "EdDSA")}
    assert found.rejected == ()


@pytest.mark.parametrize("configured", ["Ed25519", "EdDSA"])
@pytest.mark.parametrize("named", ["Ed25519", "EdDSA", None])
def test_both_names_of_ed25519_find_the_key(configured: str, named: str | None) -> None:
    """Whichever name is configured, and whichever the key carries, both headers find it."""
    jwk = ed25519("o") if named is None else ed25519("o", alg=named)
    assert set(read(jwk, algorithms=(configured,)).keys) == {("o", "Ed25519"), ("o", "EdDSA")}


@pytest.mark.parametrize(
    ("alg", "kind"),
    [
        ("EdDSA", "Ed25519"),
        ("ES256", "P-256"),
        ("ES384", "P-384"),
        ("ES512", "P-521"),
        ("PS512", "RSA"),
        ("RS384", "RSA"),
    ],
)
def test_what_is_found_verifies(alg: str, kind: str) -> None:
    """A key that was taken verifies what its private half signed."""
    key = private_key(kind)
    found = read(public_jwk(key, kid="k", alg=alg), algorithms=(alg,))
    verify = found.keys["k", alg]
    signature = get_default_algorithms()[alg].sign(b"m", key)
    assert verify.verify(b"m", signature)
    assert (verify.kid, verify.alg) == ("k", alg)


def test_thumbprints_are_those_of_the_standards() -> None:
    """RFC 7638, section 3.1, and RFC 8037, appendix A.3."""
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJ"
        "ECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW"
        "2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQ"
        "Fh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    jwk = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    found = read(jwk).keys["2011-04-29", "RS256"]
    assert found.thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    okp = read({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "1"}).keys["1", "EdDSA"]
    assert okp.thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.row("G01")
@pytest.mark.parametrize(
    "document", [{}, {"keys": None}, {"keys": {}}, {"keys": "x"}, {"keys": 0}, {"key": []}]
)
def test_g01_a_document_without_keys_is_no_key_set(document: dict[str, Any]) -> None:
    """A member `keys` that is no array is refused whole."""
    with pytest.raises(ValueError, match=r"^no array `keys`$"):
        read_jwks(document, DEFAULT)


@pytest.mark.row("G01")
def test_g01_a_set_of_unusable_keys_has_no_key() -> None:
    """An empty set and one of unusable keys are read, and hold nothing."""
    assert read().keys == {}
    assert read({"kty": "oct"}, {}).keys == {}


@pytest.mark.row("G05", "G06", "G20")
@pytest.mark.parametrize("alg", [["RS256"], {"a": 1}, 7, True, None, "", "none", "HS256", "rs256"])
def test_g05_g06_g20_a_wrong_alg_costs_its_own_key_only(alg: Any) -> None:
    """Any `alg` that is not configured, of whatever type, skips that key."""
    assert reason(rsa_jwk(alg=alg)) == "alg_not_allowed"


@pytest.mark.row("G20")
@pytest.mark.parametrize("alg", ["RSA-OAEP", "RS512", "ES384"])
def test_g20_an_algorithm_that_is_not_configured_is_skipped(alg: str) -> None:
    """A key for anything that the settings do not name is not taken."""
    assert reason(rsa_jwk(alg=alg)) == "alg_not_allowed"


@pytest.mark.row("G08")
@pytest.mark.parametrize("jwk", [None, 1, "x", [], [{}], True, 1.5])
def test_g08_what_is_no_object_is_skipped(jwk: Any) -> None:
    """An entry that is no object costs nothing but itself."""
    assert reason(jwk) == "not_an_object"


@pytest.mark.row("G07", "G09")
@pytest.mark.parametrize("members", [{"k": "c2VjcmV0"}, {}, {"alg": "HS256", "k": "c2VjcmV0"}])
def test_g07_g09_a_shared_secret_is_no_key(members: dict[str, Any]) -> None:
    """A symmetric key in a key set is refused by its own name, with or without its secret."""
    assert reason({"kty": "oct", "kid": "s", **members}) == "symmetric_in_jwks"


@pytest.mark.row("G10")
@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
@pytest.mark.parametrize("value", ["CANARY", None])
def test_g10_a_private_key_is_refused_and_forgotten(member: str, value: str | None) -> None:
    """Any private member refuses the key, and nothing of it is kept or told."""
    found = read(rsa_jwk(**{member: value}), ed25519("o", **{member: value}), ed25519("good"))
    assert {kid for kid, _ in found.keys} == {"good"}
    assert {one.reason for one in found.rejected} == {"private_key_in_jwks"}
    assert "CANARY" not in repr(found)


@pytest.mark.row("G10")
def test_g10_a_published_private_key_takes_its_kid_along() -> None:
    """The public twin of a key that everybody can sign with is not used either."""
    twin, leaked = ed25519("k"), ed25519("k", d="AAAA")
    assert read(twin, leaked).keys == read(leaked, twin).keys == {}
    renamed = twin | {"kid": "another"}
    assert read(renamed, leaked).keys == read(leaked, renamed).keys == {}


@pytest.mark.parametrize("member", ["revoked", "revoked_at"])
@pytest.mark.parametrize("value", [{"revoked_at": 1, "reason": "CANARY"}, 1, 0, True, False, None])
def test_a_key_that_was_given_up_is_not_used(member: str, value: Any) -> None:
    """Whatever stands in either member, for every kind of key, and whoever is asked to keep it."""
    for jwk in (rsa_jwk(), ec_jwk(), ed25519("o")):
        assert reason({**jwk, member: value}) == "revoked"
    assert "CANARY" not in repr(read(ed25519("o", **{member: value})))


def test_a_key_that_was_given_up_is_judged_by_that_first() -> None:
    """Also where it could not be used anyway, or shows what it should not."""
    for members in ({"d": "AAAA"}, {"kty": "oct"}, {"kty": "AKP"}, {"kid": ""}, {"use": "enc"}):
        assert reason({**ed25519("o"), **members, "revoked": {}}) == "revoked"


@pytest.mark.parametrize("member", ["revoked", "revoked_at"])
def test_a_key_that_was_given_up_takes_its_kid_along(member: str) -> None:
    """A twin without the word is not used either, nor another key of that name; others stay."""
    gone = ed25519("k", **{member: 1})
    for twin in (ed25519("k"), ed25519("other") | {"kid": "k"}, rsa_jwk(kid="k")):
        for pair in ((twin, gone), (gone, twin)):
            found = read(*pair, ed25519("good"))
            assert {kid for kid, _ in found.keys} == {"good"}
            assert found.rejected == (Rejected("k", "revoked"),)


@pytest.mark.parametrize("member", ["revoked", "revoked_at"])
@pytest.mark.parametrize("kid", ["new", None, "", 5])
def test_a_key_that_was_given_up_is_used_under_no_name(member: str, kid: Any) -> None:
    """It is the same key whatever it is called, with whatever else, and for whatever use."""
    for jwk in (ed25519("old"), {**ec_jwk(), "kid": "old"}, rsa_jwk(kid="old")):
        gone = {**jwk, "kid": kid, "use": "enc", "x5t": "x", member: None}
        for pair in ((jwk, gone), (gone, jwk)):
            assert {kid for kid, _ in read(*pair, ed25519("good")).keys} == {"good"}


def test_what_is_no_key_and_given_up_spoils_none() -> None:
    """Whatever stands where its numbers would."""
    for members in (
        *({"kty": kty} for kty in (None, 5, [], {}, "AKP", "RSA")),
        *({"x": x} for x in (None, 5, [], {"a": float("nan")}, "\ud800", object())),
    ):
        assert reason({**ed25519("o"), **members, "revoked": {}}) == "revoked"


@pytest.mark.row("G11")
@pytest.mark.parametrize("bits", [64, 512, 1024, 2047])
def test_g11_a_short_modulus_is_weak(bits: int) -> None:
    """Below 2048 bits no RSA key is taken."""
    assert reason(rsa_jwk(2**bits - 1)) == "weak_key"


@pytest.mark.row("G11")
@pytest.mark.parametrize(
    "n",
    [
        pytest.param(2**2048 - 2, id="even"),
        pytest.param(3**1300, id="power of three"),
        pytest.param(751 * M2203, id="small factor"),
        pytest.param(M2203, id="prime"),
        pytest.param(M1279**2, id="square"),
        pytest.param(M1279**3, id="cube"),
    ],
)
def test_g11_a_modulus_that_anybody_can_factor_is_weak(n: int) -> None:
    """Even, smooth, prime and power moduli of any length are refused."""
    assert reason(rsa_jwk(n)) == "weak_key"


@pytest.mark.row("G12")
@pytest.mark.parametrize("e", [1, 2, 3, 17, 65535, 65536, 65538, 2**256 + 1, 2**2047 + 1])
def test_g12_an_odd_exponent_from_65537_is_needed(e: int) -> None:
    """Small, even and huge exponents are refused."""
    assert reason(rsa_jwk(e=e)) == "weak_key"


@pytest.mark.row("G12")
@pytest.mark.parametrize("e", [65537, 65539, 2**32 + 15, 2**256 - 1])
def test_g12_larger_odd_exponents_are_taken(e: int) -> None:
    """65537 is the least exponent, not the only one."""
    assert ("r", "RS256") in read(rsa_jwk(e=e)).keys


@pytest.mark.row("G13")
@pytest.mark.parametrize("bits", [8193, 16_384, 65_536, 1_000_000])
def test_g13_a_long_modulus_is_refused_before_any_mathematics(bits: int) -> None:
    """Above 8192 bits nothing is computed with the number."""
    assert reason(rsa_jwk(2**bits - 1)) == "key_too_large"


@pytest.mark.row("G11")
def test_g11_long_moduli_of_good_keys_are_taken() -> None:
    """4096 bits are judged like 2048; above that only cheap questions are asked."""
    for bits, seed in ((2048, 10), (4096, 20)):
        key = rsa.generate_private_key(65537, bits)
        n = key.public_key().public_numbers().n
        assert ("r", "RS256") in read(rsa_jwk(n)).keys, (bits, seed)
    assert ("r", "RS256") in read(rsa_jwk(_coprime(8192))).keys


def _coprime(bits: int) -> int:
    """Return a number of this length without small factors, no prime needed to say more."""
    n = 2**bits - 1
    while any(n % d == 0 for d in range(3, 752, 2)):
        n -= 2
    return n


@pytest.mark.row("G14")
def test_g14_a_roca_key_is_refused() -> None:
    """A modulus that is a power of 65537 modulo every small prime is CVE-2017-15361."""
    small = [n for n in range(2, 168) if all(n % d for d in range(2, n))]
    product = prod(small)
    numbers = random.Random(1)

    def factor() -> int:
        while True:
            power = pow(65537, numbers.randrange(2**60), product)
            # Large enough for the product of two to have all its 2048 bits.
            multiple = numbers.randrange(3 * 2**1022 // product, 2**1024 // product - 1)
            if is_prime(candidate := multiple * product + power):
                return candidate

    n = factor() * factor()
    assert n.bit_length() == 2048
    assert reason(rsa_jwk(n)) == "weak_key"


def test_small_primes_are_all_there_and_nothing_else() -> None:
    """What moduli are held against: a prime too few misses a weak key, one too many a good one."""
    assert _primes(50) == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47]
    assert len(_primes(752)) == 133
    assert _primes(752)[-1] == 751


P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1


@pytest.mark.row("G15")
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"y": text(bytes(31) + b"\1")}, id="off the curve"),
        pytest.param({"x": text(bytes(32)), "y": text(bytes(32))}, id="infinity"),
        pytest.param({"x": text((P256 + 5).to_bytes(32))}, id="x beyond the field"),
        pytest.param({"x": text(bytes(33))}, id="longer"),
        pytest.param({"x": text(bytes(31))}, id="shorter"),
    ],
)
def test_g15_a_point_that_is_none_is_refused(wrong: dict[str, str]) -> None:
    """Points off the curve and coordinates of other lengths are bad keys."""
    assert reason(ec_jwk(**wrong)) == "bad_key"


@pytest.mark.row("G15")
def test_g15_a_compressed_point_is_refused() -> None:
    """Both coordinates are needed."""
    compressed = ec_jwk()
    del compressed["y"]
    assert reason(compressed) == "non_canonical_base64"


@pytest.mark.row("G16")
@pytest.mark.parametrize(
    "crv", ["secp256k1", "P-256K", "P-192", "brainpoolP256r1", "P-521", "P-384", 7, None, ["P-256"]]
)
def test_g16_another_curve_does_not_fit(crv: Any) -> None:
    """ES256 is P-256 and nothing else."""
    assert reason(ec_jwk(alg="ES256") | {"crv": crv}) == "alg_key_mismatch"


@pytest.mark.row("G17")
@pytest.mark.parametrize("crv", ["X25519", "X448", "Ed448", "ed25519"])
def test_g17_another_octet_key_pair_does_not_fit(crv: str) -> None:
    """Of the octet key pairs only Ed25519 signs here."""
    assert reason(ed25519("o") | {"crv": crv}) == "alg_key_mismatch"


ORDER_8 = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)


@pytest.mark.row("G17")
@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", [0, 1, P - 1, ORDER_8, P - ORDER_8, P, P + 1, P + 2, 2**255 - 1])
def test_g17_points_of_small_order_and_other_spellings_are_refused(y: int, sign: int) -> None:
    """All points of order 1, 2, 4, 8, and every encoding that is not the canonical one."""
    x = (y | sign << 255).to_bytes(32, "little")
    assert reason(ed25519("o") | {"x": text(x)}) == "bad_key"


@pytest.mark.row("G17")
@pytest.mark.parametrize("x", [bytes(31), b"\x02" * 33, (2).to_bytes(32, "little")])
def test_g17_what_is_no_point_is_refused(x: bytes) -> None:
    """Another length, or a number that is no coordinate of the curve."""
    assert reason(ed25519("o") | {"x": text(x)}) == "bad_key"


@pytest.mark.row("G18")
@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"use": None},
        {"use": ["sig"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"key_ops": ["encrypt"]},
        {"key_ops": ["sign"]},
        {"key_ops": ["verify", "verify"]},
        {"key_ops": ["verify", 1]},
        {"key_ops": None},
        {"use": "sig", "key_ops": ["verify", "encrypt"]},
        {"use": "enc", "key_ops": ["verify"]},
    ],
)
def test_g18_a_key_for_another_use_is_skipped(members: dict[str, Any]) -> None:
    """`use` and `key_ops` must allow verification, and agree."""
    assert reason(ed25519("o", **members)) == "wrong_use"


@pytest.mark.row("G18")
@pytest.mark.parametrize(
    "members",
    [{"use": "sig"}, {"key_ops": ["verify"]}, {"use": "sig", "key_ops": ["sign", "verify"]}],
)
def test_g18_a_key_for_verification_is_taken(members: dict[str, Any]) -> None:
    """What says that it verifies is taken."""
    assert ("o", "EdDSA") in read(ed25519("o", **members)).keys


@pytest.mark.row("G19")
def test_g19_a_key_that_fits_two_algorithms_is_taken_for_none() -> None:
    """The reason says which setting helps; with one of them configured the key serves."""
    jwk = rsa_jwk()
    del jwk["alg"]
    assert reason(jwk) == "alg_ambiguous:keep one of PS256,RS256 in algorithms"
    assert set(read(jwk, algorithms=("PS256",)).keys) == {("r", "PS256")}
    assert reason(jwk, ("ES256",)) == "alg_key_mismatch"


@pytest.mark.row("G21")
def test_g21_two_keys_of_one_kid_are_both_refused() -> None:
    """Nothing says which is meant, whichever comes first; the others stay."""
    first, second = ed25519("one"), ed25519("two") | {"kid": "one"}
    for pair in ((first, second), (second, first)):
        found = read(*pair, ed25519("good"))
        assert {kid for kid, _ in found.keys} == {"good"}
        assert found.rejected == (Rejected("one", "duplicate_kid"),)


@pytest.mark.row("G21")
def test_g21_two_rsa_keys_of_one_kid_are_both_refused() -> None:
    """A key of one header name as one of two."""
    found = read(rsa_jwk(), rsa_jwk(_coprime(2048)), ed25519("good"))
    assert {kid for kid, _ in found.keys} == {"good"}
    assert found.rejected == (Rejected("r", "duplicate_kid"),)


@pytest.mark.parametrize("jwk", [rsa_jwk(), ec_jwk(alg="ES256"), ec_jwk(), ed25519("k" * 256)])
def test_what_was_looked_at_is_kept(jwk: dict[str, Any]) -> None:
    """Its public members, its name of up to 256 characters, and its `alg` if it had one."""
    [*keys] = read({**jwk, "x5t": "x", "use": "sig"}).keys.values()
    assert keys
    assert all(key.jwk == jwk for key in keys)


@pytest.mark.row("G21")
def test_g21_the_same_key_twice_is_one() -> None:
    """A repetition is harmless, and one key may serve two algorithms that it names."""
    assert len(read(ed25519("o"), ed25519("o", use="sig")).keys) == 2
    both = read(rsa_jwk(alg="RS256"), rsa_jwk(alg="PS256"))
    assert set(both.keys) == {("r", "RS256"), ("r", "PS256")}


@pytest.mark.row("G22")
@pytest.mark.parametrize(
    "kid", [None, 7, ["k"], "", "k" * 257, "k\n", "k\0", "ключ", "k\u202e", {"k": 1}, True]
)
def test_g22_a_kid_is_1_to_256_printable_characters(kid: Any) -> None:
    """Anything else names no key."""
    assert reason(ed25519("o") | {"kid": kid}) == "bad_kid"


@pytest.mark.row("G22")
def test_g22_a_missing_kid_names_no_key() -> None:
    """A key without a name cannot be asked for."""
    jwk = ed25519("o")
    del jwk["kid"]
    assert read(jwk).rejected == (Rejected("?", "bad_kid"),)


@pytest.mark.row("G22")
def test_g22_a_megabyte_of_kid_is_not_repeated() -> None:
    """What is told of a refused key is short, on one line and ASCII."""
    [rejected] = read(ed25519("o") | {"kid": "é\n" * 500_000}).rejected
    assert len(rejected.kid) < 300
    assert rejected.kid.isascii()
    assert rejected.kid.isprintable()


@pytest.mark.row("G22")
def test_g22_more_than_a_hundred_keys_are_no_key_set() -> None:
    """The set is refused before any key is looked at."""
    assert len(read(*[ed25519("o")] * 100).keys) == 2
    with pytest.raises(ValueError, match=r"^too many keys$"):
        read(*[ed25519("o")] * 101)


@pytest.mark.row("G23")
@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(lambda good: good + "=", id="padded"),
        pytest.param(lambda good: good.replace("A", "+", 1) + "+", id="standard alphabet"),
        pytest.param(lambda good: good + "!!!!", id="junk"),
        pytest.param(lambda good: " " + good, id="space"),
        pytest.param(lambda good: good[:-1] + "é", id="not ASCII"),
        pytest.param(lambda good: "", id="empty"),
        pytest.param(lambda good: None, id="null"),
        pytest.param(lambda good: [good], id="list"),
        pytest.param(lambda good: 65537, id="number"),
    ],
)
@pytest.mark.parametrize("name", ["n", "e", "x", "y", "okp"])
def test_g23_numbers_have_one_spelling(name: str, spelling: Any) -> None:
    """Padding, another alphabet, junk and other types are refused, not repaired."""
    jwk = {"n": rsa_jwk(), "e": rsa_jwk(), "x": ec_jwk(), "y": ec_jwk(), "okp": ed25519("o")}[name]
    member = "x" if name == "okp" else name
    assert reason(jwk | {member: spelling(jwk[member])}) == "non_canonical_base64"


@pytest.mark.row("G23")
@pytest.mark.parametrize("member", ["n", "e"])
def test_g23_leading_zeros_are_another_spelling(member: str) -> None:
    """RFC 7518, section 2: the fewest octets that represent the value."""
    value = 65537 if member == "e" else 2**2048 - 1
    padded = text(b"\0" + value.to_bytes((value.bit_length() + 7) // 8))
    assert reason(rsa_jwk() | {member: padded}) == "non_canonical_base64"


@pytest.mark.row("G24")
@pytest.mark.parametrize("kty", ["AKP", "rsa", "", None, ["RSA"], {"a": 1}, 7])
def test_g24_an_unknown_key_type_is_skipped(kty: Any) -> None:
    """Key types of tomorrow, and of nobody, cost their own key only."""
    assert reason(ed25519("o") | {"kty": kty}) == "unsupported_kty"


@pytest.mark.row("G25")
def test_g25_certificates_in_a_key_are_not_looked_at() -> None:
    """`x5c`, `x5t`, `x5u` and unknown members change nothing, thumbprint included."""
    plain = read(ed25519("o")).keys["o", "EdDSA"]
    laden = read(ed25519("o", x5c=["junk"], x5t="x", x5u="http://evil.test/", foo={})).keys
    assert laden["o", "EdDSA"].thumbprint == plain.thumbprint


odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 2**70, 1.5, "", "AQAB", "\ud800", "é", [], ["verify"], [[]], {}, {"a": [1]}]
) | st.text(alphabet="Aa0-_=+\n\x00", max_size=90)
members = st.sampled_from(
    ["kty", "kid", "alg", "use", "key_ops", "crv", "x", "y", "n", "e", "d", "k", "x5c"]
)


@pytest.mark.row("G05")
@given(
    base=st.sampled_from(["okp", "ec", "rsa", "none"]),
    changes=st.dictionaries(members, odd, max_size=4),
)
def test_no_key_spoils_its_set(base: str, changes: dict[str, Any]) -> None:
    """Whatever stands beside a good key, the good key is found and nothing is raised."""
    start = {"okp": ed25519("o"), "ec": ec_jwk(), "rsa": rsa_jwk(), "none": {}}[base]
    found = read(start | changes, ed25519("good"))
    assert ("good", "EdDSA") in found.keys
    json.dumps([[one.kid, one.reason] for one in found.rejected])
