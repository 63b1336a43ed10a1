"""What has to begin anew in a forked child, where a parent's threads and locks are not."""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Lock
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
        self.lock = Lock()
        tell_of_forks(self)

    def after_fork(self) -> None:
        """Leave a parent's lock behind: the thread that would release it is not here."""
        self.lock = Lock()


def _in_child() -> None:
    # Whatever is raised here would end a worker at its birth. What a document misses is made up
    # for by its look at the process id on every slow path.
    with suppress(Exception):
        for forked in list(_everything):
            with suppress(Exception):
                forked.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows does not fork
    os.register_at_fork(after_in_child=_in_child)
