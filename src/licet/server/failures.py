"""What is answered, and what the log says, when something fails that nobody has thought of.

The answer says nothing about it. The log names the kind of error and the line that raised it,
and not its message, which may quote what it failed on.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from licet.server.endpoints.bodies import problem

logger = logging.getLogger("licet")

#: Seconds after which what has failed behind the requests begins again.
PAUSE = 10.0


class Failures:
    """Answers where the application fails; a pure ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            # Nobody is there to be answered.
            return
        except Exception as error:
            report(error)
            if begun:
                # The answer must not look whole.
                raise ConnectionAbortedError("the answer broke off") from None
            await problem(Request(scope), error)(scope, receive, send)


async def lasting(run: Callable[[], Awaitable[None]]) -> None:
    """Do what is to be done behind the requests, until cancelled; begin again where it fails."""
    while True:
        try:
            await run()
        except Exception as error:
            report(error)
        await anyio.sleep(PAUSE)


def report(error: Exception) -> None:
    """Log an error that nobody has thought of, without what it says."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    logger.error("failed: %s at %s:%s", type(error).__name__, last.filename, last.lineno)
