"""Licet for any ASGI application.

    application = LicenseMiddleware(application, issuer="…", audience="…")

Entitlements are at `scope["state"]["entitlements"]`, which Starlette calls
`request.state.entitlements`, and from `licet.current_entitlements()`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from functools import lru_cache
from sys import exception
from typing import Any, TypeAlias

from licet.core.caching import licensed_headers
from licet.core.context import reset_current, set_current
from licet.core.entitlements import Entitlements
from licet.core.errors import LicenseError
from licet.core.flow import arun
from licet.core.gates import gate_for
from licet.core.paths import spelt, whole
from licet.core.problem import Problem, problem
from licet.core.settings import Settings
from licet.core.spellings import from_options

__all__ = ["AsgiFacts", "LicenseMiddleware"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

#: The close code of a websocket that policy refuses (RFC 6455, section 7.4.1).
POLICY_VIOLATION = 1008
#: After one of these a refusal can no longer be the answer.
STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


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


def route_path(scope: Scope) -> str:
    """Return the path of a request relative to the application's `root_path`."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :] or "/"
    return path


class LicenseMiddleware:
    """Lets a request through to `app` only with a license that holds.

    Args:
        app: the ASGI application behind it.
        settings: what counts as a valid license.
        options: the fields of `Settings`, instead of `settings`.

    Raises:
        ConfigError: settings that cannot work.
    """

    def __init__(self, app: ASGIApp, settings: Settings | None = None, **options: Any) -> None:
        self.app = app
        self.settings = from_options(settings, options)
        self.gate = gate_for(self.settings)
        sources = self.gate.sources
        # Fields of which exactly one may be there for the short way; cookies and queries are
        # read on the long one.
        self._fields = {name.encode(): name for name in sources.headers}
        if sources.cookies:
            self._fields[b"cookie"] = "cookie"
        # Whether a request may need no license, or bring it anywhere but in a field.
        self._special = bool(
            self.gate.exempt_paths or self.gate.installation is not None or sources.queries
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one connection, and serve it or refuse it."""
        kind = scope["type"]
        if kind != "http" and kind != "websocket":
            if kind != "lifespan":
                raise RuntimeError(f"Licet cannot tell what a scope of type {kind!r} is")
            self.gate.warm()
            await self.app(scope, receive, send)
            return
        try:
            entitlements = self._recall(scope)
            if entitlements is None:
                entitlements = await arun(self.gate.decide(AsgiFacts(scope)))
            source = entitlements.source
            additions = () if source == "authorization" else _encoded(source)
        except Exception as error:
            await self.respond(self.gate.as_refusal(error), scope, receive, send)
            return
        # A new dict: a server may hand the same `state` to every connection.
        state = scope.get("state")
        ours = {"entitlements": entitlements}
        scope["state"] = {**state, **ours} if state else ours
        started: str | None = None

        # A plain function and not a coroutine: it stands in the way of every message.
        def sending(message: Message) -> Awaitable[None]:
            nonlocal started
            if started is None:
                kind = message["type"]
                if kind in STARTS:
                    if message.get("status") == 500:
                        error = exception()
                        if isinstance(error, LicenseError):
                            # Mounted applications have an error page of their own; a refusal is
                            # no error.
                            raise error
                    started = kind
                    if additions and kind == "http.response.start":
                        message = _with_headers(message, additions)
            return send(message)

        token = set_current(entitlements)
        try:
            await self.app(scope, receive, sending)
        except LicenseError as error:
            if started is None:
                await self.respond(error, scope, receive, send)
            elif started == "websocket.accept":
                await _close(error, send)
            else:
                raise
        finally:
            entitlements.release()
            try:  # noqa: SIM105  # `suppress` costs more than all that stands in it
                reset_current(token)
            except ValueError:
                # A connection that was given up: its coroutine is closed from another context,
                # in which nothing was set.
                pass

    def _recall(self, scope: Scope) -> Entitlements | None:
        """Answer from memory where the request is of the plain kind: one field, one token."""
        gate = self.gate
        if self._special:
            if route_path(scope) in gate.exempt_paths:
                return gate.peek(AsgiFacts(scope))
            if gate.installation is not None:
                held = gate.installation.recall()
                return None if held is None else gate.admit(*held, "", AsgiFacts, scope)
            if gate.sources.queries and scope.get("query_string"):
                return None
        fields = self._fields
        source, credential = None, b""
        for name, value in scope["headers"]:
            if name in fields:
                if source is not None:
                    return None
                source, credential = fields[name], value
        if source == "authorization":
            if credential[:7] != b"Bearer " and credential[:7].lower() != b"bearer ":
                return None
            credential = credential[7:]
        elif source is None or source == "cookie":
            return None
        grant = gate.recall(credential)
        if grant is None:
            return None
        if grant.free:
            return Entitlements(grant, credential, source)
        return gate.admit(grant, credential, source, AsgiFacts, scope)

    # -- refusals --------------------------------------------------------------------------------

    async def respond(
        self, error: LicenseError, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a refusal; nothing of a response has been sent."""
        if scope["type"] == "http":
            await _send_problem(self.problem(error, scope), "http.response", send)
        elif "websocket.http.response" in (scope.get("extensions") or ()):
            await _send_problem(self.problem(error, scope), "websocket.http.response", send)
        else:
            await _close(error, send)

    def problem(self, error: LicenseError, scope: Scope) -> Problem:
        """Return the answer to `error`."""
        return problem(error, self.settings)


async def _send_problem(answer: Problem, prefix: str, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
    await send({"type": f"{prefix}.start", "status": answer.status, "headers": headers})
    await send({"type": f"{prefix}.body", "body": answer.body})


async def _close(error: LicenseError, send: Send) -> None:
    await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": error.code})


@lru_cache(maxsize=64)
def _encoded(source: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header fields of a licensed answer as ASGI has them."""
    headers = licensed_headers(source)
    return tuple((name.lower().encode(), value.encode()) for name, value in headers)


def _with_headers(message: Message, additions: Iterable[tuple[bytes, bytes]]) -> Message:
    """Return the start of a response with header fields added, `Vary` beside what is there."""
    headers = list(message.get("headers", ()))
    present = [name.lower() for name, _ in headers]
    headers += [field for field in additions if field[0] == b"vary" or field[0] not in present]
    return {**message, "headers": headers}
