"""What comes in as JSON, and what goes out: documents that may be cached, and problems."""

from __future__ import annotations

import hashlib
import json
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

MAX_BODY = 64 * 1024
NO_STORE = {"Cache-Control": "no-store"}


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


def document(request: Request, body: bytes, media_type: str, max_age: int) -> Response:
    """Answer with a public document, or with nothing where the caller has this very one."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": f"public, max-age={max_age}"}
    known = {tag.strip() for tag in request.headers.get("if-none-match", "").split(",")}
    # Weak comparison (RFC 9110, section 13.1.2).
    if known & {etag, f"W/{etag}", "*"}:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def problem(request: Request, error: Exception) -> Response:
    """Render an error as RFC 9457 problem details."""
    if not isinstance(error, HTTPException):
        error = HTTPException(500, "The server could not do this.")
    status = error.status_code
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body["detail"] = error.detail
    return JSONResponse(body, status, error.headers, "application/problem+json")
