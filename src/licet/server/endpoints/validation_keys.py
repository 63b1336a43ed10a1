"""The keys that applications ask with, as the vendor hands them out and takes them back."""

from __future__ import annotations

from functools import partial

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from licet.server.access.apikeys import ApiKeys, NoSuchKeyError
from licet.server.access.doors import Doors
from licet.server.endpoints.bodies import NO_STORE, read_object
from licet.server.moments import dated

#: Characters of a name.
LONGEST = 256


class ValidationKeys:
    """The endpoints about validation keys.

    Args:
        api_keys: the keys.
    """

    def __init__(self, api_keys: ApiKeys) -> None:
        self._api_keys = api_keys

    def routes(self, doors: Doors) -> list[BaseRoute]:
        """Return the routes."""
        admin = doors.admin
        one = "/v1/validation-keys/{id}"
        return [
            Route("/v1/validation-keys", self.listing, methods=["GET"], middleware=admin),
            Route("/v1/validation-keys", self.create, methods=["POST"], middleware=admin),
            Route(one, self.revoke, methods=["DELETE"], middleware=admin),
        ]

    async def listing(self, request: Request) -> Response:
        keys = [dated(key) for key in self._api_keys.listing("validation")]
        return JSONResponse({"validation_keys": keys}, headers=NO_STORE)

    async def create(self, request: Request) -> Response:
        body = await read_object(request, frozenset(["name"]))
        name = body.get("name", "")
        if not isinstance(name, str) or len(name) > LONGEST or not name.isprintable():
            raise HTTPException(400, f"name is at most {LONGEST} printable characters.")
        create = partial(self._api_keys.create, "validation", name, actor=request.state.caller.id)
        made = await to_thread.run_sync(create)
        return JSONResponse({"id": made.id, "key": made.key, "name": name}, 201, NO_STORE)

    async def revoke(self, request: Request) -> Response:
        key_id, actor = request.path_params["id"], request.state.caller.id
        revoke = partial(self._api_keys.revoke, key_id, kind="validation", actor=actor)
        try:
            await to_thread.run_sync(revoke)
        except NoSuchKeyError:
            raise HTTPException(404, "There is no such validation key.") from None
        return Response(status_code=204)
