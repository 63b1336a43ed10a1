"""The receiver of pushed events as an ASGI application of its own.

    Route("/licet/webhooks", WebhookReceiver(settings))       # Starlette: this path and no other

It looks at no path: whoever mounts it says where it is. Behind `LicenseMiddleware` its path belongs
into `exempt_paths`, for the license server presents no license.
"""

from __future__ import annotations

from typing import Any

from licet.asgi.connections import POLICY_VIOLATION
from licet.asgi.facts import AsgiFacts, Receive, Scope, Send
from licet.core.flow import arun
from licet.core.gates import gate_for
from licet.core.problem import Problem
from licet.core.revocation.reception import MAX_BODY, Reception
from licet.core.settings import Settings
from licet.core.settings.spellings import from_options


class WebhookReceiver:
    """Takes the events that a license server pushes (Standard Webhooks).

    What is said is in force on the next request of every middleware of this process with the same
    settings, and within seconds wherever `store` or `license_state` is shared. A middleware with
    other settings and no such thing in common never hears of it.

    Args:
        settings: those of the middleware, `webhook_receive_secret` among them.
        options: the fields of `Settings`, instead of `settings`.

    Raises:
        ConfigError: settings that cannot work, or no secret.
    """

    def __init__(self, settings: Settings | None = None, **options: Any) -> None:
        self.settings = from_options(settings, options)
        self._reception = Reception(gate_for(self.settings))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one delivery, or refuse it."""
        kind = scope["type"]
        if kind == "http":
            answer = await self._respond(scope, receive)
            if answer is not None:
                await _send(answer, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        elif kind == "lifespan":
            await _live(receive, send)
        else:
            raise RuntimeError(f"Licet cannot tell what a scope of type {kind!r} is")

    async def _respond(self, scope: Scope, receive: Receive) -> Problem | None:
        """Return the answer, None where nobody waits for one any more."""
        facts = AsgiFacts(scope)
        refusal = self._reception.head(facts.method, facts.fields)
        if refusal is not None:
            return refusal
        body, more = bytearray(), True
        while more and len(body) <= MAX_BODY:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            # Never more of it than shows that it is too much.
            body += message.get("body", b"")[: MAX_BODY + 1 - len(body)]
            more = message.get("more_body", False)
        return await arun(self._reception.take(facts.fields, bytes(body)))


async def _send(answer: Problem, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _live(receive: Receive, send: Send) -> None:
    """Say that there is nothing to start and nothing to stop."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
