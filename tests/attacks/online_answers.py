"""Rows I01 to I06 and I14: answers that are none, and the questions they would be answers to."""

from __future__ import annotations

from functools import partial

import pytest

from licet.core.token import base64url
from tests.attacks.asking import HOUR, VALIDATOR, Asking, at_once
from tests.core.hands import Hands
from tests.core.license_server import CREDENTIALS, VALIDATE, LicenseServer, asked, says
from tests.core.loopback import Answer as Said
from tests.core.loopback import Request, reply
from tests.core.wrong_answers import (
    FORGED,
    MISPLACED,
    NO_LICENSE,
    REPLAYED,
    STALE,
    UNCLEAR,
)
from tests.licenses import ISSUER, license_token


class Answers(Asking):
    """Forged, replayed, misplaced, stale and unclear: none of it is believed."""

    # -- I01, I02, I03, I04, I06: answers that are none -------------------------------------------

    @pytest.mark.row("I01")
    @pytest.mark.parametrize("name", FORGED)
    def test_an_answer_that_the_server_did_not_sign(self, name: str, server: LicenseServer) -> None:
        """It lets nobody through."""
        self.wrong(name, FORGED[name], server)

    @pytest.mark.row("I01")
    def test_an_answer_signed_by_a_key_for_licenses(self) -> None:
        """Where `validation_jwks` is set, its keys are the only ones believed."""
        with LicenseServer(signer=VALIDATOR) as server:
            at = self.deploy(server)
            server.trouble = lambda request: says(server.answer_for(request.body, signer=ISSUER))
            self.undecided(at, server.add())
            self.told(at)
            for name in ("another key under the right kid", "alg none", "plain JSON"):
                self.wrong(name, FORGED[name], server)
            self.served(self.deploy(server), server.add())

    @pytest.mark.row("I01")
    def test_a_license_is_no_answer(self, server: LicenseServer) -> None:
        """Neither the token that is asked about, nor one that says it is valid."""
        key, at = server.add(), self.deploy(server)
        for token in (license_token(), license_token(valid=True, license={"sub": "lic_1"})):
            at = self.deploy(server)
            server.trouble = lambda request, token=token: says(token.encode())
            self.undecided(at, key)

    @pytest.mark.row("I02")
    @pytest.mark.parametrize("name", REPLAYED)
    def test_an_answer_with_another_nonce(self, name: str, server: LicenseServer) -> None:
        """It lets nobody through, and is told as a replay."""
        self.replayed(self.wrong(name, REPLAYED[name], server))

    @pytest.mark.row("I02")
    def test_a_captured_yes_is_worth_nothing(self, server: LicenseServer) -> None:
        """A real answer, given to another question about the same license, opens nothing."""
        captured: list[bytes] = []

        def capture(request: Request) -> Said:
            captured.append(says(server.answer_for(request.body)))
            return captured[-1]

        key, server.trouble = server.add(), capture
        self.served(self.deploy(server), key)
        server.revoke(key)
        server.trouble = lambda request: captured[0]
        at = self.deploy(server)
        for _ in range(2):
            self.undecided(at, key)
        self.replayed(at)

    @pytest.mark.row("I02", "I08")
    def test_a_captured_yes_prolongs_nothing(self, timed: LicenseServer, hands: Hands) -> None:
        """Given again and again, it does not serve beyond the `outage_limit`."""
        timed.cache_for = 60
        captured: list[bytes] = []

        def capture(request: Request) -> Said:
            captured.append(says(timed.answer_for(request.body)))
            return captured[-1]

        key, timed.trouble = timed.add(), capture
        at = self.deploy(timed, outage_limit=12 * HOUR)
        self.served(at, key)
        timed.trouble = lambda request: captured[0]
        for _ in range(11):
            hands.advance(HOUR)
            self.served(at, key)
        hands.advance(HOUR + 1)
        self.undecided(at, key)
        self.replayed(at)

    @pytest.mark.row("I03")
    @pytest.mark.parametrize("name", MISPLACED)
    def test_an_answer_about_something_else(self, name: str, server: LicenseServer) -> None:
        """About another license, host or audience it lets nobody through, and is told."""
        at = self.wrong(name, MISPLACED[name], server)
        if "issuer" not in name:
            self.replayed(at)

    @pytest.mark.row("I03")
    @pytest.mark.parametrize("name", NO_LICENSE)
    def test_a_license_that_would_not_hold_here(self, name: str, server: LicenseServer) -> None:
        """What the server vouches for passes every check that a license token passes."""
        key, at = server.add(), self.deploy(server)
        server.trouble = partial(NO_LICENSE[name], server)
        for _ in range(2):
            assert self.ask(at, key).status in (401, 503)
            assert at.client.calls == []

    @pytest.mark.row("I03")
    def test_an_answer_about_another_license_than_the_token(self) -> None:
        """The license that the server names is the one that the token names."""
        with LicenseServer(signer=VALIDATOR) as server:
            server.serves_jwks = False
            token = license_token(sub="lic_asked")
            server.add(token, sub="lic_another")
            at = self.deploy(server, jwks=None, jwks_url=server.options()["jwks_url"])
            self.undecided(at, token)
            self.replayed(at)
            assert len(server.questions) == 1

    @pytest.mark.row("I03")
    def test_what_one_key_may_no_other_may(self, server: LicenseServer) -> None:
        """The answer to one key's question, by the nonce of another's, opens nothing for that."""
        known, unknown, at = server.add(), "lic_unknown", self.deploy(server)

        def swapped(request: Request) -> Said:
            body = request.body.replace(unknown.encode(), known.encode())
            return says(server.answer_for(body))

        server.trouble = swapped
        self.undecided(at, unknown)
        self.served(at, known)

    @pytest.mark.row("I04")
    @pytest.mark.parametrize("name", STALE)
    def test_an_answer_of_another_time(self, name: str, server: LicenseServer) -> None:
        """Said a day off, without a time, or ended, it lets nobody through."""
        self.wrong(name, STALE[name], server)

    @pytest.mark.row("I04")
    def test_a_clock_that_is_hours_off_is_believed(self, server: LicenseServer) -> None:
        """Freshness is the nonce: within 24 h an answer counts, whoever's clock is wrong."""
        for hours in (-23, -1, 1, 23):
            at = self.deploy(server)
            now = server.now

            def shifted(request: Request, said: float = now + hours * HOUR) -> Said:
                later = max(server.now, said) + 300
                return says(server.answer_for(request.body, iat=int(said), exp=int(later)))

            server.trouble = shifted
            self.served(at, server.add())

    @pytest.mark.row("I06")
    @pytest.mark.parametrize("name", UNCLEAR)
    def test_an_answer_that_is_neither_yes_nor_no(self, name: str, server: LicenseServer) -> None:
        """Only a JSON true or false counts, and only under status 200."""
        self.wrong(name, UNCLEAR[name], server)

    # -- I05, I14: questions ---------------------------------------------------------------------

    @pytest.mark.row("I05", "I14")
    def test_no_two_questions_share_a_nonce(self, server: LicenseServer) -> None:
        """Of 50 requests at once each asks with at least 128 bits that no other has."""
        server.latency = 0.05
        at, keys = self.deploy(server), [server.add() for _ in range(50)]
        answers = at_once(at.client, keys)
        assert {answer.status for answer in answers} == {200}
        nonces = [asked(request)["nonce"] for request in server.questions]
        assert len(nonces) == len(set(nonces)) == 50
        assert {asked(request)["licenseKey"] for request in server.questions} == set(keys)
        for nonce in nonces:
            assert len(base64url.decode(nonce.encode())) >= 16

    @pytest.mark.row("I05")
    def test_who_asks_again_asks_with_another_nonce(
        self, timed: LicenseServer, hands: Hands
    ) -> None:
        """After trouble, after a no, and when the time of a yes is over."""
        at, key = self.deploy(timed), timed.add()
        timed.trouble = lambda request: reply(500)
        for _ in range(3):
            self.undecided(at, key)
            hands.advance(700)
        timed.trouble = None
        self.refused(at, "lic_nobody", 401, "license_invalid")
        hands.advance(61)
        self.refused(at, "lic_nobody", 401, "license_invalid")
        self.served(at, key)
        nonces = [asked(request)["nonce"] for request in timed.questions]
        assert len(nonces) >= 6
        assert len(nonces) == len(set(nonces))

    @pytest.mark.row("I14")
    def test_secrets_travel_in_the_body(self, server: LicenseServer) -> None:
        """No address and no field of a question holds what is asked about, nor its nonce."""
        cookie = ("Cookie", "session=mine")
        at = self.deploy(server, validation_url=f"{server.options()['validation_url']}?tenant=a")
        server.trouble = lambda request: says(server.answer_for(request.body))
        self.served(at, server.add(), cookie, ("X-Secret", "of the caller"))
        server.trouble = lambda request: reply(500)
        self.undecided(at, server.add(), cookie)
        assert len(server.questions) >= 2
        for request in server.questions:
            assert (request.method, request.target) == ("POST", f"{VALIDATE}?tenant=a")
            question = asked(request)
            others = dict(request.headers)
            assert others.pop("authorization") == f"Bearer {CREDENTIALS}"
            for secret in (question["licenseKey"], question["nonce"], CREDENTIALS, "mine"):
                assert secret not in repr(others)
            assert {"cookie", "x-secret"} & others.keys() == set()
            assert question.keys() <= {"licenseKey", "domain", "audience", "nonce"}
