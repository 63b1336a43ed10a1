"""The licenses as their vendor sees them: one, or page by page; moments as RFC 3339 has them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from licet.server import usage
from licet.server.licenses.sightings import Sightings
from licet.server.moments import dated, rfc3339
from licet.server.storage.database import Database

_MEMBERS = (
    "id customer plan state reason key created_at changed_at expires_at ends_at term_ends_at"
    " validated_at"
).split()
_SHOWN = (
    "SELECT id, customer, plan, state, reason, key_digest IS NOT NULL, created_at, changed_at,"
    " expires_at, ends_at, term_ends_at, (SELECT at FROM sightings WHERE license_id = id), claims"
    " FROM licenses WHERE "
)


class Catalogue:
    """What there is to be seen of licenses; never a token or a key.

    Args:
        database: where they are.
        sightings: knows of late when they were found to hold.
    """

    def __init__(self, database: Database, sightings: Sightings) -> None:
        self._database, self._sightings = database, sightings

    def one(self, license_id: str, now: float) -> dict[str, Any] | None:
        """Return a license, with its claims and its use; None where there is none.

        Args:
            license_id: which.
            now: seconds since the epoch; what was used is that of the present period.
        """

        def read(connection: sqlite3.Connection) -> dict[str, Any] | None:
            row = connection.execute(_SHOWN + "id = ?", (license_id,)).fetchone()
            if row is None:
                return None
            claims = json.loads(row[-1])
            used = usage.totals(connection, license_id, claims.get("limits", {}), now)
            use = {name: {**one, "since": rfc3339(one["since"])} for name, one in used.items()}
            return {**self._shown(row), "claims": claims, "use": use}

        return self._database.read(read)

    def page(
        self, after: str, limit: int, *, customer: str | None = None, state: str | None = None
    ) -> list[dict[str, Any]]:
        """Return licenses in the order of their ids, each without its claims and its use.

        Args:
            after: the id that they come after; empty for the first.
            limit: how many at most.
            customer: whose; None for everybody's.
            state: in which state; None for any.
        """
        wanted = {"customer = ?": customer, "state = ?": state}
        named = {term: value for term, value in wanted.items() if value is not None}
        query = _SHOWN + " AND ".join(["id > ?", *named]) + " ORDER BY id LIMIT ?"
        rows = self._database.read(
            lambda connection: connection.execute(query, (after, *named.values(), limit)).fetchall()
        )
        return [self._shown(row) for row in rows]

    def _shown(self, row: Sequence[Any]) -> dict[str, Any]:
        shown = dict(zip(_MEMBERS, row[:-1], strict=True))
        validated_at = self._sightings.last(shown["id"], shown["validated_at"])
        return dated({**shown, "key": bool(shown["key"]), "validated_at": validated_at})
