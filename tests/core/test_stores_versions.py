"""Files of the SQLite store that another version of Licet has made."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from licet.core.errors import ConfigError
from licet.core.stores import News, key
from licet.core.stores.database import VERSION, NotOursError, make, prepare
from licet.core.stores.sqlite import SQLiteStore
from tests.core.hands import Hands
from tests.core.test_stores_processes import started

CALLS, ALICE = key("calls"), key("user", "alice")
#: As version 1 made them: without announcements.
VERSION_1 = """
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE counts (key TEXT PRIMARY KEY, count INTEGER NOT NULL, ends REAL NOT NULL)
    WITHOUT ROWID;
CREATE TABLE seats (key TEXT, member TEXT, ends REAL NOT NULL, PRIMARY KEY (key, member))
    WITHOUT ROWID;
CREATE TABLE kept (key TEXT PRIMARY KEY, value BLOB NOT NULL, ends REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE generations (only INTEGER PRIMARY KEY CHECK (only = 1), number);
CREATE INDEX counts_by_end ON counts (ends);
CREATE INDEX seats_by_end ON seats (ends);
CREATE INDEX seats_in_order ON seats (key, ends, member);
CREATE INDEX kept_by_end ON kept (ends);
INSERT INTO generations VALUES (1, 1900000000000000);
PRAGMA application_id = 1281975156;
PRAGMA user_version = 1;
COMMIT;
"""
#: Says that it is there, waits to be told, opens the store and announces.
WORKER = """
import os, sys
from licet.core.stores import key, open_store
print("ready", flush=True)
sys.stdin.readline()
store = open_store(sys.argv[1])
print(store.announce(key(str(os.getpid())), b"", 600).run(), flush=True)
"""


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    """A file of version 1."""
    file = tmp_path / "store"
    make(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.executescript(VERSION_1)
        database.execute("INSERT INTO counts VALUES (?, 7, 9e9)", (CALLS,))
        database.execute("INSERT INTO seats VALUES (?, ?, 9e9)", (CALLS, ALICE))
        database.execute("INSERT INTO kept VALUES (?, x'00ff', 9e9)", (CALLS,))
    return file


def version(file: Path) -> int:
    """Return the version that a file says it has."""
    with closing(sqlite3.connect(file)) as database:
        found: tuple[int] = database.execute("PRAGMA user_version").fetchone()
    return found[0]


def test_an_earlier_file_is_taken_over(file: Path) -> None:
    """It keeps what it held, goes on after its generation, and can be announced in."""
    store = SQLiteStore(str(file), Hands().clock)
    assert version(file) == VERSION == 3
    assert store.increment(CALLS, 0, None, 60).run().used == 7
    assert store.admit(CALLS, ALICE, 1, 60).run()[:2] == (True, 1)
    assert store.get(CALLS).run() == b"\0\xff"
    before = store.generation().run()
    assert before == 1_900_000_000_000_000
    assert store.announced(0).run() == News(before, ())
    generation = store.announce(CALLS, b"revoked", 60).run()
    assert generation == before + 1
    assert store.announced(before).run() == News(generation, (b"revoked",))
    store.close()


def test_an_earlier_file_is_taken_over_once(file: Path) -> None:
    """Of four processes that open it at once, each can announce, and none loses anything."""
    workers = [started(WORKER, f"sqlite://{file}") for _ in range(4)]
    try:
        for worker in workers:
            assert worker.stdout
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin
            worker.stdin.write("go\n")
            worker.stdin.flush()
        generations = [int(worker.communicate(timeout=60)[0]) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert len(set(generations)) == 4
    store = SQLiteStore(str(file))
    assert len(store.announced(0).run().values) == 4
    assert store.increment(CALLS, 0, None, 60).run().used == 7
    store.close()


def test_what_fails_half_way_leaves_an_earlier_file(file: Path) -> None:
    """Taking it over is one transaction: a file whose tables cannot be made stays as it was."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        # Of this name an index cannot be made, and by then a table has been.
        database.execute("CREATE VIEW announcements_by_end AS SELECT 1")
    with pytest.raises(ConfigError, match="cannot be used"):
        SQLiteStore(str(file))
    assert version(file) == 1
    with closing(sqlite3.connect(file)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    assert "announcements" not in tables


def test_a_later_version_wins(file: Path) -> None:
    """Who waits to take a file over while a later version does so leaves it to that."""
    waits = threading.Event()
    refused = []

    def says(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE":
            waits.set()

    def takes_over() -> None:
        with closing(sqlite3.connect(file, isolation_level=None, timeout=20)) as mine:
            mine.set_trace_callback(says)
            try:
                prepare(mine)
            except NotOursError as error:
                refused.append(error)

    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=takes_over)
        thread.start()
        assert waits.wait(20)
        other.execute(f"PRAGMA user_version = {VERSION + 1}")
        other.execute("COMMIT")
        thread.join(20)
    assert refused
    assert version(file) == VERSION + 1
    with pytest.raises(ConfigError, match="another kind"):
        SQLiteStore(str(file))
