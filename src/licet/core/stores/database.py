"""The file of the SQLite store: whose it is, what is in it, how it is opened."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from licet.core.errors import ConfigError
from licet.core.stores.interface import PATIENCE
from licet.core.stores.statements import TABLES

#: What PRAGMA application_id says of a file that is ours: "Lict".
APPLICATION = 0x4C696374
#: 2: announcements; 3: by how much the wall clock is ahead.
VERSION = 3


class NotOursError(sqlite3.DatabaseError):
    """The file holds something else."""


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another process was in the way for too long."""
    # Extended codes have the primary one in their lowest byte.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )


def prepare(connection: sqlite3.Connection) -> None:
    """Make what the file lacks, new or of an earlier version; set what belongs to a connection.

    Raises:
        sqlite3.Error: it cannot be used; `NotOursError` if it never can.
    """
    if _pragma(connection, "application_id") != APPLICATION:
        filled = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        # Asked once more, because another process may have made it this very moment.
        if filled and _pragma(connection, "application_id") != APPLICATION:
            raise NotOursError
        write_ahead(connection)
    if not _is_current(connection):
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            # Asked once more: a later version may have made it its own this very moment.
            if not _is_current(connection):
                for statement in TABLES:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("PRAGMA synchronous = NORMAL")


def _is_current(connection: sqlite3.Connection) -> bool:
    version = _pragma(connection, "user_version")
    if version > VERSION:
        raise NotOursError
    return bool(version == VERSION)


@contextmanager
def power_proof(connection: sqlite3.Connection) -> Iterator[None]:
    """Have what is committed within this block outlive a loss of power: it waits for the disk.

    Raises:
        sqlite3.Error: a transaction is open, or the connection is lost.
    """
    connection.execute("PRAGMA synchronous = FULL")
    try:
        yield
    finally:
        connection.execute("PRAGMA synchronous = NORMAL")


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log, which is the one thing SQLite does not wait its turn for.

    Raises:
        sqlite3.Error: somebody else was in the way; `NotOursError` if there can be no such log.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            mode = _pragma(connection, "journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
        else:
            break
    if mode != "wal":
        raise NotOursError


def make(file: str | Path) -> None:
    """Make a file that only its owner may use.

    Raises:
        OSError: it is there, or cannot be made.
    """
    # Never opened if it is there: closing a file gives up all locks a process holds on it.
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def own_file(path: str) -> str:
    """Return `path` as an absolute path to a file that only its owner may use; made if needed.

    Raises:
        ConfigError: there can be none.
    """
    file = Path("/" + path.lstrip("/")) if path.startswith("/") else Path()
    if os.name == "nt":  # pragma: no cover - a drive stands where the root would
        file = Path(path.lstrip("/"))
    if not path.startswith("/") or not file.name or "\0" in path:
        raise ConfigError("store", "names no file", "write sqlite:///directory/file")
    try:
        make(file)
    except FileExistsError:
        status = os.lstat(file)
    except OSError as error:
        raise ConfigError(
            "store",
            f"cannot be made ({type(error).__name__})",
            "name a file in a directory that this process may write",
        ) from None
    else:
        return str(file)
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError("store", "is no regular file", "name one, and not through a link")
    if os.name != "nt" and (
        status.st_mode & 0o077 or (status.st_uid != os.geteuid() and os.geteuid() != 0)
    ):
        raise ConfigError("store", "is a file that others may use", "make it yours, with chmod 600")
    return str(file)
