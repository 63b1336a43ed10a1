"""The record of what was done, for the vendor to read on from where they were."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from licet.server import audit
from licet.server.access.doors import Doors
from licet.server.endpoints.bodies import NO_STORE
from licet.server.endpoints.query import number
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
        after = number(request, "after", 0, 0, 2**53)
        limit = number(request, "limit", USUAL, 1, audit.PAGE)
        entries = self._database.read(lambda connection: audit.page(connection, after, limit))
        return JSONResponse({"entries": [dated(entry) for entry in entries]}, headers=NO_STORE)
