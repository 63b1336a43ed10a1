"""A request to this server, as far as the core asks about one that has to prove something."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request


class ServerFacts:
    """The facts of a request (`licet.core.request.facts.RequestFacts`).

    Args:
        request: which.
        path: of the endpoint, as applications know it: whatever a proxy has made of it on the way,
            it stands behind this server's address.
    """

    absolute_target = None
    is_handshake = is_judged = lists_hosts = False

    def __init__(self, request: Request, path: str) -> None:
        self._request, self.path = request, path
        self.method, self.scheme = request.method, request.url.scheme
        self.query_string = request.url.query
        self.peer = request.client.host if request.client else None

    def fields(self, name: str) -> Sequence[str]:
        """Return the value of each line of the header field `name`."""
        return self._request.headers.getlist(name)

    def origin(self) -> None:
        """Return None: nobody asks."""

    def vouched_host(self) -> None:
        """Return None: nobody vouches for the host that a request names."""

    def server_variable(self, name: str) -> object:
        """Return the extension `name` of the scope."""
        return (self._request.scope.get("extensions") or {}).get(name)
