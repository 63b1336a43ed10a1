"""What applications have counted, taken once."""

from __future__ import annotations

import math
import re
import sqlite3

from anyio import Semaphore
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from licet.core.clock import Clock
from licet.server import audit, notices
from licet.server import usage as counting
from licet.server.access.doors import Doors
from licet.server.endpoints.bodies import parse_object, read_bytes
from licet.server.storage.database import Database
from licet.server.usage import Counter, ReportConflictError, UnknownLicenseError

MEMBERS = frozenset(("batch_id", "license_id", "counters"))
COUNTER = frozenset(("name", "from", "to", "count"))
#: Bytes of a report, and counters in it.
MAX_REPORT, MOST_COUNTERS = 256 * 1024, 1_000
#: Reports that are written at once, for whoever revokes a license waits for those; and how many
#: may wait for that.
AT_ONCE, MOST_WAITING = 4, 200
#: Seconds by which the clock of an application may be ahead.
AHEAD = 86_400.0
#: The largest number that is the same in every JSON (RFC 8259, section 6).
MOST = 2**53

_BATCH = re.compile(r"[!-~]{1,128}", re.ASCII)
#: As limits are named in a license.
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


class Usage:
    """The endpoint for usage.

    Args:
        database: where it is counted.
        clock: wall time.
        issuer: the name of the issuer.
    """

    def __init__(self, database: Database, clock: Clock, issuer: str) -> None:
        self._database, self._clock, self._issuer = database, clock, issuer
        self._writing = Semaphore(AT_ONCE)

    def routes(self, doors: Doors) -> list[BaseRoute]:
        """Return the routes."""
        return [Route("/v1/usage", self.take, methods=["POST"], middleware=doors.validation)]

    async def take(self, request: Request) -> Response:
        """Count a report, and say so when that is on disk; one that is repeated counts once."""
        content = await read_bytes(request, MAX_REPORT)
        if self._writing.statistics().tasks_waiting >= MOST_WAITING:
            raise HTTPException(503, "There are too many reports.", {"Retry-After": "1"})
        body = parse_object(content, MEMBERS, max_members=len(COUNTER) * MOST_COUNTERS + 3)
        now, caller = self._clock.wall(), request.state.caller.id
        batch_id, license_id = body.get("batch_id"), body.get("license_id")
        if not isinstance(batch_id, str) or not _BATCH.fullmatch(batch_id):
            raise HTTPException(400, "batch_id is 1 to 128 printable ASCII characters.")
        if not isinstance(license_id, str):
            raise HTTPException(400, "license_id is the id of a license.")
        listed = body.get("counters")
        if not isinstance(listed, list) or len(listed) > MOST_COUNTERS:
            raise HTTPException(400, f"counters is a list of at most {MOST_COUNTERS}.")
        counters = [_counter(counter, now) for counter in listed]

        def take(connection: sqlite3.Connection) -> None:
            if counting.count(connection, now, self._issuer, batch_id, license_id, counters):
                _record(connection, now, caller, license_id)

        try:
            async with self._writing:
                await self._database.write(take)
        except UnknownLicenseError:
            raise HTTPException(404, "There is no such license.") from None
        except ReportConflictError as error:
            raise HTTPException(409, str(error)) from None
        return Response(status_code=204)


def _counter(counter: object, now: float) -> Counter:
    if not isinstance(counter, dict) or counter.keys() != COUNTER:
        raise HTTPException(400, "A counter is a name, from, to and count.")
    name, began, ended, used = (counter[member] for member in ("name", "from", "to", "count"))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise HTTPException(400, "The name of a counter is 1 to 128 of A-Za-z0-9._:-")
    if not _is_moment(began) or not _is_moment(ended) or not began <= ended <= now + AHEAD:
        problem = "from and to are seconds since the epoch, in this order and not in the future."
        raise HTTPException(400, problem)
    if type(used) is not int or not 0 <= used <= MOST:
        raise HTTPException(400, "count is a whole number, 0 to 2^53.")
    return Counter(name, float(began), float(ended), used)


def _is_moment(value: object) -> bool:
    # Not isinstance: True is an int.
    if not (type(value) is int or type(value) is float):
        return False
    return math.isfinite(value) and value >= 0


def _record(connection: sqlite3.Connection, now: float, caller: str, license_id: str) -> None:
    """Note that a license is being counted by somebody, once in a while."""
    if notices.once(connection, now, license_id, f"usage.received:{caller}", now + 3600.0):
        audit.record(connection, now, caller, "usage.received", license_id)
