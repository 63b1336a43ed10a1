"""Proofs of possession of a key: rows N of the attack table, where no framework is needed."""

from __future__ import annotations

import copy
import hmac
import pickle
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from licet.core.errors import LicenseInvalid, PossessionInvalid
from licet.core.keys.jwk import VerifyKey, thumbprint
from licet.core.possession import dpop as module
from licet.core.possession.dpop import ALGORITHMS, MAX_PROOF, REMEMBERED, Dpop, Seen
from licet.core.possession.nonces import LIFETIME, Nonces
from licet.core.token.compact import HeaderCache, parse
from licet.possession import ProofKey
from tests.core.hands import Hands
from tests.core.jwks import private_key, public_jwk, text

NOW = 1_800_000_000
URL = "https://api.example/reports"
LICENSE = "eyJ0eXAi.eyJzdWIi.c2ln"
ATH = text(sha256(LICENSE.encode()).digest())
KEY = ProofKey.generate("ES256")
OTHER = ProofKey.generate("ES256")
P256 = {"kty": "EC", "crv": "P-256"}
ED25519 = {"kty": "OKP", "crv": "Ed25519"}


def proof(key: ProofKey = KEY, **changes: Any) -> str:
    """Return a proof for `GET /reports` made now, good but for `changes`."""
    said = {"method": "GET", "url": URL, "token": LICENSE, "iat": NOW, **changes}
    return key.proof(**said)


def checked(
    *proofs: str, dpop: Dpop | None = None, hands: Hands | None = None, **changes: Any
) -> Seen:
    asked = {"method": "GET", "url": URL, "credential": LICENSE.encode(), "jkt": KEY.jkt}
    return (dpop or Dpop((hands or Hands(wall=NOW)).clock)).check(proofs, **{**asked, **changes})


@contextmanager
def refused(reason: str) -> Iterator[None]:
    with pytest.raises(PossessionInvalid) as refusal:
        yield
    assert refusal.value.reason.partition(":")[0] == reason
    assert refusal.value.code == "pop_invalid"
    # Neither proof nor key may leave through what was being handled.
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None or refusal.value.__suppress_context__


HAND = private_key("Ed25519", "hand")
HAND_JWK = public_jwk(HAND)


def by_hand(key: Any = HAND, alg: str = "EdDSA", jwk: object = HAND_JWK, **changes: Any) -> str:
    """Sign a proof with PyJWT, which does as it is told; None leaves a claim out."""
    claims = {"htm": "GET", "htu": URL, "iat": NOW, "jti": "1", "ath": ATH, **changes}
    said = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(said, key, algorithm=alg, headers={"typ": "dpop+jwt", "jwk": jwk})


# -- what holds -------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_good_proof_holds(algorithm: str) -> None:
    """Each algorithm of the challenge may sign; what is to be recorded is key and id."""
    key = ProofKey.generate(algorithm)
    made = proof(key, jti="a-1")
    assert checked(made, jkt=key.jkt) == Seen(key.jkt, "a-1")


@pytest.mark.parametrize(
    ("kind", "alg"),
    [("P-256", "ES256"), ("Ed25519", "EdDSA"), ("RSA", "RS256"), ("RSA", "PS256")],
)
def test_proofs_that_another_library_makes_hold(kind: str, alg: str) -> None:
    """PyJWT's proofs, with the extra members that browsers write into a key."""
    private = private_key(kind, "client")
    jwk = public_jwk(private)
    made = by_hand(private, alg, {**jwk, "ext": True, "key_ops": ["verify"]}, exp=NOW + 1)
    assert checked(made, jkt=thumbprint(jwk)) == Seen(thumbprint(jwk), "1")


def test_a_proof_is_read_by_another_library() -> None:
    """What `ProofKey` makes is what RFC 9449, section 4.2, describes, by PyJWT's reading."""
    made = KEY.proof("POST", URL + "?q=1#f", LICENSE, nonce="n")
    header = jwt.get_unverified_header(made)
    claims = jwt.decode(made, jwt.PyJWK(header["jwk"]), algorithms=["ES256"])
    assert header.keys() == {"typ", "alg", "jwk"}
    assert (header["typ"], header["alg"]) == ("dpop+jwt", "ES256")
    assert header["jwk"].keys() == {"kty", "crv", "x", "y"}
    assert claims.keys() == {"htm", "htu", "iat", "jti", "ath", "nonce"}
    assert (claims["htm"], claims["htu"], claims["nonce"]) == ("POST", URL, "n")


def test_rfc_9449_example_holds() -> None:
    """The request of section 7.1, figure 12: its proof, token, key and time."""
    token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
    made = (
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0V"
        "jNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10Nn"
        "Y5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0"
        "VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU"
        "2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP3"
        "5yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
    )
    jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    seen = checked(
        made,
        hands=Hands(wall=1_562_262_618),
        url="https://resource.example.org/protectedresource",
        credential=token.encode(),
        jkt=jkt,
    )
    assert seen == Seen(jkt, "e1j3V_bKic8-LAEB")


def test_the_key_of_a_header_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client sends the same header with each proof, so what it was judged by is at hand."""
    judged = []

    def counted(segment: bytes, jkt: str) -> VerifyKey:
        judged.append(segment)
        return judge(segment, jkt)

    judge = module._key
    monkeypatch.setattr(module, "_key", counted)
    dpop = Dpop(Hands(wall=NOW).clock)
    for number in range(3):
        checked(proof(jti=f"a{number}"), dpop=dpop)
    assert len(judged) == 1


def test_a_remembered_key_is_still_the_right_one() -> None:
    """The header of an earlier proof saves judging its key, not asking whose key it is."""
    dpop = Dpop(Hands(wall=NOW).clock)
    made = proof()
    assert checked(made, dpop=dpop) == checked(made, dpop=dpop)
    assert [key.thumbprint for key in dpop._keys.values()] == [KEY.jkt]
    assert list(dpop._keys) == [made.partition(".")[0].encode()]
    (remembered,) = dpop._keys.values()
    checked(proof(), dpop=dpop)
    assert dpop._keys[made.partition(".")[0].encode()] is remembered
    with refused("dpop_jkt"):
        checked(made, dpop=dpop, jkt=OTHER.jkt)
    with refused("dpop_signature"):
        checked(made[:-8] + "AAAAAAAA", dpop=dpop)


def test_memory_for_keys_is_bounded() -> None:
    """However many clients come, and whatever they write around their keys."""
    dpop = Dpop(Hands(wall=NOW).clock)
    dpop._keys.CAPACITY = 3
    for number in range(8):
        checked(proof(header={"n": number}), dpop=dpop)
        assert len(dpop._keys) <= 3


def test_a_key_whose_signature_does_not_hold_is_not_remembered() -> None:
    """Strangers fill no memory: the header of a forged proof is forgotten."""
    dpop = Dpop(Hands(wall=NOW).clock)
    with refused("dpop_signature"):
        checked(proof()[:-8] + "AAAAAAAA", dpop=dpop)
    assert not dpop._keys


# -- what does not ----------------------------------------------------------------------------


@pytest.mark.row("N04")
@pytest.mark.parametrize(
    "field",
    [
        "",
        " ",
        "a",
        "..",
        "a.b",
        "a." * 1_000,
        "a" * (MAX_PROOF + 1),
        "e30.e30.e30.e30.e30",
        '{"payload": "", "signatures": []}',
    ],
    ids=lambda field: repr(field)[:24],
)
def test_what_is_no_proof(field: str) -> None:
    """Nothing, nothing of that shape, another serialization, or too much of it."""
    with refused("dpop_malformed"):
        checked(field)


@pytest.mark.row("N04")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda proof: proof.rpartition(".")[0],
        lambda proof: proof + ".",
        lambda proof: proof + ".a.b",
        lambda proof: proof + "=",
        lambda proof: proof + "\x0b",
        lambda proof: "X" + proof,
        lambda proof: proof + "\N{LATIN SMALL LETTER E WITH ACUTE}",
        lambda proof: proof + "\ud800",
        lambda proof: proof.replace(".", " .", 1),
        lambda proof: proof + "," + proof,
        lambda proof: proof + ", " + proof,
    ],
    ids="cut dot five padded tab letter accent surrogate space joined joined-with-space".split(),
)
def test_a_proof_is_one_compact_jws(spoil: Callable[[str], str]) -> None:
    """Not a letter more or less than a canonical one; WSGI servers join two fields in one."""
    with refused("dpop_malformed"):
        checked(spoil(proof()))


@pytest.mark.row("N04")
def test_a_proof_may_take_eight_kibibytes() -> None:
    """That much and no more, white space around it included (RFC 9110, section 5.5)."""
    largest = next(made for n in range(5_000, 6_500) if len(made := proof(x="y" * n)) == MAX_PROOF)
    assert checked(largest)
    assert checked(f" {proof()}\t")
    with refused("dpop_malformed"):
        checked(largest + " ")


@pytest.mark.row("N04")
def test_two_proofs_are_none() -> None:
    """In two fields, even when they are equal; and one that is too long is no proof either."""
    made = proof()
    for proofs in ([made, made], [made, ""], [], [proof(x="y" * MAX_PROOF)]):
        with refused("dpop_malformed"):
            checked(*proofs)


@pytest.mark.row("N04")
@pytest.mark.parametrize("whole", ["header", "payload"])
@pytest.mark.parametrize(
    "document",
    ["[]", "1", '{"a":1,"a":1}', '{"a":NaN}', "\ufeff{}", '{"a":"\\ud800"}', '{"a":' * 40, "{"],
)
def test_json_has_one_reading(whole: str, document: str) -> None:
    """Header and payload are objects that nobody can read in two ways."""
    segment = urlsafe_b64encode(document.encode()).decode().rstrip("=")
    header, payload, signature = proof().split(".")
    if whole == "header":
        with refused("dpop_malformed"):
            checked(f"{segment}.{payload}.{signature}")
        return
    signed = f"{header}.{segment}".encode()
    signature = text(KEY._key.sign(signed))
    with refused("dpop_malformed"):
        checked(f"{header}.{segment}.{signature}")


@pytest.mark.row("N05", "N21")
@pytest.mark.parametrize("typ", [None, "", "JWT", "license+jwt", "at+jwt", "dpop", 5, ["dpop+jwt"]])
def test_the_type_is_a_proofs(typ: object) -> None:
    """Whatever else was signed with that key, a license for instance, is no proof."""
    with refused("dpop_type"):
        checked(proof(header={"typ": typ}))


@pytest.mark.row("N05")
@pytest.mark.parametrize("typ", ["dpop+jwt", "DPoP+JWT", "application/dpop+jwt"])
def test_the_type_is_a_media_type(typ: str) -> None:
    """Compared without case, with or without the `application/` (RFC 7515, section 4.1.9)."""
    assert checked(proof(header={"typ": typ})).jkt == KEY.jkt


@pytest.mark.row("N21")
def test_a_proof_is_no_license() -> None:
    """Its header brings a key of its own, which no license's may."""
    with pytest.raises(LicenseInvalid) as refusal:
        parse(proof().encode(), max_size=4096, headers=HeaderCache())
    assert refusal.value.reason == "header_param_forbidden:jwk"


@pytest.mark.row("N06")
@pytest.mark.parametrize(
    "alg",
    ["none", "NONE", "", "HS256", "ES384", "ES256K", "es256", "ES256 ", "RSA-OAEP", 5, None, {}],
)
def test_only_listed_algorithms_sign(alg: object) -> None:
    """Nothing unsigned, nothing shared, nothing unknown; compared exactly."""
    with refused("dpop_alg"):
        checked(proof(header={"alg": alg}))


@pytest.mark.row("N06")
@pytest.mark.parametrize("alg", ["EdDSA", "RS256", "PS256", "Ed25519"])
def test_the_algorithm_is_the_keys(alg: str) -> None:
    """A listed algorithm that the key in the header is not made for."""
    with refused("dpop_jwk"):
        checked(proof(header={"alg": alg}))


@pytest.mark.row("N06")
def test_a_shared_secret_made_of_the_public_key_signs_nothing() -> None:
    """HS256 with the public key's own text for a secret, which verifiers have fallen for."""
    made = by_hand(HAND_JWK["x"], "HS256")
    with refused("dpop_alg"):
        checked(made, jkt=thumbprint(HAND_JWK))


@pytest.mark.row("N07")
@pytest.mark.parametrize("jwk", [None, "", "x", 5, [], {}, {"kty": "oct", "k": "AAAA"}])
def test_a_proof_brings_a_public_key(jwk: object) -> None:
    """One that is missing, or of no kind that can be public, is refused."""
    with refused("dpop_jwk"):
        checked(proof(header={"jwk": jwk}))


@pytest.mark.row("N07")
@pytest.mark.parametrize("header", ["x5c", "jku", "x5u", "crit", "b64", "zip", "enc", "cty"])
def test_a_proof_brings_nothing_that_is_read_otherwise(header: str) -> None:
    """No other key, no other reading of the payload, beside the key or instead of it."""
    with refused("dpop_header"):
        checked(proof(header={header: "https://evil.example/"}))
    with refused("dpop_header"):
        checked(proof(header={header: ["x"], "jwk": None}))


def _weak() -> dict[str, Any]:
    return public_jwk(rsa.generate_private_key(65537, 1024))  # noqa: S505 - refused for it


BAD_KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "RSA 1024": (_weak(), "RS256"),
    "RSA even": ({"kty": "RSA", "n": text(b"\xff" * 255 + b"\xfe"), "e": "AQAB"}, "RS256"),
    "off the curve": ({**P256, "x": text(b"1" * 32), "y": text(b"2" * 32)}, "ES256"),
    "zero": ({**ED25519, "x": text(bytes(32))}, "EdDSA"),
    "small order": ({**ED25519, "x": text(b"\x01" + bytes(31))}, "Ed25519"),
    "padded": ({**ED25519, "x": text(b"1" * 32) + "="}, "EdDSA"),
    "not text": ({**ED25519, "x": 5}, "EdDSA"),
    "private": (public_jwk(private_key("P-256"), d="AAAA"), "ES256"),
    "RSA private": (public_jwk(private_key("RSA"), d="AAAA", p="AQ"), "RS256"),
    "for encryption": (public_jwk(private_key("P-256"), use="enc"), "ES256"),
    "for signing only": (public_jwk(private_key("P-256"), key_ops=["sign"]), "ES256"),
    "of another algorithm": (public_jwk(private_key("RSA"), alg="PS256"), "RS256"),
    "of another curve": (public_jwk(private_key("P-384")), "ES256"),
}


@pytest.mark.row("N07")
@pytest.mark.parametrize(("jwk", "alg"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_bad_key_proves_nothing(jwk: dict[str, Any], alg: str) -> None:
    """Private, weak, malformed, or meant for something else, even where an issuer named it."""
    with refused("dpop_jwk"):
        checked(proof(header={"jwk": jwk, "alg": alg}), jkt=thumbprint(jwk))


@pytest.mark.row("N07")
def test_a_forgery_under_a_key_of_small_order_does_not_hold() -> None:
    """The identity as key and as signature, which libraries accept for any message."""
    jwk = {**ED25519, "x": text(b"\x01" + bytes(31))}
    made = proof(header={"jwk": jwk, "alg": "EdDSA"})
    forged = made.rpartition(".")[0] + "." + text(b"\x01" + bytes(63))
    with refused("dpop_jwk"):
        checked(forged, jkt=thumbprint(jwk))


@pytest.mark.row("N08")
def test_the_signature_is_the_keys() -> None:
    """A thief who writes the holder's key into a header cannot sign with it."""
    jwk = jwt.get_unverified_header(proof())["jwk"]
    with refused("dpop_signature"):
        checked(proof(OTHER, header={"jwk": jwk}))


@pytest.mark.row("N08")
@pytest.mark.parametrize("part", [0, 1, 2])
def test_no_part_of_a_proof_may_change(part: int) -> None:
    """One letter of another value, anywhere."""
    segments = proof().split(".")
    changed = "B" if segments[part][20] == "A" else "A"
    segments[part] = segments[part][:20] + changed + segments[part][21:]
    with pytest.raises(PossessionInvalid):
        checked(".".join(segments))


@pytest.mark.row("N09")
def test_the_key_is_the_one_the_license_names() -> None:
    """A thief's own key signs well, and is not that of the license."""
    with refused("dpop_jkt"):
        checked(proof(OTHER))
    with refused("dpop_jkt"):
        checked(proof(), jkt=KEY.jkt.swapcase())


@pytest.mark.row("N09")
def test_another_spelling_of_the_key_is_another_key() -> None:
    """Padding changes the text that a thumbprint is made of, as it must (RFC 7638)."""
    jwk = jwt.get_unverified_header(proof())["jwk"]
    with refused("dpop_jkt"):
        checked(proof(header={"jwk": {**jwk, "x": jwk["x"] + "="}}))


@pytest.mark.row("N10")
@pytest.mark.parametrize("htm", ["POST", "get", "HEAD", "GET ", "", "*", None, 5, ["GET"]])
def test_a_proof_is_for_one_method(htm: object) -> None:
    """Compared with case (RFC 9110, section 9.1), and with the request's own method."""
    with refused("dpop_htm"):
        checked(proof(htm=htm))
    with refused("dpop_htm"):
        checked(proof(), method="HEAD")


@pytest.mark.row("N11")
@pytest.mark.parametrize(
    "htu",
    [
        "https://api.example/other",
        "https://evil.example/reports",
        "http://api.example/reports",
        "https://api.example:8443/reports",
        "https://api.example/reports/",
        "https://api.example/%2Freports",
        "https://user@api.example/reports",
        "//api.example/reports",
        "/reports",
        "",
        None,
        5,
        [URL],
    ],
)
def test_a_proof_is_for_one_url(htu: object) -> None:
    """Another place, or nothing that is an http or https URL."""
    with refused("dpop_htu"):
        checked(proof(htu=htu))


@pytest.mark.row("N11")
@pytest.mark.parametrize(
    "htu",
    [
        "HTTPS://API.example:443/reports",
        "https://api.example/reports?page=2#top",
        "https://api.example/%72eports",
        "https://api.example/a/../reports",
    ],
)
def test_a_url_may_be_spelled_in_its_ways(htu: str) -> None:
    """Both sides are brought into one form; query and fragment do not count."""
    assert checked(proof(htu=htu))
    assert checked(proof(), url=htu)


@pytest.mark.row("N13")
@pytest.mark.parametrize("age", [-5, 0, 60, 59.5, -4.75])
def test_a_proof_is_young(age: float) -> None:
    """A minute old at most, and five seconds ahead of this clock at most, fractions too."""
    assert checked(proof(iat=NOW - age))


@pytest.mark.row("N13")
@pytest.mark.parametrize(
    "iat",
    [
        NOW - 61,
        NOW - 60.001,
        NOW + 5.001,
        NOW + 6,
        NOW * 1000,
        0,
        -NOW,
        str(NOW),
        True,
        [NOW],
        {},
        2**53,
        1e300,
        None,
    ],
)
def test_a_proof_of_another_time_does_not_hold(iat: Any) -> None:
    """Too old, too early, in milliseconds, or no number of seconds."""
    with refused("dpop_iat"):
        checked(by_hand(iat=iat), jkt=thumbprint(HAND_JWK))


@pytest.mark.row("N13")
@pytest.mark.parametrize("iat", [float("nan"), float("inf"), -float("inf")])
def test_a_time_is_finite(iat: float) -> None:
    """Every comparison with NaN is false: it never gets as far as one."""
    with refused("dpop_malformed"):
        checked(proof(iat=iat))


@pytest.mark.row("N16")
def test_a_proof_is_remembered_until_it_is_too_old() -> None:
    """Also where its maker's clock was ahead: no proof outlives the memory of it."""
    hands = Hands(wall=NOW)
    made = proof(iat=NOW + 5)
    assert checked(made, hands=hands)
    hands.advance(REMEMBERED)
    with refused("dpop_iat"):
        checked(made, hands=hands)


@pytest.mark.row("N17")
@pytest.mark.parametrize(
    "jti", ["", "a" * 129, "a" * 4_000, "a\nb", "\x00", "é", "\x7f", 5, True, ["a"], {}, None]
)
def test_a_proof_has_an_id_of_bounded_length(jti: Any) -> None:
    """1 to 128 printable ASCII characters."""
    with refused("dpop_jti"):
        checked(by_hand(jti=jti), jkt=thumbprint(HAND_JWK))


@pytest.mark.row("N17")
@pytest.mark.parametrize("jti", ["a", "a" * 128, "a b~!"])
def test_an_id_within_bounds_is_returned_as_it_is(jti: str) -> None:
    """What is to be recorded is exactly what the client wrote."""
    assert checked(proof(jti=jti)) == Seen(KEY.jkt, jti)


@pytest.mark.row("N15")
def test_what_is_recorded_leaves_nothing_to_vary() -> None:
    """Two proofs of one id are one, whatever spelling of URL and method they were made for."""
    first = checked(proof(jti="a", htu=URL + "?1"))
    again = checked(proof(jti="a", htu="HTTPS://api.example:443/reports", iat=NOW - 1))
    other = checked(proof(jti="a", method="POST"), method="POST")
    assert first == again == other


@pytest.mark.row("N19")
@pytest.mark.parametrize(
    "ath",
    [
        "",
        ATH + "=",
        ATH.lower(),
        ATH[:-1],
        text(sha256(b"another license").digest()),
        sha256(LICENSE.encode()).hexdigest(),
        LICENSE,
        5,
        [ATH],
        "é",
        None,
    ],
)
def test_a_proof_is_for_one_license(ath: object) -> None:
    """Bound to the license it came with, by the digest in its one spelling."""
    with refused("dpop_ath"):
        checked(proof(ath=ath))


# -- nonces -----------------------------------------------------------------------------------

SECRET = bytes(range(32))


def challenged(dpop: Dpop, made: str) -> str:
    """Return the nonce with which a proof was refused."""
    with pytest.raises(PossessionInvalid) as refusal:
        checked(made, dpop=dpop)
    assert (refusal.value.code, refusal.value.reason) == ("use_dpop_nonce", "dpop_nonce")
    assert refusal.value.nonce is not None
    return refusal.value.nonce


@pytest.mark.row("N20")
def test_a_nonce_is_demanded_and_told() -> None:
    """The refusal carries what the next proof needs; with it the next proof holds."""
    hands = Hands(wall=NOW)
    dpop = Dpop(hands.clock, Nonces(SECRET, hands.clock))
    nonce = challenged(dpop, proof())
    assert checked(proof(nonce=nonce), dpop=dpop)
    assert len(nonce) == 43


@pytest.mark.row("N20")
def test_a_nonce_serves_for_a_while() -> None:
    """Its own period and the next one, in every worker that has the secret; then no longer."""
    hands = Hands(wall=NOW // LIFETIME * LIFETIME)
    nonce = Nonces(SECRET, hands.clock).current()
    worker = Nonces(SECRET, hands.clock)
    for _ in range(2):
        assert worker.accepts(nonce)
        hands.advance(LIFETIME - 1)
        assert worker.accepts(nonce)
        hands.advance(1)
    assert not worker.accepts(nonce)
    assert worker.current() != nonce


def test_a_nonce_is_made_as_ever() -> None:
    """So that workers of two versions, side by side in a rollout, know each other's."""
    made = hmac.digest(SECRET, b"licet dpop nonce %d" % (NOW // LIFETIME), "sha256")
    assert Nonces(SECRET, Hands(wall=NOW + LIFETIME - 1).clock).current() == text(made)


@pytest.mark.row("N20")
@pytest.mark.parametrize("nonce", [None, "", "x", "é", 5, True, [], "\N{SNOWMAN}"])
def test_a_nonce_of_nobody_is_refused(nonce: object) -> None:
    """Missing, made up, or no text; the refusal tells a good one."""
    hands = Hands(wall=NOW)
    dpop = Dpop(hands.clock, Nonces(SECRET, hands.clock))
    assert challenged(dpop, proof(nonce=nonce)) == Nonces(SECRET, hands.clock).current()


@pytest.mark.row("N20")
def test_a_nonce_of_another_secret_or_of_tomorrow_is_refused() -> None:
    """Only this server's, and only of now and of before."""
    hands = Hands(wall=NOW)
    ours = Nonces(SECRET, hands.clock)
    assert not ours.accepts(Nonces(bytes(32), hands.clock).current())
    later = Hands(wall=NOW + LIFETIME)
    assert not ours.accepts(Nonces(SECRET, later.clock).current())


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_secret_is_neither_copied_nor_pickled(way: Callable[[object], object]) -> None:
    """It would leave the process in whatever a queue or a crash report writes down."""
    with pytest.raises(TypeError, match=r"^a secret is neither copied nor pickled$"):
        way(Nonces(SECRET, Hands(wall=NOW).clock))


@pytest.mark.row("N20")
def test_a_nonce_mends_nothing_else() -> None:
    """Who cannot prove possession is not told a nonce."""
    hands = Hands(wall=NOW)
    dpop = Dpop(hands.clock, Nonces(SECRET, hands.clock))
    with refused("dpop_ath"):
        checked(proof(token="other"), dpop=dpop)


def test_an_unasked_nonce_does_no_harm() -> None:
    """Without a secret nothing is demanded, and nothing is compared."""
    assert checked(proof(nonce="from another server"))


# -- anything at all --------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(st.text(max_size=200))
def test_any_text_is_refused(field: str) -> None:
    """Whatever a stranger writes is a proof that does not hold, never a crash."""
    with pytest.raises(PossessionInvalid):
        checked(field)


@given(st.sampled_from(["jti", "htm", "htu", "iat", "ath"]), _JSON)
def test_any_claim_may_be_anything(name: str, value: Any) -> None:
    """A signed proof whose claim is some other JSON is refused or holds, never a crash."""
    with suppress(PossessionInvalid):
        changes: dict[str, Any] = {name: value}
        assert checked(proof(**changes)).jkt == KEY.jkt


@given(st.sampled_from(["typ", "alg", "jwk", "kid", "x5c", "crit"]), _JSON)
def test_any_header_may_be_anything(name: str, value: object) -> None:
    """Likewise the header, before any signature can be looked at."""
    with suppress(PossessionInvalid):
        assert checked(proof(header={name: value})).jkt == KEY.jkt
