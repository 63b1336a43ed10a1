"""The middleware of ASGI: judges each connection, and serves it or refuses it."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from functools import lru_cache
from sys import exception
from typing import Any

from licet.asgi.connections import POLICY_VIOLATION, Rechecking, closing
from licet.asgi.facts import ASGIApp, AsgiFacts, Message, Receive, Scope, Send, route_path
from licet.asgi.lifespan import finishing
from licet.core.caching import InGrace, licensed_headers
from licet.core.entitlements import Entitlements
from licet.core.entitlements.context import reset_current, set_current
from licet.core.errors import LicenseError
from licet.core.flow import arun
from licet.core.gates import gate_for
from licet.core.problem import Problem, problem
from licet.core.settings import Settings
from licet.core.settings.spellings import from_options
from licet.core.usage.rates import rate_fields

#: After one of these a refusal can no longer be the answer.
STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


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
        every = self.settings.recheck_every
        self._serve = app if every is None else Rechecking(app, self.gate, every)
        sources = self.gate.sources
        # Fields of which exactly one may be there for the short way; cookies and queries are
        # read on the long one.
        self._fields = {name.encode(): name for name in sources.headers}
        if sources.cookies:
            self._fields[b"cookie"] = "cookie"
        self._tells_rates = self.settings.rate_limit_headers
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
            await self.app(scope, receive, finishing(send))
            return
        try:
            entitlements = self._recall(scope)
            if entitlements is None:
                entitlements = await arun(self.gate.decide(AsgiFacts(scope)))
            source = entitlements.source
            additions = () if source == "authorization" else _encoded(source)
        except Exception as error:
            unlicensed = self.gate.let_pass(error)
            if unlicensed is None:
                await self.respond(self.gate.as_refusal(error), scope, receive, send)
                return
            entitlements, additions = unlicensed, ()
        # A new dict: a server may hand the same `state` to every connection.
        state = scope.get("state")
        ours = {"entitlements": entitlements}
        scope["state"] = {**state, **ours} if state else ours
        started: str | None = None
        tells_rates = self._tells_rates

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
                    if (charges := entitlements.charges) is not None:
                        charges.answered(message.get("status", 101))
                    if additions and kind == "http.response.start":
                        message = _with_headers(message, additions)
                    if tells_rates and (rates := rate_fields(entitlements.rates())):
                        message = _with_headers(message, encoded(rates))
            return send(message)

        token = set_current(entitlements)
        try:
            await self._serve(scope, receive, sending)
        except LicenseError as error:
            if started is None:
                # With what goes with every answer to this license.
                await self.respond(error, scope, receive, sending)
            elif started == "websocket.accept":
                await send(closing(error))
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
            # Servers make 403 of any code: the handshake is not done.
            await send({**closing(error), "code": POLICY_VIOLATION})

    def problem(self, error: LicenseError, scope: Scope) -> Problem:
        """Return the answer to `error`."""
        return problem(error, self.settings)


async def _send_problem(answer: Problem, prefix: str, send: Send) -> None:
    headers = encoded(answer.headers)
    await send({"type": f"{prefix}.start", "status": answer.status, "headers": [*headers]})
    await send({"type": f"{prefix}.body", "body": answer.body})


@lru_cache(maxsize=64)
def _encoded(source: str | InGrace) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header fields of a licensed answer as ASGI has them."""
    return encoded(licensed_headers(source))


def encoded(headers: Iterable[tuple[str, str]]) -> tuple[tuple[bytes, bytes], ...]:
    """Return header fields as ASGI has them."""
    return tuple((name.lower().encode(), value.encode()) for name, value in headers)


def _with_headers(message: Message, additions: Iterable[tuple[bytes, bytes]]) -> Message:
    """Return the start of a response with header fields added, `Vary` beside what is there."""
    headers = list(message.get("headers", ()))
    present = [name.lower() for name, _ in headers]
    headers += [field for field in additions if field[0] == b"vary" or field[0] not in present]
    return {**message, "headers": headers}
