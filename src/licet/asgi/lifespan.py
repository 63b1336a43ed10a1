"""The end of a server, which tells its applications before it stops.

Servers end their processes by a signal, at which Python does nothing more: what is still to be told
(`core.shutdown`) has its moment here.
"""

from __future__ import annotations

import anyio.to_thread

from licet.asgi.facts import Message, Send
from licet.core import shutdown

_ENDS = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})


def finishing(send: Send) -> Send:
    """Return a `send` for the scope `lifespan` that lets everything finish before the last word."""

    async def sending(message: Message) -> None:
        if message["type"] in _ENDS:
            await anyio.to_thread.run_sync(shutdown.finish)
        await send(message)

    return sending
