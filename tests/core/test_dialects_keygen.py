"""The dialect of keygen.sh, held against the sample of its documentation.

The sample is a list of licenses; answers to `validate-key` are made in its likeness and signed
with a key of the tests.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from licet.core.errors import ConfigError
from licet.core.keys.jwk import VerifyKey, read_jwks
from licet.core.online.dialects.http_signature import verified
from licet.core.online.dialects.keygen import MAX_DRIFT, MEDIA_TYPE, Keygen, number
from licet.core.online.dialects.unsigned import DEFAULT_LIFETIME
from licet.core.online.question import Denied, Dialect, Granted, Undecided
from licet.core.token import base64url
from licet.core.transport import Response
from tests import vectors
from tests.core.asked import CREDENTIALS, LENIENT, NOW, QUESTION, Server, answer, undecided, without
from tests.core.jwks import private_key

URL = "https://api.keygen.sh/v1/accounts/demo/licenses/actions/validate-key"
SERVER = Server(url=URL)
SIGNER: Any = private_key("Ed25519", "keygen")
PUBLIC: bytes = SIGNER.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
PRODUCT = "9561c7d0-fc73-4c94-a6ed-1cc72a3e0376"
KEYGEN: Dialect = Keygen(PUBLIC, PRODUCT)
SAMPLE = vectors.load("keygen_response")
DATE = formatdate(NOW, usegmt=True)


def resource(**attributes: Any) -> dict[str, Any]:
    """Return the license of the sample, as if it had the key that is asked about."""
    sample: dict[str, Any] = json.loads(SAMPLE["body"])["data"][0]
    told = {**sample["attributes"], "key": QUESTION.credential, **attributes}
    return {**sample, "attributes": told}


def said(data: Any = None, **meta: Any) -> dict[str, Any]:
    """Return a yes; None leaves a member of `meta` out."""
    whole = {
        "ts": "2027-01-15T08:00:00.000Z",
        "valid": True,
        "detail": "is valid",
        "code": "VALID",
        "nonce": number(QUESTION.nonce),
        **meta,
    }
    kept = {name: value for name, value in whole.items() if value is not None}
    return {"data": resource() if data is None else data, "meta": kept}


def sealed(
    body: bytes,
    *,
    date: str = DATE,
    target: str = "post /v1/accounts/demo/licenses/actions/validate-key",
    host: str = "api.keygen.sh",
    **headers: str | None,
) -> Response:
    """Return a response signed as Keygen signs; None leaves a field out."""
    digest = "sha-256=" + b64encode(hashlib.sha256(body).digest()).decode()
    text = f"(request-target): {target}\nhost: {host}\ndate: {date}\ndigest: {digest}"
    seal = b64encode(SIGNER.sign(text.encode())).decode()
    fields: dict[str, str | None] = {
        "content-type": f"{MEDIA_TYPE}; charset=utf-8",
        "date": date,
        "digest": digest,
        "keygen-signature": (
            f'keyid="bf9b523f", algorithm="ed25519", signature="{seal}",'
            ' headers="(request-target) host date digest"'
        ),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return Response(200, {name: value for name, value in fields.items() if value}, body)


def reply(members: object = None, **changes: Any) -> Response:
    """Return a signed answer."""
    return sealed(json.dumps(said() if members is None else members).encode(), **changes)


def sample(**changes: Any) -> tuple[VerifyKey, str, str, Response]:
    """Return the sample of the documentation: key, method, address and response."""
    given = {**SAMPLE, **changes}
    x = base64url.encode(bytes.fromhex(given["public_key"])).decode()
    jwk = {"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}
    key = read_jwks({"keys": [jwk]}, ["EdDSA"]).keys["k", "EdDSA"]
    response = Response(200, given["headers"], given["body"].encode())
    return key, given["method"], given["url"], response


def test_the_documented_sample_holds() -> None:
    """Its real signature over request line, host, date and body is found good."""
    assert verified(*sample()) == 1_623_254_895


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "post"},
        {"url": "https://api.keygen.sh/v1/accounts/keygen/licenses?limit=2"},
        {"url": "https://api.keygen.sh/v1/accounts/other/licenses?limit=1"},
        {"url": "https://keygen.example/v1/accounts/keygen/licenses?limit=1"},
        {"body": SAMPLE["body"] + " "},
        {"headers": {**SAMPLE["headers"], "date": "Wed, 09 Jun 2021 16:08:16 GMT"}},
        {"public_key": PUBLIC.hex()},
    ],
    ids=["method", "query", "path", "host", "body", "date", "key"],
)
def test_the_documented_sample_holds_as_it_is_alone(changes: dict[str, Any]) -> None:
    """Another method, address, host, body, date or key, and it does not."""
    with pytest.raises(Undecided):
        verified(*sample(**changes))


@pytest.mark.row("I14")
def test_the_request_is_the_documented_one() -> None:
    """Key, nonce as a number, and scope stand in the body; nothing in the address."""
    request = Keygen(PUBLIC, PRODUCT, fingerprint="host-1").request(QUESTION, SERVER)
    assert (request.method, request.url) == ("POST", URL)
    assert json.loads(request.body) == {
        "meta": {
            "key": QUESTION.credential,
            "nonce": number(QUESTION.nonce),
            "scope": {"product": PRODUCT, "fingerprint": "host-1"},
        }
    }
    assert dict(request.headers) == {
        "authorization": f"Bearer {CREDENTIALS}",
        "accept": MEDIA_TYPE,
        "content-type": MEDIA_TYPE,
        "keygen-accept-signature": 'algorithm="ed25519"',
    }
    bare = KEYGEN.request(QUESTION, Server(credentials=None))
    assert "authorization" not in bare.headers
    assert json.loads(bare.body)["meta"]["scope"] == {"product": PRODUCT}
    assert KEYGEN.asks_domain is False


@pytest.mark.row("I05")
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_nonce_is_a_number_json_can_hold(nonce: str) -> None:
    """Below 2^53, and another for another nonce."""
    assert 0 <= number(nonce) < 2**53
    assert number(nonce) != number(nonce + "x")


def test_a_yes_brings_the_license() -> None:
    """Its id and end, its name for people, and its metadata as its terms."""
    metadata = {"plan": "pro", "features": ["analytics"], "limits": {"seats": 3}}
    told = resource(expiry="2027-01-15T09:00:00.000Z", metadata=metadata)
    assert answer(KEYGEN, reply(said(told)), server=SERVER) == Granted(
        {
            "iss": QUESTION.issuer,
            "aud": QUESTION.audience,
            "sub": "63ac9241-0bff-4a64-83bb-df6aec781b0e",
            "iat": NOW,
            "exp": NOW + 3600,
            "customer": "Ed25519 License",
            **metadata,
        },
        True,
        NOW,
    )


def test_a_license_without_end_holds_for_a_day_at_a_time() -> None:
    """Keygen's licenses may have none; a license of ours has one."""
    granted = answer(KEYGEN, reply(), server=SERVER)
    assert isinstance(granted, Granted)
    assert granted.license["exp"] == NOW + DEFAULT_LIFETIME


def test_restrictions_in_metadata_are_found_in_either_spelling() -> None:
    """`ipRanges` is `ip_ranges`, or a restriction would restrict nothing; both are no answer."""
    ranges = ["203.0.113.0/24"]
    told = resource(metadata={"ipRanges": ranges, "domains": ["a.example"]})
    granted = answer(KEYGEN, reply(said(told)), server=SERVER)
    assert isinstance(granted, Granted)
    assert granted.license["ip_ranges"] == ranges
    assert granted.license["domains"] == ["a.example"]
    both = resource(metadata={"ipRanges": ranges, "ip_ranges": ranges})
    assert undecided(KEYGEN, reply(said(both)), server=SERVER).reason == "metadata"


def test_a_license_may_have_no_name() -> None:
    """Keygen's are named at will: the name is the customer, where there is one."""
    for name, customer in (("Acme", "Acme"), (None, None)):
        granted = answer(KEYGEN, reply(said(resource(name=name))), server=SERVER)
        assert isinstance(granted, Granted)
        assert granted.license.get("customer") == customer


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "iat", "exp"])
def test_metadata_is_not_the_license_itself(name: str) -> None:
    """It cannot say who it is for, or until when."""
    told = resource(metadata={name: "x"})
    assert undecided(KEYGEN, reply(said(told)), server=SERVER).reason == "metadata"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("EXPIRED", "expired"),
        ("SUSPENDED", "suspended"),
        ("BANNED", "suspended"),
        ("NOT_FOUND", "unknown"),
        ("TOO_MANY_MACHINES", "over_limit"),
        ("TOO_MUCH_MEMORY", "over_limit"),
        ("OVERDUE", "overdue"),
        ("PRODUCT_SCOPE_MISMATCH", "product_scope_mismatch"),
        ("NO_MACHINE", "no_machine"),
    ],
)
def test_a_no_brings_its_code(code: str, error: str) -> None:
    """In our words where there is one, else in its own, which is a rejection."""
    told = answer(KEYGEN, reply(said(code=code, valid=False)), server=SERVER)
    assert told == Denied(error, True, NOW, "63ac9241-0bff-4a64-83bb-df6aec781b0e")


def test_a_no_about_no_license_is_not_vouched_for() -> None:
    """The signature covers the nonce, but nothing says of which key it was said."""
    no = {**said(code="NOT_FOUND", valid=False), "data": None}
    assert answer(KEYGEN, reply(no), server=SERVER) == Denied("unknown", False, NOW)


@pytest.mark.row("I06")
@pytest.mark.parametrize("valid", ["true", "false", 1, 0, [], {}, ""])
def test_only_true_is_yes_and_only_false_is_no(valid: Any) -> None:
    """Nothing else is taken for either; absent it is neither."""
    assert undecided(KEYGEN, reply(said(valid=valid)), server=SERVER).reason == "valid"
    absent = {**said(), "meta": {"nonce": number(QUESTION.nonce)}}
    assert undecided(KEYGEN, reply(absent), server=SERVER).reason == "valid"


@pytest.mark.row("I02")
@pytest.mark.parametrize(
    "nonce", [None, 0, 1, True, str(number(QUESTION.nonce)), float(number(QUESTION.nonce)), [], {}]
)
def test_another_nonce_is_a_replay(nonce: Any) -> None:
    """Absent, another, or another type."""
    error = undecided(KEYGEN, reply(said(nonce=nonce)), server=SERVER)
    assert (error.reason, error.suspicion) == ("nonce", "replay")


@pytest.mark.row("I03")
@pytest.mark.parametrize("valid", [True, False])
def test_an_answer_about_another_key_or_license_is_a_replay(valid: bool) -> None:
    """Whoever could change the request could have a good key asked about with our nonce."""
    for key in ("LK-other", None, 1, ""):
        response = reply(said(resource(key=key), valid=valid, code="SUSPENDED"))
        error = undecided(KEYGEN, response, server=SERVER)
        assert (error.reason, error.suspicion) == ("license", "replay")
    other = replace(QUESTION, license_id="lic_1")
    assert undecided(KEYGEN, reply(said(valid=valid)), other, SERVER).suspicion == "replay"


@pytest.mark.row("I03")
def test_a_license_for_another_product_is_none_for_this() -> None:
    """One account has several products; the answer must name the one that is configured."""
    error = undecided(Keygen(PUBLIC, "other"), reply(), server=SERVER)
    assert (error.reason, error.suspicion) == ("audience", "replay")
    bare = without(resource(), "relationships")
    assert undecided(KEYGEN, reply(said(bare)), server=SERVER).reason == "malformed"


@pytest.mark.row("I04")
@pytest.mark.parametrize("seconds", [-MAX_DRIFT - 1, MAX_DRIFT + 1])
def test_an_answer_of_another_time_is_none(seconds: int) -> None:
    """Five minutes either way; not a second more."""
    date = formatdate(NOW + seconds, usegmt=True)
    assert undecided(KEYGEN, reply(date=date), server=SERVER).reason == "date"
    near = formatdate(NOW + seconds - (1 if seconds > 0 else -1), usegmt=True)
    assert isinstance(answer(KEYGEN, reply(date=near), server=SERVER), Granted)


@pytest.mark.parametrize(
    "date", ["", "soon", "Fri, 15 Jan 2027 08:00:00 +0000", "15 Jan 2027 08:00:00 GMT", str(NOW)]
)
def test_a_date_has_one_form(date: str) -> None:
    """That of HTTP (RFC 9110, section 5.6.7)."""
    assert undecided(KEYGEN, reply(date=date), server=SERVER).reason == "date"


def test_the_date_that_was_signed_counts() -> None:
    """A proxy's own `Date` does no harm beside `Keygen-Date`; without one it breaks the seal."""
    other = formatdate(NOW + 1, usegmt=True)
    kept = sealed(reply().body, keygen_date=DATE)
    moved = Response(200, {**kept.headers, "date": other}, kept.body)
    assert isinstance(answer(KEYGEN, moved, server=SERVER), Granted)
    bare = Response(200, {**reply().headers, "date": other}, kept.body)
    assert undecided(KEYGEN, bare, server=SERVER).reason == "signature"


@pytest.mark.row("I01")
@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (".*", ""),
        ("ed25519", "rsa-sha256"),
        (" digest", ""),
        ("host date", "date host"),
        ("$", ', keyid="x"'),
        ("keyid", "signature"),
        ("keyid", "created"),
        ("==", ""),
        ('=="', '==" '),
        ('signature="', 'signature="A'),
        ('signature="', 'signature="\n'),
        ('"', ""),
    ],
)
def test_a_seal_has_one_form(pattern: str, instead: str) -> None:
    """Four parameters, Ed25519, over those four fields; anything else is none."""
    good = reply()
    value = re.sub(pattern, instead, good.headers["keygen-signature"])
    response = Response(200, {**good.headers, "keygen-signature": value}, good.body)
    assert undecided(KEYGEN, response, server=SERVER).reason == "signature"
    assert undecided(KEYGEN, response, server=replace(LENIENT, url=URL)).reason == "signature"


@pytest.mark.row("I01")
def test_a_signature_is_spelt_in_one_way() -> None:
    """Base64 that says the same bytes in other letters is none."""
    good = reply()
    before, last, after = good.headers["keygen-signature"].partition('=="')
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = letters[letters.index(before[-1]) + 1]
    value = before[:-1] + other + last + after
    response = Response(200, {**good.headers, "keygen-signature": value}, good.body)
    assert undecided(KEYGEN, response, server=SERVER).reason == "signature"


@pytest.mark.row("I01")
@given(st.data())
def test_any_bit_counts(data: st.DataObject) -> None:
    """With one bit of body or signature changed it is no answer."""
    good = reply()
    parts = {"body": good.body, "seal": good.headers["keygen-signature"].encode()}
    name = data.draw(st.sampled_from(sorted(parts)))
    changed = bytearray(parts[name])
    # What names the account says nothing, and is not covered.
    first = len('keyid="bf9b523f"') if name == "seal" else 0
    place = data.draw(st.integers(first * 8, len(changed) * 8 - 1))
    changed[place // 8] ^= 1 << place % 8
    parts[name] = bytes(changed)
    headers = {**good.headers, "keygen-signature": parts["seal"].decode("latin-1")}
    undecided(KEYGEN, Response(200, headers, parts["body"]), server=SERVER)


@pytest.mark.row("I07")
@pytest.mark.parametrize(
    "members",
    [
        {},
        {"meta": []},
        {**said(), "data": [resource()]},
        {**said(), "data": "x"},
        said({"id": "x"}),
        said({**resource(), "id": 1}),
        said(resource(metadata=[])),
        said(resource(expiry="soon")),
        {**said(), "data": None},
        said(valid=False, code=None),
        said(valid=False, code="not a code"),
        said(valid=False, code="X" * 65),
    ],
    ids=repr,
)
def test_what_is_no_answer_is_none_signed_or_not(members: dict[str, Any]) -> None:
    """Whatever is missing, or of another type."""
    undecided(KEYGEN, reply(members), server=SERVER)


@pytest.mark.row("I07")
@pytest.mark.parametrize("body", [b"", b"{", b'{"meta": {}, "meta": {}}', b"[]", b" " * 70_000])
def test_garbage_is_no_answer(body: bytes) -> None:
    """Even signed."""
    assert undecided(KEYGEN, sealed(body), server=SERVER).reason == "malformed"


@pytest.mark.row("I07")
@pytest.mark.parametrize("content_type", [None, "text/html", "application/json"])
def test_the_content_type_has_to_be_right(content_type: str | None) -> None:
    """A good answer under another name is none."""
    response = reply(content_type=content_type)
    assert undecided(KEYGEN, response, server=SERVER).reason == "content_type"


@pytest.mark.parametrize(
    "key", ["", "x", "ab" * 31, "ab" * 33, b"short", None, 7, [], "00" * 32, "01" + "00" * 31]
)
def test_a_public_key_is_checked_when_it_is_given(key: Any) -> None:
    """Length, alphabet, and the points of small order among them."""
    with pytest.raises(ConfigError) as error:
        Keygen(key, PRODUCT)
    assert error.value.setting == "validation_protocol"


@pytest.mark.parametrize("product", ["", None, 7])
def test_a_product_is_required(product: Any) -> None:
    """Without it every license of the account would do."""
    with pytest.raises(ConfigError):
        Keygen(PUBLIC, product)


def test_two_spellings_of_one_key_are_one_dialect() -> None:
    """Equal, with one repr, which settings are compared by."""
    assert Keygen(PUBLIC, PRODUCT) == Keygen(PUBLIC.hex(), PRODUCT)
    assert repr(Keygen(PUBLIC, PRODUCT)) == repr(Keygen(PUBLIC.hex(), PRODUCT))
