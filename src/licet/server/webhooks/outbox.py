"""What others are to be told, written down in the very change that it tells of.

So no change goes untold, and nothing is told that did not happen. Each receiver that wants an event
has a row of its own, which is there until it has taken it (`deliveries`). The events about one
license, and those about the keys, are a lane each: told in order, with growing numbers.
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
from datetime import UTC, datetime

logger = logging.getLogger("licet")

#: Everything that is told of (protocol, section 5).
EVENTS = frozenset(
    "license.revoked license.suspended license.resumed license.expiring"
    " license.suspicious_activity usage.exceeded keys.rotated".split()
)
#: Those that whoever asks about licenses can cause, at any time and again and again.
CAUSED = frozenset(("license.suspicious_activity", "usage.exceeded"))
#: Events that one receiver may be behind.
MOST_WAITING = 100_000

_KEYS_SEQUENCE = "keys_sequence"


def tell(
    connection: sqlite3.Connection,
    at: float,
    event: str,
    license_id: str | None,
    issuer: str,
    **data: object,
) -> None:
    """Have an event told to whoever wants to hear of it.

    Args:
        connection: the writer's, within the change that is told of.
        at: when it happened, seconds since the epoch.
        event: one of `EVENTS`.
        license_id: which license it is about; None for `keys.rotated`, which is about the issuer.
        issuer: the name of the issuer.
        **data: what else is said of it, for JSON.

    Raises:
        ValueError: there is no such event.
        LookupError: there is no such license.
    """
    if event not in EVENTS:
        raise ValueError(f"nobody can ask for {event!r}")
    receivers = interested(connection, event)
    if not receivers:
        return
    about = {"issuer": issuer} if license_id is None else {"license_id": license_id}
    clock = int(at * 1000)
    if license_id is None:
        sequence = _next_of_keys(connection, clock)
    else:
        sequence = _next_of_license(connection, clock, license_id)
    said = {
        "type": event,
        "timestamp": datetime.fromtimestamp(at, UTC).isoformat(),
        "data": {**about, **data, "sequence": sequence},
    }
    # A license may have the name of an issuer.
    lane = "keys" if license_id is None else f"license:{license_id}"
    message = (lane, f"msg_{secrets.token_urlsafe(18)}", json.dumps(said).encode(), at)
    connection.executemany(
        # Due at once, also where it is dated a little ahead of the clock.
        "INSERT INTO outbox (webhook, lane, message_id, body, created_at, due_at)"
        " VALUES (?, ?, ?, ?, ?, 0)",
        [(receiver, *message) for receiver in receivers],
    )


def interested(connection: sqlite3.Connection, event: str) -> list[str]:
    """Return the ids of the receivers that an event is written down for."""
    found = []
    rows = connection.execute("SELECT id, events, waiting FROM webhooks ORDER BY id")
    for receiver, events, waiting in rows:
        if event not in events.split():
            continue
        if event in CAUSED and waiting >= MOST_WAITING // 2:
            # They leave room for what the vendor does, and the log alone.
            continue
        if waiting >= MOST_WAITING:
            logger.error(
                "event not told: receiver=%s event=%s waiting=%d", receiver, event, waiting
            )
            continue
        found.append(receiver)
    return found


def _next_of_license(connection: sqlite3.Connection, clock: int, license_id: str) -> int:
    """Return the number of the next event about a license.

    Of the clock too, so that it goes on growing where a backup has forgotten the last ones.
    """
    changed = connection.execute(
        "UPDATE licenses SET sequence = max(sequence + 1, ?) WHERE id = ?", (clock, license_id)
    )
    if not changed.rowcount:
        raise LookupError("no such license")
    row = connection.execute("SELECT sequence FROM licenses WHERE id = ?", (license_id,)).fetchone()
    return int(row[0])


def _next_of_keys(connection: sqlite3.Connection, clock: int) -> int:
    row = connection.execute(
        "SELECT value FROM settings WHERE name = ?", (_KEYS_SEQUENCE,)
    ).fetchone()
    number = max(int(row[0]) + 1 if row else 0, clock)
    connection.execute(
        "INSERT INTO settings (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (_KEYS_SEQUENCE, str(number)),
    )
    return number
