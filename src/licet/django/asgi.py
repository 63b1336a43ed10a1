"""The beginning and the end of a server, of which Django's own ASGI application hears nothing.

    # asgi.py
    from licet.django.asgi import with_lifespan

    application = with_lifespan(get_asgi_application())

Servers tell it by the scope `lifespan`, and then may end their processes by a signal, at which
Python does nothing more: uvicorn does. What is still to be told of usage has its moment here;
without it up to a second's worth is lost when such a server stops. Django refuses the scope itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async

from licet.core import shutdown
from licet.django.conf import licensing

ASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]


def with_lifespan(application: ASGIApp) -> ASGIApp:
    """Return an application that answers the scope `lifespan` of ASGI, and `application` the rest.

    The keys of issuers are fetched ahead when the server starts, and when it stops, what is still
    to be told is told, for two seconds at most.

    Args:
        application: what `django.core.asgi.get_asgi_application` returns, or what stands around it.
    """

    async def served(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await application(scope, receive, send)
            return
        while True:
            word = (await receive())["type"]
            if word == "lifespan.startup":
                licensing().gate.warm()
            else:
                # In a thread of its own, for requests may be under way still.
                await sync_to_async(shutdown.finish, thread_sensitive=False)()
            await send({"type": f"{word}.complete"})
            if word == "lifespan.shutdown":
                return

    return served
