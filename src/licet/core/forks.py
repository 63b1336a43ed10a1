"""What has to begin anew in a forked child, where a parent's threads and locks are not."""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Lock, RLock
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """Something with state that must not cross a fork."""

    def after_fork(self) -> None:
        """Begin in this process; nothing else runs in it yet."""
        ...


_everything: WeakSet[Forked] = WeakSet()


def tell_of_forks(forked: Forked) -> None:
    """Have `forked.after_fork` called in each child, as long as somebody holds `forked`."""
    _everything.add(forked)


class Locked:
    """Something with a lock, which is free in a child whoever held it at the fork."""

    def __init__(self) -> None:
        self.lock = self._made()
        tell_of_forks(self)

    def after_fork(self) -> None:
        """Leave a parent's lock behind: the thread that would release it is not here."""
        self.lock = self._made()

    @staticmethod
    def _made() -> Lock:
        return Lock()


class Reentrant(Locked):
    """The same for what the end of a flow touches.

    A task of an event loop that was closed under it ends when it is collected as garbage: in
    whatever thread, and perhaps in the middle of what that does under this very lock.
    """

    @staticmethod
    def _made() -> Lock:
        return RLock()  # type: ignore[return-value]  # what is done with either is the same


def _in_child() -> None:
    # Whatever is raised here would end a worker at its birth. What a document misses is made up
    # for by its look at the process id on every slow path.
    with suppress(Exception):
        for forked in list(_everything):
            with suppress(Exception):
                forked.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows does not fork
    os.register_at_fork(after_in_child=_in_child)
