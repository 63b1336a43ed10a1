"""The record of what was done, by whom: appended to, never changed.

Written in the transaction of what it records, so that neither is there without the other. The
database itself refuses to change or delete a line. It names API keys, licenses and signing keys by
their ids; no secret stands in it.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

#: Who acts where nobody with an API key does: the server itself, and who presents a license.
SERVER, HOLDER = "server", "holder"
#: Lines that are read at once, at most.
PAGE = 1000


def record(
    connection: sqlite3.Connection,
    at: float,
    actor: str,
    action: str,
    subject: str,
    **detail: object,
) -> None:
    """Append a line.

    Args:
        connection: the writer's, within the change that is recorded.
        at: seconds since the epoch.
        actor: the id of an API key, `SERVER` or `HOLDER`.
        action: what was done, as `license.issued`.
        subject: the id of what it was done to.
        **detail: what else is worth knowing, for JSON; no secrets.
    """
    connection.execute(
        "INSERT INTO audit (at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)",
        (at, actor, action, subject, json.dumps(detail)),
    )


def page(connection: sqlite3.Connection, after: int, limit: int = PAGE) -> list[dict[str, Any]]:
    """Return the lines after the line `after`, oldest first, `limit` at most."""
    lines = connection.execute(
        "SELECT id, at, actor, action, subject, detail FROM audit WHERE id > ? ORDER BY id LIMIT ?",
        (after, limit),
    )
    return [
        {
            "id": number,
            "at": at,
            "actor": actor,
            "action": action,
            "subject": subject,
            "detail": json.loads(detail),
        }
        for number, at, actor, action, subject, detail in lines
    ]
