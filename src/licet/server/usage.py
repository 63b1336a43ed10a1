"""How much of each limit was used, as applications say; a report counts once, however often sent.

Applications are trusted with what they count, because they hold a validation key. Sums are kept
instead of reports: one for each calendar period (UTC) that a limit may have, so that what a limit
has left is one row, and what is kept does not grow with what is sent. A report belongs to the
periods that it began in.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypedDict

import anyio
import anyio.lowlevel

from licet.core.clock import Clock
from licet.server import notices
from licet.server.storage.database import Database, StorageError

logger = logging.getLogger("licet")

#: The period of a limit that is a bare number, and of what no limit is set for.
USUAL = "month"
#: Seconds for which sums of a kind are kept; those by month, and of the whole term, for good.
KEPT: Mapping[str, float] = {"minute": 2 * 3600, "hour": 3 * 86_400, "day": 90 * 86_400}
PERIODS = (*KEPT, "month", "term")
#: Seconds for which a report that is sent again is known.
REMEMBERED = 100 * 86_400.0
#: Names that are counted of one license.
MOST_NAMES = 1_000
#: Seconds between two sweeps, and rows that one change of theirs deletes at most.
EVERY, AT_ONCE = 3600.0, 5_000

_MOST = 2**53


class Counter(NamedTuple):
    """So much of a limit was used.

    Attributes:
        name: of the limit.
        began: seconds since the epoch.
        ended: likewise.
        used: how much.
    """

    name: str
    began: float
    ended: float
    used: int


class Used(TypedDict):
    """What was used of a limit in its present period.

    `max` is None where the license sets none; `since` is when the period began, in seconds since
    the epoch, for a term when the license was issued first.
    """

    used: int
    max: int | str | None
    per: str
    since: int


class UnknownLicenseError(LookupError):
    """There is no such license."""


class ReportConflictError(ValueError):
    """Another report had this id, or this one has more than is counted; says which."""


def totals(
    connection: sqlite3.Connection, license_id: str, limits: Mapping[str, Any], now: float
) -> dict[str, Used]:
    """Return what was used of each limit in its present period, and of what has no limit.

    Args:
        connection: any.
        license_id: which license; one that nobody knows has used nothing.
        limits: the claim of that name.
        now: seconds since the epoch.
    """
    month = _sums(connection, license_id, USUAL, now)
    present = {USUAL: month}
    found: dict[str, Used] = {}
    for name, limit in limits.items():
        most, per = _limit(limit)
        if per not in present:
            present[per] = _sums(connection, license_id, per, now)
        used = present[per].get(name, 0)
        found[name] = {
            "used": used,
            "max": most,
            "per": per,
            "since": _since(connection, license_id, per, now),
        }
    for name in month.keys() - limits.keys():
        since = beginning(USUAL, now)
        found[name] = {"used": month[name], "max": None, "per": USUAL, "since": since}
    return found


def count(
    connection: sqlite3.Connection,
    at: float,
    issuer: str,
    batch_id: str,
    license_id: str,
    counters: Sequence[Counter],
) -> bool:
    """Count a report, and tell of the limits that it exceeds.

    Args:
        connection: the writer's.
        at: seconds since the epoch.
        issuer: the name of the issuer.
        batch_id: of the report.
        license_id: the license that was used.
        counters: what it was used for.

    Returns:
        False where it was counted before.

    Raises:
        UnknownLicenseError: there is no such license.
        ReportConflictError: the id is another report's, or there are too many names.
    """
    content = json.dumps([license_id, sorted(counters)]).encode()
    digest = hashlib.sha256(content).digest()
    known = connection.execute(
        "SELECT digest FROM usage_batches WHERE batch_id = ?", (batch_id,)
    ).fetchone()
    if known is not None:
        if known[0] != digest:
            raise ReportConflictError("Another report had this batch_id.")
        return False
    row = connection.execute("SELECT claims FROM licenses WHERE id = ?", (license_id,)).fetchone()
    if row is None:
        raise UnknownLicenseError
    connection.execute(
        "INSERT INTO usage_batches (batch_id, digest, received_at) VALUES (?, ?, ?)",
        (batch_id, digest, at),
    )
    _add(connection, at, license_id, counters)
    limits = json.loads(row[0]).get("limits", {})
    counted = {counter.name for counter in counters}
    concerned = {name: limit for name, limit in limits.items() if name in counted}
    for name, used in totals(connection, license_id, concerned, at).items():
        if name in concerned and isinstance(used["max"], int) and used["used"] > used["max"]:
            about, until = f"usage.exceeded:{name}", end(used["per"], at)
            data = {"name": name, **used}
            notices.tell_once(
                connection, at, "usage.exceeded", license_id, issuer, about, until, **data
            )
    return True


def beginning(per: str, at: float) -> int:
    """Return when the period that a moment lies in began, seconds since the epoch; 0 for a term."""
    return 0 if per == "term" else int(_begin(per, at).timestamp())


def end(per: str, at: float) -> float:
    """Return when the period that a moment lies in ends, seconds since the epoch."""
    if per == "term":
        return float("inf")
    begin = _begin(per, at)
    if per == "month":
        return (begin + timedelta(days=32)).replace(day=1).timestamp()
    return (begin + timedelta(**{f"{per}s": 1})).timestamp()


def sweep(connection: sqlite3.Connection, now: float) -> bool:
    """Delete some of what is not kept any longer; return whether there may be more of it.

    Args:
        connection: the writer's.
        now: seconds since the epoch.
    """
    notices.forget(connection, now)
    more = False
    for per, seconds in KEPT.items():
        deleted = connection.execute(
            "DELETE FROM usage WHERE (license_id, per, since, name) IN (SELECT license_id, per,"
            " since, name FROM usage WHERE per = ? AND since < ? LIMIT ?)",
            (per, now - seconds, AT_ONCE),
        )
        more |= deleted.rowcount == AT_ONCE
    deleted = connection.execute(
        "DELETE FROM usage_batches WHERE batch_id IN"
        " (SELECT batch_id FROM usage_batches WHERE received_at < ? LIMIT ?)",
        (now - REMEMBERED, AT_ONCE),
    )
    return more or deleted.rowcount == AT_ONCE


async def sweeping(database: Database, clock: Clock) -> None:
    """Sweep each hour, until cancelled. A task of the server's."""
    while True:
        try:
            while await database.write(lambda connection: sweep(connection, clock.wall())):
                await anyio.lowlevel.checkpoint()
        except StorageError as error:
            logger.error("usage not swept: %s", error)
        await anyio.sleep(EVERY)


def _begin(per: str, at: float) -> datetime:
    moment = datetime.fromtimestamp(at, UTC)
    match per:
        case "minute":
            return moment.replace(second=0, microsecond=0)
        case "hour":
            return moment.replace(minute=0, second=0, microsecond=0)
        case "day":
            return moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _limit(limit: Any) -> tuple[int | str, str]:
    """Return how much a limit permits, and per what."""
    return (limit["max"], limit["per"]) if isinstance(limit, Mapping) else (limit, USUAL)


def _since(connection: sqlite3.Connection, license_id: str, per: str, now: float) -> int:
    if per != "term":
        return beginning(per, now)
    row = connection.execute(
        "SELECT created_at FROM licenses WHERE id = ?", (license_id,)
    ).fetchone()
    return int(row[0]) if row else 0


def _sums(connection: sqlite3.Connection, license_id: str, per: str, now: float) -> dict[str, int]:
    return dict(
        connection.execute(
            "SELECT name, count FROM usage WHERE license_id = ? AND per = ? AND since = ?",
            (license_id, per, beginning(per, now)),
        ).fetchall()
    )


def _add(
    connection: sqlite3.Connection, at: float, license_id: str, counters: Sequence[Counter]
) -> None:
    sums: dict[tuple[str, int, str], int] = {}
    for counter in counters:
        for per in PERIODS:
            since = beginning(per, counter.began)
            if since >= at - KEPT.get(per, float("inf")):
                place = (per, since, counter.name)
                sums[place] = sums.get(place, 0) + counter.used
    connection.executemany(
        # A sum stays where it is as large as a number in JSON may be.
        "INSERT INTO usage (license_id, per, since, name, count) VALUES (?, ?, ?, ?, min(?, ?))"
        " ON CONFLICT (license_id, per, since, name)"
        " DO UPDATE SET count = min(count + excluded.count, ?)",
        [(license_id, *place, count, _MOST, _MOST) for place, count in sums.items()],
    )
    names = connection.execute(
        "SELECT count(*) FROM usage WHERE license_id = ? AND per = 'term'", (license_id,)
    ).fetchone()[0]
    if names > MOST_NAMES:
        raise ReportConflictError(f"A license has {MOST_NAMES} names that are counted at most.")
