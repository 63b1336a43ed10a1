"""Where applications find this server, as far as it is told."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request


class Address:
    """The address of this server.

    Args:
        url: as it is configured; None where it is not.
        issuer: the name of the issuer, which is its address where that is one.

    Attributes:
        known: the address without a slash at its end; None where nobody has told, for then the
            host that a request names is a stranger's word.
    """

    def __init__(self, url: str | None, issuer: str) -> None:
        named = url or (issuer if urlsplit(issuer).scheme in ("http", "https") else None)
        self.known = None if named is None else named.rstrip("/")

    def base(self, request: Request) -> str:
        """Return the address; where nobody has told, the one that this request was sent to."""
        return self.known or str(request.base_url).rstrip("/")
