"""A license server in its first form: keys, rotation, and licenses for whoever has the admin key.

Trusts the admin key for everything below /v1 and nobody for anything else; the key set is public.
Run it with `LICENSE_SERVER_ADMIN_KEY=… python app.py` or `uvicorn --factory app:from_env`. One
process: with a key file that file is the truth, and is written before a new key signs.
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
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from licet.issuer import Issuer, KeyFileError

MAX_BODY = 64 * 1024
MEMBERS = frozenset(
    "customer plan features limits roles scope audience expires_in trial grace"
    " domains ip_ranges regions time_windows cnf must_understand".split()
)


class AdminOnly:
    """Lets nobody in without the admin key (RFC 6750)."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self.app = app
        self.expected = f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        presented = Headers(scope=scope).getlist("authorization")
        value = presented[0].encode("latin-1") if len(presented) == 1 else b""
        if not hmac.compare_digest(value, self.expected):
            raise HTTPException(401, "The admin key is wrong.", {"WWW-Authenticate": "Bearer"})
        await self.app(scope, receive, send)


class LicenseServer:
    """The endpoints, over one issuer."""

    def __init__(self, issuer: Issuer, audience: str, max_age: int, key_path: Path | None) -> None:
        self.issuer, self.audience = issuer, audience
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
        content = b""
        async for chunk in request.stream():
            content += chunk
            if len(content) > MAX_BODY:
                raise HTTPException(413, f"The body has more than {MAX_BODY} bytes.")
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            raise HTTPException(400, "The body is not JSON.") from None
        if not isinstance(body, dict) or not MEMBERS.issuperset(body):
            raise HTTPException(400, f"The body is a JSON object of {', '.join(sorted(MEMBERS))}.")
        license_id = f"lic_{secrets.token_hex(12)}"
        try:
            token = self.issuer.issue(**{"audience": self.audience, "subject": license_id, **body})
        except (TypeError, ValueError) as error:
            raise HTTPException(400, str(error)) from None
        return JSONResponse({"id": license_id, "token": token}, 201, {"Cache-Control": "no-store"})

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
    max_age: int = 60,
    key_path: str | os.PathLike[str] | None = None,
) -> Starlette:
    """Make the application.

    Args:
        issuer: whose keys sign.
        admin_key: for everything below /v1; 16 printable ASCII characters or more, else ValueError.
        audience: the product that licenses are for where a request names none.
        max_age: seconds for which the key set may be cached.
        key_path: where the issuer's keys are kept across restarts.
    """
    if len(admin_key) < 16 or not admin_key.isascii() or not admin_key.isprintable():
        raise ValueError("the admin key needs 16 printable ASCII characters or more")
    server = LicenseServer(issuer, audience, max_age, Path(key_path) if key_path else None)
    admin = [
        Route("/licenses", server.issue, methods=["POST"]),
        Route("/keys", server.keys),
        Route("/keys/rotate", server.rotate, methods=["POST"]),
        Route("/keys/{kid}/retire", server.retire, methods=["POST"]),
    ]
    return Starlette(
        routes=[
            Route("/.well-known/jwks.json", server.jwks),
            Route("/healthz", server.healthz),
            Mount("/v1", routes=admin, middleware=[Middleware(AdminOnly, key=admin_key)]),
        ],
        exception_handlers={HTTPException: problem, Exception: problem},
    )


def from_env(environ: Mapping[str, str] = os.environ) -> Starlette:
    """Make the application from LICENSE_SERVER_… variables."""
    admin_key = environ.get("LICENSE_SERVER_ADMIN_KEY")
    if not admin_key:
        raise SystemExit("set LICENSE_SERVER_ADMIN_KEY to a secret of 16 characters or more")
    audience = environ.get("LICENSE_SERVER_AUDIENCE", "acme-reports")
    max_age = int(environ.get("LICENSE_SERVER_MAX_AGE", "60"))
    key_path = environ.get("LICENSE_SERVER_KEY_FILE") or None
    name = environ.get("LICENSE_SERVER_ISSUER", "http://127.0.0.1:8000")
    kept = key_path if key_path and Path(key_path).exists() else None
    issuer = Issuer.load(kept) if kept else Issuer.generate(name)
    return create_app(issuer, admin_key, audience, max_age=max_age, key_path=key_path)


if __name__ == "__main__":
    import uvicorn

    host = os.environ.get("LICENSE_SERVER_HOST", "127.0.0.1")
    uvicorn.run(from_env(), host=host, port=int(os.environ.get("LICENSE_SERVER_PORT", "8000")))
