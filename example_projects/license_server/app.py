"""A license server in its first form: it issues licenses, and says whether they hold.

Trusts the admin key for what a vendor does, the validation key for the one question whether a
license holds, a license for its own renewal, and nobody for anything else; the key set and the
status list are public. Run it from the directory above with `LICENSE_SERVER_ADMIN_KEY=… python -m
license_server` or `uvicorn --factory license_server.app:from_env`. One process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route

from licet.issuer import Issuer

from .access import KeyHolders, check_key
from .bodies import problem
from .keys import Keys
from .licenses import Licenses
from .register import Register
from .statuslist import StatusList
from .webhooks import Webhooks


def create_app(
    issuer: Issuer,
    admin_key: str,
    audience: str,
    *,
    validation_key: str | None = None,
    max_age: int = 60,
    cache_for: int = 3600,
    status_ttl: int = 300,
    url: str = "",
    key_path: str | os.PathLike[str] | None = None,
) -> Starlette:
    """Make the application.

    Args:
        issuer: whose keys sign.
        admin_key: for everything that a vendor does; 16 printable ASCII characters or more, else
            ValueError.
        audience: the product that licenses are for where a request names none.
        validation_key: for applications that ask whether a license holds, of the same form; without
            it nobody can ask.
        max_age: seconds for which the key set may be cached.
        cache_for: seconds for which a yes may be relied on.
        status_ttl: seconds for which a copy of the status list is fresh.
        url: where applications find this server; where the vendor finds it, if not given.
        key_path: where the issuer's keys are kept across restarts.
    """
    check_key("admin key", admin_key)
    webhooks = Webhooks()
    keys = Keys(issuer, Path(key_path) if key_path else None, max_age, webhooks)
    licenses = Licenses(keys, audience, Register(cache_for), StatusList(status_ttl), webhooks, url)
    routes: list[BaseRoute] = [
        Route("/.well-known/jwks.json", keys.jwks),
        Route("/healthz", keys.healthz),
        Route("/status/{number}", licenses.status),
        Route("/v1/licenses/refresh", licenses.refresh, methods=["POST"]),
    ]
    if validation_key is not None:
        check_key("validation key", validation_key)
        if validation_key == admin_key:
            raise ValueError("the validation key is handed out: it must not be the admin key")
        asking = Middleware(KeyHolders, key=validation_key, name="validation key")
        validate = Route(
            "/v1/licenses/validate", licenses.validate, methods=["POST"], middleware=[asking]
        )
        routes.append(validate)
    admin = [
        Route("/licenses", licenses.issue, methods=["POST"]),
        Route("/licenses/{id}/revoke", licenses.revoke, methods=["POST"]),
        Route("/licenses/{id}/suspend", licenses.suspend, methods=["POST"]),
        Route("/licenses/{id}/resume", licenses.resume, methods=["POST"]),
        Route("/keys", keys.keys),
        Route("/keys/rotate", keys.rotate, methods=["POST"]),
        Route("/keys/{kid}/retire", keys.retire, methods=["POST"]),
        Route("/webhooks", webhooks.put, methods=["PUT"]),
    ]
    vendor = Middleware(KeyHolders, key=admin_key, name="admin key")
    routes.append(Mount("/v1", routes=admin, middleware=[vendor]))
    handlers = {HTTPException: problem, Exception: problem}
    return Starlette(routes=routes, exception_handlers=handlers)


def from_env(environ: Mapping[str, str] = os.environ) -> Starlette:
    """Make the application from LICENSE_SERVER_… variables."""
    admin_key = environ.get("LICENSE_SERVER_ADMIN_KEY")
    if not admin_key:
        raise SystemExit("set LICENSE_SERVER_ADMIN_KEY to a secret of 16 characters or more")
    key_path = environ.get("LICENSE_SERVER_KEY_FILE") or None
    name = environ.get("LICENSE_SERVER_ISSUER", "http://127.0.0.1:8000")
    kept = key_path if key_path and Path(key_path).exists() else None
    return create_app(
        Issuer.load(kept) if kept else Issuer.generate(name),
        admin_key,
        environ.get("LICENSE_SERVER_AUDIENCE", "acme-reports"),
        validation_key=environ.get("LICENSE_SERVER_VALIDATION_KEY") or None,
        max_age=int(environ.get("LICENSE_SERVER_MAX_AGE", "60")),
        cache_for=int(environ.get("LICENSE_SERVER_CACHE_FOR", "3600")),
        status_ttl=int(environ.get("LICENSE_SERVER_STATUS_TTL", "300")),
        url=environ.get("LICENSE_SERVER_URL", ""),
        key_path=key_path,
    )
