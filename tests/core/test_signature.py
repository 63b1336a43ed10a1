"""Raw verification: what holds, what does not, and which key an algorithm takes."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import get_default_algorithms

from licet.core.token import signature
from licet.core.token.signature import ALGORITHMS, family, names_of, verifier
from tests.core.jwks import private_key

KEYS = {name: private_key(algorithm.crv or algorithm.kty) for name, algorithm in ALGORITHMS.items()}


def sign(alg: str, message: bytes) -> bytes:
    return get_default_algorithms()[family(alg)].sign(message, KEYS[alg])


def test_the_algorithms_are_asymmetric_and_closed() -> None:
    """Neither `none` nor a shared secret can be named, and the table cannot be added to."""
    assert set(ALGORITHMS) == set(
        "Ed25519 EdDSA ES256 ES384 ES512 PS256 PS384 PS512 RS256 RS384 RS512".split()
    )
    with pytest.raises(TypeError):
        ALGORITHMS["HS256"] = ALGORITHMS["RS256"]  # type: ignore[index]


def test_both_names_of_ed25519_count_as_one() -> None:
    """Whoever configures one takes tokens of both; no other algorithms are alike."""
    assert family("Ed25519") == family("EdDSA")
    assert len({family(name) for name in ALGORITHMS}) == len(ALGORITHMS) - 1
    assert names_of(["Ed25519", "ES256"]) == {"Ed25519", "EdDSA", "ES256"}
    assert names_of([]) == frozenset()


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_signature_holds_for_its_message_alone(alg: str) -> None:
    """True for the message that was signed; False for another message, another key's signature."""
    verify = verifier(alg, KEYS[alg].public_key())
    good = sign(alg, b"message")
    assert verify(b"message", good) is True
    assert verify(b"massage", good) is False
    assert verify(b"message", good[:-1] + bytes([good[-1] ^ 1])) is False


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_every_other_length_is_no_signature(alg: str) -> None:
    """Shorter, longer, empty and zero signatures are False, never an exception."""
    verify = verifier(alg, KEYS[alg].public_key())
    good = sign(alg, b"m")
    wrong = [b"", good[:-1], good + b"\0", b"\0" + good, good * 2]
    assert [verify(b"m", one) for one in wrong] == [False] * len(wrong)
    assert verify(b"m", bytes(len(good))) is False
    assert verify(b"m", b"\xff" * len(good)) is False


@given(junk=st.binary(max_size=300), alg=st.sampled_from(sorted(ALGORITHMS)))
def test_nothing_but_a_bool_comes_of_any_bytes(junk: bytes, alg: str) -> None:
    """Whatever stands for a signature, the answer is False and no exception."""
    assert verifier(alg, KEYS[alg].public_key())(b"m", junk) is False


def test_a_der_signature_is_no_jws_signature() -> None:
    """ECDSA signatures are R and S side by side (RFC 7518, section 3.4), not DER."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    key = KEYS["ES256"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    der = key.sign(b"m", ec.ECDSA(SHA256()))
    assert verifier("ES256", key.public_key())(b"m", der) is False


def test_psychic_signatures_are_refused() -> None:
    """R = S = 0 verifies nothing (CVE-2022-21449)."""
    for alg, length in (("ES256", 64), ("ES384", 96), ("ES512", 132)):
        assert verifier(alg, KEYS[alg].public_key())(b"m", bytes(length)) is False


def test_an_error_of_the_mathematics_is_no_signature() -> None:
    """What the libraries below call a wrong value is False, whatever the value was."""

    def fail(*_: object) -> None:
        raise ValueError

    assert signature._bound(fail, 2)(b"m", b"xx") is False


@pytest.mark.parametrize("alg", ALGORITHMS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_what_holds_here_holds_for_another_library(alg: str, data: st.DataObject) -> None:
    """PyJWT says the same of every signature, whole, damaged, and of another message."""
    message = data.draw(st.binary(max_size=40))
    good = sign(alg, message)
    place = data.draw(st.integers(0, len(good) - 1))
    other = bytes([data.draw(st.integers(0, 255))])
    presented = good[:place] + other + good[place + 1 :]
    public = KEYS[alg].public_key()
    judge = get_default_algorithms()[family(alg)].verify
    assert verifier(alg, public)(message, good) is True
    assert verifier(alg, public)(message, presented) is judge(message, public, presented)
    assert verifier(alg, public)(message + b".", good) is False


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_numbers_that_begin_with_zeros_hold(alg: str) -> None:
    """R and S are padded to their length (RFC 7518, section 3.4), whatever their own length is."""
    length = {"ES256": 64, "ES384": 96, "ES512": 132}[alg]
    # The first byte of R for P-521 is 0 or 1, so there the second has to be zero as well.
    begun = bytes(2 if alg == "ES512" else 1)
    signatures = (sign(alg, b"m") for _ in range(100_000))
    short_r = next(one for one in signatures if one.startswith(begun))
    short_s = next(one for one in signatures if one.startswith(begun, length // 2))
    verify = verifier(alg, KEYS[alg].public_key())
    assert verify(b"m", short_r)
    assert verify(b"m", short_s)


@pytest.mark.parametrize(
    ("alg", "key"),
    [
        ("ES256", KEYS["ES384"].public_key()),
        ("ES512", KEYS["ES256"].public_key()),
        ("RS256", KEYS["ES256"].public_key()),
        ("EdDSA", KEYS["RS256"].public_key()),
        ("EdDSA", X25519PrivateKey.generate().public_key()),
        ("RS256", KEYS["RS256"]),
        ("ES256", KEYS["ES256"]),
        ("EdDSA", KEYS["EdDSA"]),
        ("HS256", b"secret"),
        ("none", None),
        ("ES256K", KEYS["ES256"].public_key()),
    ],
)
def test_only_a_public_key_of_its_own_kind_fits_an_algorithm(alg: str, key: object) -> None:
    """Another curve, another type, a private key and an unknown algorithm are refused at once."""
    with pytest.raises(ValueError, match="no public key"):
        verifier(alg, key)


@pytest.mark.parametrize("alg", ["ES256", "RS256", "HS256", "none", ""])
def test_a_key_of_ed25519_serves_nothing_else(alg: str) -> None:
    """B10: neither an algorithm of other keys nor one that does not exist."""
    with pytest.raises(ValueError, match="no public key"):
        verifier(alg, KEYS["EdDSA"].public_key())


def test_libraries_that_were_pulled_back_are_refused() -> None:
    """The version that was tested is enough, an older one is an ImportError with its remedy."""
    fine = {"PyJWT": "2.15.0", "cryptography": "42.0"}
    for versions in (fine, {"PyJWT": "10.0", "cryptography": "100.0.1rc1"}):
        signature.check_versions(versions)
    with pytest.raises(ImportError) as refused:
        signature.check_versions({**fine, "PyJWT": "2.14.9"})
    assert str(refused.value) == (
        'Licet needs PyJWT 2.15 or newer, and 2.14.9 is installed: run pip install "PyJWT>=2.15"'
    )
    with pytest.raises(ImportError, match=r"cryptography>=42\.0"):
        signature.check_versions({**fine, "cryptography": "41.9"})
