"""An application that asks a license server, served by an adapter, and what can be said of it.

What each suite of rows I begins with. Questions are counted by the server's own log.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any, ClassVar, NamedTuple

import pytest

from licet import Settings
from licet.core import gates
from licet.core.events.event import Event
from licet.core.gate import Gate
from licet.issuer import Issuer
from tests.adapters.contract import Answer, Serving, bearer
from tests.core.hands import Hands
from tests.core.license_server import CREDENTIALS, VALIDATE, LicenseServer
from tests.core.loopback import reply
from tests.core.wrong_answers import (
    Wrong,
    hang,
    redirect,
    reset,
)
from tests.licenses import AUDIENCE, ISSUER, ISSUER_NAME, OPTIONS

HOUR = 3600.0
#: What a request may take beside its `online_timeout`, on a machine that has much else to do.
MARGIN = 4.0
#: Signs answers and nothing else, in the issuer's name.
VALIDATOR = Issuer.generate(ISSUER_NAME)
#: Numbers of gates of their own, which have asked nobody yet.
_UNUSED = count(1)

#: What each word becomes.
WORDS = {
    "unknown": (401, "license_invalid"),
    "expired": (401, "license_expired"),
    "revoked": (403, "license_revoked"),
    "cancelled": (403, "license_revoked"),
    "suspended": (403, "license_suspended"),
    "domain_mismatch": (403, "license_domain"),
    "over_limit": (429, "limit_exceeded"),
    "fraud": (403, "license_rejected"),
    "Revoked": (403, "license_rejected"),
}

#: I08: how a network can be out of reach.
BLOCKED: dict[str, Wrong | None] = {
    "refused": None,
    "reset": reset,
    "hang": hang,
    "500": lambda server, request: reply(500),
    "captive portal": lambda server, request: reply(200, b"<html>", "text/html"),
    "redirected": redirect(302, "http://127.0.0.1:9/login"),
}


class Deployed(NamedTuple):
    """An application that asks a license server.

    Attributes:
        client: what calls it.
        gate: what judges for it.
        told: the events since it was made.
    """

    client: Any
    gate: Gate
    told: list[Event]

    def events(self, name: str) -> list[Event]:
        """Return those of one name."""
        return [event for event in self.told if event.name == name]


def at_once(client: Any, credentials: list[str]) -> list[Answer]:
    """Send a request with each of these at the same time."""
    answers: list[Answer] = client.at_once([("GET", "/me", bearer(one)) for one in credentials])
    return answers


class Asking(Serving):
    """Serves the contract's application behind a gate that asks a license server."""

    #: Whether what is judged comes in a request, and so at a host.
    in_request: ClassVar[bool] = False

    @pytest.fixture(autouse=True)
    def _hurried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # What is tried again is tried again at once.
        monkeypatch.setattr("licet.core.online.asker.PAUSE", 0.005)

    @pytest.fixture(name="server")
    def _server(self) -> Iterator[LicenseServer]:
        """A license server that lives by the true time."""
        with LicenseServer() as server:
            yield server

    @pytest.fixture(name="hands")
    def _hands(self, monkeypatch: pytest.MonkeyPatch) -> Hands:
        """A clock to move, which every gate made from now on lives by."""
        hands = Hands(wall=float(int(time.time())))
        monkeypatch.setattr(gates, "Gate", partial(Gate, clock=hands.clock))
        return hands

    @pytest.fixture(name="timed")
    def _timed(self, hands: Hands) -> Iterator[LicenseServer]:
        """A license server that lives by that clock too."""
        with LicenseServer(hands=hands) as server:
            yield server

    def deploy(self, server: LicenseServer, **changes: Any) -> Deployed:
        """Serve the contract's application, asking `server`, behind a gate of its own.

        The issuer's keys are at hand, unless `changes` say otherwise.
        """
        options = {
            **OPTIONS,
            **server.options(jwks=ISSUER.jwks(), jwks_url=None),
            "jwks_cooldown": 240 + next(_UNUSED) / 10_000,
            **changes,
        }
        client = self.licensed(**options)
        gate = gates.gate_for(Settings(**options))
        told: list[Event] = []
        gate.events.subscribe(told.append)
        return Deployed(client, gate, told)

    def ask(self, at: Deployed, credential: str, *headers: tuple[str, str]) -> Answer:
        """Present a credential."""
        at.client.calls.clear()
        return self.get(at.client, "/me", [*bearer(credential), *headers])

    def served(self, at: Deployed, credential: str, *headers: tuple[str, str]) -> None:
        """See to it that a credential is served."""
        answer = self.ask(at, credential, *headers)
        assert answer.status == 200, answer
        assert at.client.calls == ["/me"]

    def refused(
        self, at: Deployed, credential: str, status: int, code: str, *headers: tuple[str, str]
    ) -> Answer:
        """See to it that a credential is refused in this way; return the answer."""
        answer = self.ask(at, credential, *headers)
        assert (answer.status, answer.json["code"]) == (status, code), answer
        assert at.client.calls == []
        whole = repr(answer)
        for secret in (credential, CREDENTIALS, VALIDATE, AUDIENCE):
            assert secret not in whole
        return answer

    def undecided(
        self, at: Deployed, credential: str, *headers: tuple[str, str], failed: bool = True
    ) -> Answer:
        """See to it that nobody can tell, and that the answer says what to do about it.

        Args:
            at: where.
            credential: what is presented.
            headers: what else comes in.
            failed: whether it comes of a failure, whose event the answer then names.
        """
        answer = self.refused(at, credential, 503, "license_unavailable", *headers)
        assert 1 <= int(answer.header("Retry-After") or 0) <= 3600
        if failed:
            told = {event.data["correlation_id"] for event in at.events("online.unavailable")}
            assert answer.json["correlation_id"] in told
        return answer

    def wrong(self, name: str, how: Wrong, server: LicenseServer, **changes: Any) -> Deployed:
        """See to it that an answer which is none is not believed, for a key nor for a token."""
        key = server.add()
        at = self.deploy(server, **changes)
        server.trouble = partial(how, server)
        for _ in range(2):
            self.undecided(at, key)
        assert server.questions, name
        self.told(at)
        server.trouble = None
        return at

    def told(self, at: Deployed) -> None:
        """See to it that what was undecided was told, by the id that the answer carries."""
        events = [e for e in at.told if e.name in ("online.unavailable", "tls.failure")]
        assert events
        assert all(event.data["correlation_id"] for event in events)

    def replayed(self, at: Deployed) -> None:
        """See to it that a replay was told."""
        events = at.events("license.suspicious_activity")
        assert {event.data["kind"] for event in events} == {"replay"}

    def block(self, server: LicenseServer, kind: str) -> None:
        """Put the server out of reach."""
        how = BLOCKED[kind]
        if how is None:
            server.close()
        else:
            server.trouble = partial(how, server)
        server.serves_jwks = False
