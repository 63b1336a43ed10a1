"""The keys that sign, as the vendor sees and changes them."""

from __future__ import annotations

from functools import partial
from typing import Any

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from licet.server.access.doors import Doors
from licet.server.endpoints.bodies import NO_STORE, is_text, read_object
from licet.server.moments import dated
from licet.server.signing.keys import KeyInUseError, NoSuchKeyError, SigningKeys
from licet.server.signing.places import KeysUnavailableError


class Keys:
    """The endpoints about signing keys.

    Args:
        keys: the keys.
    """

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys

    def routes(self, doors: Doors) -> list[BaseRoute]:
        """Return the routes."""
        admin = doors.admin
        return [
            Route("/v1/keys", self.listing, methods=["GET"], middleware=admin),
            Route("/v1/keys/rotate", self.rotate, methods=["POST"], middleware=admin),
            Route("/v1/keys/{kid}/retire", self.retire, methods=["POST"], middleware=admin),
        ]

    async def listing(self, request: Request) -> Response:
        return JSONResponse({"keys": await self._listed()}, headers=NO_STORE)

    async def rotate(self, request: Request) -> Response:
        body = await read_object(request, frozenset(["algorithm"]))
        if not is_text(*body.values()):
            raise HTTPException(400, "algorithm is text, as EdDSA or ES256.")
        actor = request.state.caller.id
        rotate = partial(self._keys.rotate, algorithm=body.get("algorithm"), actor=actor)
        try:
            kid = await to_thread.run_sync(rotate)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        except KeyInUseError as error:
            raise HTTPException(409, f"{error}.") from None
        except KeysUnavailableError:
            raise HTTPException(503, "The key file cannot be used.") from None
        return JSONResponse({"kid": kid, "keys": await self._listed()}, headers=NO_STORE)

    async def retire(self, request: Request) -> Response:
        await read_object(request, frozenset())
        kid, actor = request.path_params["kid"], request.state.caller.id
        try:
            await to_thread.run_sync(partial(self._keys.retire, kid, actor=actor))
        except NoSuchKeyError:
            raise HTTPException(404, "There is no such key.") from None
        except KeyInUseError as error:
            raise HTTPException(409, f"{error}.") from None
        except KeysUnavailableError:
            raise HTTPException(503, "The key file cannot be used.") from None
        return await self.listing(request)

    async def _listed(self) -> list[dict[str, Any]]:
        # In a thread: among very many licenses it takes a while to count.
        return [dated(key) for key in await to_thread.run_sync(self._keys.listing)]
