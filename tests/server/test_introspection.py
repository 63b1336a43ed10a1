"""Introspection as RFC 7662 has it, signed as RFC 9701 has it."""

from __future__ import annotations

import jwt
import pytest

from licet.core.online.dialects.introspection import Introspection
from licet.core.online.question import Answer, Denied, Granted, Question
from tests.core.hands import Hands
from tests.server.callers import NONCE, SIGNED, Calls
from tests.server.conftest import AUDIENCE, ISSUER


def understood(calls: Calls, hands: Hands, credential: str) -> Answer:
    """Return how an application reads the answer to its question."""
    question = Question(credential, ISSUER, AUDIENCE, None, NONCE, hands.wall)
    return calls.understood(Introspection(), "/v1/licenses/introspect", question)


def test_applications_understand_the_answer(calls: Calls, hands: Hands) -> None:
    """Each answer is one to Licet's own reader: the claims of the license, or a no."""
    given = calls.issue(key=True, features=["analytics"])
    for credential in (given["key"], given["token"]):
        granted = understood(calls, hands, credential)
        assert isinstance(granted, Granted)
        assert granted.signed
        assert granted.license == calls.decode(given["token"])
    calls.act(given["id"], "revoke")
    for credential in (given["key"], given["token"], "lic_nobodys", "a.b.c"):
        assert understood(calls, hands, credential) == Denied("unknown", True, hands.wall)


def test_a_signed_answer_is_no_token(calls: Calls, hands: Hands) -> None:
    """It has its own type, is for who asked, repeats the nonce, and has no `sub` nor `exp`."""
    given = calls.issue(key=True, audience=["acme-mail", "acme-crm"])
    answer = calls.introspect(given["key"], SIGNED, nonce=NONCE)
    assert answer.headers["content-type"] == SIGNED
    assert jwt.get_unverified_header(answer.text)["typ"] == "token-introspection+jwt"
    said = calls.decode(answer.text, "acme-crm")
    claims = calls.decode(given["token"], "acme-crm")
    assert said == {
        "iss": ISSUER,
        "aud": ["acme-mail", "acme-crm"],
        "iat": hands.wall,
        "nonce": NONCE,
        "token_introspection": {**claims, "active": True},
    }
    assert calls.verdict(answer.text) == "unknown"


def test_a_form_may_say_who_asks(calls: Calls) -> None:
    """The answer is for the product that asks, for which another's license is not active."""
    key = calls.issue(key=True)["key"]
    for credential, audience, active in (
        (key, AUDIENCE, True),
        (key, "acme-mail", False),
        ("lic_nobodys", "acme-mail", False),
    ):
        answer = calls.introspect(credential, SIGNED, audience=audience)
        said = calls.decode(answer.text, audience)
        assert said["aud"] == audience
        assert said["token_introspection"]["active"] is active


def test_what_is_not_active_is_nothing_else(calls: Calls, hands: Hands) -> None:
    """Nobody is told why a license is not active, nor whether there is one."""
    given = calls.issue(key=True, expires_in=1000, not_before=hands.wall + 10)
    assert calls.introspect(given["key"]).json() == {"active": False}
    hands.advance(10)
    assert calls.introspect(given["key"]).json()["active"] is True
    calls.act(given["id"], "suspend")
    assert calls.introspect(given["key"]).json() == {"active": False}
    calls.act(given["id"], "resume")
    hands.advance(990)
    for credential in (given["key"], given["token"], "lic_nobodys"):
        assert calls.introspect(credential).json() == {"active": False}


def test_a_token_that_has_ended_is_not_active(calls: Calls, hands: Hands) -> None:
    """It is the token that is asked about (RFC 7662, section 4), though its license was renewed."""
    old = calls.issue(expires_in=1000)["token"]
    hands.advance(999)
    new = calls.refresh(old).json()["token"]
    assert calls.introspect(old).json()["active"] is True
    hands.advance(1)
    assert calls.introspect(old).json() == {"active": False}
    assert calls.introspect(new).json()["active"] is True


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (SIGNED, SIGNED),
        (f"application/json;q=0.5, {SIGNED.upper()}", SIGNED),
        (f"{SIGNED};q=0.001", SIGNED),
        (f"{SIGNED};q=0.0", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
    ],
)
def test_who_accepts_a_signed_answer_gets_one(calls: Calls, accept: str, kind: str) -> None:
    """Signed is what is asked for by its name (RFC 9701, section 4), everything else is plain."""
    assert calls.introspect("lic_nobodys", accept).headers["content-type"] == kind


def test_what_is_no_form_is_refused(calls: Calls) -> None:
    """Another kind of body is 415; one without a token, or with something twice, 400."""
    form = "application/x-www-form-urlencoded"
    for content, kind, status in (
        (b'{"token": "lic_a"}', "application/json", 415),
        (b"token=lic_a", "", 415),
        (b"token=lic_a", f"{form};charset=utf-8", 200),
        (b"token=lic_a&token_type_hint=license&further=%C3%BC", form, 200),
        (b"", form, 400),
        (b"token=", form, 400),
        (b"nonce=a", form, 400),
        (b"token=lic_a&token=lic_b", form, 400),
        (b"token=%ff", form, 400),
        (b"token=\xff", form, 400),
        (b"token", form, 400),
        (b"token=a" + b"&a=b" * 200, form, 400),
    ):
        headers = {**calls.validation, "Content-Type": kind}
        answer = calls.client.post("/v1/licenses/introspect", headers=headers, content=content)
        assert answer.status_code == status, content
