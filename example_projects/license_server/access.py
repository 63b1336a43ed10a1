"""Who may come in: whoever brings the key."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send


class KeyHolders:
    """Lets nobody in without the key (RFC 6750).

    Args:
        key: a secret.
        name: what it is called to whoever does not have it.
    """

    def __init__(self, app: ASGIApp, key: str, name: str) -> None:
        self.app, self.name = app, name
        self.expected = f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        presented = Headers(scope=scope).getlist("authorization")
        value = presented[0].encode("latin-1") if len(presented) == 1 else b""
        if not hmac.compare_digest(value, self.expected):
            raise HTTPException(401, f"The {self.name} is wrong.", {"WWW-Authenticate": "Bearer"})
        await self.app(scope, receive, send)


def check_key(name: str, key: str) -> None:
    """Raise ValueError for a key that is short, or that no header can carry."""
    if len(key) < 16 or not key.isascii() or not key.isprintable():
        raise ValueError(f"the {name} needs 16 printable ASCII characters or more")
