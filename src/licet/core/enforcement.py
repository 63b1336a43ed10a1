"""What becomes of a refusal, by `mode`: it is raised, or counted and let pass, or never asked for.

An application that is not enforced yet is judged as one that is; only what follows differs, so
that what is counted here is what would have been refused.
"""

from __future__ import annotations

import logging

from licet.core.clock import Clock
from licet.core.entitlements import Entitlements
from licet.core.errors import LicenseError, LicenseRequired, LicenseUnavailable
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.events.log import FailureLog
from licet.core.tally import Tally

logger = logging.getLogger("licet")

#: What is said once where nothing is enforced, by mode.
WARNINGS = {
    "report": "mode is report: licenses are judged, and whatever comes of it everything passes",
    "off": "mode is off: no license is looked at, and everything passes",
}


class Enforcement:
    """Refuses, or lets pass.

    Args:
        mode: `enforce`, `report` or `off`.
        bus: hears of each refusal.
        clock: for the log of what nobody expected.
        tally: counts what is let pass.

    Attributes:
        tally: as it was given.
        is_strict: whether what is refused does not pass.
        is_off: whether nothing is judged.
    """

    def __init__(self, mode: str, bus: EventBus, clock: Clock, tally: Tally) -> None:
        self.is_strict, self.is_off = mode == "enforce", mode == "off"
        self._mode, self._bus, self.tally = mode, bus, tally
        self._failed = FailureLog(clock)
        if mode in WARNINGS:
            logger.warning("%s", WARNINGS[mode])

    def as_refusal(self, error: Exception) -> LicenseError:
        """Return the refusal that `error` is, or that anything unexpected becomes."""
        if isinstance(error, LicenseError):
            return error
        self._failed(error)
        return LicenseUnavailable(f"internal_error:{type(error).__name__}")

    def denied(self, error: LicenseError) -> None:
        """Emit the event `license.denied` for a refusal."""
        told = {"code": error.code, "reason": error.reason}
        if not self.is_strict:
            told["mode"] = self._mode
        if "correlation_id" in error.members:
            told["correlation_id"] = str(error.members["correlation_id"])
        self._bus.emit(Event("license.denied", told))

    def refuse(self, error: LicenseError) -> None:
        """Raise `error`, or count it where nothing is enforced.

        Raises:
            LicenseError: `error` itself.
        """
        self.denied(error)
        if self.is_strict:
            raise error from None
        self.tally.add(error.code)

    def without(self, error: LicenseError) -> Entitlements:
        """Return what a request may do that passes without a good license: honestly, nothing.

        Args:
            error: why it has none.
        """
        refuse = _let_be if self.is_off else self.refuse
        return Entitlements.unlicensed(error, None if self.is_strict else refuse)

    def passed(self, error: LicenseError) -> Entitlements:
        """Return the same for a request whose refusal was told and counted already.

        What its view demands is not counted as well: a request that is refused never gets there.
        """
        return Entitlements.unlicensed(error, _let_be)

    def unasked(self) -> Entitlements:
        """Return the same in mode `off`, where nothing of a request is looked at."""
        return Entitlements.unlicensed(LicenseRequired("off"), _let_be)


def _let_be(error: LicenseError) -> None:
    """Let pass what nobody asked about, or what was told of before."""
