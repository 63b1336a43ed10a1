"""A vendor's own site, with the license server below it.

    python -m uvicorn --factory app:from_env --port 8000

Whoever needs a license server and nothing beside it types `licet serve` and has no use for this.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from licet.server import Configuration, LicenseServer
from licet.server.running.keyfiles import admin_key


def create_app(configuration: Configuration) -> Starlette:
    """Return the site; `configuration` says where its license server is found, at /licensing."""
    server = LicenseServer(configuration)
    # Made at the first start, in a file of the data directory: it opens everything.
    admin_key(server.api_keys, configuration.data)

    async def settings(request: Request) -> PlainTextResponse:
        """What the application of a customer is configured with."""
        return PlainTextResponse(
            f"LICET_ISSUER={server.issuer}\nLICET_AUDIENCE={server.audience}\n"
        )

    @asynccontextmanager
    async def lifespan(site: Starlette) -> AsyncIterator[None]:
        # What is mounted is not started by itself; without it nobody is told of anything.
        with server:
            async with server.app.router.lifespan_context(server.app):
                yield

    routes = [Route("/settings.env", settings), Mount("/licensing", server.app)]
    return Starlette(routes=routes, lifespan=lifespan)


def from_env(environ: Mapping[str, str] = os.environ) -> Starlette:
    """Return the site as LICENSE_SERVER_… variables have it."""
    return create_app(
        Configuration(
            data=Path(environ.get("LICENSE_SERVER_DATA", "licet-server")),
            issuer=environ.get("LICENSE_SERVER_ISSUER", "http://127.0.0.1:8000/licensing"),
            audience=environ.get("LICENSE_SERVER_AUDIENCE", "acme-reports"),
            # Private keys are in the database then, sealed; without it in issuer.json beside it.
            passphrase=environ.get("LICENSE_SERVER_PASSPHRASE"),
        )
    )
