"""The license server: what it is made of, in the order in which its parts need each other.

It trusts its configuration, its data directory and whoever brings a key of it; a license for its
own renewal, and nobody for anything else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from types import TracebackType
from typing import Self

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.server import usage
from licet.server.access.apikeys import ApiKeys
from licet.server.access.doors import WRONG_RATE, Doors
from licet.server.access.pace import Pace
from licet.server.configuration import Configuration
from licet.server.endpoints.address import Address
from licet.server.endpoints.audit import Audit
from licet.server.endpoints.bodies import HANDLERS, problem
from licet.server.endpoints.issuance import Issuance
from licet.server.endpoints.keys import Keys
from licet.server.endpoints.licenses import Licenses
from licet.server.endpoints.public import Public
from licet.server.endpoints.renewal import Renewal
from licet.server.endpoints.status import Status
from licet.server.endpoints.usage import Usage
from licet.server.endpoints.validation import Validation
from licet.server.endpoints.validation_keys import ValidationKeys
from licet.server.endpoints.webhooks import Webhooks
from licet.server.errors import ServerError
from licet.server.failures import Failures, lasting
from licet.server.licenses.catalogue import Catalogue
from licet.server.licenses.changes import Changes
from licet.server.licenses.credentials import Credentials
from licet.server.licenses.register import Register
from licet.server.licenses.sightings import Sightings
from licet.server.licenses.statuslists import StatusLists
from licet.server.notices import Notices
from licet.server.running.lock import held
from licet.server.settlement import settle
from licet.server.signing.keys import SigningKeys
from licet.server.signing.places import KeyFile, Place, SealedKeys
from licet.server.signing.vault import Vault
from licet.server.storage.database import Database, StorageError
from licet.server.webhooks.deliveries import Deliveries
from licet.server.webhooks.receivers import Receivers


class LicenseServer:
    """A license server that is ready to answer, on whatever serves its `app`.

    One process has it at a time. It is its own context manager, which closes it.

    Args:
        configuration: how it runs.
        clock: by which licenses end, and everything else happens.

    Raises:
        ServerError: it cannot run so; says why, and what to do.

    Attributes:
        issuer: the `iss` of its licenses.
        audience: the product that they are for where nobody names another.
        address: where applications find it.
        vault: what seals secrets; None where private keys are in a file.
        database: what everything is kept in.
        signing_keys: the keys that sign.
        api_keys: the keys that callers bring.
        app: the application, with a lifespan.
    """

    def __init__(self, configuration: Configuration, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.configuration, self._clock = configuration, clock
        with _stored(configuration), ExitStack() as opened:
            opened.enter_context(held(configuration.data))
            self.database = Database(configuration.data / "licet.db")
            opened.callback(self.database.close)
            settled = self.database.write_now(lambda connection: settle(connection, configuration))
            self.issuer, self.audience = settled.issuer, settled.audience
            self.address = Address(configuration.url, self.issuer)
            self.vault = _vault(configuration, settled.salt)
            self.signing_keys = SigningKeys(
                self.issuer,
                configuration.algorithm,
                _place(configuration, self.issuer, self.vault),
                self.database,
                clock=clock,
            )
            self.api_keys = ApiKeys(self.database, clock=clock)
            self._doors = Doors(
                self.api_keys,
                Pace(configuration.validation_rate, clock=clock),
                Pace(WRONG_RATE, clock=clock),
            )
            self._sightings = Sightings(self.database, clock)
            opened.callback(self._sightings.flush)
            self._notices = Notices(self.database, clock, self.issuer)
            self._receivers = Receivers(self.database, self.vault)
            self._deliveries = Deliveries(self.database, self._receivers, clock)
            self.app = self._application()
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Carry out what waits, and close what is open."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _application(self) -> Starlette:
        configuration, database, clock = self.configuration, self.database, self._clock
        keys, doors, sightings = self.signing_keys, self._doors, self._sightings
        changes = Changes(clock)
        register = Register(database, changes)
        lists = StatusLists(database, keys, configuration.status_ttl, changes, clock)
        credentials = Credentials(keys, register)
        validation = Validation(
            keys,
            credentials,
            changes,
            sightings,
            self._notices,
            audience=self.audience,
            cache_for=configuration.cache_for,
            clock=clock,
        )
        issuance = Issuance(
            keys, register, lists, audience=self.audience, address=self.address, clock=clock
        )
        catalogue = Catalogue(database, sightings)
        licenses = Licenses(register, catalogue, issuer=self.issuer, clock=clock)
        renewal = Renewal(keys, credentials, register, address=self.address, clock=clock)
        app = Starlette(
            routes=[
                *Public(keys, database, clock, configuration.jwks_max_age).routes(),
                *Status(lists).routes(),
                *renewal.routes(),
                *validation.routes(doors),
                *Usage(database, clock, self.issuer).routes(doors),
                *issuance.routes(doors),
                *licenses.routes(doors),
                *Keys(keys).routes(doors),
                *ValidationKeys(self.api_keys).routes(doors),
                *Webhooks(self._receivers, clock).routes(doors),
                *Audit(database).routes(doors),
            ],
            middleware=[Middleware(Failures)],
            exception_handlers={**HANDLERS, 405: _not_allowed},
            lifespan=self._lifespan,
        )
        # An address has one spelling.
        app.router.redirect_slashes = False
        return app

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as behind:
            behind.start_soon(lasting, self._deliveries.run)
            behind.start_soon(lasting, self._notices.run)
            behind.start_soon(lasting, partial(usage.sweeping, self.database, self._clock))
            yield
            behind.cancel_scope.cancel()
        self._sightings.flush()


@contextmanager
def _stored(configuration: Configuration) -> Iterator[None]:
    """Say in what way the storage ends a start."""
    try:
        yield
    except (StorageError, sqlite3.Error) as error:
        remedy = "see to the disk, or put a backup in the place of licet.db"
        raise ServerError(f"{configuration.data} cannot be used ({error})", remedy) from None


def _place(configuration: Configuration, issuer: str, vault: Vault | None) -> Place:
    if vault is not None:
        return SealedKeys(vault)
    return KeyFile(configuration.key_path, issuer)


def _vault(configuration: Configuration, salt: bytes) -> Vault | None:
    if configuration.passphrase is not None:
        return Vault.from_passphrase(configuration.passphrase, salt)
    if configuration.unlock_file is not None:
        return Vault.from_file(configuration.unlock_file)
    return None


def _not_allowed(request: Request, error: Exception) -> Response:
    """Say which methods an address has; several routes may share it."""
    routes = [
        route
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    ]
    # The first is the address; what else fits is one with a name in its place.
    methods = {
        method for route in routes if route.path == routes[0].path for method in route.methods or ()
    }
    allowed = {"Allow": ", ".join(sorted(methods))}
    return problem(request, HTTPException(405, "This address takes other methods.", allowed))
