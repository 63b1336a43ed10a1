"""What the server notices by itself: licenses that end soon, and strange questions about them.

Told to the receivers that asked for it, each thing once: of an end at 30, 15, 7, 2 and 1 days, of
suspicion once an hour for each license and kind. Nobody who asks a question waits for any of it,
and what strangers say is cut. Memory per license is constant, and the number of licenses bounded.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import anyio
from anyio.lowlevel import checkpoint

from licet.core.clock import Clock
from licet.server.moments import rfc3339
from licet.server.storage.database import Database, StorageError
from licet.server.webhooks import outbox

logger = logging.getLogger("licet")

#: Days before the end of a license at which it is told of.
DAYS = (30, 15, 7, 2, 1)
#: Seconds between two looks at what ends, and licenses looked at in one go.
EVERY, AT_ONCE = 60.0, 200
#: Questions about one license in a minute beyond which it is asked about strangely often.
BURST = 600
#: Seconds for which a suspicion is not told again.
QUIET = 3600.0
#: Licenses that are watched, and suspicions that are remembered.
MOST_WATCHED, MOST_SUSPICIONS = 20_000, 10_000
#: Characters of a word of a stranger's; a host name has no more.
LONGEST = 253

_DAY = 86_400
_MINUTE = 60.0

# Most licenses are active: by its own statistics, or without any, SQLite might read them all.
_ENDINGS = """
    SELECT expires_at, id, told FROM licenses INDEXED BY licenses_by_end
    WHERE state = 'active' AND (expires_at, id) > (?, ?) AND expires_at <= ?
    ORDER BY expires_at, id LIMIT ?
"""


class _Ending(NamedTuple):
    """A license whose end is to be told of."""

    id: str
    ends_at: float
    days: int


class Notices:
    """Sees what is to be told. For the tasks of one event loop.

    Args:
        database: of the server.
        clock: both clocks.
        issuer: the name of the issuer.
    """

    def __init__(self, database: Database, clock: Clock, issuer: str) -> None:
        self._database, self._clock, self._issuer = database, clock, issuer
        self._asked: dict[str, int] = {}
        self._minute_ends = 0.0
        # What was noted of late, and until when nothing more is written of it.
        self._noted: dict[tuple[str, str], float] = {}

    def asked(self, license_id: str) -> None:
        """Note a question about a license."""
        now = self._clock.monotonic()
        if now >= self._minute_ends:
            self._asked.clear()
            self._minute_ends = now + _MINUTE
        times = self._asked.get(license_id, 0) + 1
        if times > 1 or len(self._asked) < MOST_WATCHED:
            self._asked[license_id] = times
        if times == BURST + 1:
            self.suspicious(license_id, "burst", questions=times, seconds=int(_MINUTE))

    def suspicious(self, license_id: str, kind: str, **data: object) -> None:
        """Have a suspicion told, unless it was within the hour. Returns at once.

        Args:
            license_id: which license.
            kind: `domain_mismatch` or `burst`.
            **data: what makes it one, for JSON; texts are cut.
        """
        now, noted = self._clock.monotonic(), (license_id, kind)
        if now < self._noted.get(noted, now):
            return
        # Taken out first: the oldest give way.
        self._noted.pop(noted, None)
        self._noted[noted] = now + QUIET
        if len(self._noted) > MOST_SUSPICIONS:
            del self._noted[next(iter(self._noted))]
        at = self._clock.wall()
        said = {"kind": kind, **{name: _cut(value) for name, value in data.items()}}
        self._database.write_later(
            lambda connection: _tell_suspicion(connection, at, license_id, self._issuer, said)
        )

    async def run(self) -> None:
        """Look at what ends soon, time and again, until cancelled. A task of the server's."""
        while True:
            try:
                await self.tell_endings()
            except StorageError as error:
                logger.error("notices not written down: %s", error)
            await anyio.sleep(EVERY)

    async def tell_endings(self) -> None:
        """Look at all licenses that end within 30 days, and tell of those that it is time for."""
        at = self._clock.wall()
        if not self._database.read(lambda reader: outbox.interested(reader, "license.expiring")):
            return
        place: tuple[float, str] | None = (at, "")
        while place is not None:
            place = await self._tell_some(at, place)
            # Others in between.
            await checkpoint()

    async def _tell_some(self, at: float, after: tuple[float, str]) -> tuple[float, str] | None:
        """Tell of the next licenses to end; return where to go on."""
        endings, place = self._database.read(lambda reader: _endings(reader, at, after))
        if endings:
            await self._database.write(
                lambda connection: _tell_endings(connection, at, self._issuer, endings)
            )
        return place


def tell_once(
    connection: sqlite3.Connection,
    at: float,
    event: str,
    license_id: str,
    issuer: str,
    about: str,
    until: float,
    **data: object,
) -> None:
    """Have an event told, unless it was and that is to last still.

    Args:
        connection: the writer's.
        at: when it happened, seconds since the epoch.
        event: as `outbox.tell` takes it.
        license_id: which license it is about.
        issuer: the name of the issuer.
        about: what of the license; other events about the same are held back.
        until: when it may be told again, seconds since the epoch.
        **data: what else is said of it, for JSON.

    Raises:
        LookupError: there is no such license.
    """
    # Not noted as told where nobody wants to hear of it yet.
    if outbox.interested(connection, event) and once(connection, at, license_id, about, until):
        outbox.tell(connection, at, event, license_id, issuer, **data)


def once(
    connection: sqlite3.Connection, at: float, license_id: str, about: str, until: float
) -> bool:
    """Return whether something about a license is news, and note that it is none until then.

    Args:
        connection: the writer's.
        at: now, seconds since the epoch.
        license_id: which license.
        about: what of it.
        until: when it will be news again, seconds since the epoch.
    """
    noted = connection.execute(
        "INSERT INTO notices (license_id, about, until) VALUES (?, ?, ?)"
        " ON CONFLICT (license_id, about) DO UPDATE SET until = excluded.until WHERE until <= ?",
        (license_id, about, until, at),
    )
    return noted.rowcount > 0


def forget(connection: sqlite3.Connection, now: float) -> None:
    """Forget what may be told again. The connection is the writer's."""
    connection.execute("DELETE FROM notices WHERE until <= ?", (now,))


def _tell_suspicion(
    connection: sqlite3.Connection, at: float, license_id: str, issuer: str, said: dict[str, object]
) -> None:
    about = f"license.suspicious_activity:{said['kind']}"
    event, until = "license.suspicious_activity", at + QUIET
    tell_once(connection, at, event, license_id, issuer, about, until, **said)


def _endings(
    connection: sqlite3.Connection, at: float, after: tuple[float, str]
) -> tuple[list[_Ending], tuple[float, str] | None]:
    """Return which of the next licenses to end are to be told of, and where to go on."""
    rows = connection.execute(_ENDINGS, (*after, at + DAYS[0] * _DAY, AT_ONCE)).fetchall()
    endings = []
    for expires_at, license_id, told in rows:
        # The last one only: who comes late is not told what was missed.
        days = min(days for days in DAYS if expires_at - at <= days * _DAY)
        if told is None or told > days:
            endings.append(_Ending(license_id, expires_at, days))
    return endings, (rows[-1][0], rows[-1][1]) if len(rows) == AT_ONCE else None


def _tell_endings(
    connection: sqlite3.Connection, at: float, issuer: str, endings: Sequence[_Ending]
) -> None:
    for license_id, expires_at, days in endings:
        noted = connection.execute(
            "UPDATE licenses SET told = ? WHERE id = ? AND state = 'active' AND expires_at = ?"
            " AND (told IS NULL OR told > ?)",
            (days, license_id, expires_at, days),
        )
        # One that was issued for a week was never a month from its end.
        if noted.rowcount and days * _DAY < _lifetime(connection, license_id):
            told = {"days": days, "expires_at": rfc3339(expires_at)}
            outbox.tell(connection, at, "license.expiring", license_id, issuer, **told)


def _lifetime(connection: sqlite3.Connection, license_id: str) -> float:
    """Return for how many seconds a license was issued, or refreshed, the last time."""
    claims = connection.execute(
        "SELECT claims FROM licenses WHERE id = ?", (license_id,)
    ).fetchone()[0]
    token = json.loads(claims)
    return float(token["exp"] - token["iat"])


def _cut(value: object) -> object:
    if isinstance(value, str):
        return value[:LONGEST]
    if isinstance(value, (list, tuple)):
        return [_cut(one) for one in value[:10]]
    return value
