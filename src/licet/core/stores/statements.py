"""What the SQLite store decides, each inside a transaction that its caller has begun.

Whatever adds a row clears a few ended ones of its table away: more than it adds, so that the
file grows only with what has not ended.
"""

from __future__ import annotations

import sqlite3

from licet.core.stores.interface import PAGE, Count, News, charge, next_generation

SWEEP = 2
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
    "CREATE INDEX IF NOT EXISTS counts_by_end ON counts (ends)",
    "CREATE INDEX IF NOT EXISTS seats_by_end ON seats (ends)",
    "CREATE INDEX IF NOT EXISTS seats_in_order ON seats (key, ends, member)",
    "CREATE INDEX IF NOT EXISTS kept_by_end ON kept (ends)",
    "CREATE INDEX IF NOT EXISTS announcements_by_end ON announcements (ends)",
)

Connection = sqlite3.Connection


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
        db.execute(
            "DELETE FROM counts WHERE key IN (SELECT key FROM counts WHERE ends <= ? LIMIT ?)",
            (now, SWEEP),
        )
        db.execute("INSERT OR REPLACE INTO counts VALUES (?, ?, ?)", (key, after, ends))
    return Count(allowed, after, ends - now)


def admit(db: Connection, now: float, *, key: str, member: str, limit: int, window: float) -> Count:
    """See `Store.admit`."""
    seats = "FROM seats WHERE key = ? AND ends > ?"
    count: int = db.execute(f"SELECT count(*) {seats}", (key, now)).fetchone()[0]
    held = db.execute(f"SELECT ends {seats} AND member = ?", (key, now, member)).fetchone()
    before = count
    if held is None:
        db.execute(
            "DELETE FROM seats WHERE (key, member) IN"
            " (SELECT key, member FROM seats WHERE ends <= ? LIMIT ?)",
            (now, SWEEP),
        )
    else:
        later = db.execute(
            f"SELECT count(*) {seats} AND (ends, member) > (?, ?)", (key, now, *held, member)
        )
        before = later.fetchone()[0]
    allowed = before < limit
    if allowed:
        db.execute("INSERT OR REPLACE INTO seats VALUES (?, ?, ?)", (key, member, now + window))
        count += held is None
    free = db.execute(
        f"SELECT ends {seats} ORDER BY ends, member LIMIT 1 OFFSET ?",
        (key, now, max(count - limit, 0)),
    )
    (free_at,) = free.fetchone() or (now + window,)
    return Count(allowed, count, free_at - now)


def set_if_absent(db: Connection, now: float, *, key: str, ttl: float) -> bool:
    """See `Store.set_if_absent`."""
    if db.execute("SELECT 1 FROM kept WHERE key = ? AND ends > ?", (key, now)).fetchone():
        return False
    put(db, now, key=key, value=b"", ttl=ttl)
    return True


def put(db: Connection, now: float, *, key: str, value: bytes, ttl: float) -> None:
    """See `Store.put`."""
    db.execute(
        "DELETE FROM kept WHERE key IN (SELECT key FROM kept WHERE ends <= ? LIMIT ?)",
        (now, SWEEP),
    )
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
    db.execute(
        "DELETE FROM announcements WHERE generation IN"
        " (SELECT generation FROM announcements WHERE ends <= ? LIMIT ?)",
        (now, SWEEP),
    )
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
