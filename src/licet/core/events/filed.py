"""The outbox of one machine: a table in the file of the SQLite store.

That an incident is told of and what is said of it are written down together. What waits there
outlives the process, and whichever process is next sends it, as the same message. Where the file
cannot be had, what happens is kept in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.events.event import KINDS, Event
from licet.core.events.incidents import Incidents
from licet.core.events.messages import Message
from licet.core.events.outbox import CAPACITY, LONGEST_PAUSE, MemoryOutbox
from licet.core.stores import StoreUnavailable, statements
from licet.core.stores.sqlite import SQLiteStore

#: Seconds for which a message is left to the process that sends it.
LEASE = 30.0
#: Seconds after which a message is of no use any more.
DAY = 86_400.0
#: Seconds that a clock may be set back without anything being told of twice.
AHEAD = 3600.0
#: Seconds until a file is tried again that could not be had.
RETRY = 5.0

_TABLE = """CREATE TABLE IF NOT EXISTS webhooks (
    id TEXT PRIMARY KEY, receiver TEXT NOT NULL, body BLOB NOT NULL, attempts INTEGER NOT NULL,
    due REAL NOT NULL, made REAL NOT NULL)"""
_WAITING = "SELECT count(*) FROM webhooks WHERE receiver = ?"
_NEXT = """SELECT id, body, attempts, due FROM webhooks WHERE receiver = ?
    ORDER BY due, made LIMIT 1"""
_FORGET = "DELETE FROM kept WHERE key = ? AND ends > ?"
_DONE = "DELETE FROM webhooks WHERE id = ?"
_LATER = "UPDATE webhooks SET attempts = ?, due = ? WHERE id = ?"


class FiledOutbox:
    """An outbox that all processes of a machine share.

    Args:
        store: whose file.
        incidents: which events are news, of the same store.
        receiver: whose messages these are, in a word that shows nothing of its address.
        clock: monotonic time, for what is kept in memory.
    """

    def __init__(
        self,
        store: SQLiteStore,
        incidents: Incidents,
        receiver: str,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._store, self._incidents, self._receiver = store, incidents, receiver
        self._here = MemoryOutbox(incidents, clock)

    def add(self, event: Event, message: Message) -> bool:
        """See `Outbox.add`."""
        place, window = self._incidents.place(event), KINDS[event.name].window

        def work(db: sqlite3.Connection, now: float) -> bool:
            _prepare(db, now)
            if db.execute(_WAITING, (self._receiver,)).fetchone()[0] >= CAPACITY:
                return False
            # Told of by a clock that was ahead: nobody would hear of it again until then.
            db.execute(_FORGET, (place, now + window + AHEAD))
            if statements.set_if_absent(db, now, key=place, ttl=window):
                row = (message.id, self._receiver, message.body, 0, now, now)
                db.execute("INSERT INTO webhooks VALUES (?, ?, ?, ?, ?, ?)", row)
            return True

        try:
            return self._store.transaction(work).run()
        except StoreUnavailable:
            return self._here.add(event, message)

    def next(self) -> Message | float | None:
        """See `Outbox.next`."""
        here = self._here.next()
        if isinstance(here, Message):
            return here
        try:
            filed = self._store.transaction(self._next).run()
        except StoreUnavailable:
            filed = RETRY
        if here is None or filed is None or isinstance(filed, Message):
            return here if filed is None else filed
        return min(here, filed)

    def _next(self, db: sqlite3.Connection, now: float) -> Message | float | None:
        _prepare(db, now)
        found = db.execute(_NEXT, (self._receiver,)).fetchone()
        if found is None:
            return None
        name, body, attempts, due = found
        # What is due later than anything was by a clock that was wrong.
        if now < due <= now + LONGEST_PAUSE:
            return float(due - now)
        db.execute("UPDATE webhooks SET due = ? WHERE id = ?", (now + LEASE, name))
        return Message(name, body, attempts, filed=True)

    def done(self, message: Message) -> None:
        """See `Outbox.done`."""
        if message.filed:
            self._change(lambda db, now: db.execute(_DONE, (message.id,)))

    def later(self, message: Message, seconds: float) -> None:
        """See `Outbox.later`."""
        if not message.filed:
            self._here.later(message, seconds)
            return
        self._change(
            lambda db, now: db.execute(_LATER, (message.attempts, now + seconds, message.id))
        )

    def _change(self, change: Callable[[sqlite3.Connection, float], object]) -> None:
        def work(db: sqlite3.Connection, now: float) -> None:
            _prepare(db, now)
            change(db, now)

        # Where it cannot be had the message is sent again after the lease, and known by its id.
        with suppress(StoreUnavailable):
            self._store.transaction(work).run()


def _prepare(db: sqlite3.Connection, now: float) -> None:
    # Each time, because somebody may have put another file in the place of the one before.
    db.execute(_TABLE)
    # Also of receivers that nobody tells any more, and of clocks that were wrong.
    db.execute("DELETE FROM webhooks WHERE made <= ? OR made > ?", (now - DAY, now + DAY))
