"""The spool of one machine: tables in the file of the SQLite store.

What waits there outlives the process, and whichever process is next sends it.
"""

from __future__ import annotations

import sqlite3

from licet.core.stores.sqlite import SQLiteStore
from licet.core.usage.metering.spool import MOST_COUNTERS, MOST_WAITING, Report, reported
from licet.core.usage.metering.sums import MOST, Place, Sum, Sums

#: Seconds for which a report is left to the process that has begun to send it.
LEASE = 30.0

_TABLES = (
    """CREATE TABLE IF NOT EXISTS metered (
        issuer TEXT, license_id TEXT, name TEXT, hour INTEGER, began REAL NOT NULL,
        ended REAL NOT NULL, amount INTEGER NOT NULL,
        PRIMARY KEY (issuer, license_id, name, hour)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS reports (
        id TEXT PRIMARY KEY, issuer TEXT NOT NULL, license_id TEXT NOT NULL, body BLOB NOT NULL,
        until REAL NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS reports_by_license ON reports (issuer, license_id)",
)
_ADD = """UPDATE metered SET began = min(began, :began), ended = max(ended, :ended),
    amount = min(amount + :amount, :most)
    WHERE issuer = :issuer AND license_id = :license_id AND name = :name AND hour = :hour"""
_INSERT = """INSERT INTO metered VALUES
    (:issuer, :license_id, :name, :hour, :began, :ended, :amount)"""


class SQLiteSpool:
    """A spool that all processes of a machine share.

    Args:
        store: whose file.
        room: how many sums are kept.
    """

    def __init__(self, store: SQLiteStore, room: int) -> None:
        self._store = store
        self._room = room

    def add(self, sums: Sums) -> int:
        """See `Spool.add`."""

        def work(db: sqlite3.Connection, now: float) -> int:
            _prepare(db)
            dropped = 0
            free = self._room - db.execute("SELECT count(*) FROM metered").fetchone()[0]
            for place, used in sums.items():
                values = {**place._asdict(), **used._asdict(), "most": MOST}
                if db.execute(_ADD, values).rowcount:
                    continue
                if free > 0:
                    free -= 1
                    db.execute(_INSERT, values)
                else:
                    dropped += used.amount
            return dropped

        return self._store.transaction(work).run()

    def next(self) -> Report | None:
        """See `Spool.next`."""

        def work(db: sqlite3.Connection, now: float) -> Report | None:
            _prepare(db)
            waiting = db.execute("SELECT count(*) FROM reports").fetchone()[0]
            report = _made(db) if waiting < MOST_WAITING else None
            if report is not None:
                db.execute("INSERT INTO reports VALUES (?, ?, ?, ?, ?)", (*report, now + LEASE))
                return report
            # What is left to somebody beyond any lease was left by another clock.
            found = db.execute(
                "SELECT id, issuer, license_id, body FROM reports WHERE until <= ? OR until > ?"
                " ORDER BY until LIMIT 1",
                (now, now + LEASE),
            ).fetchone()
            if found is not None:
                db.execute("UPDATE reports SET until = ? WHERE id = ?", (now + LEASE, found[0]))
                return Report(*found)
            return None

        return self._store.transaction(work).run()

    def done(self, report: Report) -> None:
        """See `Spool.done`."""

        def work(db: sqlite3.Connection, now: float) -> None:
            db.execute("DELETE FROM reports WHERE id = ?", (report.report_id,))

        self._store.transaction(work).run()

    def later(self, report: Report) -> None:
        """See `Spool.later`."""

        def work(db: sqlite3.Connection, now: float) -> None:
            # Behind all that wait already.
            db.execute("UPDATE reports SET until = ? WHERE id = ?", (now, report.report_id))

        self._store.transaction(work).run()

    def mortal(self) -> int:
        """See `Spool.mortal`: it is in a file."""
        return 0


def _made(db: sqlite3.Connection) -> Report | None:
    """Make a report of a license of which none waits, and keep its sums no more."""
    whose = db.execute(
        "SELECT issuer, license_id FROM metered WHERE (issuer, license_id) NOT IN"
        " (SELECT issuer, license_id FROM reports) LIMIT 1"
    ).fetchone()
    if whose is None:
        return None
    of_it = "FROM metered WHERE issuer = ? AND license_id = ?"
    rows = db.execute(f"SELECT * {of_it} LIMIT ?", (*whose, MOST_COUNTERS)).fetchall()
    db.executemany(f"DELETE {of_it} AND name = ? AND hour = ?", [row[:4] for row in rows])
    return reported([(Place(*row[:4]), Sum(*row[4:])) for row in rows])


def _prepare(db: sqlite3.Connection) -> None:
    # Each time, because somebody may have put another file in the place of the one before.
    for statement in _TABLES:
        db.execute(statement)
