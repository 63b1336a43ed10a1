"""What a license server's answers become, and what is never asked."""

from __future__ import annotations

import pytest

from tests.attacks.asking import VALIDATOR, WORDS, Asking, at_once
from tests.core.license_server import CREDENTIALS, LicenseServer, asked
from tests.core.loopback import reply
from tests.licenses import AUDIENCE, INVALID, expired, license_token


class Verdicts(Asking):
    """What is served, what is refused, and how often anybody is asked for it."""

    def test_a_key_that_the_server_vouches_for_is_served(self, server: LicenseServer) -> None:
        """One question, however often it comes; what the view sees is what the server said."""
        key = server.add(sub="lic_42", features=["analytics", "gold"])
        at = self.deploy(server)
        for _ in range(5):
            answer = self.ask(at, key)
            assert answer.status == 200
            assert answer.json == {
                "license_id": "lic_42",
                "plan": "professional",
                "features": ["analytics", "gold"],
                "seats": 10,
                "status": "ACTIVE",
                "licensed": True,
            }
        [question] = server.questions
        said = asked(question)
        assert (said["licenseKey"], said["audience"]) == (key, AUDIENCE)
        assert said.get("domain") == ("testserver" if self.in_request else None)
        assert question.headers["authorization"] == f"Bearer {CREDENTIALS}"
        assert question.headers["accept"].startswith("application/jwt")
        assert {event.name for event in at.told} <= {"license.verified", "license.expiring"}

    @pytest.mark.parametrize("word", WORDS)
    def test_a_signed_no_is_a_no(self, server: LicenseServer, word: str) -> None:
        """Each word has its answer, which is remembered; the view is never called."""
        status, code = WORDS[word]
        key = server.add()
        server.error(key, word)
        at = self.deploy(server)
        for _ in range(3):
            self.refused(at, key, status, code)
        assert len(server.questions) == 1

    def test_a_key_that_nobody_sold_is_no_license(self, server: LicenseServer) -> None:
        """The same answer, to the byte, as for a token that is no license."""
        at = self.deploy(server)
        for _ in range(3):
            answer = self.refused(at, "lic_nobody", 401, "license_invalid")
        assert len(server.questions) == 1
        assert answer.body == self.ask(at, "rubbish").body
        assert answer.header("WWW-Authenticate") == 'Bearer realm="licet", error="invalid_token"'

    def test_a_definite_no_is_never_asked_again(self, server: LicenseServer) -> None:
        """What is refused here never reaches the license server, not even if it would say yes."""
        at = self.deploy(server)
        for credential in (expired(), *(make() for make in INVALID.values())):
            server.add(credential)
            answer = self.ask(at, credential)
            assert answer.status == 401
            assert at.client.calls == []
        self.served(at, license_token())
        assert server.questions == []

    def test_what_matches_no_pattern_is_never_asked(self, server: LicenseServer) -> None:
        """A key matches whole, up to 256 characters; a text in three parts is a token."""
        at = self.deploy(server)
        for credential in (
            "lic_",
            "lic_abc!",
            "lic_abc-d",
            "xlic_abc",
            "LIC_abc",
            "lic_" + "a" * 253,
            "lic_a.lic_b.lic_c",
            "lic_a.lic_b",
        ):
            server.add(credential)
            self.refused(at, credential, 401, "license_invalid")
        assert server.questions == []
        longest = server.add("lic_" + "a" * 252)
        self.served(at, longest)

    def test_three_parts_are_a_token_whatever_the_pattern(self, server: LicenseServer) -> None:
        """A pattern that a token matches makes no opaque key of it."""
        at = self.deploy(server, license_key_pattern=r"[A-Za-z0-9._-]+")
        for credential in ("a.b.c", INVALID["forged"](), license_token(aud="another"), expired()):
            server.add(credential)
            assert self.ask(at, credential).status == 401
            assert at.client.calls == []
        assert server.questions == []
        self.served(at, server.add("a.b"))
        assert len(server.questions) == 1

    def test_without_a_pattern_no_key_is_asked_about(self, server: LicenseServer) -> None:
        """Opaque keys are accepted where the settings say what they look like."""
        at = self.deploy(server, license_key_pattern=None)
        self.refused(at, server.add(), 401, "license_invalid")
        assert server.questions == []

    def test_a_token_is_asked_about_where_no_key_can_be_had(self) -> None:
        """With `validation_jwks` it is served by the server's word; a forged one is not."""
        with LicenseServer(signer=VALIDATOR) as server:
            server.serves_jwks = False
            away = {"jwks": None, "jwks_url": server.options()["jwks_url"]}
            at = self.deploy(server, **away)
            token = license_token(sub="lic_away", features=["other"])
            server.add(token, sub="lic_away")
            for _ in range(3):
                answer = self.ask(at, token)
                assert (answer.status, answer.json["features"]) == (200, ["analytics"])
            assert len(server.questions) == 1
            forged = INVALID["forged"]()
            for _ in range(3):
                self.refused(at, forged, 401, "license_invalid")
            assert len(server.questions) == 2

    def test_keys_of_answers_sign_no_license(self) -> None:
        """`validation_jwks` are never used for licenses."""
        with LicenseServer(signer=VALIDATOR) as server:
            at = self.deploy(server)
            token = license_token(VALIDATOR)
            server.add(token)
            self.refused(at, token, 401, "license_invalid")
            self.served(at, server.add())
            assert len(server.questions) == 1

    def test_many_who_ask_the_same_ask_once(self, server: LicenseServer) -> None:
        """However many requests wait for it, a key is one question."""
        server.latency = 0.3
        key, at = server.add(), self.deploy(server)
        answers = at_once(at.client, [key] * 50)
        assert {answer.status for answer in answers} == {200}
        assert len(answers) == 50
        assert len(server.questions) == 1

    def test_a_no_reaches_all_who_waited(self, server: LicenseServer) -> None:
        """Whoever waited for the one question gets its answer."""
        server.latency = 0.3
        at = self.deploy(server)
        answers = at_once(at.client, ["lic_nobody"] * 20)
        assert {(answer.status, answer.json["code"]) for answer in answers} == {
            (401, "license_invalid")
        }
        assert len(server.questions) == 1
        assert at.client.calls == []

    def test_what_is_undecided_is_told(self, server: LicenseServer) -> None:
        """The answer carries the id under which the event tells why; neither tells a secret."""
        key, at = server.add(), self.deploy(server)
        server.trouble = lambda request: reply(500)
        for _ in range(3):
            self.undecided(at, key)
        denied = at.events("license.denied")
        assert [event.data["code"] for event in denied] == ["license_unavailable"] * 3
        for event in at.told:
            assert key not in repr(event)
            assert CREDENTIALS not in repr(event)
