"""Token Status Lists: what became of many licenses, signed once for all who ask.

A place is drawn at random, so that it tells nothing about its license, and a list is half full at
most, so that drawing is quick and nobody sees how many licenses there are. The lists' numbers are
drawn too: a server that has lost its database signs nothing in the name of lists that it has
forgotten. What a list says is read from the database, whose word on its version is the last.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from anyio import Lock, to_thread

from licet.core.clock import Clock
from licet.server.licenses.changes import Changes
from licet.server.licenses.judgement import ACTIVE, REVOKED, SUSPENDED
from licet.server.signing.keys import SigningKeys
from licet.server.storage.database import Database

#: Licenses that a list has room for.
SIZE = 2**20
#: Places that are given away before there is another list.
HALF = SIZE // 2
#: Seconds for which a list may serve where no newer one can be had.
LIFETIME = 7 * 86_400
#: What a list says of each state (draft-ietf-oauth-status-list, section 7.1).
STATUSES = {ACTIVE: 0, REVOKED: 1, SUSPENDED: 2}
#: Lists are numbered from 0 to this.
HIGHEST = 10**9


class Place(NamedTuple):
    """Where the status of a license stands."""

    number: int
    uri: str
    idx: int

    @property
    def claim(self) -> dict[str, object]:
        """The `status` claim of the license."""
        return {"status_list": {"idx": self.idx, "uri": self.uri}}


class _Of(NamedTuple):
    """What a signed list is made of: a version, and a key."""

    version: int
    kid: str


class _Signed(NamedTuple):
    text: bytes
    of: _Of
    at: float


class StatusLists:
    """The lists of this server.

    Args:
        database: where they are.
        keys: what signs them.
        ttl: seconds for which a copy of one is fresh.
        changes: knows what is not on disk yet.
        clock: by which they age.
    """

    def __init__(
        self, database: Database, keys: SigningKeys, ttl: int, changes: Changes, clock: Clock
    ) -> None:
        self.ttl, self._changes = ttl, changes
        self._database, self._keys, self._clock = database, keys, clock
        self._signed: dict[int, _Signed] = {}
        self._signing = Lock()

    async def draw(self, base: str, count: int) -> list[Place]:
        """Return places that are free as yet; whoever takes one up first has it.

        Args:
            base: where this server is for applications. A list keeps its address for ever, so
                that there is another list where this is another address.
            count: how many.

        Raises:
            StorageError: another list was needed, and could not be written.
        """
        found = self._database.read(lambda connection: _open(connection, base))
        if found is None:
            opened_at = self._clock.wall()
            found = await self._database.write(
                lambda connection: _open(connection, base) or _begin(connection, base, opened_at)
            )
        number, uri = found
        drawn = self._database.read(lambda connection: _drawn(connection, number, count))
        return [Place(number, uri, idx) for idx in drawn]

    async def text(self, number: int) -> bytes | None:
        """Return a list as it is now, signed; None where there is no such list."""
        found = self._current(number)
        if found is None or isinstance(found, bytes):
            return found
        # One at a time: who waited finds what the other has signed.
        async with self._signing:
            found = self._current(number)
            if found is None or isinstance(found, bytes):
                return found
            uri, of = found
            # It takes a while where many are withdrawn.
            text = await to_thread.run_sync(self._sign, number, uri, self._changes.as_of())
            self._signed[number] = _Signed(text, of, self._clock.monotonic())
            return text

    def _current(self, number: int) -> bytes | tuple[str, _Of] | None:
        """Return a list that is signed as it is, else its address and what it is to be made of."""
        row = self._database.read(
            lambda connection: connection.execute(
                "SELECT uri, version FROM status_lists WHERE number = ?", (number,)
            ).fetchone()
        )
        if row is None:
            return None
        signed, of = self._signed.get(number), _Of(row[1], self._keys.issuer.kid)
        # Young enough to be fresh for a while wherever it is read.
        if signed is None or signed.of != of:
            return row[0], of
        fresh = self._clock.monotonic() < signed.at + self.ttl / 2
        return signed.text if fresh else (row[0], of)

    def _sign(self, number: int, uri: str, as_of: float) -> bytes:
        # Read after its version: what changes in between is signed now, and again afterwards.
        statuses = self._database.read(lambda connection: _withdrawn(connection, number))
        text = self._keys.issuer.status_list(
            uri, statuses, size=SIZE, ttl=self.ttl, expires_in=LIFETIME, issued_at=as_of
        )
        return text.encode()


def take(connection: sqlite3.Connection, number: int) -> None:
    """Count a place of a list that a license has taken, within the change that issues it."""
    connection.execute("UPDATE status_lists SET taken = taken + 1 WHERE number = ?", (number,))


def touch(connection: sqlite3.Connection, number: int | None) -> None:
    """Have a list read anew, within the change of a license that may be on one."""
    connection.execute("UPDATE status_lists SET version = version + 1 WHERE number = ?", (number,))


def _open(connection: sqlite3.Connection, base: str) -> tuple[int, str] | None:
    """Return number and address of a list that has room and is found at `base`."""
    row: tuple[int, str] | None = connection.execute(
        "SELECT number, uri FROM status_lists WHERE uri = ? || '/status/' || number AND taken < ?"
        " ORDER BY opened_at DESC LIMIT 1",
        (base, HALF),
    ).fetchone()
    return row


def _begin(connection: sqlite3.Connection, base: str, opened_at: float) -> tuple[int, str]:
    number = secrets.randbelow(HIGHEST)
    uri = f"{base}/status/{number}"
    connection.execute(
        "INSERT INTO status_lists (number, uri, opened_at) VALUES (?, ?, ?)",
        (number, uri, opened_at),
    )
    return number, uri


def _drawn(connection: sqlite3.Connection, number: int, count: int) -> set[int]:
    drawn = set[int]()
    while len(drawn) < count:
        index = secrets.randbelow(SIZE)
        if (
            index not in drawn
            and not connection.execute(
                "SELECT 1 FROM licenses WHERE list = ? AND place = ?", (number, index)
            ).fetchone()
        ):
            drawn.add(index)
    return drawn


def _withdrawn(connection: sqlite3.Connection, number: int) -> dict[int, int]:
    rows: Iterator[tuple[int, str]] = connection.execute(
        "SELECT place, state FROM licenses WHERE list = ? AND state <> 'active'", (number,)
    )
    return {index: STATUSES[state] for index, state in rows}
