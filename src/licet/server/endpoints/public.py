"""What everybody may read: the keys that verify, whether the server is well, what it speaks."""

from __future__ import annotations

import json
import logging
import sqlite3
from importlib import resources

import anyio
from anyio import Lock, to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from licet.core.clock import Clock
from licet.core.errors import LicetError
from licet.issuer import Issuer
from licet.server.endpoints.bodies import NO_STORE, document
from licet.server.signing.keys import SigningKeys
from licet.server.storage.database import Database

logger = logging.getLogger("licet")

#: Seconds for which one look at the disk answers everybody, and that it may take.
LOOKED, PATIENCE = 1.0, 5.0
#: Seconds for which the description may be cached.
DESCRIBED = 300


class Public:
    """The endpoints without keys.

    Args:
        keys: what is published.
        database: what has to be well.
        clock: by which a look gets old.
        max_age: seconds for which the key set may be cached.
    """

    def __init__(self, keys: SigningKeys, database: Database, clock: Clock, max_age: int) -> None:
        self._keys, self._database, self._clock, self._max_age = keys, database, clock, max_age
        self._published: tuple[Issuer, bytes] | None = None
        self._looking = Lock()
        self._looked_at, self._is_well = -LOOKED, False

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route("/.well-known/jwks.json", self.jwks),
            Route("/healthz", self.healthz),
            Route("/openapi.json", self.openapi),
        ]

    async def jwks(self, request: Request) -> Response:
        issuer = self._keys.issuer
        if self._published is None or self._published[0] is not issuer:
            self._published = issuer, json.dumps(issuer.jwks()).encode()
        body = self._published[1]
        return document(request, body, "application/jwk-set+json", self._max_age)

    async def healthz(self, request: Request) -> Response:
        # Whoever asks all the time, or many times at once, must not keep the disk busy.
        async with self._looking:
            if self._clock.monotonic() >= self._looked_at + LOOKED:
                self._is_well = await self._look()
                self._looked_at = self._clock.monotonic()
        if not self._is_well:
            raise HTTPException(503, "Keys or storage do not answer.")
        return JSONResponse({"status": "ok"}, headers=NO_STORE)

    async def openapi(self, request: Request) -> Response:
        file = resources.files("licet.server") / "openapi.json"
        return document(request, file.read_bytes(), "application/json", DESCRIBED)

    async def _look(self) -> bool:
        try:
            # In a thread: many keys take a while to read.
            await to_thread.run_sync(self._keys.check)
            with anyio.fail_after(PATIENCE):
                await self._database.write(self._touch)
        except (LicetError, sqlite3.Error, TimeoutError) as error:
            logger.error("not well: %s", str(error) or type(error).__name__)
            return False
        return True

    def _touch(self, connection: sqlite3.Connection) -> None:
        # A real change: a full disk takes empty ones.
        connection.execute(
            "INSERT INTO settings (name, value) VALUES ('well_at', ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (str(self._clock.wall()),),
        )
