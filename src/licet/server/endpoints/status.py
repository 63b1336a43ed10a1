"""Status lists, for everybody (draft-ietf-oauth-status-list, section 8)."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from licet.core.revocation.statuslist import TYPE
from licet.server.endpoints.bodies import document
from licet.server.licenses.statuslists import HIGHEST, StatusLists


class Status:
    """The endpoint of the status lists.

    Args:
        lists: which.
    """

    def __init__(self, lists: StatusLists) -> None:
        self._lists = lists

    def routes(self) -> list[Route]:
        """Return the route; it is public."""
        return [Route("/status/{number}", self.list, methods=["GET"])]

    async def list(self, request: Request) -> Response:
        """Return a list as it is now."""
        number = request.path_params["number"]
        known = number.isascii() and number.isdigit() and len(number) <= len(str(HIGHEST))
        text = await self._lists.text(int(number)) if known else None
        if text is None:
            raise HTTPException(404, "There is no such list.")
        # Half of what it is fresh for may have passed here already.
        return document(request, text, f"application/{TYPE}", self._lists.ttl // 2)
