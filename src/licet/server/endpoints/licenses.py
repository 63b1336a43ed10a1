"""What a vendor sees of licenses, and does to them: withdraws them, and lets them hold again.

Trusts the caller, who has an admin key. What is acknowledged is on disk.
"""

from __future__ import annotations

from functools import partial

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from licet.core.clock import Clock
from licet.server.access.doors import Doors
from licet.server.endpoints.bodies import NO_STORE, read_object
from licet.server.endpoints.query import number
from licet.server.licenses.catalogue import Catalogue
from licet.server.licenses.judgement import ACTIVE, REVOKED, SUSPENDED
from licet.server.licenses.register import NoSuchLicenseError, Register, RevokedError

#: Licenses on a page, and where nobody says.
MOST_LISTED, USUALLY_LISTED = 1_000, 100
#: Characters of a reason.
MAX_REASON = 1_000
_QUERY = frozenset(("customer", "state", "after", "limit"))


class Licenses:
    """The endpoints about licenses that there are.

    Args:
        register: the licenses.
        catalogue: likewise, as they are shown.
        issuer: the name of the issuer, for whoever is told.
        clock: wall time.
    """

    def __init__(
        self, register: Register, catalogue: Catalogue, *, issuer: str, clock: Clock
    ) -> None:
        self._register, self._catalogue = register, catalogue
        self._issuer, self._clock = issuer, clock

    def routes(self, doors: Doors) -> list[Route]:
        """Return the routes, for who comes through `doors` as the vendor."""
        admin = doors.admin
        return [
            Route("/v1/licenses", self.page, methods=["GET"], middleware=admin),
            Route("/v1/licenses/{id}", self.one, methods=["GET"], middleware=admin),
            Route("/v1/licenses/{id}/revoke", self.revoke, methods=["POST"], middleware=admin),
            Route("/v1/licenses/{id}/suspend", self.suspend, methods=["POST"], middleware=admin),
            Route("/v1/licenses/{id}/resume", self.resume, methods=["POST"], middleware=admin),
        ]

    async def page(self, request: Request) -> Response:
        """List licenses, in the order of their ids."""
        asked = request.query_params
        if not _QUERY.issuperset(asked) or len(asked.multi_items()) != len(asked):
            raise HTTPException(400, f"A list is asked for by {', '.join(sorted(_QUERY))}.")
        most, state = number(request, "limit", USUALLY_LISTED, 1, MOST_LISTED), asked.get("state")
        if state not in (None, ACTIVE, SUSPENDED, REVOKED):
            raise HTTPException(400, f"state is {ACTIVE}, {SUSPENDED} or {REVOKED}.")
        whose, after = asked.get("customer"), asked.get("after", "")
        page = partial(self._catalogue.page, after, most + 1, customer=whose, state=state)
        # A page of many is long to read.
        found = await to_thread.run_sync(page)
        following = found[most - 1]["id"] if len(found) > most else None
        return JSONResponse({"licenses": found[:most], "next": following}, headers=NO_STORE)

    async def one(self, request: Request) -> Response:
        """Show one license: its claims and its use as well, and never its token."""
        shown = self._catalogue.one(request.path_params["id"], self._clock.wall())
        if shown is None:
            raise _no_such_license()
        return JSONResponse(shown, headers=NO_STORE)

    async def revoke(self, request: Request) -> Response:
        """Revoke a license, for good."""
        return await self._change(request, REVOKED)

    async def suspend(self, request: Request) -> Response:
        """Suspend a license."""
        return await self._change(request, SUSPENDED)

    async def resume(self, request: Request) -> Response:
        """Let a suspended license hold again."""
        return await self._change(request, ACTIVE)

    async def _change(self, request: Request, state: str) -> Response:
        body = await read_object(request, frozenset(["reason"]))
        reason = body.get("reason", "")
        if not isinstance(reason, str) or len(reason) > MAX_REASON:
            raise HTTPException(400, f"reason is a text of at most {MAX_REASON} characters.")
        license_id = request.path_params["id"]
        actor = request.state.caller.id
        try:
            await self._register.change(license_id, state, reason, actor=actor, issuer=self._issuer)
        except NoSuchLicenseError:
            raise _no_such_license() from None
        except RevokedError:
            detail = "A revoked license stays revoked: issue another one."
            raise HTTPException(409, detail) from None
        return JSONResponse({"id": license_id, "state": state}, headers=NO_STORE)


def _no_such_license() -> HTTPException:
    return HTTPException(404, "There is no such license.")
