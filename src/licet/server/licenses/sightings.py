"""When licenses were last found to hold: in memory first, so that no question waits for the disk.

Written every few seconds, behind the question that finds that due, and when the server is closed.
What is lost when it is killed are the last of these moments, and nothing that was promised.
"""

from __future__ import annotations

import sqlite3

from licet.core.clock import Clock
from licet.server.storage.database import Database

#: Seconds between two writes.
EVERY = 5.0


class Sightings:
    """The moments of all licenses that were asked about lately. For one thread.

    Args:
        database: where they are written.
        clock: monotonic time, by which they are due.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._seen: dict[str, float] = {}
        self._due = clock.monotonic() + EVERY

    def note(self, license_id: str, at: float) -> None:
        """Remember that a license was found to hold at `at`, seconds since the epoch."""
        self._seen[license_id] = at
        if self._clock.monotonic() >= self._due:
            self.flush()

    def last(self, license_id: str, written: float | None) -> float | None:
        """Return when a license was last found to hold, where `written` is in the database."""
        return self._seen.get(license_id, written)

    def flush(self) -> None:
        """Have written what is in memory; waits for nothing."""
        self._due = self._clock.monotonic() + EVERY
        if not self._seen:
            return
        seen, self._seen = self._seen, {}

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT INTO sightings (license_id, at) VALUES (?, ?)"
                " ON CONFLICT (license_id) DO UPDATE SET at = excluded.at",
                sorted(seen.items()),
            )

        self._database.write_later(write)
