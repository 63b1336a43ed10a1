"""An application that uses its license, once in each protocol, for servers of their own.

The options of Licet come as JSON in the variable `LICENSED_APP`.
"""

from __future__ import annotations

import json
import os
from typing import Any

from licet import aconsume, consume
from licet.asgi import LicenseMiddleware as AsgiMiddleware
from licet.wsgi import LicenseMiddleware as WsgiMiddleware

OPTIONS = json.loads(os.environ["LICENSED_APP"])


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
        return
    await aconsume("apiCalls", int(scope["path"][1:]))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"licensed"})


def _wsgi(environ: Any, start_response: Any) -> Any:
    consume("apiCalls", int(environ["PATH_INFO"][1:]))
    start_response("200 OK", [("Content-Length", "8"), ("X-Process", str(os.getpid()))])
    return [b"licensed"]


def flask() -> Any:
    """Return the same in Flask."""
    from flask import Flask

    from licet.flask import Licet

    app = Flask(__name__)

    @app.get("/<int:amount>")
    def use(amount: int) -> str:
        consume("apiCalls", amount)
        return "licensed"

    Licet(app, **OPTIONS)
    return app


asgi = AsgiMiddleware(_asgi, **OPTIONS)
wsgi = WsgiMiddleware(_wsgi, **OPTIONS)
