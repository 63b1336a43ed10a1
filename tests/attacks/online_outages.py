"""Rows I07, I08, I10 and I11: a license server that does not answer, and when it is asked again."""

from __future__ import annotations

import time
from functools import partial
from itertools import pairwise

import pytest

from tests.attacks.asking import BLOCKED, HOUR, MARGIN, VALIDATOR, Asking, at_once
from tests.core.hands import Hands
from tests.core.license_server import LicenseServer
from tests.core.loopback import Loopback, reply, until
from tests.core.wrong_answers import (
    BROKEN,
    SLOW,
    hang,
    redirect,
)
from tests.licenses import license_token


class Outages(Asking):
    """Nobody is let in by an outage, and nobody is kept waiting by it."""

    # -- I07, I08: no answer ---------------------------------------------------------------------

    @pytest.mark.row("I07")
    @pytest.mark.parametrize("name", BROKEN)
    def test_an_answer_that_cannot_be_read(self, name: str, server: LicenseServer) -> None:
        """Huge, garbled, packed, of another kind or cut off, it lets nobody through."""
        self.wrong(name, BROKEN[name], server)

    @pytest.mark.row("I07")
    @pytest.mark.parametrize("name", SLOW)
    def test_a_server_that_takes_its_time(self, name: str, server: LicenseServer) -> None:
        """A request waits for `online_timeout` in all, and the next one not at all."""
        at, key = self.deploy(server, online_timeout=0.5), server.add()
        server.trouble = partial(SLOW[name], server)
        began = time.monotonic()
        self.undecided(at, key)
        assert time.monotonic() - began < 0.5 + MARGIN
        self.told(at)
        questions = len(server.questions)
        for _ in range(20):
            self.undecided(at, key)
        assert len(server.questions) == questions
        assert time.monotonic() - began < 0.5 + 2 * MARGIN

    @pytest.mark.row("I07")
    @pytest.mark.parametrize("known", [True, False], ids=["an answer's key", "a token's key"])
    def test_keys_and_answers_together_take_no_longer(
        self, known: bool, server: LicenseServer
    ) -> None:
        """Where the key set hangs as well, a request waits for `online_timeout` in all."""
        at = self.deploy(
            server,
            jwks=None,
            jwks_url=server.options()["jwks_url"],
            validation_jwks=None if known else VALIDATOR.jwks(),
            online_timeout=0.5,
        )
        server.keys_trouble = partial(hang, server)
        server.trouble = None if known else partial(hang, server)
        credential = server.add(None if known else license_token())
        began = time.monotonic()
        self.undecided(at, credential)
        assert time.monotonic() - began < 0.5 + MARGIN
        assert len(server.questions) == 1

    @pytest.mark.row("I07")
    def test_a_crowd_at_a_server_that_takes_its_time(self, server: LicenseServer) -> None:
        """Who finds no slot waits inside their own `online_timeout` too; nobody is served."""
        at = self.deploy(server, online_timeout=0.5)
        server.trouble = partial(hang, server)
        began = time.monotonic()
        answers = at_once(at.client, [server.add() for _ in range(60)])
        assert time.monotonic() - began < 2 * (0.5 + MARGIN)
        assert {answer.status for answer in answers} == {503}
        assert all(int(answer.header("Retry-After") or 0) >= 1 for answer in answers)
        assert at.client.calls == []

    @pytest.mark.row("I07")
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed(self, status: int, server: LicenseServer) -> None:
        """Nobody elsewhere hears of license or credentials."""
        with Loopback(lambda request: reply(200)) as elsewhere:
            self.wrong("redirect", redirect(status, elsewhere.url), server)
            assert elsewhere.connections == 0

    @pytest.mark.row("I08")
    @pytest.mark.parametrize("kind", BLOCKED)
    def test_a_blocked_network_opens_nothing(self, kind: str, server: LicenseServer) -> None:
        """Who was never vouched for is undecided, and few questions are tried."""
        at, key = self.deploy(server, online_timeout=0.25), server.add()
        self.block(server, kind)
        for _ in range(50):
            self.undecided(at, key)
        assert len(server.questions) <= 3
        self.told(at)

    @pytest.mark.row("I08")
    @pytest.mark.parametrize("kind", BLOCKED)
    def test_a_blocked_network_closes_nothing_for_a_while(
        self, kind: str, timed: LicenseServer, hands: Hands
    ) -> None:
        """The last signed yes serves until `outage_limit`, whatever is in the way."""
        at, key = self.deploy(timed, online_timeout=0.25), timed.add()
        self.served(at, key)
        self.block(timed, kind)
        for hours in (0.5, 0.6, 3, 20, 23.9, 23.9):
            hands.advance(hours * HOUR)
            self.served(at, key)
        hands.advance(0.2 * HOUR)
        self.undecided(at, key)
        for _ in range(3):
            hands.advance(10 * HOUR)
            self.undecided(at, key)

    @pytest.mark.row("I08")
    def test_no_outage_outlives_the_license(self, timed: LicenseServer, hands: Hands) -> None:
        """Nor does the last signed yes."""
        key = timed.add(exp=int(hands.wall) + 7200)
        at = self.deploy(timed, online_timeout=0.25, leeway=0)
        self.served(at, key)
        timed.trouble = lambda request: reply(500)
        hands.advance(7199)
        self.served(at, key)
        hands.advance(2)
        assert self.ask(at, key).status in (401, 503)
        assert at.client.calls == []

    @pytest.mark.row("I08")
    def test_the_end_of_an_outage_ends_it(self, timed: LicenseServer, hands: Hands) -> None:
        """Once the server answers, so does the application."""
        at, key = self.deploy(timed, online_timeout=0.25), timed.add()
        timed.trouble = lambda request: reply(503)
        self.undecided(at, key)
        timed.trouble = None
        hands.advance(61)
        self.served(at, key)

    @pytest.mark.row("I08")
    def test_a_token_that_holds_here_waits_for_nobody(self, server: LicenseServer) -> None:
        """It is asked about behind the request, and served while nobody answers."""
        at = self.deploy(server, revalidate_every=60, online_timeout=60)
        server.trouble = partial(hang, server)
        began = time.monotonic()
        for _ in range(5):
            self.served(at, license_token())
        assert time.monotonic() - began < MARGIN
        until(lambda: server.questions)

    # -- I10, I11: when to come again --------------------------------------------------------------

    @pytest.mark.row("I10")
    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(
        ("value", "least", "most"),
        [
            ("1000000000", 3600, 3600),
            ("9" * 400, 1, 3600),
            ("3601", 3600, 3600),
            ("120", 119, 120),
            ("-5", 1, 60),
            ("0", 1, 60),
            ("", 1, 60),
            ("1e9", 1, 60),
            ("soon", 1, 60),
            ("NaN", 1, 60),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 1, 60),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 1, 3600),
            ("Fri, 99 Dec 99999 23:59:59 GMT", 1, 60),
        ],
    )
    def test_a_server_says_when_to_come_again(
        self,
        status: int,
        value: str,
        least: int,
        most: int,
        timed: LicenseServer,
        hands: Hands,
    ) -> None:
        """Between a second and an hour, whatever it says; until then it is left alone."""
        at, key = self.deploy(timed, online_timeout=0.5), timed.add()
        timed.trouble = lambda request: reply(status, Retry_After=value)
        seconds = int(self.undecided(at, key).header("Retry-After") or 0)
        assert least <= seconds <= most
        questions = len(timed.questions)
        hands.advance(seconds - 0.5)
        self.undecided(at, key)
        assert len(timed.questions) == questions
        timed.trouble = None
        hands.advance(1)
        self.served(at, key)

    @pytest.mark.row("I11")
    def test_an_open_breaker_opens_nothing(self, timed: LicenseServer, hands: Hands) -> None:
        """After five failures nobody is asked for 30 seconds, and nobody is let through."""
        at, known = self.deploy(timed, online_timeout=0.5), timed.add()
        timed.cache_for = 10
        self.served(at, known)
        timed.trouble = lambda request: reply(501)
        for _ in range(6):
            self.undecided(at, timed.add())
            hands.advance(0.5)
        timed.trouble = None
        questions = len(timed.questions)
        for _ in range(40):
            self.undecided(at, timed.add())
        self.undecided(at, "lic_nobody")
        hands.advance(10)
        self.served(at, known)
        assert len(timed.questions) == questions
        hands.advance(60)
        self.served(at, timed.add())
        self.served(at, timed.add())

    @pytest.mark.row("I11")
    def test_a_failing_probe_is_one_question(self, timed: LicenseServer, hands: Hands) -> None:
        """While the server stays down it is asked ever less often, at least every 10 minutes."""
        at = self.deploy(timed, online_timeout=0.5)
        # A status that is not tried again at once.
        timed.trouble = lambda request: reply(501)
        for _ in range(6):
            self.undecided(at, timed.add())
        asked_at: list[float] = []
        for _ in range(600):
            hands.advance(10)
            before = len(timed.questions)
            self.undecided(at, timed.add())
            asked_at += [hands.wall] * (len(timed.questions) - before)
        pauses = [later - sooner for sooner, later in pairwise(asked_at)]
        assert len(asked_at) <= 20
        assert max(pauses) <= 620
        assert max(pauses) >= 300
        timed.trouble = None
        hands.advance(601)
        self.served(at, timed.add())
