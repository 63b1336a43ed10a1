"""The database of the license server: one file, one writer, and what is acknowledged is on disk.

Every change is a function that is given the writer's connection. One thread carries them out, all
that wait at once in one transaction: an acknowledgement costs a share of a sync instead of a whole
one. A change that raises undoes its own work alone; one whose transaction does not reach the disk
raises `StorageError`, and nothing of it is there. It trusts the file, which nobody else may read.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from licet.core.errors import LicetError
from licet.core.latch import Latch
from licet.server.errors import ServerError
from licet.server.storage import schema

logger = logging.getLogger("licet")

T = TypeVar("T")
Act = Callable[[sqlite3.Connection], T]

#: Changes that one commit takes along at most, so that the first of them does not wait for long.
MOST_AT_ONCE = 256
#: Seconds that a reader waits while the file is being recovered.
PATIENCE = 5.0
_REMEDY = "name a directory of its own, which this user may write, with --data"


class StorageError(LicetError):
    """The disk did not take a change; nothing of it is there."""


class _Change(Generic[T]):
    """A function that waits for its transaction, and what is done about it afterwards."""

    def __init__(self, act: Act[T], then: Callable[[T], object]) -> None:
        self._act, self._then = act, then
        self._failed: Exception | None = None
        self._result: T
        self.future: Future[T] = Future()

    def carry_out(self, connection: sqlite3.Connection) -> None:
        """Do it, or nothing of it."""
        connection.execute("SAVEPOINT change")
        try:
            self._result = self._act(connection)
        except Exception as error:
            self._failed = error
            # Some errors, of a full disk for instance, have taken the whole transaction along.
            if not connection.in_transaction:
                raise sqlite3.OperationalError(_why(error)) from error
            connection.execute("ROLLBACK TO change")
        connection.execute("RELEASE change")

    def acknowledge(self) -> None:
        """Tell who waits what came of it, once that is on disk."""
        try:
            if self._failed is None:
                self._then(self._result)
        except Exception as error:
            self._failed = error
        if self._failed is not None:
            self.future.set_exception(self._failed)
        else:
            self.future.set_result(self._result)


class _Reader:
    """A connection of one thread, which ends with that thread."""

    def __init__(self, path: Path) -> None:
        self.connection = _connect(path)
        self.connection.execute("PRAGMA query_only = ON")
        # Held while it is used: SQLite does not survive that it is closed meanwhile.
        self.lock = threading.RLock()

    def __del__(self) -> None:
        # There is none where it could not be opened.
        with suppress(AttributeError):
            self.connection.close()


class Database:
    """The file, opened, in this process only.

    Args:
        path: of the file; made, 0600, where it is not there.

    Raises:
        ServerError: it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._readers = threading.local()
        self._opened: WeakSet[_Reader] = WeakSet()
        self._listeners: list[Callable[[], object]] = []
        self._waiting: queue.SimpleQueue[_Change[Any] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._ending = self._closed = False
        self._connection = self._open()
        self._writer = threading.Thread(target=self._write, name="licet-writer", daemon=True)
        self._writer.start()

    def read(self, act: Act[T]) -> T:
        """Return what `act` finds. For queries by key: it happens in the calling thread.

        Raises:
            StorageError: the database is closed.
        """
        reader: _Reader | None = getattr(self._readers, "reader", None)
        if reader is None:
            reader = self._readers.reader = self._new_reader()
        with reader.lock:
            if self._closed:
                raise StorageError("the database is closed")
            return act(reader.connection)

    async def write(self, act: Act[T]) -> T:
        """Carry out a change; return what `act` does once it is on disk. For tasks.

        Raises:
            StorageError: it is not.
            Exception: what `act` raised; then nothing of it is there either.
        """
        future, done = self._submit(act), Latch()
        future.add_done_callback(lambda _: done.set())
        # Who goes away meanwhile gets no answer; the change may happen all the same.
        await done.wait_in_task(math.inf)
        return future.result()

    def write_now(self, act: Act[T], *, then: Callable[[T], object] = lambda result: None) -> T:
        """Carry out a change as `write` does, and wait in this thread.

        Args:
            act: the change.
            then: called with what `act` returned once that is on disk and before anybody hears of
                it, in the order of the changes and in the writer's thread: it must be quick.
        """
        return self._submit(act, then).result()

    def write_later(self, act: Act[object]) -> None:
        """Carry out a change for which nobody waits; if it fails, the log says so."""
        try:
            self._submit(act).add_done_callback(_log_failure)
        except StorageError as error:
            logger.warning("a change was dropped: %s", error)

    def listen(self, listener: Callable[[], object]) -> None:
        """Have `listener` called after each commit, in the writer's thread: it must be quick."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Carry out what waits, and close the file."""
        with self._closing:
            if self._ending:
                return
            self._ending = True
            self._waiting.put(None)
        # Listeners may read until then.
        self._writer.join()
        with self._closing:
            self._closed = True
            readers = list(self._opened)
        for reader in readers:
            with reader.lock:
                reader.connection.close()
        self._connection.close()

    def _new_reader(self) -> _Reader:
        reader = _Reader(self.path)
        with self._closing:
            if self._closed:
                raise StorageError("the database is closed")
            self._opened.add(reader)
        return reader

    def _submit(self, act: Act[T], then: Callable[[T], object] = lambda result: None) -> Future[T]:
        change = _Change(act, then)
        with self._closing:
            if self._ending:
                raise StorageError("the database is closed")
            self._waiting.put(change)
        return change.future

    def _open(self) -> sqlite3.Connection:
        try:
            # SQLite gives its other files the mode of this one.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            if os.name == "posix":
                self.path.chmod(0o600)
            connection = _connect(self.path)
        except (OSError, sqlite3.Error) as error:
            raise ServerError(f"{self.path} cannot be opened ({_why(error)})", _REMEDY) from None
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # A commit waits for the disk; on a Mac for the platters too.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")
            schema.prepare(connection)
        except schema.ForeignFileError as error:
            connection.close()
            raise ServerError(f"{self.path} is {error}", _REMEDY) from None
        except sqlite3.Error as error:
            connection.close()
            raise ServerError(f"{self.path} cannot be used ({_why(error)})", _REMEDY) from None
        return connection

    def _write(self) -> None:
        ended = False
        while not ended:
            changes = []
            change = self._waiting.get()
            while change is not None:
                changes.append(change)
                if len(changes) == MOST_AT_ONCE:
                    break
                try:
                    change = self._waiting.get_nowait()
                except queue.Empty:
                    break
            else:
                ended = True
            if changes:
                self._commit(changes)

    def _commit(self, changes: list[_Change[Any]]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for change in changes:
                change.carry_out(self._connection)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            # There may be no transaction left, or no disk.
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            logger.error("changes did not reach the disk: count=%d (%s)", len(changes), _why(error))
            for change in changes:
                change.future.set_exception(StorageError(_why(error)))
            return
        for change in changes:
            change.acknowledge()
        for listener in self._listeners:
            try:
                listener()
            except Exception:
                # Others wait for this thread.
                logger.exception("a listener failed")


def _log_failure(future: Future[Any]) -> None:
    if (error := future.exception()) is not None:
        logger.warning("a change was lost (%s)", type(error).__name__)


def _connect(path: Path) -> sqlite3.Connection:
    # Autocommit: transactions are begun by name. Closed by another thread than it is used in.
    connection = sqlite3.connect(
        path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
