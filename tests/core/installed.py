"""Installations whose license is refreshed: processes that share a state, and whom they ask."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from licet.core import flow
from licet.core.clock import Clock
from licet.core.entitlements import Entitlements
from licet.core.errors import LicenseError
from licet.core.events.event import Event
from licet.core.gate import Gate
from licet.core.installation.state import State
from licet.core.settings import Settings
from tests import licenses
from tests.core.hands import Hands
from tests.core.license_server import AUTHORITY
from tests.core.loopback import Answer, Loopback, Request, reply, until
from tests.core.presented import Presented
from tests.licenses import OPTIONS

DAY = 86_400
#: How long licenses live here, and before what part of their life none is due.
LIFETIME, EARLIEST, LATEST = 10 * DAY, 6 * DAY, 7.5 * DAY


def token(at: float, **claims: Any) -> str:
    """Return a license from a moment on for ten days, good but for `claims`."""
    return licenses.license_token(**{"iat": int(at), "exp": int(at) + LIFETIME, **claims})


def given(credential: object, **members: object) -> bytes:
    """Return the answer that gives a token."""
    return reply(200, json.dumps({"token": credential, "expires_in": LIFETIME, **members}).encode())


def _read(hand: Callable[[], float]) -> float:
    return hand()


class Renewer:
    """The server that refreshes licenses: gives a new one for each, as of its own time.

    Args:
        hands: what it tells time by.

    Attributes:
        trouble: answers in its place while it is set.
    """

    def __init__(self, hands: Hands) -> None:
        self.hands = hands
        self.trouble: Callable[[Request], Answer] | None = None
        self.server = Loopback(self._answer)
        self.url = f"http://127.0.0.1:{self.server.port}/v1/licenses/refresh"

    @property
    def log(self) -> list[Request]:
        return self.server.log

    @property
    def shown(self) -> list[str]:
        """The tokens that were sent to it."""
        return [json.loads(request.body)["token"] for request in self.log]

    @contextmanager
    def held(self) -> Iterator[Callable[[], None]]:
        """Keep answers back until what is yielded is called."""
        release, trouble = threading.Event(), self.trouble

        def late(request: Request) -> Answer:
            release.wait(20)
            return trouble(request) if trouble else self._given()

        self.trouble = late
        try:
            yield release.set
        finally:
            self.trouble = trouble
            release.set()

    def _answer(self, request: Request) -> Answer:
        return self.trouble(request) if self.trouble else self._given()

    def _given(self) -> bytes:
        return given(token(self.hands.wall))


class Worker:
    """One process of an installation, with nothing in memory that another has.

    Args:
        directory: the state.
        url: who is asked.
        setting: the setting `license`.
        clock: both clocks.
        options: other settings.
    """

    def __init__(
        self, directory: Path, url: str | None, setting: str, clock: Clock, **options: Any
    ) -> None:
        # Two clocks that are equal would share one connection.
        clock = Clock(partial(_read, clock.wall), partial(_read, clock.monotonic))
        kept = {"license_state": str(directory), "refresh_url": url}
        if url is None:
            del kept["refresh_url"]
        given = {
            **OPTIONS,
            "tls_ca_file": str(AUTHORITY),
            "grace_period": 0,
            **kept,
            **options,
            "license": setting,
        }
        self.events: list[Event] = []
        self.gate = Gate(Settings(**given), clock=clock)
        self.gate.events.subscribe(self.events.append)
        assert self.gate.refresher is not None
        assert self.gate.installation is not None
        self.refresher, self.installation = self.gate.refresher, self.gate.installation
        (state,) = self.gate.boards
        assert isinstance(state, State)
        self.state = state
        # Here each look is a request's; what the watch does by itself is claimed elsewhere.
        self.gate.withdrawals._looking = ()

    def ask(self) -> Entitlements:
        """Return the entitlements of a request, from memory where that will do, as adapters do."""
        held = self.installation.recall()
        if held is not None:
            return Entitlements(*held)
        return flow.run(self.gate.decide(Presented()))

    def issued(self) -> float:
        """Return when the license was issued that a request is served under."""
        issued = self.ask().claims["iat"]
        assert isinstance(issued, (int, float))
        return issued

    def error(self) -> object:
        """Return why a request is refused, None where it is not."""
        try:
            self.ask()
        except LicenseError as error:
            return error.members.get("error", error.reason)
        return None

    def at_rest(self) -> None:
        """Wait until nothing is done behind the requests."""
        background = self.refresher._background

        def rests() -> bool:
            with background.lock:
                return not background._running and not background.waiting

        until(rests)

    def listen(self) -> None:
        """Hear now what the watch of this process would hear within a second."""
        self.gate.withdrawals._watch.look()
        self.at_rest()

    def told(self, name: str) -> list[dict[str, object]]:
        """Return what the events of one name said."""
        return [dict(event.data) for event in self.events if event.name == name]
