"""All that the core may know of a request.

Nothing here is trusted but what the server says of its own connection: scheme, peer, variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class RequestFacts(Protocol):
    """One request as the core sees it. Adapters make one only when something has to be judged."""

    @property
    def method(self) -> str:
        """The request method, exactly as sent."""
        ...

    @property
    def path(self) -> str:
        """The whole path, the application's root included, percent-encoded (RFC 3986, 3.3).

        As it was sent where the server tells; else encoded anew from what the server decoded.
        """
        ...

    @property
    def absolute_target(self) -> str | None:
        """The request target, where it is a whole URL (RFC 9112, section 3.2.2), else None."""
        ...

    @property
    def query_string(self) -> str:
        """What stands behind `?`, undecoded."""
        ...

    @property
    def is_handshake(self) -> bool:
        """Whether this opens a websocket."""
        ...

    @property
    def scheme(self) -> str:
        """`http` or `https`, of the connection; a framework that knows better says so."""
        ...

    @property
    def is_judged(self) -> bool:
        """Whether scheme and host are as the framework judges them: no proxy's word beside it."""
        ...

    @property
    def lists_hosts(self) -> bool:
        """Whether the framework serves no other hosts than its operator has listed."""
        ...

    @property
    def peer(self) -> str | None:
        """The address at the other end of the connection, None where there is none."""
        ...

    def fields(self, name: str) -> Sequence[str]:
        """Return the values of the header field `name` (lower case), one for each line of it.

        WSGI servers have already joined them with commas: then it is one.
        """
        ...

    def origin(self) -> str | None:
        """Return scheme and host of this request (RFC 6454), None where the host is unclear."""
        ...

    def vouched_host(self) -> str | None:
        """Return host and port as the framework judges them, None where it does not.

        Raises:
            BadHost: the framework does not serve this host.
        """
        ...

    def server_variable(self, name: str) -> object:
        """Return what the server itself says under `name`, None where it says nothing.

        An ASGI server says it in an extension of the scope, a WSGI server in a variable that no
        header field can set.
        """
        ...
