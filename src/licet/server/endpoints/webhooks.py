"""Who is told of what happens, as the vendor says."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from licet.core.clock import Clock
from licet.server.access.doors import Doors
from licet.server.endpoints.bodies import NO_STORE, read_object
from licet.server.moments import dated
from licet.server.signing.vault import UnsealError
from licet.server.webhooks.outbox import EVENTS
from licet.server.webhooks.receivers import Receivers, TooManyReceiversError, is_address, is_secret

MEMBERS = frozenset(("url", "events", "secret"))


class Webhooks:
    """The endpoints about receivers.

    Args:
        receivers: all of them.
        clock: wall time.
    """

    def __init__(self, receivers: Receivers, clock: Clock) -> None:
        self._receivers, self._clock = receivers, clock

    def routes(self, doors: Doors) -> list[BaseRoute]:
        """Return the routes."""
        admin = doors.admin
        return [
            Route("/v1/webhooks", self.listing, methods=["GET"], middleware=admin),
            Route("/v1/webhooks", self.put, methods=["PUT"], middleware=admin),
            Route("/v1/webhooks/{id}", self.remove, methods=["DELETE"], middleware=admin),
        ]

    async def listing(self, request: Request) -> Response:
        receivers = [dated(receiver) for receiver in self._receivers.listing()]
        return JSONResponse({"webhooks": receivers}, headers=NO_STORE)

    async def put(self, request: Request) -> Response:
        """Tell an address from now on; one that is told already may want other events."""
        body = await read_object(request, MEMBERS)
        url, events = body.get("url"), body.get("events", sorted(EVENTS))
        if not isinstance(url, str) or not is_address(url):
            raise HTTPException(400, "url is an https address, or an http one of this machine.")
        if not isinstance(events, list) or not events or not EVENTS.issuperset(map(str, events)):
            raise HTTPException(400, f"events is a list of {', '.join(sorted(EVENTS))}.")
        secret = body.get("secret")
        if "secret" in body and not (isinstance(secret, str) and is_secret(secret)):
            raise HTTPException(400, "secret is whsec_ and 24 to 64 bytes in base64.")
        at, actor = self._clock.wall(), request.state.caller.id
        try:
            shared = await self._receivers.put(at, actor, url, events, secret)
        except TooManyReceiversError as error:
            raise HTTPException(409, str(error)) from None
        except UnsealError:
            problem = "The secret of this receiver cannot be unsealed: bring one."
            raise HTTPException(409, problem) from None
        return JSONResponse({"secret": shared}, headers=NO_STORE)

    async def remove(self, request: Request) -> Response:
        """Tell a receiver nothing any longer, nor what waits for it."""
        at, actor = self._clock.wall(), request.state.caller.id
        if not await self._receivers.remove(at, actor, request.path_params["id"]):
            raise HTTPException(404, "There is no such receiver.")
        return Response(status_code=204)
