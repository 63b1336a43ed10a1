"""Public test vectors, each judged, and counted so that none is left out in silence.

`tests/vectors/README.md` names their origin, and where we expect something else than upstream.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from licet.core import flow
from licet.core.errors import LicenseInvalid
from licet.core.gate import Gate
from licet.core.keys.jwk import REQUIRED, read_jwks
from licet.core.settings import Settings
from licet.core.token import base64url, strictjson
from licet.core.token.compact import FORBIDDEN
from licet.core.token.signature import ALGORITHMS
from tests import vectors
from tests.attacks.forge import b64, jws
from tests.licenses import ISSUER, OPTIONS

#: Every algorithm there is, at its most permissive.
EVERY = tuple(name for name in ALGORITHMS if name != "EdDSA")


def public(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public half of a key as a vector gives it, with a `kid` where it has none."""
    members = (*REQUIRED.get(jwk["kty"], ("kty", "k")), "kid", "use", "alg", "key_ops")
    return {"kid": "vector", **{name: jwk[name] for name in members if name in jwk}}


def segments(text: str) -> tuple[dict[str, Any], bytes, bytes]:
    """Return header, signing input and signature, read as strictly as a license is.

    Raises:
        ValueError: it is no compact JWS whose header could be a license's.
    """
    signing_input, _, seal = text.encode("ascii").rpartition(b".")
    head, dot, payload = signing_input.partition(b".")
    if not dot or b"." in payload:
        raise ValueError("not three segments")
    header = strictjson.loads(base64url.decode(head))
    if FORBIDDEN.intersection(header) or not isinstance(header.get("alg"), str):
        raise ValueError("no header of ours")
    return header, signing_input, base64url.decode(seal)


def holds(text: str, jwk: Mapping[str, Any], *, algorithms: tuple[str, ...] = EVERY) -> bool:
    """Whether the signature of `text` holds by our key reader and our verifiers."""
    try:
        header, signing_input, seal = segments(text)
    except ValueError:
        return False
    found = read_jwks({"keys": [public(jwk)]}, algorithms).keys
    key = found.get((public(jwk)["kid"], header["alg"]))
    return key is not None and key.verify(signing_input, seal)


def holds_with_secrets(text: str, jwk: Mapping[str, Any]) -> bool:
    """Whether an HMAC holds, by a verifier that exists in this file only."""
    try:
        header, signing_input, seal = segments(text)
    except ValueError:
        return False
    if header["alg"] != jwk.get("alg") or header["alg"] not in ("HS256", "HS384", "HS512"):
        return False
    return hmac.compare_digest(mac(signing_input, jwk, header["alg"]), seal)


def mac(signing_input: bytes, jwk: Mapping[str, Any], alg: str) -> bytes:
    """Return the HMAC of RFC 7518, section 3.2."""
    secret = base64url.decode(jwk["k"].encode("ascii"))
    return hmac.digest(secret, signing_input, getattr(hashlib, f"sha{alg[2:]}"))


@cache
def gate(key: str = "{}") -> Gate:
    """Return a gate that knows this key, too, written as JSON."""
    jwks = {"keys": [*ISSUER.jwks()["keys"], json.loads(key)]}
    return Gate(Settings(**{**OPTIONS, "jwks": jwks, "max_token_size": 65_536}))


def refused(text: str, judge: Gate) -> str:
    """Return why a gate refuses `text` as a license."""
    with pytest.raises(LicenseInvalid) as caught:
        flow.run(judge.verify(text.encode("utf-8")))
    return caught.value.reason


# -- Wycheproof ------------------------------------------------------------------------------------

#: Valid upstream, refused here: the key names another algorithm than the header.
STRICTER = frozenset({346, 347, 350, 351})


def wycheproof() -> Iterator[tuple[dict[str, Any], dict[str, Any], str]]:
    """Yield each test of the file with the key of its group."""
    for group in vectors.load("wycheproof_jws")["testGroups"]:
        for test in group["tests"]:
            text = test["jws"]
            yield group, test, text if isinstance(text, str) else json.dumps(text)


def test_wycheproof_signatures() -> None:
    """207 signatures hold or do not as upstream says, but for four of a key of another name."""
    ran: Counter[str] = Counter()
    for group, test, text in wycheproof():
        symmetric = "public" not in group
        jwk = group["private" if symmetric else "public"]
        expected = test["result"] == "valid" and test["tcId"] not in STRICTER
        assert holds(text, jwk) is (expected and not symmetric), test["tcId"]
        if symmetric:
            assert holds_with_secrets(text, jwk) is expected, test["tcId"]
        ran[f"{'secret' if symmetric else 'public'} {expected}"] += 1
    assert ran == {"public True": 21, "public False": 171, "secret False": 13, "secret True": 2}
    assert ran.total() == vectors.load("wycheproof_jws")["numberOfTests"] == 207


def test_no_wycheproof_token_is_a_license() -> None:
    """The gate refuses all 207, those whose signature holds as well: they claim nothing."""
    ran = 0
    for group, test, text in wycheproof():
        jwk = public(group.get("public", group["private"]))
        assert refused(text, gate(json.dumps(jwk))), test["tcId"]
        ran += 1
    assert ran == 207


def test_wycheproof_encrypted_tokens() -> None:
    """106 encrypted tokens, valid or not, are refused by their shape."""
    reasons: Counter[str] = Counter()
    for test in vectors.load("wycheproof_jwe_reject")["tests"]:
        assert test["expect"] == "reject"
        reasons[refused(test["jwe"], gate())] += 1
    assert reasons.keys() <= {"not_a_jws", "malformed"}
    assert reasons.total() == vectors.load("wycheproof_jwe_reject")["numberOfTests"] == 106


# -- RFC 7520 and RFC 8037 -------------------------------------------------------------------------


def cookbook(folder: str) -> dict[str, Any]:
    """Return the files of one folder by name."""
    files = vectors.load("rfc7520_jws_jwk")["files"]
    return {one["path"]: one["data"] for one in files if one["path"].startswith(folder)}


def test_cookbook_signatures() -> None:
    """The four compact signatures by a key pair hold, and not for another message or key."""
    ran = 0
    for path, data in {**cookbook("jws/"), **cookbook("curve25519/")}.items():
        jwk, alg = data["input"]["key"], data["input"]["alg"]
        if not isinstance(alg, str) or alg.startswith("HS"):
            continue
        text = data["output"]["compact"]
        assert holds(text, jwk, algorithms=(alg,)), path
        head, payload, seal = text.split(".")
        assert not holds(f"{head}.{payload}A.{seal}", jwk, algorithms=(alg,)), path
        assert not holds(f"{head}.{payload}.{seal[4:]}AAAA", jwk, algorithms=(alg,)), path
        if "alg" not in jwk and jwk["kty"] == "RSA":
            # Which of six algorithms it serves must be said.
            assert not holds(text, jwk), path
        ran += 1
    assert ran == 4


def test_cookbook_secrets() -> None:
    """The five HMAC figures are what the verifier of this file makes, and refused by ours."""
    ran = 0
    for path, data in cookbook("jws/").items():
        keys, algorithms = data["input"]["key"], data["input"]["alg"]
        many = isinstance(algorithms, list)
        signing = data["signing"] if many else [data["signing"]]
        for at, alg in enumerate(algorithms if many else [algorithms]):
            if alg != "HS256":
                continue
            jwk = keys[at] if many else keys
            signing_input = signing[at]["sig-input"]
            assert b64(mac(signing_input.encode(), jwk, alg)) == signing[at]["sig"], path
            assert not holds(f"{signing_input}.{signing[at]['sig']}", jwk), path
            ran += 1
    assert ran == 5


def test_no_cookbook_token_is_a_license() -> None:
    """Compact, detached, flattened and general: all serializations of all nine are refused."""
    ran: Counter[str] = Counter()
    for data in {**cookbook("jws/"), **cookbook("curve25519/")}.values():
        for form, text in data["output"].items():
            written = text if isinstance(text, str) else json.dumps(text)
            assert refused(written, gate()), data["title"]
            ran[form] += 1
    assert ran == {"compact": 6, "json": 9, "json_flat": 8}


def test_cookbook_keys() -> None:
    """Public keys serve the algorithm that is configured; private and shared ones are refused."""
    told = {}
    for path, jwk in cookbook("jwk/").items():
        alg = {"EC": "ES512", "RSA": "RS256"}.get(jwk["kty"], "EdDSA")
        found = read_jwks({"keys": [jwk]}, (alg,))
        told[path] = [alg for _, alg in found.keys] or [one.reason for one in found.rejected]
    assert told == {
        "jwk/3_1.ec_public_key.json": ["ES512"],
        "jwk/3_2.ec_private_key.json": ["private_key_in_jwks"],
        "jwk/3_3.rsa_public_key.json": ["RS256"],
        "jwk/3_4.rsa_private_key.json": ["private_key_in_jwks"],
        "jwk/3_5.symmetric_key_mac_computation.json": ["symmetric_in_jwks"],
        "jwk/3_6.symmetric_key_encryption.json": ["symmetric_in_jwks"],
    }
    assert len(told) + 9 == len(vectors.load("rfc7520_jws_jwk")["files"]) == 15


# -- JSON ------------------------------------------------------------------------------------------


def parsing() -> Iterator[tuple[str, str, bytes]]:
    """Yield name, class and text of each JSON text."""
    for test in vectors.load("json_parsing")["tests"]:
        yield test["name"], test["class"], b64decode(test["base64"])


def accepts(data: bytes) -> bool:
    """Whether our reader takes a text; it refuses in one way only."""
    try:
        strictjson.loads(data)
    except ValueError:
        return False
    return True


#: An object with a member twice is JSON, and can be read in two ways.
TWICE = {"y_object_duplicated_key.json"}
#: Nearer to zero than any number is, hence zero; all others left open by the standard are refused.
OPEN = {"i_number_double_huge_neg_exp.json"}
#: Texts that are no JSON, but are the middle of some.
MIDDLE: set[str] = set()


def test_json_texts() -> None:
    """154 texts: what is no JSON is refused; what is, is read where an object may hold it."""
    ran: Counter[str] = Counter()
    for name, kind, data in parsing():
        whole = data.strip().startswith(b"{")
        inside = accepts(b'{"x":' + data + b"}")
        match kind:
            case "must_reject":
                assert not accepts(data), name
                assert inside is (name in MIDDLE), name
            case "must_accept":
                assert accepts(data) is (whole and name not in TWICE), name
                assert inside is (name not in TWICE), name
            case "implementation_defined":
                assert not accepts(data), name
                assert inside is (name in OPEN), name
        ran[kind] += 1
    assert ran == {"must_reject": 96, "must_accept": 45, "implementation_defined": 13}
    assert ran.total() == vectors.load("json_parsing")["numberOfTests"] == 154


def test_json_texts_as_header_and_as_payload() -> None:
    """None of the 154 is a header or the claims of a license, signed truly or not."""
    ran = 0
    for name, _, data in parsing():
        for text in (jws(data), jws(None, data)):
            assert refused(text, gate()), name
        ran += 1
    assert ran == 154
