"""Licet for Starlette (>= 1.0.1).

    licensing = Middleware(LicenseMiddleware, issuer="…", audience="…")
    app = Starlette(routes=routes, middleware=[licensing])

The middleware goes on the application, or on the `Route`, `Router` or `Mount` that needs it.
Entitlements are at `request.state.entitlements`, with a type from `entitlements_of(request)`, and
from `licet.current_entitlements()`.

Handlers of the application answer refusals in place of Licet: one registered for `LicenseError`
or a class of it (or for `LicetError`), else one registered for the status code, which is given an
`HTTPException` as it expects. A handler for `Exception` is for errors and is not asked.

Templates see `entitlements` and `license_banner` by
`Jinja2Templates(directory, context_processors=[license_context])`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from licet import asgi
from licet._requires import extra
from licet.core.entitlements import Entitlements
from licet.core.entitlements.banner import banner
from licet.core.entitlements.context import current_entitlements, find_entitlements
from licet.core.errors import LicenseError, LicetError
from licet.core.problem import Problem, may_tell, problem
from licet.core.settings import Settings

with extra("starlette", "starlette"):
    from starlette.exceptions import HTTPException
    from starlette.middleware.exceptions import ExceptionMiddleware
    from starlette.requests import HTTPConnection
    from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

__all__ = ["LicenseMiddleware", "entitlements_of", "license_context"]


class LicenseMiddleware(asgi.LicenseMiddleware):
    """Lets a request or websocket through only with a license that holds.

    Args:
        app: the ASGI application behind it.
        settings: what counts as a valid license.
        options: the fields of `Settings`, instead of `settings`.

    Raises:
        ConfigError: settings that cannot work.
    """

    if TYPE_CHECKING:
        # Starlette gives `app` by position; else mypy sees in `options` a second way to give it.
        def __init__(
            self, app: ASGIApp, /, settings: Settings | None = None, **options: Any
        ) -> None: ...

    async def respond(
        self, error: LicenseError, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a refusal: by a handler of the application if it has one, else as Licet does."""
        handlers = getattr(scope.get("app"), "exception_handlers", {})
        ours: dict[Any, ExceptionHandler] = {
            kind: handler
            for kind, handler in handlers.items()
            if isinstance(kind, type) and issubclass(kind, LicetError)
        }
        refusal: Exception
        if isinstance(error, tuple(ours)):
            refusal = error
        elif error.status in handlers:
            ours = {error.status: handlers[error.status]}
            headers = dict(self.problem(error, scope).headers)
            # What describes the body goes: the handler writes another one.
            del headers["Content-Type"], headers["Content-Length"]
            refusal = HTTPException(error.status, error.detail, headers)
            refusal.__cause__ = error
        else:
            await super().respond(error, scope, receive, send)
            return

        async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
            raise refusal

        if scope["type"] == "websocket":
            send = _denying(scope, error, send)
        # Starlette's own, for its ways: sync handlers in threads, handlers that answer nothing.
        await ExceptionMiddleware(refuse, ours)({**scope}, receive, send)

    def problem(self, error: LicenseError, scope: Scope) -> Problem:
        """Return the answer to `error`; in debug mode it tells a client on this machine why."""
        debug: bool = getattr(scope.get("app"), "debug", False)
        peer = (scope.get("client") or (None,))[0]
        return problem(error, self.settings, tell=may_tell(debug, peer))


def _denying(scope: Scope, error: LicenseError, send: Send) -> Send:
    """Return a `send` for a handler's answer to a handshake, also where none can be sent."""
    if "websocket.http.response" in (scope.get("extensions") or ()):
        return send

    async def denying(message: Message) -> None:
        if message["type"] == "websocket.http.response.start":
            code = asgi.POLICY_VIOLATION
            message = {"type": "websocket.close", "code": code, "reason": error.code}
        if message["type"] != "websocket.http.response.body":
            await send(message)

    return denying


def entitlements_of(connection: HTTPConnection) -> Entitlements:
    """Return what `connection`, a `Request` or a `WebSocket`, may do.

    Where no middleware of Licet saw it, that of the `bind` block around, as in tests.

    Raises:
        RuntimeError: there is neither.
    """
    state: dict[str, Any] = connection.scope.get("state") or {}
    entitlements: Entitlements | None = state.get("entitlements")
    return current_entitlements() if entitlements is None else entitlements


def license_context(connection: HTTPConnection) -> dict[str, Any]:
    """Return what templates see: `entitlements`, and `license_banner` for what there is to tell.

    Where no middleware of Licet saw `connection`, nothing is licensed.
    """
    state: dict[str, Any] = connection.scope.get("state") or {}
    found: Entitlements | None = state.get("entitlements")
    if found is None:
        found = find_entitlements()
    return {
        "entitlements": Entitlements.unlicensed() if found is None else found,
        "license_banner": banner(found),
    }
