"""What an ASGI scope says of its request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from licet.core.request.paths import spelt, whole

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


def route_path(scope: Scope) -> str:
    """Return the path of a request relative to the application's `root_path`."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :] or "/"
    return path


class AsgiFacts:
    """The facts of an ASGI `http` or `websocket` scope."""

    __slots__ = ("scope",)

    is_judged = lists_hosts = False

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    @property
    def method(self) -> str:
        """The request method; a websocket opens with GET."""
        return str(self.scope.get("method", "GET"))

    @property
    def path(self) -> str:
        """The path as sent, where the server keeps it; else `path`, encoded."""
        scope = self.scope
        raw: bytes | None = scope.get("raw_path")
        path = spelt(scope["path"]) if raw is None else raw.decode("latin-1")
        # Starlette adds the path of each mounted application to `root_path`, and keeps this one.
        return whole(path, scope.get("app_root_path", scope.get("root_path", "")))

    @property
    def absolute_target(self) -> str | None:
        """A target that the server took for a path as it came."""
        path: str = self.scope["path"]
        return None if path[:1] == "/" else path or None

    @property
    def query_string(self) -> str:
        """The query string."""
        query: bytes = self.scope.get("query_string", b"")
        return query.decode("latin-1")

    @property
    def is_handshake(self) -> bool:
        """Whether this opens a websocket."""
        return bool(self.scope["type"] == "websocket")

    @property
    def scheme(self) -> str:
        """The scheme of the connection; that of a websocket is the scheme it was opened under."""
        scheme: str = self.scope.get("scheme", "http")
        return {"ws": "http", "wss": "https"}.get(scheme, scheme)

    @property
    def peer(self) -> str | None:
        """The address in `client`; a unix socket has none."""
        client = self.scope.get("client")
        return client[0] or None if client else None

    def fields(self, name: str) -> Sequence[str]:
        """Return the value of each line of the header field `name`."""
        wanted = _bytes(name)
        # No comprehension: on a hit with constraints it would be a fifth of the price.
        lines = []
        for key, value in self.scope["headers"]:
            if key == wanted:
                lines.append(value.decode("latin-1"))
        return lines

    def origin(self) -> str | None:
        """Return scheme and host as the server and the `Host` field have them."""
        hosts = self.fields("host")
        if len(hosts) != 1:
            return None
        return f"{self.scheme}://{hosts[0]}".lower()

    def vouched_host(self) -> None:
        """Return None: no ASGI server judges the host."""

    def server_variable(self, name: str) -> object:
        """Return the extension `name` of the scope."""
        return (self.scope.get("extensions") or {}).get(name)


#: Field names as servers have them; few are ever asked for.
_bytes = lru_cache(maxsize=64)(str.encode)
