"""The holder's side: keys that prove, and what an issuer is told of them."""

from __future__ import annotations

import copy
import pickle
import ssl
from typing import Any

import jwt
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from licet import possession, testing
from licet.core.clock import SYSTEM_CLOCK
from licet.core.possession.binding import Binding, read_cnf
from licet.core.possession.dpop import ALGORITHMS, Dpop
from licet.issuer import Issuer
from licet.possession import ProofKey, certificate_thumbprint
from tests.core.jwks import public_jwk

URL = "https://api.example/reports"


def payload(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_license_bound_to_a_key_is_proved_with_it(algorithm: str) -> None:
    """From the key to the license to the proof, as an issuer, a client and a gate would do it."""
    key = ProofKey.generate(algorithm)
    license_ = testing.make_license(cnf={"jkt": key.jkt})
    binding = read_cnf(payload(license_)["cnf"])
    assert binding == Binding(jkt=key.jkt)
    made = key.proof("GET", URL + "?page=2", license_)
    seen = Dpop(SYSTEM_CLOCK).check(
        [made], method="GET", url=URL, credential=license_.encode(), jkt=key.jkt
    )
    assert seen.jkt == key.jkt


def test_no_two_proofs_are_one() -> None:
    """Each has an id of its own, and the time it was made at."""
    key = ProofKey.generate()
    made = [payload(key.proof("GET", URL, "t")) for _ in range(20)]
    assert len({one["jti"] for one in made}) == 20
    assert all(abs(one["iat"] - SYSTEM_CLOCK.wall()) < 60 for one in made)
    assert "nonce" not in made[0]


def test_a_key_of_ones_own_may_prove() -> None:
    """A private key that `cryptography` has loaded; its thumbprint is that of RFC 7638."""
    private = generate_private_key(SECP256R1())
    key = ProofKey("ES256", private)
    header = jwt.get_unverified_header(key.proof("GET", URL, "t"))
    assert header["jwk"] == public_jwk(private)


def test_only_what_gates_accept_is_made() -> None:
    """An algorithm that no gate takes is refused where the key is made."""
    for algorithm in ("ES384", "HS256", "none", ""):
        with pytest.raises(ValueError, match="choose one of ES256"):
            ProofKey.generate(algorithm)
        with pytest.raises(ValueError, match="choose one of ES256"):
            ProofKey(algorithm, generate_private_key(SECP256R1()))


def test_the_private_key_stays_where_it_is() -> None:
    """Neither shown, nor copied, nor pickled, nor in a proof."""
    key = ProofKey.generate()
    for through in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="private key"):
            through(key)
    assert repr(key) == f"<ProofKey ES256 {key.jkt}>"
    shown = jwt.get_unverified_header(key.proof("GET", URL, "t"))["jwk"]
    assert sorted(shown) == ["crv", "kty", "x", "y"]


def test_a_certificate_is_named_by_its_digest() -> None:
    """PEM, as text or bytes, and DER are one certificate; the claim is the one that is read."""
    pem = trustme.CA().issue_cert("client@example.org").cert_chain_pems[0].bytes()
    der = ssl.PEM_cert_to_DER_cert(pem.decode())
    assert len({certificate_thumbprint(one) for one in (pem, pem.decode(), der)}) == 1
    named = certificate_thumbprint(pem)
    license_ = Issuer.generate("https://i.test").issue(
        audience="a", subject="s", cnf={"x5t#S256": named}
    )
    assert read_cnf(payload(license_)["cnf"]) == Binding(certificate=named)


@pytest.mark.parametrize("wrong", ["", "cert.pem", b"cert", b"\x31\x00", b"\x30" + bytes(16_384)])
def test_what_is_no_certificate_has_no_digest(wrong: str | bytes) -> None:
    """Nobody binds a license to a file name or to nothing."""
    with pytest.raises(ValueError, match="not one certificate"):
        certificate_thumbprint(wrong)


def test_testing_makes_them_too() -> None:
    """What tests of licensed code need is in `licet.testing`, under the same name."""
    assert testing.ProofKey is possession.ProofKey
