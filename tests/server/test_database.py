"""The database: what is acknowledged is there, and what fails is not."""

from __future__ import annotations

import gc
import sqlite3
import stat
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from licet.server.errors import ServerError
from licet.server.storage.database import Act, Database, StorageError


def put(name: str, value: str = "") -> Act[object]:
    return lambda connection: connection.execute(
        "INSERT INTO settings (name, value) VALUES (?, ?)", (name, value)
    )


def names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM settings ORDER BY name")]


def at_once(database: Database, *acts: Act[object]) -> list[BaseException | None]:
    """Carry out changes in one transaction; return the errors, None where there is none."""
    going, go = threading.Event(), threading.Event()

    def hold(connection: sqlite3.Connection) -> None:
        going.set()
        assert go.wait(10)

    first = database._submit(hold)
    assert going.wait(10)
    futures = [database._submit(act) for act in acts]
    go.set()
    first.result(10)
    return [future.exception(10) for future in futures]


@pytest.mark.anyio
async def test_what_was_written_is_there_after_another_start(tmp_path: Path) -> None:
    """A change that was waited for, by a task or by a thread, is in the file."""
    first = Database(tmp_path / "licet.db")
    await first.write(put("by-task"))
    first.write_now(put("by-thread"))
    first.write_later(put("behind"))
    first.close()
    again = Database(tmp_path / "licet.db")
    assert again.read(names) == ["behind", "by-task", "by-thread"]
    again.close()


def test_a_change_that_raises_takes_no_other_along(database: Database) -> None:
    """Of changes in one transaction, one that raises is undone alone, and its caller hears it."""

    def fail(connection: sqlite3.Connection) -> None:
        put("half")(connection)
        raise ZeroDivisionError

    errors = at_once(database, put("a"), fail, put("b"), put("a"), put("c"))
    assert [type(error) for error in errors] == [
        type(None),
        ZeroDivisionError,
        type(None),
        sqlite3.IntegrityError,
        type(None),
    ]
    assert database.read(names) == ["a", "b", "c"]


def test_a_disk_that_is_full_is_an_error_for_all_that_it_did_not_take(database: Database) -> None:
    """Where the disk is full nobody is told that a change is there, and none is."""

    def fill(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    database.write_now(fill)
    errors = at_once(database, put("small"), put("large", "x" * 100_000))
    assert isinstance(errors[1], (StorageError, sqlite3.OperationalError))
    assert ("small" in database.read(names)) is (errors[0] is None)
    database.write_now(lambda connection: connection.execute("PRAGMA max_page_count = 1000000"))
    database.write_now(put("later"))
    assert "later" in database.read(names)
    assert "large" not in database.read(names)


def test_nothing_is_written_by_reading(database: Database) -> None:
    """What reads cannot change anything."""
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.read(put("a"))


def test_the_connection_of_a_thread_ends_with_it(database: Database) -> None:
    """Threads that come and go leave no open files."""
    for _ in range(3):
        thread = threading.Thread(target=database.read, args=(names,))
        thread.start()
        thread.join()
    gc.collect()
    assert len(database._opened) == 0


def test_what_follows_a_change_is_done_in_order_and_before_anybody_hears(
    database: Database,
) -> None:
    """`then` has what the change returned, after the commit, before listeners and the caller."""
    order: list[object] = []
    database.listen(lambda: order.append("heard"))
    database.write_now(put("a"), then=lambda _: order.append(database.read(names)))
    assert order == [["a"], "heard"]
    with pytest.raises(sqlite3.IntegrityError):
        database.write_now(put("a"), then=order.append)
    with pytest.raises(ZeroDivisionError):
        database.write_now(put("b"), then=lambda _: 1 / 0)
    assert order == [["a"], "heard", "heard", "heard"]
    assert database.read(names) == ["a", "b"]


def test_a_listener_that_fails_stops_nothing(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """After each commit the listeners are called; one that raises is logged, no more."""
    heard = []

    def fail() -> None:
        raise ZeroDivisionError

    database.listen(fail)
    database.listen(lambda: heard.append(1))
    database.write_now(put("a"))
    database.write_now(put("b"))
    database.close()
    assert len(heard) == 2
    assert "a listener failed" in caplog.text


def test_a_change_nobody_waits_for_fails_into_the_log(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says that such a change was lost, also after the end, and not what it said."""
    database.write_later(put("a"))
    database.write_later(put("a", "a secret"))
    database.close()
    database.write_later(put("b"))
    assert [record.getMessage() for record in caplog.records] == [
        "a change was lost (IntegrityError)",
        "a change was dropped: the database is closed",
    ]


def test_a_closed_database_takes_nothing(database: Database) -> None:
    """After its end a database says so, however often it is closed."""
    database.close()
    database.close()
    with pytest.raises(StorageError, match="closed"):
        database.write_now(put("a"))
    with pytest.raises(StorageError, match="closed"):
        database.read(names)


def test_it_is_closed_when_nobody_reads_any_longer(database: Database) -> None:
    """Who reads in another thread while the database is closed reads to the end."""
    reading, closing = threading.Event(), threading.Event()
    found: list[Any] = []

    def read(connection: sqlite3.Connection) -> None:
        connection.execute("SELECT 1")
        reading.set()
        assert closing.wait(10)
        # For as long as it takes to see that it is waited for.
        ended.join(0.1)
        found.append(connection.execute("SELECT 2").fetchone())

    reader = threading.Thread(target=database.read, args=(read,))
    ended = threading.Thread(target=database.close)
    reader.start()
    assert reading.wait(10)
    ended.start()
    closing.set()
    reader.join(10)
    ended.join(10)
    assert found == [(2,)]
    with pytest.raises(StorageError):
        database.read(names)


def test_its_files_are_for_their_owner_only(database: Database) -> None:
    """The file, and those that SQLite lays beside it, have mode 0600."""
    database.write_now(put("a"))
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in database.path.parent.iterdir()
    }
    assert modes["licet.db"] == 0o600
    assert set(modes.values()) == {0o600}


def test_a_file_that_is_no_database_of_ours_is_left_alone(tmp_path: Path) -> None:
    """A text, somebody else's database and a missing directory are refused, with a remedy."""
    text, other = tmp_path / "text", tmp_path / "other.db"
    text.write_text("This is no database, but long enough to be taken for one. " * 20)
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    for path in (text, other, tmp_path / "nowhere" / "licet.db"):
        with pytest.raises(ServerError) as refused:
            Database(path)
        assert "--data" in refused.value.remedy
    assert text.read_text().startswith("This is no database")


def test_a_commit_waits_for_the_disk(database: Database) -> None:
    """The writer has SQLite sync each commit, into a log beside the file."""
    for pragma, value in (("synchronous", 2), ("journal_mode", "wal"), ("foreign_keys", 1)):
        asked = partial(_pragma, name=pragma)
        assert database.write_now(asked) == (value,)


def _pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()
