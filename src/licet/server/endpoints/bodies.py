"""What comes in as JSON, and what goes out: documents that may be cached, and problems.

Bodies are read as licenses are: UTF-8 of which there is one reading, so that what was meant, what
is signed and what is kept are the same. What is said of an error is fixed, but for sentences about
the body that are written here; nothing of a body is repeated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from licet.core.problem import MEDIA_TYPE, members
from licet.core.token import strictjson
from licet.server.storage.database import StorageError

MAX_BODY = 64 * 1024
NO_STORE = {"Cache-Control": "no-store"}
#: Seconds after which it is worth trying again, where the disk took nothing.
RETRY_AFTER = 10


class Refusal(HTTPException):
    """A refusal that a program can tell from others.

    Args:
        status_code: of HTTP.
        code: a word of `licet.core.errors`, or in their way.
        detail: for people, the same whenever the code is.
        headers: more fields of the answer.
    """

    def __init__(
        self, status_code: int, code: str, detail: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status_code, detail, headers)
        self.code = code


async def read_bytes(request: Request, most: int = MAX_BODY) -> bytes:
    """Return the body; raise 413 where it has more than `most` bytes."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > most:
            raise HTTPException(413, f"The body has more than {most} bytes.")
    return bytes(content)


async def read_object(request: Request, members: frozenset[str]) -> dict[str, Any]:
    """Return the JSON object that is the body; no body is one without members."""
    return parse_object(await read_bytes(request) or b"{}", members)


def parse_object(
    content: bytes, members: frozenset[str], *, max_members: int = strictjson.MAX_MEMBERS
) -> dict[str, Any]:
    """Return the JSON object in `content`; raise 400 where there is none of these members.

    Args:
        content: what is read.
        members: that it may have.
        max_members: how many all objects in it may have together.
    """
    try:
        body = strictjson.loads(content, max_members=max_members)
    except ValueError:
        raise HTTPException(400, "The body is no JSON object that has one reading.") from None
    if not members.issuperset(body):
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
    if isinstance(error, StorageError):
        again = {"Retry-After": str(RETRY_AFTER)}
        error = HTTPException(503, "The change did not reach the disk.", again)
    elif not isinstance(error, HTTPException):
        error = HTTPException(500, "The server could not do this.")
    status, detail = error.status_code, error.detail
    title = HTTPStatus(status).phrase
    if isinstance(error, Refusal):
        body = members(error.code, status, title, detail)
    else:
        body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, {**NO_STORE, **(error.headers or {})}, MEDIA_TYPE)


#: What an application that speaks in problems is made with.
HANDLERS: dict[Any, Callable[[Request, Exception], Response]] = {
    HTTPException: problem,
    StorageError: problem,
}
