"""The store of one machine: a file that many processes share, and that outlives them.

Every decision is one transaction that holds the write lock from its first statement. Time is
wall time, since it has to mean the same in every process and after a restart. The file is only
for its owner; it must lie on a local disk, which is what the write-ahead log needs.

What a killed process had decided stays decided. `synchronous` is NORMAL: a machine that loses its
power may forget the last moments, where FULL would wait for the disk at each request. Only an
announcement does wait for it: whoever was told of a revocation will not tell of it again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from threading import Lock
from typing import TypeVar
from weakref import WeakSet

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.errors import ConfigError
from licet.core.flow import Effect
from licet.core.forks import Locked
from licet.core.stores import statements
from licet.core.stores.database import (
    NotOursError,
    is_busy,
    make,
    own_file,
    power_proof,
    prepare,
)
from licet.core.stores.effects import Blocking
from licet.core.stores.interface import PATIENCE, Count, Key, News, Store, StoreUnavailable

T = TypeVar("T")


class SQLiteStore(Store, Locked):
    """Counters, seats and values in a file; one connection per process, behind a lock.

    Args:
        path: where the file is or shall be, absolute.
        clock: time, read from the wall; and monotonic, by which a wall clock that leaps is known.

    Raises:
        ConfigError: nothing can be kept there.
    """

    def __init__(self, path: str, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__()
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._resting: Lock | None = None
        self._path = own_file(path)
        self._clock = clock
        _open.add(self)
        try:
            self._connect().close()
        except NotOursError:
            raise ConfigError("store", "is a file of another kind", "name a new one") from None
        except sqlite3.Error as error:
            if not is_busy(error):
                raise ConfigError(
                    "store",
                    f"cannot be used ({error.sqlite_errorname})",
                    "name a file on a local disk that this process may write",
                ) from None

    def _increment(self, key: Key, amount: int, limit: int, window: float) -> Effect[Count]:
        return self._write(
            partial(statements.increment, key=key, amount=amount, limit=limit, window=window)
        )

    def _admit(self, key: Key, member: Key, limit: int, window: float) -> Effect[Count]:
        return self._write(
            partial(statements.admit, key=key, member=member, limit=limit, window=window)
        )

    def _set_if_absent(self, key: Key, ttl: float) -> Effect[bool]:
        return self._write(partial(statements.set_if_absent, key=key, ttl=ttl))

    def _put(self, key: Key, value: bytes, ttl: float) -> Effect[None]:
        return self._write(partial(statements.put, key=key, value=value, ttl=ttl))

    def get(self, key: Key) -> Effect[bytes | None]:
        """Return what was announced, or else what was put; None for neither."""
        return self._read(partial(statements.get, key=key))

    def delete(self, key: Key) -> Effect[None]:
        """Forget what was put or set, if anything."""
        return self._write(partial(statements.delete, key=key))

    def _announce(self, key: Key, value: bytes, ttl: float) -> Effect[int]:
        work = partial(statements.announce, key=key, value=value, ttl=ttl)
        return Blocking(lambda: self._do(work, "BEGIN IMMEDIATE", outlives_power=True))

    def announced(self, after: int) -> Effect[News]:
        """Return what any process has announced after generation `after`."""
        return self._read(partial(statements.announced, after=after))

    def generation(self) -> Effect[int]:
        """Return the generation of the latest announcement of any process."""
        return self._read(statements.generation)

    def transaction(self, work: Callable[[sqlite3.Connection, float], T]) -> Effect[T]:
        """Have `work` done in one transaction, with the wall's time, in tables of its own."""
        return self._write(work)

    def close(self) -> None:
        """Close this process's connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None and self._process == os.getpid():
            connection.close()

    def __del__(self) -> None:
        # At its end the interpreter takes modules apart; connections then close by themselves.
        if os is not None:
            self.close()

    def before_fork(self) -> None:
        """Close the connection, once it rests.

        SQLite keeps in memory which locks a process holds, and a child inherits the memory but
        not the locks: with any connection open, its own would trample on those of others.
        """
        lock = self.lock
        if lock.acquire(timeout=PATIENCE):
            self._resting = lock
            self.close()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        resting, self._resting = self._resting, None
        if resting is not None:
            resting.release()

    def _read(self, work: Callable[[sqlite3.Connection, float], T]) -> Effect[T]:
        return Blocking(lambda: self._do(work, None))

    def _write(self, work: Callable[[sqlite3.Connection, float], T]) -> Effect[T]:
        return Blocking(lambda: self._do(work, "BEGIN IMMEDIATE"))

    def _do(
        self,
        work: Callable[[sqlite3.Connection, float], T],
        begin: str | None,
        *,
        outlives_power: bool = False,
    ) -> T:
        lock = self.lock
        if not lock.acquire(timeout=PATIENCE):
            raise StoreUnavailable("busy")
        try:
            connection = self._own_connection()
            with power_proof(connection) if outlives_power else nullcontext(), connection:
                if begin is not None:
                    connection.execute(begin)
                return work(connection, self._clock.wall())
        except sqlite3.Error as error:
            if is_busy(error):
                raise StoreUnavailable("busy") from None
            self.close()
            raise StoreUnavailable(f"unreachable:{type(error).__name__}") from None
        finally:
            lock.release()

    def _own_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection, self._process = self._connect(), os.getpid()
        elif self._process != os.getpid():
            # Forked behind Python's back; see `before_fork`.
            raise StoreUnavailable("inherited")
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        # Where somebody has removed the file, SQLite would make one that others may read.
        with suppress(OSError):
            make(self._path)
        connection = sqlite3.connect(
            self._path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        connection.create_function("ticks", 0, self._clock.monotonic)
        try:
            prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection


#: Stores that may have a connection. Watched here rather than by `forks`, which tells only
#: children: what has to be done is done before, in the parent.
_open: WeakSet[SQLiteStore] = WeakSet()


def _before_fork() -> None:
    for store in list(_open):
        store.before_fork()


def _after_fork_in_parent() -> None:
    for store in list(_open):
        store.after_fork_in_parent()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows does not fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)
