"""Licenses and receivers, written straight into a database."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest

from licet.server.storage.database import Act, Database, StorageError

ISSUER = "https://licenses.acme.example"
#: When licenses here were issued, and for how long.
ISSUED_AT, YEAR = 1_790_000_000.0, 365 * 86_400


def license_(
    database: Database,
    name: str = "lic_1",
    *,
    expires_at: float = ISSUED_AT + YEAR,
    lifetime: float = YEAR,
    state: str = "active",
    **claims: object,
) -> str:
    """Add a license; return its id."""
    said = {"sub": name, "iat": expires_at - lifetime, "exp": expires_at, **claims}
    begun = expires_at - lifetime
    row = (name, state, json.dumps(said), "k1", begun, begun, expires_at, expires_at)

    def add(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO licenses (id, state, claims, kid, created_at, changed_at, expires_at,"
            " ends_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    database.write_now(add)
    return name


def receiver(
    database: Database,
    name: str,
    events: str,
    *,
    url: str | None = None,
    secret: bytes = b"whsec_" + b"QUFB" * 8,
) -> str:
    """Add a receiver of `events`, which are words; return its id."""
    row = (name, url or f"https://{name}.example/", events, secret, 0.0)
    database.write_now(
        lambda connection: connection.execute(
            "INSERT INTO webhooks (id, url, events, secret, created_at) VALUES (?, ?, ?, ?, ?)", row
        )
    )
    return name


def waiting(database: Database, name: str | None = None) -> list[dict[str, Any]]:
    """Return what waits for a receiver, or for all, in order: bodies."""
    rows = database.read(
        lambda connection: connection.execute(
            "SELECT body FROM outbox WHERE ? IS NULL OR webhook = ? ORDER BY id", (name, name)
        ).fetchall()
    )
    return [json.loads(body) for (body,) in rows]


def one(database: Database, query: str, *values: object) -> Any:
    """Return the first row of a query."""
    return database.read(lambda connection: connection.execute(query, values).fetchone())


def full_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[Act[Any]]:
    """Have the next change that a task waits for find the disk full; return all that are tried."""
    write, tried = database.write, list[Act[Any]]()

    async def writing(act: Act[Any]) -> Any:
        tried.append(act)
        if len(tried) == 1:
            raise StorageError("disk full")
        return await write(act)

    monkeypatch.setattr(database, "write", writing)
    return tried
