"""What an installation knows of the time: the latest that it has seen, kept in its state.

A clock may be wrong in both directions. One that fell behind what was seen would let a license
live again, and is refused. Time has passed as far as the monotonic clock says so, whatever the
wall's did meanwhile, or a signature tells that it is that late: so one that stands still or is set
back in small steps falls behind as any other, and one that runs ahead has left nothing behind when
it is right again, and keeps nobody out.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable
from math import inf

from licet.core import flow
from licet.core.clock import Clock, reading
from licet.core.documents.schedule import Instant
from licet.core.errors import InstallationUnlicensed, LicenseError, LicenseUnavailable
from licet.core.flow import Flow
from licet.core.forks import Locked
from licet.core.installation.mark import BEHIND, PLACE, Doubt, Mark
from licet.core.installation.state import State
from licet.core.stores import MAX_WINDOW, StoreUnavailable

logger = logging.getLogger("licet")

#: Seconds from the very first reading on in which a clock may be set right: that of a machine that
#: has just come up is wrong until it has asked somebody. Until then nothing is kept of it.
SETTLING = 300.0
#: Seconds between two times that are kept, and until a silent state is tried again.
KEEP_EVERY, AGAIN_AFTER = 60.0, 10.0
#: Seconds that the monotonic clock is believed by itself to have gone on: more may be a leap, of a
#: process that was frozen and thawed, and counts only as far as the wall's went too.
ALONE = 300.0


class TrustedTime(Locked):
    """The time of one installation.

    Args:
        clock: both clocks.
        state: outlives this process; None where nothing does.
        suspicious: told once of each doubt that begins, and of how many seconds the clock is behind
            what was seen.
        changed: told when it begins or ends that no license holds by the clock.
    """

    def __init__(
        self,
        clock: Clock,
        state: State | None,
        suspicious: Callable[[Doubt, int], None],
        changed: Callable[[], None],
    ) -> None:
        super().__init__()
        self._clock, self._state = clock, state
        self._suspicious, self._changed = suspicious, changed
        # As it is read: here, a step back must not count as time that has passed.
        self._ticks = clock.ticks()
        #: The last reading of both.
        self._last: Instant | None = None
        self._mark: Mark | None = None
        #: The latest that was confirmed here, also before there is a mark.
        self._signed = 0.0
        #: What the state holds, as far as this process knows.
        self._kept: Mark | None = None
        self._asked = state is None
        self._ask_at = -inf
        #: Whether it was told that the state gives no answer.
        self._silent = False
        #: Seconds until the first reading counts; 0 where there were others before it.
        self._settles_in = 0.0
        self._doubt: Doubt | None = None

    # -- what requests ask -----------------------------------------------------------------------

    def check(self) -> Flow[None]:
        """Demand that the clock can be judged by.

        Raises:
            InstallationUnlicensed: it is behind what was seen; `error` is `clock`.
            LicenseUnavailable: it says nothing, or what is no time.
        """
        if not self._asked:
            yield from self._ask()
        if not self._look():
            raise LicenseUnavailable("clock")
        if error := self._refusal():
            raise error

    def objection(self) -> LicenseError | None:
        """Return why nothing holds by this clock, None where something may; waits for nothing."""
        if self._refusal() is not None:
            # It may be right again.
            self._look()
        return self._refusal()

    def held(self) -> None:
        """Take note that a license holds by the clock: by one that is far ahead none does."""
        if self._mark is None:
            with self.lock:
                if (now := self._read()) is not None:
                    self._mark = Mark(max(now, self._signed), self._signed)
                    self._settles_in = SETTLING

    def confirm(self, signed: float) -> None:
        """Take note of a moment that somebody has signed, in wall seconds.

        What is ahead of the clock counts only as far as that: a signer's clock may be wrong too.
        """
        if signed <= self._signed:
            return
        with self.lock:
            if (now := self._read()) is not None:
                self._signed = signed = min(signed, now)
                if self._mark is not None:
                    self._mark = self._mark.later(Mark(signed, signed))

    def _refusal(self) -> LicenseError | None:
        if self._doubt in BEHIND:
            return InstallationUnlicensed.because("clock", f"clock:{self._doubt}")
        return None

    # -- readings --------------------------------------------------------------------------------

    def _read(self) -> float | None:
        """Return the wall time, None where it is none; before the mark is raised by anything else.

        Called with the lock held, or another thread's reading would be of a later time.
        """
        now = reading(self._clock.wall)
        if now is None:
            return None
        last, self._last = self._last, Instant(self._ticks(), now)
        if last is not None and self._mark is not None:
            # What the wall's says alone is a step, or a sleep.
            ticked, told = map(operator.sub, self._last, last)
            passed = max(0.0, ticked if ticked <= ALONE else min(ticked, told))
            self._mark = self._mark._replace(seen=self._mark.seen + passed)
            self._settles_in = max(0.0, self._settles_in - passed)
        return now

    def _look(self) -> bool:
        """Take a reading, and tell where it begins to be doubtful.

        Returns:
            Whether the wall clock told a time.
        """
        with self.lock:
            now = self._read()
            mark, before = self._mark, self._doubt
            if now is None or mark is None:
                return now is not None
            doubt = mark.doubt(now)
            if doubt == "behind" and self._settles_in:
                doubt = "set_back"
                self._mark = Mark(max(now, mark.signed), mark.signed)
            self._doubt = doubt
        if doubt != before:
            self._tell(before, doubt, round(mark.seen - now))
        return True

    def _tell(self, before: Doubt | None, found: Doubt | None, difference: int) -> None:
        if found is not None:
            self._suspicious(found, difference)
        if (before in BEHIND) != (found in BEHIND):
            if before in BEHIND:
                logger.info("the clock is no longer behind what was seen of the time")
            self._changed()

    # -- the state -------------------------------------------------------------------------------

    def _ask(self) -> Flow[None]:
        """Have what the state says known, if it says anything now."""
        now = self._clock.monotonic()
        if self._state is None or now < self._ask_at:
            return
        try:
            value = yield self._state.get(PLACE)
        except StoreUnavailable as error:
            self._lost(now, "what was seen of the time cannot be read: %s", error)
            return
        self._know(Mark.of(value))

    def _lost(self, now: float, told: str, error: StoreUnavailable) -> None:
        self._ask_at = now + AGAIN_AFTER
        # A disk may be full for days.
        if not self._silent:
            self._silent = True
            logger.warning(told, error.reason)

    def _know(self, kept: Mark | None) -> None:
        with self.lock:
            self._asked, self._kept, self._silent = True, kept, False
            if kept is None:
                return
            # What this process has to add, it adds to its own.
            self._read()
            mark = self._mark
            if mark is not None and self._settles_in:
                # What was first read is not the first, and waits to be confirmed.
                mark = Mark(mark.signed, mark.signed)
            self._mark = kept if mark is None else kept.later(mark)
            self._settles_in = 0.0

    def keep(self) -> None:
        """Look at the clock, and have the state know of it once in a while; may wait for a disk."""
        if self._state is None:
            return
        if not self._asked:
            flow.run(self._ask())
        self._look()
        mark, kept = self._mark, self._kept
        if not self._asked or mark is None or self._settles_in:
            return
        if kept is not None and mark.signed <= kept.signed and mark.seen < kept.seen + KEEP_EVERY:
            return
        moment = self._clock.monotonic()
        if moment < self._ask_at:
            return
        try:
            found = self._state.change(PLACE, mark.added, MAX_WINDOW).run()
        except StoreUnavailable as error:
            self._lost(moment, "what was seen of the time cannot be kept: %s", error)
            return
        self._know(Mark.of(found))
