"""The tables: one way to each version, whole or not at all."""

from __future__ import annotations

import sqlite3

import pytest

from licet.server import audit
from licet.server.storage import schema


@pytest.fixture
def connection() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)


def tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in rows}


def test_a_file_of_an_earlier_version_gets_what_it_lacks(connection: sqlite3.Connection) -> None:
    """A migration is applied once, and what was there before stays."""
    schema.prepare(connection, [["CREATE TABLE a (b)"]])
    connection.execute("INSERT INTO a VALUES (1)")
    for _ in range(2):
        schema.prepare(connection, [["CREATE TABLE a (b)"], ["ALTER TABLE a ADD c"]])
    assert connection.execute("SELECT b, c FROM a").fetchall() == [(1, None)]


def test_a_migration_that_fails_leaves_everything_as_it_was(connection: sqlite3.Connection) -> None:
    """Half a migration is none, and the version says so."""
    schema.prepare(connection, [["CREATE TABLE a (b)"]])
    with pytest.raises(sqlite3.OperationalError):
        schema.prepare(connection, [[], ["CREATE TABLE c (d)", "CREATE TABLE a (b)"]])
    assert tables(connection) == {"a"}
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_file_of_a_later_version_is_refused(connection: sqlite3.Connection) -> None:
    """An older Licet does not touch what a newer one has made."""
    schema.prepare(connection, [[], []])
    with pytest.raises(schema.ForeignFileError, match="later version"):
        schema.prepare(connection, [[]])


def test_the_record_is_append_only(connection: sqlite3.Connection) -> None:
    """The database itself refuses to change or delete a line of the record."""
    schema.prepare(connection)
    audit.record(connection, 1.0, audit.SERVER, "keys.rotated", "kid", alg="EdDSA")
    for change in ("UPDATE audit SET actor = 'me'", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(change)
    (line,) = audit.page(connection, 0)
    assert (line["actor"], line["detail"]) == ("server", {"alg": "EdDSA"})


def test_what_is_looked_up_is_looked_up_by_an_index(connection: sqlite3.Connection) -> None:
    """How many licenses need a key is counted without reading licenses."""
    schema.prepare(connection)
    plan = connection.execute(
        "EXPLAIN QUERY PLAN SELECT kid, count(*) FROM licenses"
        " WHERE state <> 'revoked' AND ends_at > 1 GROUP BY kid"
    ).fetchall()
    assert any("COVERING INDEX licenses_by_key" in row[-1] for row in plan), plan
