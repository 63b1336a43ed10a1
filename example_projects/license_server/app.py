"""A license server in its first form: it issues licenses, and says whether they hold.

Trusts the admin key for everything below /v1, the validation key for the one question whether a
license holds, and nobody for anything else; the key set is public. Run it from the directory above
with `LICENSE_SERVER_ADMIN_KEY=… python -m license_server` or `uvicorn --factory
license_server.app:from_env`. One process: with a key file that file is the truth, and is written
before a new key signs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from licet.issuer import Issuer, KeyFileError

from .register import ACTIVE, REVOKED, SUSPENDED, Register

MAX_BODY = 64 * 1024
MEMBERS = frozenset(
    "customer plan features limits roles scope audience expires_in trial grace"
    " domains ip_ranges regions time_windows cnf must_understand key".split()
)
QUESTION = frozenset(("licenseKey", "audience", "nonce", "domain"))
NO_STORE = {"Cache-Control": "no-store"}


class KeyHolders:
    """Lets nobody in without the key (RFC 6750).

    Args:
        key: a secret.
        name: what it is called to whoever does not have it.
    """

    def __init__(self, app: ASGIApp, key: str, name: str) -> None:
        self.app, self.name = app, name
        self.expected = f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        presented = Headers(scope=scope).getlist("authorization")
        value = presented[0].encode("latin-1") if len(presented) == 1 else b""
        if not hmac.compare_digest(value, self.expected):
            raise HTTPException(401, f"The {self.name} is wrong.", {"WWW-Authenticate": "Bearer"})
        await self.app(scope, receive, send)


class LicenseServer:
    """The endpoints, over one issuer."""

    def __init__(
        self, issuer: Issuer, audience: str, register: Register, max_age: int, key_path: Path | None
    ) -> None:
        self.issuer, self.audience, self.register = issuer, audience, register
        self.max_age, self.key_path = max_age, key_path
        self.changing = Lock()
        if key_path is not None and not key_path.exists():
            issuer.save(key_path)

    async def jwks(self, request: Request) -> Response:
        body = json.dumps(self.issuer.jwks()).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"ETag": etag, "Cache-Control": f"public, max-age={self.max_age}"}
        known = {tag.strip() for tag in request.headers.get("if-none-match", "").split(",")}
        # Weak comparison (RFC 9110, section 13.1.2).
        if known & {etag, f"W/{etag}", "*"}:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/jwk-set+json")

    async def issue(self, request: Request) -> Response:
        body = await read_object(request, MEMBERS)
        keyed = body.pop("key", False)
        if not isinstance(keyed, bool):
            raise HTTPException(400, "key is true or false.")
        license_id = f"lic_{secrets.token_hex(12)}"
        try:
            token = self.issuer.issue(**{"audience": self.audience, "subject": license_id, **body})
        except (TypeError, ValueError) as error:
            raise HTTPException(400, str(error)) from None
        key = self.register.add(token, keyed=keyed)
        answer = {"id": license_id, "token": token} | ({"key": key} if key else {})
        return JSONResponse(answer, 201, NO_STORE)

    async def revoke(self, request: Request) -> Response:
        return await self.change_state(request, REVOKED)

    async def suspend(self, request: Request) -> Response:
        return await self.change_state(request, SUSPENDED)

    async def resume(self, request: Request) -> Response:
        return await self.change_state(request, ACTIVE)

    async def change_state(self, request: Request, state: str) -> Response:
        if not is_text(*(await read_object(request, frozenset(["reason"]))).values()):
            raise HTTPException(400, "reason is ASCII text.")
        license_id = request.path_params["id"]
        license_ = self.register.licenses.get(license_id)
        if license_ is None:
            raise HTTPException(404, "There is no such license.")
        if license_.state == REVOKED != state:
            raise HTTPException(409, "A revoked license stays revoked: issue another one.")
        license_.state = state
        return JSONResponse({"id": license_id, "state": state})

    async def validate(self, request: Request) -> Response:
        asked = await read_object(request, QUESTION)
        if not is_text(*asked.values()) or not asked.keys() >= QUESTION - {"domain"}:
            raise HTTPException(400, "licenseKey, audience, nonce and any domain are ASCII text.")
        answer = self.register.answer(
            self.issuer, asked["licenseKey"], asked["audience"], asked.get("domain")
        )
        signed = self.issuer.sign(
            {**answer, "nonce": asked["nonce"]}, header={"typ": "license-validation+jwt"}
        )
        return Response(signed, headers=NO_STORE, media_type="application/jwt")

    # The next three use the disk: plain functions, which Starlette calls in threads.
    def rotate(self, request: Request) -> Response:
        return JSONResponse({"kid": self.change(Issuer.rotate), **self.listing()})

    def retire(self, request: Request) -> Response:
        kid = request.path_params["kid"]
        if kid not in self.issuer.kids:
            raise HTTPException(404, "There is no such key.")
        self.change(lambda issuer: issuer.retire(kid))
        return JSONResponse(self.listing())

    def healthz(self, request: Request) -> Response:
        self.current()
        return JSONResponse({"status": "ok"})

    async def keys(self, request: Request) -> Response:
        return JSONResponse(self.listing())

    def listing(self) -> dict[str, Any]:
        issuer = self.issuer
        keys = [(key["kid"], key["alg"]) for key in issuer.jwks()["keys"]]
        return {"keys": [{"kid": k, "alg": alg, "signing": k == keys[-1][0]} for k, alg in keys]}

    def change(self, act: Callable[[Issuer], Any]) -> Any:
        """Do `act` to the issuer, on disk first where there is a key file."""
        with self.changing:
            changed = self.current()
            try:
                result = act(changed)
            except (KeyError, ValueError) as error:
                raise HTTPException(409, str(error.args[0])) from None
            if self.key_path is not None:
                changed.save(self.key_path)
            self.issuer = changed
            return result

    def current(self) -> Issuer:
        """Return the issuer as it is on disk, where there is a key file."""
        try:
            return self.issuer if self.key_path is None else Issuer.load(self.key_path)
        except (OSError, KeyFileError):
            raise HTTPException(503, "The key file cannot be used.") from None


async def read_object(request: Request, members: frozenset[str]) -> dict[str, Any]:
    """Return the JSON object that is the body; no body is one without members."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY:
            raise HTTPException(413, f"The body has more than {MAX_BODY} bytes.")
    try:
        body = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is not JSON.") from None
    if not isinstance(body, dict) or not members.issuperset(body):
        raise HTTPException(400, f"The body is a JSON object of {', '.join(sorted(members))}.")
    return body


def is_text(*values: object) -> bool:
    """Return whether each of them is ASCII text."""
    return all(isinstance(value, str) and value.isascii() for value in values)


def problem(request: Request, error: Exception) -> Response:
    """Render an error as RFC 9457 problem details."""
    if not isinstance(error, HTTPException):
        error = HTTPException(500, "The server could not do this.")
    status = error.status_code
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body["detail"] = error.detail
    return JSONResponse(body, status, error.headers, "application/problem+json")


def create_app(
    issuer: Issuer,
    admin_key: str,
    audience: str,
    *,
    validation_key: str | None = None,
    max_age: int = 60,
    cache_for: int = 3600,
    key_path: str | os.PathLike[str] | None = None,
) -> Starlette:
    """Make the application.

    Args:
        issuer: whose keys sign.
        admin_key: for everything below /v1; 16 printable ASCII characters or more, else ValueError.
        audience: the product that licenses are for where a request names none.
        validation_key: for applications that ask whether a license holds, of the same form; without
            it nobody can ask.
        max_age: seconds for which the key set may be cached.
        cache_for: seconds for which a yes may be relied on.
        key_path: where the issuer's keys are kept across restarts.
    """
    check_key("admin key", admin_key)
    path = Path(key_path) if key_path else None
    server = LicenseServer(issuer, audience, Register(cache_for), max_age, path)
    admin = [
        Route("/licenses", server.issue, methods=["POST"]),
        Route("/licenses/{id}/revoke", server.revoke, methods=["POST"]),
        Route("/licenses/{id}/suspend", server.suspend, methods=["POST"]),
        Route("/licenses/{id}/resume", server.resume, methods=["POST"]),
        Route("/keys", server.keys),
        Route("/keys/rotate", server.rotate, methods=["POST"]),
        Route("/keys/{kid}/retire", server.retire, methods=["POST"]),
    ]
    routes: list[BaseRoute] = [
        Route("/.well-known/jwks.json", server.jwks),
        Route("/healthz", server.healthz),
    ]
    if validation_key is not None:
        check_key("validation key", validation_key)
        if validation_key == admin_key:
            raise ValueError("the validation key is handed out: it must not be the admin key")
        asking = Middleware(KeyHolders, key=validation_key, name="validation key")
        validate = Route(
            "/v1/licenses/validate", server.validate, methods=["POST"], middleware=[asking]
        )
        routes.append(validate)
    vendor = Middleware(KeyHolders, key=admin_key, name="admin key")
    routes.append(Mount("/v1", routes=admin, middleware=[vendor]))
    handlers = {HTTPException: problem, Exception: problem}
    return Starlette(routes=routes, exception_handlers=handlers)


def check_key(name: str, key: str) -> None:
    if len(key) < 16 or not key.isascii() or not key.isprintable():
        raise ValueError(f"the {name} needs 16 printable ASCII characters or more")


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
        key_path=key_path,
    )
