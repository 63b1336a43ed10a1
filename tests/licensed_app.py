"""An application behind Licet, once in each protocol, for servers that are processes of their own.

The options of Licet come as JSON in the variable `LICENSED_APP`. Below `/secure` a license counts
over HTTPS alone.
"""

from __future__ import annotations

import json
import os
from typing import Any

from licet.asgi import LicenseMiddleware as AsgiMiddleware
from licet.wsgi import LicenseMiddleware as WsgiMiddleware

OPTIONS = json.loads(os.environ["LICENSED_APP"])
SECURE = {**OPTIONS, "require_https": True}


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"licensed"})


def _wsgi(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Length", "8")])
    return [b"licensed"]


_ASGI = {"/": AsgiMiddleware(_asgi, **OPTIONS), "/secure": AsgiMiddleware(_asgi, **SECURE)}
_WSGI = {"/": WsgiMiddleware(_wsgi, **OPTIONS), "/secure": WsgiMiddleware(_wsgi, **SECURE)}


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Serve ASGI; nothing is to be done when the server starts or stops."""
    if scope["type"] != "lifespan":
        await _ASGI[scope["path"]](scope, receive, send)
        return
    for _ in range(2):
        message = await receive()
        await send({"type": f"{message['type']}.complete"})


def wsgi(environ: Any, start_response: Any) -> Any:
    """Serve WSGI."""
    return _WSGI[environ["PATH_INFO"]](environ, start_response)
