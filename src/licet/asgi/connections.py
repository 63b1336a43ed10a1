"""Websockets and event streams that end with their license (`recheck_every`).

The application runs in the task of its request, as without Licet; beside it a task looks at the
license while the connection is open. When that no longer holds, the application finds its
connection as if the client had left: `receive` returns a disconnect, `send` raises an `OSError`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from anyio import (
    CancelScope,
    Event,
    create_task_group,
    get_cancelled_exc_class,
    move_on_after,
    sleep,
)

from licet.asgi.facts import ASGIApp, AsgiFacts, Message, Receive, Scope, Send, route_path
from licet.core.connections import Recheck, ends_with_license, is_event_stream
from licet.core.entitlements import Entitlements
from licet.core.errors import LicenseError
from licet.core.flow import arun
from licet.core.gate import Gate

#: Close codes of websockets: policy refuses it (RFC 6455, section 7.4.1); try again later
#: (registered with IANA).
POLICY_VIOLATION, TRY_AGAIN_LATER = 1008, 1013
#: Seconds that a client is given to take what is being sent, and then an application to end.
MOMENT = 1.0
DISCONNECTS = frozenset({"http.disconnect", "websocket.disconnect"})


class ConnectionEnded(OSError):
    """Raised by `send`: the connection has ended with its license (ASGI: Disconnected Client)."""


def closing(error: LicenseError) -> Message:
    """Return what closes an open websocket because of `error`."""
    code = TRY_AGAIN_LATER if error.status == 503 else POLICY_VIOLATION
    return {"type": "websocket.close", "code": code, "reason": error.code}


class Rechecking:
    """Serves `app` behind the middleware, and ends what stays open when its license ends.

    Args:
        app: the application.
        gate: what judged the connections.
        every: seconds between two looks at a license.
    """

    def __init__(self, app: ASGIApp, gate: Gate, every: float) -> None:
        self._app = app
        self._gate = gate
        self._every = every

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, which the middleware let through."""
        entitlements: Entitlements = scope["state"]["entitlements"]
        if not ends_with_license(self._gate, entitlements, route_path(scope)):
            await self._app(scope, receive, send)
            return
        # A copy: applications write into their scope.
        facts = AsgiFacts({**scope})
        recheck = Recheck(self._gate, entitlements, facts, self._every)
        await _Connection(scope["type"], recheck, receive, send).serve(self._app, scope)


class _Connection:
    """One connection, watched from the moment on at which it is known to stay open."""

    __slots__ = (
        "_ended",
        "_failed",
        "_group",
        "_is_over",
        "_is_watched",
        "_kind",
        "_receive",
        "_recheck",
        "_returned",
        "_send",
        "_sending",
        "_sent",
        "_waiting",
    )

    def __init__(self, kind: str, recheck: Recheck, receive: Receive, send: Send) -> None:
        self._kind = kind
        self._recheck = recheck
        self._receive = receive
        self._send = send
        self._group = create_task_group()
        self._is_watched = False
        #: Whether the application has closed it, or knows that the client has left.
        self._is_over = False
        #: Once it has ended with its license: what the application receives.
        self._ended: Message | None = None
        #: What the server made of its end.
        self._failed: Exception | None = None
        #: What waits in `receive`, and how many messages are on their way to the client.
        self._waiting: set[CancelScope] = set()
        self._sending = 0
        #: Set when no message is on its way, and when the application has returned.
        self._sent: Event | None = None
        self._returned: Event | None = None

    async def serve(self, app: ASGIApp, scope: Scope) -> None:
        """Serve the connection; what the application raises comes out as it is."""
        raised: BaseException | None = None
        async with self._group as group:
            try:
                await app(scope, self.receive, self.send)
            except BaseException as error:
                # A cancellation is for the group to judge, and a coroutine that was given up is not
                # to wait for anything.
                if isinstance(error, GeneratorExit) or _is_cancellation(error):
                    raise
                # Out of the group it would come as one of several.
                raised = error
            if self._is_watched:
                if self._returned is not None:
                    self._returned.set()
                # Its last words are shielded.
                group.cancel_scope.cancel()
        if raised is not None and self._ended is not None and _is_echo(raised):
            raised = None
        raised = raised or self._failed
        try:
            if raised is not None:
                raise raised
        finally:
            # Its trace holds this frame.
            del raised

    # -- what the application calls --------------------------------------------------------------

    async def receive(self) -> Message:
        """Return what the client says; a disconnect once the connection has ended."""
        if self._ended is not None:
            return {**self._ended}
        message: Message = {}
        with CancelScope() as waiting:
            self._waiting.add(waiting)
            try:
                message = await self._receive()
            finally:
                self._waiting.discard(waiting)
        if self._ended is not None:
            return {**self._ended}
        if message["type"] in DISCONNECTS:
            self._is_over = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Hand a message on; raises `ConnectionEnded` once the connection has ended."""
        if self._is_watched:
            return self._pass(message)
        kind = message["type"]
        if kind == "websocket.accept" or (
            kind == "http.response.start" and _stays_open(message.get("headers", ()))
        ):
            return self._open(message)
        return self._send(message)

    async def _open(self, message: Message) -> None:
        await self._send(message)
        self._is_watched = True
        self._group.start_soon(self._watch)

    async def _pass(self, message: Message) -> None:
        is_last = message["type"] == "websocket.close" or (
            message["type"] == "http.response.body" and not message.get("more_body", False)
        )
        if self._ended is not None:
            if is_last:
                return
            raise ConnectionEnded("the connection has ended with its license")
        self._is_over = self._is_over or is_last
        self._sending += 1
        try:
            await self._send(message)
        finally:
            self._sending -= 1
            if self._sent is not None and not self._sending:
                self._sent.set()

    # -- the watch -------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look at the license until it no longer holds, and end the connection then."""
        while True:
            await sleep(self._recheck.pause())
            error = await arun(self._recheck.objection())
            if self._is_over:
                return
            if error is not None:
                break
        # The application may return at once, and then this task is cancelled.
        with CancelScope(shield=True):
            await self._end(error)
        self._group.cancel_scope.cancel()

    async def _end(self, error: LicenseError) -> None:
        last, self._ended = _ending(self._kind, error)
        for waiting in self._waiting:
            waiting.cancel()
        returned = self._returned = Event()
        with move_on_after(MOMENT):
            if self._sending:
                # Two messages at once is more than servers promise; and it may never be taken.
                self._sent = Event()
                await self._sent.wait()
            try:
                await self._send(last)
            except OSError:
                pass  # the client has left at the same moment
            except Exception as failure:
                self._failed = failure
        with move_on_after(MOMENT):
            await returned.wait()


def _ending(kind: str, error: LicenseError) -> tuple[Message, Message]:
    """Return what ends a connection, for the client and for the application."""
    if kind == "http":
        return {"type": "http.response.body", "more_body": False}, {"type": "http.disconnect"}
    close = closing(error)
    return close, {**close, "type": "websocket.disconnect"}


def _stays_open(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    for name, value in headers:
        if name.lower() == b"content-type" and is_event_stream(value.decode("latin-1")):
            return True
    return False


def _is_cancellation(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_cancellation, error.exceptions))
    return isinstance(error, get_cancelled_exc_class())


def _is_echo(error: BaseException) -> bool:
    """Whether this is nothing but what the end of the license says to an application."""
    if isinstance(error, ExceptionGroup):
        return all(map(_is_echo, error.exceptions))
    return isinstance(error, ConnectionEnded | LicenseError)
