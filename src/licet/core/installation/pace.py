"""When a license is refreshed: as each process reckons, and one process after another."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import uniform

from licet.core.clock import Clock
from licet.core.flow import Flow
from licet.core.installation.renewals import Name, Token
from licet.core.installation.state import State
from licet.core.online.answers import LEAST_RETRY_AFTER, MOST_RETRY_AFTER, NoAnswer
from licet.core.stores import Key, key

#: Seconds between two tries: doubled with each failure, and the last of them after a refusal.
FIRST_PAUSE, LAST_PAUSE = 60.0, 3_600.0
#: The part of a token's life that is left when it is due, drawn by each process; and the longest
#: life that counts, so that none is due earlier than thirty days before its end.
LEFT, LONGEST = (0.25, 0.40), 75 * 86_400.0
#: Seconds between two looks at the wall clock, which goes on while a machine sleeps.
GLANCE = 3_600.0
#: Seconds that whoever asks is the only one to ask, should it never tell what came of that.
TURN = 60.0


class Pace:
    """When this process has something to do; its caller holds a lock.

    Args:
        clock: both clocks.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.begin()
        self.draw()

    def draw(self) -> None:
        """Draw when tokens are due: each process for itself."""
        self._left = uniform(*LEFT)  # noqa: S311 - nothing to guess

    def begin(self) -> None:
        """Have no failures, and no reason to rest."""
        self._failures, self._rests_until = 0, -inf

    def rest(self, pause: float) -> None:
        """Have nothing done for so many seconds."""
        self._rests_until = self._clock.monotonic() + pause

    def due_at(self, token: Token) -> float:
        """Return the wall time, in seconds since the epoch, at which a token is due."""
        lifetime = min(token.expires_at - token.issued_at, LONGEST)
        return token.expires_at - lifetime * self._left

    def look_at(self, token: Token, now: float, *, urgent: bool) -> float:
        """Return the monotonic time at which to see whether a token is due; `now` where it is."""
        wait = 0.0 if urgent else max(0.0, self.due_at(token) - self._clock.wall())
        return max(self._rests_until, now + min(wait, GLANCE))

    def pause_after(self, nothing: NoAnswer) -> float:
        """Take note of a failure; return the seconds until the next try."""
        pause = min(FIRST_PAUSE * 2.0 ** min(self._failures, 10), LAST_PAUSE)
        self._failures += 1
        if nothing.harmless:
            return LAST_PAUSE
        wait = nothing.retry_after or 0.0
        return max(pause, min(max(wait, LEAST_RETRY_AFTER), MOST_RETRY_AFTER))


class Turns:
    """Has one process ask at a time, and none while the last one has reason to rest.

    Until when is written down, and not believed of a clock that was far ahead: nobody would ask
    again until then.

    Args:
        state: what the processes share.
        wall: tells the time, in seconds since the epoch.
        url: who is asked; a rest is from this address, and ends with its correction.
    """

    def __init__(self, state: State, wall: Callable[[], float], url: str | None = None) -> None:
        self._state, self._wall, self._url = state, wall, url or ""

    def take(self, name: Name, *, hastened: bool) -> Flow[bool]:
        """Return whether this process is the one to ask now.

        Args:
            name: of the license.
            hastened: whether nobody's rest counts.

        Raises:
            StoreUnavailable: that cannot be told.
        """
        now, taken = self._wall(), False

        def turn(value: bytes | None) -> bytes:
            nonlocal taken
            taken = value is None or not _lasts(value, now, TURN)
            return repr(now + TURN).encode() if taken else value or b""

        yield self._state.change(_place("turn", name), turn, TURN)
        if not taken or hastened:
            return taken
        # Behind that: whoever had the turn before has left word by now.
        rest = yield self._state.get(_place("rest", name, self._url))
        if rest is None or not _lasts(rest, now, max(LAST_PAUSE, MOST_RETRY_AFTER)):
            return True
        yield self._state.delete(_place("turn", name))
        return False

    def over(self, name: Name, pause: float) -> Flow[None]:
        """Give up the turn, and have everybody rest for `pause` seconds.

        Raises:
            StoreUnavailable: the turn ends by itself.
        """
        until = repr(self._wall() + pause).encode()
        yield self._state.put(_place("rest", name, self._url), until, pause)
        yield self._state.delete(_place("turn", name))


def _lasts(value: bytes, now: float, longest: float) -> bool:
    """Return whether what is to last until `value` does so, as far as anything can."""
    try:
        until = float(value)
    except ValueError:
        return False
    # An hour more, because a clock may be set back a little.
    return now < until <= now + longest + LAST_PAUSE


def _place(what: str, name: Name, *more: str) -> Key:
    return key("refresh", what, *name, *more)
