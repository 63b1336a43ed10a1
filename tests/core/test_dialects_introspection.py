"""The dialect of token introspection: RFC 7662, answered as RFC 9701 says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.core.online.dialects.introspection import TYPE, Introspection
from licet.core.online.question import Denied, Dialect, Granted, KeyMissing, Undecided
from licet.core.transport import Response
from tests.core.asked import (
    CREDENTIALS,
    LENIENT,
    LICENSE,
    NOW,
    QUESTION,
    SERVER,
    URL,
    Server,
    answer,
    reply,
    sealed,
    undecided,
    without,
)

INTROSPECTION: Dialect = Introspection()
#: As RFC 9701, section 5 has it: no `exp` and no `sub` beside `token_introspection`.
SAID: dict[str, Any] = {
    "iss": QUESTION.issuer,
    "aud": QUESTION.audience,
    "iat": NOW,
    "nonce": QUESTION.nonce,
    "token_introspection": {
        "active": True,
        "client_id": "app",
        "username": "jane",
        "token_type": "Bearer",
        **LICENSE,
    },
}
NO = {**SAID, "token_introspection": {"active": False}}
TOKEN = replace(QUESTION, credential="eyJ0.eyJz.c2ln", license_id="lic_1")


def jwt(said: object = SAID, **changes: Any) -> Response:
    """Return a signed answer."""
    return reply(sealed(said, **{"typ": TYPE, **changes}), f"application/{TYPE}")


def plain(said: object) -> Response:
    """Return an answer without a signature."""
    return reply(json.dumps(said).encode(), "application/json")


def inside(**changes: Any) -> dict[str, Any]:
    """Return an answer with other members inside; None leaves one out."""
    told = {**SAID["token_introspection"], **changes}
    kept = {name: value for name, value in told.items() if value is not None}
    return {**SAID, "token_introspection": kept}


@pytest.mark.row("I14")
def test_the_request_is_a_form() -> None:
    """A POST of token and nonce in the body (RFC 7662, section 2.1), and nothing in the address."""
    question = replace(QUESTION, credential="a b&c=ü")
    request = INTROSPECTION.request(question, SERVER)
    assert (request.method, request.url) == ("POST", URL)
    form = parse_qs(request.body.decode("ascii"), strict_parsing=True)
    assert form == {"token": ["a b&c=ü"], "nonce": [QUESTION.nonce]}
    assert dict(request.headers) == {
        "authorization": f"Bearer {CREDENTIALS}",
        "accept": "application/token-introspection+jwt",
        "content-type": "application/x-www-form-urlencoded",
    }
    assert INTROSPECTION.asks_domain is False


def test_plain_answers_are_asked_for_where_they_are_believed() -> None:
    """`Accept` says what will be read; without credentials there is no `Authorization`."""
    headers = INTROSPECTION.request(QUESTION, Server(credentials=None, unsigned=True)).headers
    assert headers["accept"] == "application/token-introspection+jwt, application/json"
    assert "authorization" not in headers


def test_a_yes_brings_the_license() -> None:
    """The claims inside, without what is said of the token alone."""
    assert answer(INTROSPECTION, jwt()) == Granted(LICENSE, True, NOW)


def test_issuer_and_audience_are_taken_from_around_it() -> None:
    """Where the claims inside do not name them, those that were checked count."""
    said = answer(INTROSPECTION, jwt(inside(iss=None, aud=None)))
    assert said == Granted(LICENSE, True, NOW)
    other = answer(INTROSPECTION, jwt(inside(iss="other", aud="other")))
    assert isinstance(other, Granted)
    assert (other.license["iss"], other.license["aud"]) == ("other", "other")


def test_a_no_is_signed() -> None:
    """`active: false` says nothing more (RFC 7662, section 2.2)."""
    assert answer(INTROSPECTION, jwt(NO)) == Denied("unknown", True, NOW)


@pytest.mark.row("I03")
def test_a_token_s_answer_is_about_that_license() -> None:
    """A yes says the token's own `sub`; no answer says another."""
    assert isinstance(answer(INTROSPECTION, jwt(), TOKEN), Granted)
    for said in (inside(sub="lic_2"), inside(sub=None), inside(active=False, sub="lic_2")):
        error = undecided(INTROSPECTION, jwt(said), TOKEN)
        assert (error.reason, error.suspicion) == ("license", "replay")


@pytest.mark.row("I02", "I03")
@pytest.mark.parametrize("said", [SAID, NO], ids=["yes", "no"])
@pytest.mark.parametrize("member", ["nonce", "aud"])
@pytest.mark.parametrize("value", ["other", "", None, 1, True, [], {}, ["other"]])
def test_a_right_answer_in_the_wrong_place_is_a_replay(
    said: dict[str, Any], member: str, value: Any
) -> None:
    """Another nonce or audience, or none, or one of another type; a nonce inside does not count."""
    told = {**said["token_introspection"], member: QUESTION.nonce}
    for changed in ({**said, member: value}, without(said, member)):
        error = undecided(INTROSPECTION, jwt({**changed, "token_introspection": told}))
        assert error.suspicion == "replay"


@pytest.mark.row("I01")
@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"key": "b"}, "signature"),
        ({"alg": "none"}, "algorithm"),
        ({"typ": "license-validation+jwt"}, "type"),
        ({"typ": "JWT"}, "type"),
        ({"typ": None}, "type"),
    ],
    ids=str,
)
def test_what_the_server_did_not_sign_is_no_answer(header: dict[str, Any], reason: str) -> None:
    """Another key, algorithm or kind of document."""
    assert undecided(INTROSPECTION, jwt(SAID, **header)).reason == reason


def test_a_key_that_is_not_at_hand_is_asked_for() -> None:
    """`KeyMissing` goes through."""
    with pytest.raises(KeyMissing):
        INTROSPECTION.read(QUESTION, jwt(kid="z"), SERVER)


@pytest.mark.row("I04")
@pytest.mark.parametrize("exp", [NOW - 30, "x", None, True])
def test_an_end_that_is_told_counts(exp: Any) -> None:
    """The standard gives the answer none; where there is one it must be a time to come."""
    assert isinstance(answer(INTROSPECTION, jwt({**SAID, "exp": NOW + 1})), Granted)
    assert undecided(INTROSPECTION, jwt({**SAID, "exp": exp})).reason in ("exp", "expired")


@pytest.mark.row("I06")
@pytest.mark.parametrize("active", ["true", 1, 0, None, [], {}, "", 1.0])
def test_only_true_is_active_and_only_false_is_not(active: Any) -> None:
    """Nothing else is taken for either, signed or plain."""
    said = {**SAID, "token_introspection": {**LICENSE, "active": active}}
    assert undecided(INTROSPECTION, jwt(said)).reason == "active"
    told = said["token_introspection"]
    assert undecided(INTROSPECTION, plain(told), server=LENIENT).reason == "active"


@pytest.mark.parametrize("told", [None, [], "x", True])
def test_what_is_said_of_the_token_is_an_object(told: Any) -> None:
    """Nothing else is an answer, and its absence is none."""
    undecided(INTROSPECTION, jwt({**SAID, "token_introspection": told}))
    undecided(INTROSPECTION, jwt(without(SAID, "token_introspection")))


@pytest.mark.row("I01")
@given(st.integers(0, len(sealed(SAID, typ=TYPE)) * 8 - 1))
def test_any_bit_counts(place: int) -> None:
    """With one bit changed, anywhere, it is no answer, or names a key that is not at hand."""
    body = bytearray(sealed(SAID, typ=TYPE))
    body[place // 8] ^= 1 << place % 8
    with pytest.raises((Undecided, KeyMissing)):
        INTROSPECTION.read(QUESTION, reply(bytes(body), f"application/{TYPE}"), SERVER)


@pytest.mark.row("I01")
def test_plain_answers_are_believed_only_where_the_settings_say_so() -> None:
    """Then they pass for a license, or for an unsigned no."""
    told = SAID["token_introspection"]
    for each in (told, {"active": False}):
        assert undecided(INTROSPECTION, plain(each)).reason == "unsigned"
    granted = answer(INTROSPECTION, plain(told), server=LENIENT)
    assert granted == Granted({**LICENSE, "iat": NOW})
    assert answer(INTROSPECTION, plain({"active": False}), server=LENIENT) == Denied("unknown")


@pytest.mark.row("I07")
@pytest.mark.parametrize("content_type", ["", "text/html", "application/jwt"])
def test_the_content_type_has_to_be_right(content_type: str) -> None:
    """A good answer under another name is none."""
    response = reply(sealed(SAID, typ=TYPE), content_type)
    assert undecided(INTROSPECTION, response, server=LENIENT).reason == "content_type"
