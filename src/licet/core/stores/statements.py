"""What the SQLite store decides, each inside a transaction that its caller has begun.

Whatever adds a row clears a few ended ones of its table away: more than it adds, so that the
file grows only with what has not ended. Only by a wall clock that has gone on evenly for a while:
one that leaps forward and is set right again finds all that it had when it left.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from math import inf

from licet.core.stores.interface import PAGE, Count, News, charge, next_generation

SWEEP = 2
#: Seconds for which a wall clock goes on evenly before it is believed that things have ended, and
#: by which it may differ from monotonic time meanwhile.
EVENLY, SLACK = 3600.0, 60.0
TABLES = (
    """CREATE TABLE IF NOT EXISTS counts (
        key TEXT PRIMARY KEY, count INTEGER NOT NULL, ends REAL NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS seats (
        key TEXT, member TEXT, ends REAL NOT NULL, PRIMARY KEY (key, member)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS kept (
        key TEXT PRIMARY KEY, value BLOB NOT NULL, ends REAL NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS announcements (
        generation INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL,
        ends REAL NOT NULL)""",
    # The latest generation, which outlives its announcement.
    "CREATE TABLE IF NOT EXISTS generations (only INTEGER PRIMARY KEY CHECK (only = 1), number)",
    # By how much the wall clock is ahead of the machine's monotonic time, and since when.
    """CREATE TABLE IF NOT EXISTS clock (
        only INTEGER PRIMARY KEY CHECK (only = 1), ahead REAL NOT NULL, since REAL NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS counts_by_end ON counts (ends)",
    "CREATE INDEX IF NOT EXISTS seats_by_end ON seats (ends)",
    "CREATE INDEX IF NOT EXISTS seats_in_order ON seats (key, ends, member)",
    "CREATE INDEX IF NOT EXISTS kept_by_end ON kept (ends)",
    "CREATE INDEX IF NOT EXISTS announcements_by_end ON announcements (ends)",
)

#: What tells the rows of a table from one another.
_PRIMARY: Mapping[str, str] = {
    "counts": "key",
    "seats": "key, member",
    "kept": "key",
    "announcements": "generation",
}

Connection = sqlite3.Connection


def sweep(db: Connection, now: float, *, table: str) -> None:
    """Clear a few rows of a table away that have surely ended.

    Args:
        db: in a transaction; its function `ticks()` tells monotonic time.
        now: what the wall clock says.
        table: which.
    """
    (ticks,) = db.execute("SELECT ticks()").fetchone()
    ahead, since = db.execute("SELECT ahead, since FROM clock").fetchone() or (inf, inf)
    if not abs(now - ticks - ahead) < SLACK:
        # It was set, or the machine was started anew.
        db.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?)", (now - ticks, ticks))
    elif ticks - since >= EVENLY:
        primary = _PRIMARY[table]
        db.execute(
            f"DELETE FROM {table} WHERE ({primary}) IN"  # noqa: S608 - names of our own
            f" (SELECT {primary} FROM {table} WHERE ends <= ? LIMIT ?)",
            (now - SLACK, SWEEP),
        )


def increment(
    db: Connection, now: float, *, key: str, amount: int, limit: int, window: float
) -> Count:
    """See `Store.increment`."""
    found = db.execute(
        "SELECT count, ends FROM counts WHERE key = ? AND ends > ?", (key, now)
    ).fetchone()
    count, ends = found or (0, now + window)
    allowed, after = charge(count, amount, limit)
    if after != count and found:
        db.execute("UPDATE counts SET count = ? WHERE key = ?", (after, key))
    elif after != count:
        sweep(db, now, table="counts")
        db.execute("INSERT OR REPLACE INTO counts VALUES (?, ?, ?)", (key, after, ends))
    return Count(allowed, after, ends - now)


def admit(db: Connection, now: float, *, key: str, member: str, limit: int, window: float) -> Count:
    """See `Store.admit`."""
    seats, last = "FROM seats WHERE key = ? AND ends > ?", now + window
    db.execute("UPDATE seats SET ends = ? WHERE key = ? AND ends > ?", (last, key, last))
    count: int = db.execute(f"SELECT count(*) {seats}", (key, now)).fetchone()[0]
    held = db.execute(f"SELECT ends {seats} AND member = ?", (key, now, member)).fetchone()
    before = count
    if held is None:
        sweep(db, now, table="seats")
    else:
        later = db.execute(
            f"SELECT count(*) {seats} AND (ends, member) > (?, ?)", (key, now, *held, member)
        )
        before = later.fetchone()[0]
    allowed = before < limit
    if allowed:
        db.execute("INSERT OR REPLACE INTO seats VALUES (?, ?, ?)", (key, member, last))
        count += held is None
    free = db.execute(
        f"SELECT ends {seats} ORDER BY ends, member LIMIT 1 OFFSET ?",
        (key, now, max(count - limit, 0)),
    )
    (free_at,) = free.fetchone() or (last,)
    return Count(allowed, count, free_at - now)


def set_if_absent(db: Connection, now: float, *, key: str, ttl: float) -> bool:
    """See `Store.set_if_absent`."""
    if db.execute("SELECT 1 FROM kept WHERE key = ? AND ends > ?", (key, now)).fetchone():
        return False
    put(db, now, key=key, value=b"", ttl=ttl)
    return True


def put(db: Connection, now: float, *, key: str, value: bytes, ttl: float) -> None:
    """See `Store.put`."""
    sweep(db, now, table="kept")
    db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (key, value, now + ttl))


def get(db: Connection, now: float, *, key: str) -> bytes | None:
    """See `Store.get`."""
    found = db.execute(
        "SELECT value, 1 AS place FROM announcements WHERE key = ?1 AND ends > ?2 UNION ALL"
        " SELECT value, 2 FROM kept WHERE key = ?1 AND ends > ?2 ORDER BY place",
        (key, now),
    )
    value, _ = found.fetchone() or (None, 0)
    return value


def delete(db: Connection, now: float, *, key: str) -> None:
    """See `Store.delete`."""
    db.execute("DELETE FROM kept WHERE key = ?", (key,))


def generation(db: Connection, now: float) -> int:
    """See `Store.generation`."""
    (number,) = db.execute("SELECT number FROM generations").fetchone() or (0,)
    return int(number)


def announce(db: Connection, now: float, *, key: str, value: bytes, ttl: float) -> int:
    """See `Store.announce`: numbered within a transaction, generations appear in their order."""
    sweep(db, now, table="announcements")
    number = next_generation(generation(db, now), now)
    db.execute(
        "INSERT OR REPLACE INTO announcements VALUES (?, ?, ?, ?)", (number, key, value, now + ttl)
    )
    db.execute("INSERT OR REPLACE INTO generations VALUES (1, ?)", (number,))
    return number


def announced(db: Connection, now: float, *, after: int) -> News:
    """See `Store.announced`."""
    # Read first: with what is announced between the two statements it would skip something.
    latest = generation(db, now)
    if after == latest:
        return News(latest, ())
    found = db.execute(
        "SELECT generation, value FROM announcements WHERE generation > ? AND ends > ?"
        " ORDER BY generation LIMIT ?",
        (after if after < latest else 0, now, PAGE),
    ).fetchall()
    return News(found[-1][0] if found else latest, tuple(value for _, value in found))
