"""A licensed application with a receiver of pushed events, in both protocols, for real servers.

Each answer says which process gave it, and how often that went to the store for it. The options of
Licet come as JSON in the variable `LICENSED_APP`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import licet.asgi
import licet.wsgi
from licet.core.stores import Store
from licet.core.stores.sqlite import SQLiteStore

OPTIONS = json.loads(os.environ["LICENSED_APP"])
STORES: list[type[Store]] = [SQLiteStore]
if OPTIONS["store"].startswith("redis"):
    from licet.core.stores.redis import RedisStore

    STORES.append(RedisStore)

#: How often the request that runs has asked a store.
asked: ContextVar[list[int]] = ContextVar("asked")


def counting(operation: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        if (count := asked.get(None)) is not None:
            count[0] += 1
        return operation(*arguments, **options)

    return counted


for kind in STORES:
    for name in ("get", "announce", "announced", "put", "delete", "set_if_absent", "generation"):
        setattr(kind, name, counting(getattr(kind, name)))


def fields() -> list[tuple[bytes, bytes]]:
    return [(b"x-worker", b"%d" % os.getpid()), (b"x-asked", b"%d" % asked.get()[0])]


async def page(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"licensed"})


def wsgi_page(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    return [b"licensed"]


guarded = licet.asgi.LicenseMiddleware(page, **OPTIONS)
receiver = licet.asgi.WebhookReceiver(**OPTIONS)
wsgi_guarded = licet.wsgi.LicenseMiddleware(wsgi_page, **OPTIONS)
wsgi_receiver = licet.wsgi.WebhookReceiver(**OPTIONS)


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Serve ASGI, without lifespan."""
    asked.set([0])

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *fields()]}
        await send(message)

    await (receiver if scope["path"] == "/pushed" else guarded)(scope, receive, sending)


def wsgi(environ: Any, start_response: Any) -> Any:
    """Serve WSGI."""
    asked.set([0])

    def starting(status: str, headers: Any, exc_info: Any = None) -> Any:
        more = [(name.decode(), value.decode()) for name, value in fields()]
        return start_response(status, [*headers, *more], exc_info)

    app = wsgi_receiver if environ["PATH_INFO"] == "/pushed" else wsgi_guarded
    return app(environ, starting)
