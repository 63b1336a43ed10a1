"""What stands in the database, and how a file of an earlier version becomes one of this.

`PRAGMA user_version` counts the migrations that a file has seen. A new file sees all of them, so
that there is one way only to what a version looks like. Moments are seconds since the epoch, UTC.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

#: What PRAGMA application_id says of a file that is ours: "LicS".
APPLICATION = 0x4C696353

_FIRST = (
    # issuer, audience, and what else is settled at the first start.
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # Oldest first; the last that is not retired signs. `sealed` is the private key where it is
    # kept here, and NULL where it is in a file.
    """
    CREATE TABLE signing_keys (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        kid TEXT NOT NULL UNIQUE,
        algorithm TEXT NOT NULL,
        sealed BLOB,
        created_at REAL NOT NULL,
        retired_at REAL
    )
    """,
    """
    CREATE TABLE api_keys (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL CHECK (kind IN ('admin', 'validation')),
        name TEXT NOT NULL,
        digest BLOB NOT NULL,
        created_at REAL NOT NULL,
        used_at REAL,
        revoked_at REAL
    ) WITHOUT ROWID
    """,
    # `claims` are those of the latest token, `kid` the key that signed it. `ends_at` is its end,
    # grace included. `told` is the number of days before its end that was told last.
    """
    CREATE TABLE licenses (
        id TEXT PRIMARY KEY,
        customer TEXT,
        plan TEXT,
        state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'revoked')),
        reason TEXT NOT NULL DEFAULT '',
        claims TEXT NOT NULL,
        kid TEXT NOT NULL,
        key_digest BLOB UNIQUE,
        list INTEGER REFERENCES status_lists (number),
        place INTEGER,
        sequence INTEGER NOT NULL DEFAULT 0,
        told INTEGER,
        created_at REAL NOT NULL,
        changed_at REAL NOT NULL,
        expires_at REAL NOT NULL,
        ends_at REAL NOT NULL,
        term_ends_at REAL,
        UNIQUE (list, place)
    ) WITHOUT ROWID
    """,
    # When a license was last found to hold. Apart from the licenses: of these rows, which are
    # small, thousands are written at once while revocations wait.
    "CREATE TABLE sightings (license_id TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX licenses_of_customer ON licenses (customer, id)",
    "CREATE INDEX licenses_by_state ON licenses (state, id)",
    "CREATE INDEX licenses_by_end ON licenses (expires_at) WHERE state = 'active'",
    "CREATE INDEX licenses_withdrawn ON licenses (list, place) WHERE state <> 'active'",
    "CREATE INDEX licenses_by_key ON licenses (kid, ends_at, state)",
    # `taken` counts the places that were given away; `version` grows as what is said changes.
    """
    CREATE TABLE status_lists (
        number INTEGER PRIMARY KEY,
        uri TEXT NOT NULL,
        taken INTEGER NOT NULL DEFAULT 0,
        version INTEGER NOT NULL DEFAULT 0,
        opened_at REAL NOT NULL
    )
    """,
    # Counted once, however often it is sent. `digest` is of what it says.
    """
    CREATE TABLE usage_batches (
        batch_id TEXT PRIMARY KEY,
        digest BLOB NOT NULL,
        received_at REAL NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX usage_batches_by_age ON usage_batches (received_at)",
    # One sum for each kind of period: what a limit has left is one row, and stays one.
    """
    CREATE TABLE usage (
        license_id TEXT NOT NULL REFERENCES licenses (id),
        per TEXT NOT NULL CHECK (per IN ('minute', 'hour', 'day', 'month', 'term')),
        since INTEGER NOT NULL,
        name TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (license_id, per, since, name)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX usage_by_age ON usage (per, since)",
    # What was told once is not told again: of a limit in a period, of suspicion in an hour.
    """
    CREATE TABLE notices (
        license_id TEXT NOT NULL,
        about TEXT NOT NULL,
        until REAL NOT NULL,
        PRIMARY KEY (license_id, about)
    ) WITHOUT ROWID
    """,
    # `secret` is sealed where there is something to seal it with. `waiting` counts its rows of
    # `outbox`; `problem` is why the latest attempt at `failed_at` failed, NULL once one did not.
    """
    CREATE TABLE webhooks (
        id TEXT PRIMARY KEY,
        url TEXT NOT NULL UNIQUE,
        events TEXT NOT NULL,
        secret BLOB NOT NULL,
        created_at REAL NOT NULL,
        waiting INTEGER NOT NULL DEFAULT 0,
        problem TEXT,
        failed_at REAL
    ) WITHOUT ROWID
    """,
    # In order per lane, which is a license or the issuer.
    """
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        webhook TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
        lane TEXT NOT NULL,
        message_id TEXT NOT NULL,
        body BLOB NOT NULL,
        created_at REAL NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        due_at REAL NOT NULL
    )
    """,
    "CREATE INDEX outbox_lanes ON outbox (webhook, lane, id)",
    """
    CREATE TRIGGER outbox_grew AFTER INSERT ON outbox
        BEGIN UPDATE webhooks SET waiting = waiting + 1 WHERE id = NEW.webhook; END
    """,
    """
    CREATE TRIGGER outbox_shrank AFTER DELETE ON outbox
        BEGIN UPDATE webhooks SET waiting = waiting - 1 WHERE id = OLD.webhook; END
    """,
    """
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL
    )
    """,
    (
        "CREATE TRIGGER audit_kept BEFORE DELETE ON audit"
        " BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END"
    ),
    (
        "CREATE TRIGGER audit_as_written BEFORE UPDATE ON audit"
        " BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END"
    ),
)

#: Statements of each version; what has been released is never changed, only added to.
MIGRATIONS: Sequence[Sequence[str]] = (_FIRST,)


class ForeignFileError(sqlite3.DatabaseError):
    """The file holds something else, or what a later version made of it."""


def prepare(
    connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS
) -> None:
    """Bring the file of `connection` up to date, whole or not at all.

    Raises:
        ForeignFileError: it is not ours to change; says why.
        sqlite3.Error: it cannot be written.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _pragma(connection, "application_id") != APPLICATION:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise ForeignFileError("a database of something else")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
        version = _pragma(connection, "user_version")
        if version > len(migrations):
            raise ForeignFileError("of a later version of Licet")
        for migration in migrations[version:]:
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
