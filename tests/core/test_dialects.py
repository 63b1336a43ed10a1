"""The dialect of Licet's own server: rows I01-I07 and I14 where they are about the answer alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.core.online.dialects.licet import TYPE, Licet
from licet.core.online.dialects.signed import LEEWAY, MAX_ANSWER, MAX_DRIFT
from licet.core.online.dialects.unsigned import DEFAULT_LIFETIME, MAX_LIFETIME
from licet.core.online.question import Denied, Dialect, Granted, KeyMissing, Question, Undecided
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

LICET: Dialect = Licet()
SAID: dict[str, Any] = {
    "iss": QUESTION.issuer,
    "aud": QUESTION.audience,
    "iat": NOW,
    "exp": NOW + 300,
    "nonce": QUESTION.nonce,
    "req": QUESTION.digest,
    "domain": QUESTION.domain,
    "valid": True,
    "license": LICENSE,
    "cache_for": 3600,
}
NO: dict[str, Any] = {**without(SAID, "license", "cache_for"), "valid": False, "error": "revoked"}
TOKEN = replace(QUESTION, credential="eyJ0.eyJz.c2ln", license_id="lic_1")


def jwt(said: object = SAID, **changes: Any) -> Response:
    """Return a signed answer."""
    return reply(sealed(said, **{"typ": TYPE, **changes}), "application/jwt")


def plain(said: object, content_type: str = "application/json") -> Response:
    """Return an answer without a signature."""
    return reply(json.dumps(said).encode(), content_type)


def asked_as_token(said: dict[str, Any]) -> dict[str, Any]:
    """Return `said` as an answer to the question about a token."""
    return {**said, "req": TOKEN.digest}


class TestRequest:
    """What is sent."""

    def test_the_request_is_the_protocol_s(self) -> None:
        """A POST of four members, with the application's key and the wish for a signature."""
        request = LICET.request(QUESTION, SERVER)
        assert (request.method, request.url) == ("POST", URL)
        assert json.loads(request.body) == {
            "licenseKey": QUESTION.credential,
            "domain": QUESTION.domain,
            "audience": QUESTION.audience,
            "nonce": QUESTION.nonce,
        }
        assert dict(request.headers) == {
            "authorization": f"Bearer {CREDENTIALS}",
            "accept": "application/jwt",
            "content-type": "application/json",
        }
        assert LICET.asks_domain is True

    @pytest.mark.row("I14")
    @pytest.mark.parametrize("domain", ["customer.example", "", None])
    def test_nothing_secret_stands_in_the_address(self, domain: str | None) -> None:
        """Credential and nonce are in the body, the key in its field; without request no domain."""
        request = LICET.request(replace(QUESTION, domain=domain), SERVER)
        assert request.url == URL
        assert ("domain" in json.loads(request.body)) is (domain is not None)

    def test_without_a_key_none_is_sent_and_plain_answers_are_asked_for_where_believed(
        self,
    ) -> None:
        """`Authorization` is left out without credentials; `Accept` says what will be read."""
        headers = LICET.request(QUESTION, Server(credentials=None, unsigned=True)).headers
        assert "authorization" not in headers
        assert headers["accept"] == "application/jwt, application/json"

    def test_a_question_shows_neither_credential_nor_nonce(self) -> None:
        """The repr of a question can be logged."""
        assert QUESTION.credential not in repr(QUESTION)
        assert QUESTION.nonce not in repr(QUESTION)


class TestSigned:
    """Answers with a signature."""

    def test_a_yes_brings_the_license(self) -> None:
        """Claims, time and how long it may be relied on, signed."""
        assert answer(LICET, jwt()) == Granted(LICENSE, True, NOW, 3600)
        assert answer(LICET, jwt(without(SAID, "cache_for"))) == Granted(LICENSE, True, NOW, None)

    @pytest.mark.parametrize(
        "error", ["unknown", "expired", "revoked", "domain_mismatch", "not paid"]
    )
    def test_a_no_brings_its_word(self, error: str) -> None:
        """Whatever the word is; it may say which license it is about."""
        assert answer(LICET, jwt({**NO, "error": error})) == Denied(error, True, NOW)
        for named in ({"license": {"sub": "lic_9"}}, {"sub": "lic_9"}):
            assert answer(LICET, jwt({**NO, **named})) == Denied("revoked", True, NOW, "lic_9")

    @pytest.mark.row("I03")
    def test_a_token_s_answer_is_about_that_license(self) -> None:
        """The `sub` of yes and no is the token's own; a yes says it."""
        assert isinstance(answer(LICET, jwt(asked_as_token(SAID)), TOKEN), Granted)
        other = {**LICENSE, "sub": "lic_2"}
        for said in (
            {**SAID, "license": other},
            {**SAID, "license": without(LICENSE, "sub")},
            {**NO, "license": {"sub": "lic_2"}},
            {**NO, "sub": "lic_2"},
        ):
            error = undecided(LICET, jwt(asked_as_token(said)), TOKEN)
            assert (error.reason, error.suspicion) == ("license", "replay")

    @pytest.mark.parametrize("domain", [None, ""])
    @pytest.mark.row("I03")
    def test_no_domain_is_not_any_domain(self, domain: str | None) -> None:
        """Outside a request the answer names none; where a request tells none, it repeats that."""
        question = replace(QUESTION, domain=domain)
        good = without(SAID, "domain") if domain is None else {**SAID, "domain": ""}
        assert isinstance(answer(LICET, jwt(good), question), Granted)
        told: list[Any] = [{"domain": "customer.example"}, {"domain": None}, {"domain": ""}, {}]
        for domain_told in told:
            said = {**without(SAID, "domain"), **domain_told}
            if said != good:
                assert undecided(LICET, jwt(said), question).suspicion == "replay"

    @pytest.mark.row("I02", "I03")
    @pytest.mark.parametrize("said", [SAID, NO], ids=["yes", "no"])
    @pytest.mark.parametrize("member", ["nonce", "aud", "req", "domain"])
    @pytest.mark.parametrize("value", ["other", "", None, 1, True, [], {}, ["other"], {"a": 1}])
    def test_a_right_answer_in_the_wrong_place_is_a_replay(
        self, said: dict[str, Any], member: str, value: Any
    ) -> None:
        """Another nonce, audience, credential or domain, or none, or one of another type."""
        for changed in ({**said, member: value}, without(said, member)):
            error = undecided(LICET, jwt(changed))
            assert error.suspicion == "replay"

    @pytest.mark.row("I02")
    @given(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"]))
        | st.just([QUESTION.nonce])
        | st.just({QUESTION.nonce: QUESTION.nonce})
    )
    def test_only_the_nonce_is_the_nonce(self, value: Any) -> None:
        """No other JSON value is taken for it."""
        if value != QUESTION.nonce:
            error = undecided(LICET, jwt({**SAID, "nonce": value}))
            assert (error.reason, error.suspicion) == ("nonce", "replay")

    def test_one_audience_of_several_is_enough(self) -> None:
        """`aud` may be a list (RFC 7519, section 4.1.3)."""
        answer(LICET, jwt({**SAID, "aud": ["other", QUESTION.audience]}))
        assert undecided(LICET, jwt({**SAID, "aud": [QUESTION.audience, 1]})).reason == "audience"

    @pytest.mark.row("I01")
    @pytest.mark.parametrize(
        ("header", "reason"),
        [
            ({"key": "b"}, "signature"),
            ({"alg": "none"}, "algorithm"),
            ({"alg": "HS256"}, "algorithm"),
            ({"typ": "license+jwt"}, "type"),
            ({"typ": "statuslist+jwt"}, "type"),
            ({"typ": "token-introspection+jwt"}, "type"),
            ({"typ": "JWT"}, "type"),
            ({"typ": None}, "type"),
            ({"typ": 1}, "malformed"),
            ({"kid": None}, "malformed"),
            ({"jku": "https://evil.example"}, "malformed"),
            ({"crit": ["exp"]}, "malformed"),
        ],
        ids=str,
    )
    def test_what_the_server_did_not_sign_is_no_answer(
        self, header: dict[str, Any], reason: str
    ) -> None:
        """Another key, algorithm or kind of document; nothing is suspected of a replay."""
        error = undecided(LICET, jwt(SAID, **header))
        assert (error.reason, error.suspicion) == (reason, None)

    @pytest.mark.row("I01")
    def test_a_license_is_no_answer(self) -> None:
        """A license token signed by the very same key says nothing."""
        assert undecided(LICET, jwt(LICENSE, typ="license+jwt")).reason == "type"

    def test_the_type_has_one_form(self) -> None:
        """`application/` and case do not matter (RFC 7515, section 4.1.9)."""
        answer(LICET, jwt(typ="application/License-Validation+JWT"))

    def test_a_key_that_is_not_at_hand_is_asked_for(self) -> None:
        """`KeyMissing` goes through, and no impossible algorithm is looked up."""
        with pytest.raises(KeyMissing) as missing:
            LICET.read(QUESTION, jwt(kid="z"), SERVER)
        assert (missing.value.kid, missing.value.alg) == ("z", "EdDSA")
        server = Server()
        undecided(LICET, jwt(alg="none"), server=server)
        undecided(LICET, jwt(typ="license+jwt"), server=server)
        assert server.asked_for == []

    @pytest.mark.row("I04")
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"exp": NOW - LEEWAY}, "expired"),
            ({"exp": None}, "exp"),
            ({"exp": "2099"}, "exp"),
            ({"exp": True}, "exp"),
            ({"exp": 1e300}, "exp"),
            ({"iat": NOW - MAX_DRIFT - 1}, "iat"),
            ({"iat": NOW + MAX_DRIFT + 1}, "iat"),
            ({"iat": None}, "iat"),
            ({"iat": True}, "iat"),
            ({"iat": str(NOW)}, "iat"),
            ({"iss": "https://other.example"}, "issuer"),
            ({"iss": None}, "issuer"),
            ({"iss": [QUESTION.issuer]}, "issuer"),
        ],
        ids=str,
    )
    def test_another_s_or_an_old_answer_is_none(self, change: dict[str, Any], reason: str) -> None:
        """Issuer and times are what they must be, and of the right type."""
        assert undecided(LICET, jwt({**SAID, **change})).reason == reason
        assert undecided(LICET, jwt(without(SAID, *change))).reason in ("exp", "iat", "issuer")

    def test_clocks_may_differ(self) -> None:
        """A day for `iat`, half a minute for `exp`; the validator hears when it was said."""
        for iat in (NOW - MAX_DRIFT, NOW + MAX_DRIFT):
            said = answer(LICET, jwt({**SAID, "iat": iat, "exp": NOW - LEEWAY + 1}))
            assert said.issued_at == iat

    @pytest.mark.row("I06")
    @pytest.mark.parametrize("valid", ["true", "false", 1, 0, None, [], [True], {}, "", 1.0])
    def test_only_true_is_yes_and_only_false_is_no(self, valid: Any) -> None:
        """Nothing else is taken for either, signed or plain."""
        assert undecided(LICET, jwt({**SAID, "valid": valid})).reason == "valid"
        assert undecided(LICET, plain({"valid": valid}), server=LENIENT).reason == "valid"

    def test_an_answer_without_verdict_is_none(self) -> None:
        """`valid` and, with a yes, `license` have to be there."""
        assert undecided(LICET, jwt(without(SAID, "valid"))).reason == "valid"
        assert undecided(LICET, jwt(without(SAID, "license"))).reason == "license"

    @pytest.mark.parametrize("value", [None, [], "x", 1, True])
    def test_a_license_is_an_object(self, value: Any) -> None:
        """Nothing else is one, in a yes or a no."""
        assert undecided(LICET, jwt({**SAID, "license": value})).reason == "license"
        assert undecided(LICET, jwt({**NO, "license": value})).reason == "license"

    @pytest.mark.parametrize("value", [None, True, 1, "", "x" * 257, "a\nb", []])
    def test_a_license_id_is_text(self, value: Any) -> None:
        """A `sub` that is no identifier spoils the answer."""
        assert undecided(LICET, jwt({**NO, "sub": value})).reason == "license"

    @pytest.mark.parametrize("value", [-1, -0.5, None, True, "60", [], {}])
    def test_nonsense_about_caching_spoils_the_answer(self, value: Any) -> None:
        """`cache_for` is a number of seconds or absent."""
        assert undecided(LICET, jwt({**SAID, "cache_for": value})).reason == "cache_for"

    @pytest.mark.parametrize("value", ["", "x" * 65, "a\nb", "ü"])
    def test_a_no_in_an_odd_word_is_a_no(self, value: str) -> None:
        """What could not come into a log as it is becomes the word for no reason in particular."""
        assert answer(LICET, jwt({**NO, "error": value})) == Denied("rejected", True, NOW)

    @pytest.mark.parametrize("value", [None, 1, True, [], {}])
    def test_an_error_is_a_word(self, value: Any) -> None:
        """Whatever is no text, or absent, spoils the answer."""
        assert undecided(LICET, jwt({**NO, "error": value})).reason == "error"
        assert undecided(LICET, jwt(without(NO, "error"))).reason == "error"

    @pytest.mark.row("I01")
    @given(st.integers(0, len(sealed(SAID, typ=TYPE)) * 8 - 1))
    def test_any_bit_counts(self, place: int) -> None:
        """With one bit changed, anywhere, it is no answer, or names a key that is not at hand."""
        body = bytearray(sealed(SAID, typ=TYPE))
        body[place // 8] ^= 1 << place % 8
        with pytest.raises((Undecided, KeyMissing)):
            LICET.read(QUESTION, reply(bytes(body), "application/jwt"), SERVER)

    @pytest.mark.row("I07")
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"..",
            b"a.b.c",
            b"a" * (MAX_ANSWER + 1),
            sealed(SAID, typ=TYPE) + b"\n",
            b" " + sealed(SAID, typ=TYPE),
            b"." + sealed(SAID, typ=TYPE),
        ],
        ids=lambda body: repr(body[:8]),
    )
    def test_garbage_is_no_answer(self, body: bytes) -> None:
        """HTML, emptiness, too much, or something around it."""
        assert undecided(LICET, reply(body, "application/jwt")).reason == "malformed"

    @pytest.mark.row("I07")
    @pytest.mark.parametrize(
        "text",
        [
            '{"valid": true, "valid": true}',
            '{"valid": NaN}',
            '{"valid": 1e999}',
            "[" * 40 + "]" * 40,
            "true",
            '"valid"',
            "\ufeff{}",
            '{"a": "\\ud800"}',
        ],
    )
    def test_json_has_one_reading(self, text: str) -> None:
        """Duplicate members, NaN, depth and the like make it no answer, signed or plain."""
        assert undecided(LICET, plain_text(text), server=LENIENT).reason == "malformed"

    @pytest.mark.row("I07")
    @pytest.mark.parametrize(
        "content_type",
        ["", "text/html", "text/plain", "application/jwt, application/jwt", "application/jws"],
    )
    def test_the_content_type_has_to_be_right(self, content_type: str) -> None:
        """A good answer under another name is none, and none is fine."""
        response = reply(sealed(SAID, typ=TYPE), content_type)
        assert undecided(LICET, response).reason == "content_type"
        assert undecided(LICET, Response(200, {}, response.body)).reason == "content_type"

    def test_the_content_type_may_have_parameters_and_any_case(self) -> None:
        """As media types do (RFC 9110, section 8.3.1)."""
        body = sealed(SAID, typ=TYPE)
        answer(LICET, reply(body, "Application/JWT ; charset=utf-8"))


def plain_text(text: str) -> Response:
    """Return a plain answer that is no JSON perhaps."""
    return reply(text.encode(), "application/json")


class TestUnsigned:
    """Plain JSON answers of other vendors' servers."""

    YES: ClassVar[dict[str, Any]] = {
        "valid": True,
        "plan": "pro",
        "features": ["analytics"],
        "limits": {"seats": 3},
    }

    @pytest.mark.row("I01")
    def test_they_are_believed_only_where_the_settings_say_so(self) -> None:
        """Neither a yes nor a no counts otherwise."""
        for said in (self.YES, {"valid": False, "error": "revoked"}):
            assert undecided(LICET, plain(said)).reason == "unsigned"
            assert answer(LICET, plain(said), server=LENIENT).signed is False

    @pytest.mark.row("I01")
    def test_a_signature_that_is_there_has_to_hold_even_so(self) -> None:
        """`application/jwt` is never read as if it were plain."""
        assert undecided(LICET, jwt(key="b"), server=LENIENT).reason == "signature"
        undecided(LICET, plain(self.YES, "application/jwt"), server=LENIENT)

    def test_a_yes_amounts_to_a_license(self) -> None:
        """What it does not say is filled in; nothing of the answer itself is among the claims."""
        granted = answer(LICET, plain({**self.YES, "cache_for": 60}), server=LENIENT)
        assert granted == Granted(
            {
                "iss": QUESTION.issuer,
                "aud": QUESTION.audience,
                "sub": f"key_{QUESTION.digest}",
                "iat": NOW,
                "exp": NOW + DEFAULT_LIFETIME,
                **without(self.YES, "valid"),
            },
            cache_for=60,
        )

    @pytest.mark.parametrize(
        ("told", "exp"),
        [
            ({"exp": NOW + 10}, NOW + 10),
            ({"expiresAt": "2027-01-15T09:00:00Z"}, NOW + 3600),
            ({"expires_at": "2027-01-15T10:00:00+01:00"}, NOW + 3600),
            ({"expiry": "2027-01-15T09:00:00"}, NOW + 3600),
            ({"expiry": "2027-01-16"}, 1_800_057_600),
            ({"expires_at": NOW + 10, "exp": NOW + 20}, NOW + 10),
            ({"expiresAt": None}, NOW + DEFAULT_LIFETIME),
            ({"exp": NOW - 10}, NOW - 10),
            ({"exp": NOW + 10 * MAX_LIFETIME}, NOW + MAX_LIFETIME),
        ],
        ids=str,
    )
    def test_its_end_has_many_spellings(self, told: dict[str, Any], exp: float) -> None:
        """A number or ISO 8601; the earliest counts; none is later than a year."""
        granted = answer(LICET, plain({**self.YES, **told}), server=LENIENT)
        assert isinstance(granted, Granted)
        assert granted.license["exp"] == exp
        assert granted.license["iat"] == min(NOW, exp)
        assert granted.license.keys().isdisjoint({"expiresAt", "expires_at", "expiry"})

    @pytest.mark.parametrize("name", ["exp", "expiresAt", "expires_at", "expiry"])
    @pytest.mark.parametrize(
        "value",
        ["", "soon", True, [], {}, -1, NOW * 1000, "0001-01-01T00:00:00+14:00", "1900-01-01"],
        ids=str,
    )
    def test_an_end_that_cannot_be_read_spoils_the_answer(self, name: str, value: Any) -> None:
        """Milliseconds among them: nobody's license shall last for ever by mistake."""
        said = {**self.YES, name: value}
        assert undecided(LICET, plain(said), server=LENIENT).reason == "expiry"

    @pytest.mark.parametrize(
        ("told", "sub"),
        [
            ({"license_id": "a"}, "a"),
            ({"licenseId": "a"}, "a"),
            ({"id": "a", "license_id": "b"}, "b"),
            ({"sub": "a", "id": "b"}, "a"),
            ({"id": 7}, f"key_{QUESTION.digest}"),
        ],
        ids=str,
    )
    def test_its_id_has_many_names(self, told: dict[str, Any], sub: str) -> None:
        """Whatever it is called; of a key that is given none, the digest."""
        granted = answer(LICET, plain({**self.YES, **told}), server=LENIENT)
        assert isinstance(granted, Granted)
        assert granted.license["sub"] == sub

    @pytest.mark.row("I03")
    def test_a_token_s_answer_is_about_that_license(self) -> None:
        """Another `sub` is another license; a numbering of the server's own is none."""
        granted = answer(LICET, plain({**self.YES, "id": "7"}), TOKEN, LENIENT)
        assert isinstance(granted, Granted)
        assert granted.license["sub"] == "lic_1"
        error = undecided(LICET, plain({**self.YES, "sub": "lic_2"}), TOKEN, LENIENT)
        assert (error.reason, error.suspicion) == ("license", "replay")

    def test_what_it_says_of_itself_is_checked_like_any_license(self) -> None:
        """Another `iss` or `aud` stays, to be refused; a status word is no status list."""
        said = {**self.YES, "iss": "x", "aud": "y", "status": "active", "domains": ["a.example"]}
        granted = answer(LICET, plain(said), server=LENIENT)
        assert isinstance(granted, Granted)
        claims = granted.license
        assert (claims["iss"], claims["aud"], claims["domains"]) == ("x", "y", ["a.example"])
        assert "status" not in claims
        listed = answer(LICET, plain({**said, "status": {"status_list": {}}}), server=LENIENT)
        assert isinstance(listed, Granted)
        assert "status" in listed.license

    def test_a_no_needs_no_word(self) -> None:
        """Without one, or with its own, it is a no; with nonsense it is none."""
        assert answer(LICET, plain({"valid": False}), server=LENIENT) == Denied("rejected")
        no = {"valid": False, "error": "expired"}
        assert answer(LICET, plain(no), server=LENIENT) == Denied("expired")
        undecided(LICET, plain({"valid": False, "error": 5}), server=LENIENT)

    @pytest.mark.row("I07")
    def test_a_large_one_is_not_read(self) -> None:
        """The cap is that of signed answers."""
        said = {**self.YES, "customer": "x" * MAX_ANSWER}
        assert undecided(LICET, plain(said), server=LENIENT).reason == "malformed"


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@pytest.mark.row("I07")
def test_no_bytes_do_harm(body: bytes) -> None:
    """Whatever comes, under either name, is undecided and raises nothing else."""
    question: Question = QUESTION
    for content_type in ("application/jwt", "application/json"):
        undecided(LICET, reply(body, content_type), question, LENIENT)
