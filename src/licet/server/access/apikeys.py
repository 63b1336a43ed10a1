"""The keys that callers bring: made, told apart, revoked.

Decides who a caller is. A key is random and long, so that a plain digest of it is all that is kept;
it begins with its id, by which it is found and by which people name it. Whoever reads the database
has no key.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.errors import LicetError
from licet.server import audit
from licet.server.storage.database import Database

Kind: TypeAlias = Literal["admin", "validation"]

#: What the ids of each kind begin with, and how long an id is.
PREFIXES: dict[str, str] = {"admin": "lak_", "validation": "lvk_"}
_LENGTH = 4 + 16
#: Seconds after which it is noted again that a key is in use.
NOTED = 3600.0
#: Of no key: an unknown one takes as long as a wrong one.
_NOTHING = bytes(32)


class NoSuchKeyError(LicetError):
    """There is no API key of that id."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from.

    Args:
        id: of the API key.
        kind: what it opens.
        name: what people call it.
    """

    id: str
    kind: Kind
    name: str


class Made(NamedTuple):
    """A key that was made; what is not kept of it now is lost."""

    id: str
    key: str


@dataclass(slots=True)
class _Known:
    caller: Caller
    digest: bytes
    #: When it was last noted that it is in use.
    used_at: float


class ApiKeys:
    """All API keys of a server, known by heart: nobody else changes its database.

    Args:
        database: where they are kept.
        clock: the time that is written beside them.
    """

    def __init__(self, database: Database, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._database, self._clock = database, clock
        self._known: dict[str, _Known] = database.read(_read)

    def create(self, kind: Kind, name: str, *, actor: str = audit.SERVER) -> Made:
        """Make a key. It blocks until that is on disk.

        Args:
            kind: what it opens.
            name: what people call it; no secret.
            actor: who wants it, for the record.

        Raises:
            StorageError: it could not be written.
        """
        key_id = PREFIXES[kind] + secrets.token_hex(8)
        key = f"{key_id}_{secrets.token_urlsafe(32)}"
        digest, now = _digest(key), self._clock.wall()

        def create(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO api_keys (id, kind, name, digest, created_at) VALUES (?, ?, ?, ?, ?)",
                (key_id, kind, name, digest, now),
            )
            audit.record(connection, now, actor, f"{kind}_key.created", key_id, name=name)

        known = _Known(Caller(key_id, kind, name), digest, 0.0)
        # In the order of the changes: one that is revoked at once must not be known afterwards.
        self._database.write_now(create, then=lambda _: self._known.setdefault(key_id, known))
        return Made(key_id, key)

    def revoke(self, key_id: str, *, kind: Kind | None = None, actor: str = audit.SERVER) -> None:
        """Refuse a key from now on; one that is revoked stays so. It blocks until that is on disk.

        Args:
            key_id: its id.
            kind: the kind that it must be of.
            actor: who wants it, for the record.

        Raises:
            NoSuchKeyError: there is no such key of that kind.
            StorageError: it could not be written; the key is refused until the next start.
        """
        now = self._clock.wall()

        def revoke(connection: sqlite3.Connection) -> None:
            found = connection.execute(
                "SELECT kind, revoked_at FROM api_keys WHERE id = ?", (key_id,)
            ).fetchone()
            if found is None or kind not in (None, found[0]):
                raise NoSuchKeyError(f"there is no API key {key_id!r}")
            if found[1] is None:
                connection.execute("UPDATE api_keys SET revoked_at = ? WHERE id = ?", (now, key_id))
                audit.record(connection, now, actor, f"{found[0]}_key.revoked", key_id)

        known = self._known.get(key_id)
        if known is not None and kind in (None, known.caller.kind):
            # First: whatever the disk does, nobody wants this key to open anything.
            self._known.pop(key_id, None)
        self._database.write_now(revoke, then=lambda _: self._known.pop(key_id, None))

    def find(self, key: str) -> Caller | None:
        """Return whose key this is, None if it is nobody's, or revoked."""
        known = self._known.get(key[:_LENGTH])
        expected = _NOTHING if known is None else known.digest
        if not hmac.compare_digest(_digest(key), expected) or known is None:
            return None
        self._note(known)
        return known.caller

    def listing(self, kind: Kind) -> list[dict[str, object]]:
        """Return what may be told of the keys of one kind, oldest first."""
        rows = self._database.read(
            lambda connection: connection.execute(
                "SELECT id, name, created_at, used_at, revoked_at FROM api_keys WHERE kind = ?"
                " ORDER BY created_at, id",
                (kind,),
            ).fetchall()
        )
        return [
            dict(zip(("id", "name", "created_at", "used_at", "revoked_at"), row, strict=True))
            for row in rows
        ]

    def _note(self, known: _Known) -> None:
        """Write down, once in a while and behind the request, that a key is in use."""
        now, key_id = self._clock.wall(), known.caller.id
        # A clock that was set back must not silence it for long.
        if 0 <= now - known.used_at < NOTED:
            return
        # Before it is written, and whatever comes of that: the next request must not try again.
        known.used_at = now

        def note(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE api_keys SET used_at = ? WHERE id = ?", (now, key_id))
            if known.caller.kind == "validation":
                audit.record(connection, now, key_id, "validation_key.used", key_id)

        self._database.write_later(note)


def _read(connection: sqlite3.Connection) -> dict[str, _Known]:
    rows = connection.execute(
        "SELECT id, kind, name, digest, used_at FROM api_keys WHERE revoked_at IS NULL"
    )
    return {
        key_id: _Known(Caller(key_id, kind, name), digest, used_at or 0.0)
        for key_id, kind, name, digest, used_at in rows
    }


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
