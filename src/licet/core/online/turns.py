"""Whose turn it is to ask: one question at a time for a credential at a domain."""

from __future__ import annotations

from typing import NamedTuple

from licet.core.clock import Clock
from licet.core.forks import Reentrant
from licet.core.latch import Latch
from licet.core.online.memory import Case, Memory

#: Seconds after the end of its time at which a question that did not end is given up.
LOST_AFTER = 10.0


class Turn(NamedTuple):
    """One question under way.

    Attributes:
        over: set once it is over, whatever came of it.
        until: when whoever asks is gone without a word, in monotonic seconds: nobody finishes
            the tasks of an event loop that was closed under them.
    """

    over: Latch
    until: float


class Crowded(Exception):
    """A credential is presented at too many domains.

    Args:
        wait: seconds until it may be asked about at another.
        begins: whether that begins now.
    """

    def __init__(self, wait: float, begins: bool) -> None:
        super().__init__("too_many_domains")
        self.wait = wait
        self.begins = begins


class Turns(Reentrant):
    """The questions under way to one license server.

    Args:
        memory: knows at which domains a credential was answered about.
        clock: monotonic time.
    """

    def __init__(self, memory: Memory, clock: Clock) -> None:
        super().__init__()
        self._memory, self._monotonic = memory, clock.monotonic
        self._begin()

    def after_fork(self) -> None:
        """Begin in this process without a parent's questions."""
        super().after_fork()
        self._begin()

    def _begin(self) -> None:
        #: By credential and domain.
        self._under_way: dict[bytes, dict[str | None, Turn]] = {}

    @property
    def under_way(self) -> list[Turn]:
        """The questions under way."""
        with self.lock:
            return [turn for turns in self._under_way.values() for turn in turns.values()]

    def take(self, case: Case, deadline: float) -> tuple[Turn, bool]:
        """Return the question under way, and whether it is this caller's to ask.

        Whoever hears True asks, and calls `end`, whatever happens meanwhile.

        Args:
            case: what is to be asked about.
            deadline: monotonic seconds at which the caller stops asking.

        Raises:
            Crowded: the credential is presented at too many domains.
        """
        with self.lock:
            under_way = self._under_way.get(case.digest, {})
            turn = under_way.get(case.domain)
            if turn is not None and self._monotonic() < turn.until:
                return turn, False
            wait, begins = self._memory.crowded(case, under_way)
            if wait:
                raise Crowded(wait, begins)
            mine = Turn(Latch(), deadline + LOST_AFTER)
            self._under_way.setdefault(case.digest, {})[case.domain] = mine
            return mine, True

    def end(self, case: Case, turn: Turn) -> None:
        """Let whoever waits for it look again."""
        with self.lock:
            under_way = self._under_way.get(case.digest, {})
            # It may be somebody else's by now: in a child of a fork, or where it was given up.
            if under_way.get(case.domain) is turn:
                del under_way[case.domain]
                if not under_way:
                    del self._under_way[case.digest]
        turn.over.set()
