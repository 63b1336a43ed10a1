"""Hears what is announced on boards: one thread that looks once a second, and no request does.

A thread begins with the first license that is judged and ends with whoever has it; a child of a
fork begins its own. While a board is silent, what it said before is still known.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from math import inf
from operator import methodcaller
from typing import TYPE_CHECKING, Protocol

from licet.core.clock import Clock
from licet.core.documents.flight import start
from licet.core.events.log import FailureLog
from licet.core.forks import Locked

if TYPE_CHECKING:
    from licet.core.revocation.statements import Board

#: Seconds between two looks; and after which a look is too long ago to say that all is known.
EVERY, CURRENT_FOR = 1.0, 2.5


class Follower(Protocol):
    """Who has boards followed; called in the thread of the watch, which ends with it."""

    def heard(self, value: bytes) -> None:
        """Hear of one thing that was announced."""
        ...

    def looked(self) -> None:
        """Do what is to be done once a second."""
        ...

    def emptied(self, board: Board) -> None:
        """Hear of a board that has lost what was announced on it."""
        ...


class Watch(Locked):
    """Follows boards.

    Args:
        boards: what is followed.
        follower: on whose behalf.
        clock: monotonic time.
    """

    def __init__(self, boards: Sequence[Board], follower: Follower, clock: Clock) -> None:
        super().__init__()
        self._boards, self._follower = boards, weakref.ref(follower)
        self._monotonic = clock.monotonic
        self._silent = FailureLog(clock, "what other workers are told is heard later")
        self._after = [0] * len(boards)
        #: Whether all that was announced before this process began is known in it.
        self.caught_up = False
        self._begin()

    def _begin(self) -> None:
        self._thread: object = None
        self._looked_at = -inf

    def after_fork(self) -> None:
        """Begin anew: the thread is not here. What it has heard is."""
        super().after_fork()
        self._begin()

    @property
    def current(self) -> bool:
        """Whether all boards were read a moment ago."""
        return self._monotonic() - self._looked_at < CURRENT_FOR

    @property
    def begun(self) -> bool:
        """Whether all boards were read in this process, which may be a child of a fork."""
        return self._looked_at > -inf

    def ensure(self) -> bool:
        """Have the boards followed; return False where no thread can be started to do it."""
        if self._thread is not None or not self._boards:
            return True
        with self.lock:
            if self._thread is None:
                sign = object()
                itself = weakref.ref(self)
                self._thread = sign
                if not start(lambda: _follow(itself, sign), "licet-watch"):
                    self._thread = None
            return self._thread is not None

    def is_followed_by(self, sign: object) -> bool:
        """Return whether the thread with this sign is the one to follow the boards."""
        return self._thread is sign

    def leave(self, sign: object) -> None:
        """Have no thread any more, if this was the one."""
        with self.lock:
            if self._thread is sign:
                self._thread = None

    def look(self) -> None:
        """Read what is new on each board."""
        began, heard = self._monotonic(), 0
        for index, board in enumerate(self._boards):
            try:
                self._hear(index, board)
                heard += 1
            except Exception as error:
                # Whatever it was: a watch that ends would be a process that hears nothing more.
                self._silent(error)
        if heard == len(self._boards):
            self.caught_up = True
            self._looked_at = began
        self._tell(methodcaller("looked"))

    def _hear(self, index: int, board: Board) -> None:
        while True:
            after, news = self._after[index], board.announced(self._after[index]).run()
            for value in news.values:
                self._tell(methodcaller("heard", value))
            if news.generation < after:
                self._tell(methodcaller("emptied", board))
            self._after[index] = news.generation
            # One that counts otherwise would never come to an end.
            if not news.values or news.generation == after:
                break

    def _tell(self, act: Callable[[Follower], None]) -> None:
        follower = self._follower()
        if follower is None:
            return
        try:
            act(follower)
        except Exception as error:
            # It would fail again, and keep back all that was announced after it.
            self._silent(error)


def _follow(reference: weakref.ref[Watch], sign: object) -> None:
    pause = threading.Event()
    try:
        # Held only while it looks: it ends with its gate, which nobody has to close.
        while (watch := reference()) is not None and watch.is_followed_by(sign):
            watch.look()
            del watch
            pause.wait(EVERY)
    finally:
        # Also where it is ended by what is no Exception: the next license begins another.
        if (left := reference()) is not None:
            left.leave(sign)
