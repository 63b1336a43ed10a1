"""The licenses in the database: taken up, found, withdrawn, renewed; each with its trace.

Decides what may become of a license: a revoked one stays revoked, and one that was withdrawn is not
renewed. A change, the line about it in the audit, what is told of it and what the status list says
are one transaction. It trusts what it is given to have been signed here, or verified. Of an opaque
key it keeps the digest.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anyio import CancelScope

from licet.core.errors import LicetError
from licet.server import audit, notices
from licet.server.licenses import statuslists
from licet.server.licenses.changes import Changes
from licet.server.licenses.judgement import ACTIVE, REVOKED, SUSPENDED, License, end
from licet.server.licenses.statuslists import Place
from licet.server.storage.database import Database
from licet.server.webhooks import outbox

#: What the record and the receivers are told when a license becomes one of these.
EVENTS = {ACTIVE: "license.resumed", REVOKED: "license.revoked", SUSPENDED: "license.suspended"}
#: Seconds for which a renewal is not recorded again: the record is kept for good, and who has a
#: license renews it as often as they like.
REFRESHED, RECORDED = "license.refreshed", 60.0
_FIND = "SELECT id, state, claims, term_ends_at FROM licenses WHERE "


class IdTakenError(LicetError):
    """There is a license of that id; its id is the message."""


class OutdatedError(LicetError):
    """Its place on a status list was taken meanwhile, or its key retired: sign it anew."""


class NoSuchLicenseError(LicetError):
    """There is no license of that id."""


class RevokedError(LicetError):
    """A revoked license stays revoked."""


class WithdrawnError(LicetError):
    """The license was suspended or revoked; the message is the word."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A license that was signed, and is not in the register yet.

    Args:
        token: its token; not kept.
        claims: what that says.
        kid: the key that signed it.
        key: its opaque key, None for none; of it the digest is kept.
        place: on a status list; None for none.
        term_ends_at: the moment beyond which it does not renew itself; None for never.
    """

    token: str = field(repr=False)
    claims: Mapping[str, Any]
    kid: str
    key: str | None = field(default=None, repr=False)
    place: Place | None = None
    term_ends_at: float | None = None


class Register:
    """The licenses of a server.

    Args:
        database: where they are.
        changes: knows what is not on disk yet.
    """

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database, self._changes = database, changes

    def license(self, license_id: str) -> License | None:
        """Return the license of an id."""
        return self._find(_FIND + "id = ?", license_id)

    def license_of_key(self, key: str) -> License | None:
        """Return the license of an opaque key."""
        return self._find(_FIND + "key_digest = ?", _digest(key))

    async def add(self, issued: Sequence[Issued], actor: str, now: float) -> None:
        """Take up licenses, all of them or none.

        Args:
            issued: which.
            actor: who has issued them.
            now: seconds since the epoch.

        Raises:
            IdTakenError: there is one with this id.
            OutdatedError: draw other places, sign and try again.
            StorageError: they are not on disk.
        """

        def add(connection: sqlite3.Connection) -> None:
            for one in issued:
                _insert(connection, one, actor, now)

        await self._database.write(add)

    async def change(
        self, license_id: str, state: str, reason: str, *, actor: str, issuer: str
    ) -> None:
        """Give a license a state; where it is in that state, nothing happens.

        Args:
            license_id: which.
            state: `active`, `suspended` or `revoked`.
            reason: for people.
            actor: who wants it.
            issuer: the name of the issuer, for whoever is told.

        Raises:
            NoSuchLicenseError: there is none.
            RevokedError: it is revoked, and would not be.
            StorageError: it is not on disk.
        """

        def change(connection: sqlite3.Connection, at: float) -> None:
            row = connection.execute(
                "SELECT state, list FROM licenses WHERE id = ?", (license_id,)
            ).fetchone()
            if row is None:
                raise NoSuchLicenseError("no such license")
            if row[0] == state:
                return
            if row[0] == REVOKED:
                raise RevokedError("revoked")
            connection.execute(
                "UPDATE licenses SET state = ?, reason = ?, changed_at = ? WHERE id = ?",
                (state, reason, at, license_id),
            )
            statuslists.touch(connection, row[1])
            event = EVENTS[state]
            audit.record(connection, at, actor, event, license_id, reason=reason)
            outbox.tell(connection, at, event, license_id, issuer, reason=reason)

        with self._changes.begin(license_id) as at, CancelScope(shield=True):
            await self._database.write(lambda connection: change(connection, at))

    async def renew(self, renewed: Issued, now: float) -> None:
        """Have a license be as its new token says.

        Args:
            renewed: the same license, signed anew.
            now: seconds since the epoch.

        Raises:
            WithdrawnError: it was withdrawn meanwhile.
            OutdatedError: sign and try again.
            StorageError: it is not on disk.
        """
        claims, license_id = renewed.claims, renewed.claims["sub"]
        moments = {"expires_at": claims["exp"], "ends_at": end(claims)}

        def renew(connection: sqlite3.Connection) -> None:
            (state,) = connection.execute(
                "SELECT state FROM licenses WHERE id = ?", (license_id,)
            ).fetchone()
            if state != ACTIVE:
                raise WithdrawnError(state)
            _check_key(connection, renewed.kid)
            # What was told of its end is told again before the next.
            connection.execute(
                "UPDATE licenses SET claims = ?, kid = ?, expires_at = ?, ends_at = ?,"
                " changed_at = ?, told = NULL WHERE id = ?",
                (_json(claims), renewed.kid, *moments.values(), now, license_id),
            )
            if notices.once(connection, now, license_id, REFRESHED, now + RECORDED):
                audit.record(connection, now, audit.HOLDER, REFRESHED, license_id, **moments)

        await self._database.write(renew)

    def _find(self, query: str, value: object) -> License | None:
        row = self._database.read(lambda connection: connection.execute(query, (value,)).fetchone())
        return None if row is None else License(row[0], row[1], json.loads(row[2]), row[3])


def _insert(connection: sqlite3.Connection, one: Issued, actor: str, now: float) -> None:
    claims = one.claims
    license_id = claims["sub"]
    if connection.execute("SELECT 1 FROM licenses WHERE id = ?", (license_id,)).fetchone():
        raise IdTakenError(license_id)
    _check_key(connection, one.kid)
    number, idx = (None, None) if one.place is None else (one.place.number, one.place.idx)
    try:
        connection.execute(
            "INSERT INTO licenses (id, customer, plan, claims, kid, key_digest, list, place,"
            " created_at, changed_at, expires_at, ends_at, term_ends_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                license_id,
                claims.get("customer"),
                claims.get("plan"),
                _json(claims),
                one.kid,
                None if one.key is None else _digest(one.key),
                number,
                idx,
                now,
                now,
                claims["exp"],
                end(claims),
                one.term_ends_at,
            ),
        )
    except sqlite3.IntegrityError:
        raise OutdatedError("place_taken") from None
    if number is not None:
        statuslists.take(connection, number)
    detail = {name: claims[name] for name in ("customer", "plan") if name in claims}
    audit.record(
        connection, now, actor, "license.issued", license_id, **detail, expires_at=claims["exp"]
    )


def _check_key(connection: sqlite3.Connection, kid: str) -> None:
    """Let nothing in that no gate would accept by the time it is acknowledged."""
    if not connection.execute(
        "SELECT 1 FROM signing_keys WHERE kid = ? AND retired_at IS NULL", (kid,)
    ).fetchone():
        raise OutdatedError("key_retired")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _json(claims: Mapping[str, Any]) -> str:
    return json.dumps(claims, ensure_ascii=False, separators=(",", ":"))
