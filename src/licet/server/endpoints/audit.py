"""The record of what was done, for the vendor to read on from where they were."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from licet.server import audit
from licet.server.access.doors import Doors
from licet.server.endpoints.bodies import NO_STORE
from licet.server.moments import dated
from licet.server.storage.database import Database

#: Lines of one answer where nobody says how many.
USUAL = 100


class Audit:
    """The endpoint of the record.

    Args:
        database: where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def routes(self, doors: Doors) -> list[BaseRoute]:
        """Return the routes."""
        return [Route("/v1/audit", self.page, methods=["GET"], middleware=doors.admin)]

    async def page(self, request: Request) -> Response:
        after = _number(request, "after", 0, 0, 2**53)
        limit = _number(request, "limit", USUAL, 1, audit.PAGE)
        entries = self._database.read(lambda connection: audit.page(connection, after, limit))
        return JSONResponse({"entries": [dated(entry) for entry in entries]}, headers=NO_STORE)


def _number(request: Request, name: str, usual: int, least: int, most: int) -> int:
    """Return a number of the query, `usual` where it is not there."""
    given = request.query_params.getlist(name)
    if not given:
        return usual
    # Digits of other scripts are digits too, and a long number takes long to read.
    if len(given) == 1 and given[0].isascii() and given[0].isdigit() and len(given[0]) <= 16:
        number = int(given[0])
        if least <= number <= most:
            return number
    raise HTTPException(400, f"{name} is one whole number from {least} to {most}.")
