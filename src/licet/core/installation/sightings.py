"""Which licenses an installation has seen to hold: grace after the end is earned before it.

Kept in the state, so that a license which first comes when it has ended has earned nothing, however
often the process is restarted; and in memory, so that nothing waits once it is known.
"""

from __future__ import annotations

import logging
from math import isfinite

from licet.core.clock import Clock
from licet.core.errors import LicenseUnavailable
from licet.core.flow import Flow
from licet.core.forks import Locked
from licet.core.installation.renewals import CAPACITY, LOOK_EVERY, Name
from licet.core.installation.state import State
from licet.core.stores import MAX_WINDOW, StoreUnavailable, key

logger = logging.getLogger("licet")


class Sighted(Locked):
    """The licenses that were seen to hold here.

    Args:
        state: outlives this process.
        clock: monotonic time.
    """

    def __init__(self, state: State, clock: Clock) -> None:
        super().__init__()
        self._state, self._monotonic = state, clock.monotonic
        self._silent: tuple[float, str] | None = None
        self._seen: dict[Name, float | None] = {}
        #: The end of a license for which its sighting is kept.
        self._kept: dict[Name, float] = {}

    def seen_valid(self, issuer: str, license_id: str) -> float | None:
        """Return when a license was first seen to hold, in wall seconds; None for never."""
        return self._seen.get((issuer, license_id))

    def recall(self, issuer: str, license_id: str) -> Flow[None]:
        """Have `seen_valid` know what the state says of a license.

        Raises:
            LicenseUnavailable: the state says nothing at all.
        """
        name = issuer, license_id
        if name in self._seen:
            return
        now = self._monotonic()
        if self._silent is not None and now < self._silent[0]:
            raise LicenseUnavailable(self._silent[1])
        try:
            value = yield self._state.own(key("seen", *name))
        except StoreUnavailable as error:
            reason = f"state:{error.reason}"
            self._silent = now + LOOK_EVERY, reason
            raise LicenseUnavailable(reason) from None
        self._know(name, _moment(value))

    def saw(self, issuer: str, license_id: str, at: float, expires_at: float) -> Flow[None]:
        """Remember that a license held.

        Args:
            issuer: whose it is.
            license_id: its id.
            at: when it did, in wall seconds.
            expires_at: its end; for a later one it is kept once more.
        """
        name = issuer, license_id
        if self._kept.get(name, 0.0) >= expires_at:
            return
        try:
            yield from self.recall(issuer, license_id)
            first = self._seen.get(name)
            first = at if first is None else min(first, at)
            # For good: a clock that runs ahead for a while must not have it forgotten.
            yield self._state.put(key("seen", *name), repr(first).encode(), MAX_WINDOW)
        except (LicenseUnavailable, StoreUnavailable) as error:
            # It holds all the same; only a grace may be lost that nobody needs yet.
            logger.warning("that a license held could not be kept: %s", error.reason)
            return
        self._know(name, first)
        with self.lock:
            self._kept[name] = expires_at

    def _know(self, name: Name, first: float | None) -> None:
        with self.lock:
            if len(self._seen) >= CAPACITY:
                self._seen.clear()
                self._kept.clear()
            self._seen[name] = first


def _moment(value: bytes | None) -> float | None:
    """Return the moment that the state tells of, None where it tells of none."""
    try:
        moment = None if value is None else float(value)
    except ValueError:
        return None
    return moment if moment is not None and isfinite(moment) else None
