"""A machine with one installation: it boots, its clock is moved, and requests come."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from licet.core import flow
from licet.core.clock import Clock
from licet.core.entitlements import Entitlements
from licet.core.errors import LicenseError
from licet.core.events.event import Event
from licet.core.gate import Gate
from licet.core.installation.trusted_time import TrustedTime
from licet.core.settings import Settings
from tests.core.hands import Hands
from tests.core.presented import Presented
from tests.licenses import OPTIONS, license_token

NOW = 1_800_000_000
HOUR, DAY, YEAR = 3_600, 86_400, 365 * 86_400


class Machine:
    """One process at a time, whose license is in a file.

    Args:
        directory: for the license and the state.
        remembers: whether there is a state.
        options: other settings.

    Attributes:
        hands: of both clocks.
        gate: of the process that runs.
        events: what that process has told.
    """

    def __init__(self, directory: Path, *, remembers: bool = True, **options: Any) -> None:
        self.hands = Hands(wall=NOW)
        self.state = directory / "state"
        self._license = directory / "license.jwt"
        kept = {"license_state": str(self.state)} if remembers else {}
        license_ = f"file:{self._license}"
        self._settings = Settings(
            **{**OPTIONS, "grace_period": 0, **kept, **options, "license": license_}
        )
        self.boot()

    def boot(self, monotonic: float = 50.0) -> None:
        """End the process, and begin another after the machine came up."""
        self.hands.monotonic = monotonic
        self.events: list[Event] = []
        self.gate = Gate(self._settings, clock=self._clock())
        self.gate.events.subscribe(self.events.append)
        # What the watch does by itself is done by `keep`.
        self.gate.withdrawals._looking = ()

    def _clock(self) -> Clock:
        # Two clocks that are equal would share one connection.
        hands = self.hands
        return Clock(partial(lambda: hands.wall), partial(lambda: hands.monotonic))

    @property
    def time(self) -> TrustedTime:
        """What the process knows of the time."""
        time = self.gate._standing.time
        assert time is not None
        return time

    def license(self, iat: float = NOW, lasts: float = 300 * DAY, **claims: Any) -> None:
        """Put a license into place, and have it looked at."""
        self._license.write_text(license_token(**{"iat": iat, "exp": iat + lasts, **claims}))
        self.hands.monotonic += 1

    def ask(self) -> Entitlements:
        """Return the entitlements of a request, from memory where that will do, as adapters do."""
        installation = self.gate.installation
        assert installation is not None
        held = installation.recall()
        return Entitlements(*held) if held else flow.run(self.gate.decide(Presented()))

    def answer(self) -> str:
        """Return `yes`, or why a request is refused."""
        try:
            self.ask()
        except LicenseError as error:
            return str(error.members.get("error", error.code))
        return "yes"

    def runs(self, seconds: float, step: float = 12 * HOUR) -> None:
        """Let time pass, with a request and a look at the clock in between."""
        while seconds > 0:
            self.hands.advance(min(step, seconds))
            seconds -= step
            self.answer()
            self.time.keep()

    def doubts(self) -> list[object]:
        """Return what was suspicious about the clock."""
        return [each.data["reason"] for each in self.events if each.name == "clock.suspicious"]
