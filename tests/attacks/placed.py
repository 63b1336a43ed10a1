"""Licenses that hold only in some place or at some time, and the requests that present them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from tests.adapters.clients import Connection
from tests.attacks.case import Case, Lines, bearer
from tests.licenses import license_token
from tests.rows import FRAMEWORKS

#: Where requests come as ASGI scopes, as the lines that were sent.
PLAIN_ASGI = ("asgi", "starlette", "fastapi")
ASGI = (*PLAIN_ASGI, "django-async")
#: Where they come as variables.
WSGI = ("wsgi", "flask", "django")
DJANGO = ("django", "django-async")
#: Where Licet itself reads what a proxy says of the host; Django has settings of its own for it.
NOT_DJANGO = tuple(name for name in FRAMEWORKS if name not in DJANGO)
#: A network of trusted proxies, and one of them.
PROXIES = {"trusted_proxies": ["10.9.0.0/16"]}
PROXY = Connection(peer="10.9.0.5")
STRANGER = Connection(peer="203.0.113.9")
#: Room for what the default size would refuse before anybody reads it.
ROOM = {"max_token_size": 65_536}


def limited(**claims: Any) -> str:
    """Return a license with these claims that no gate has seen."""
    return license_token(jti=secrets.token_urlsafe(9), **claims)


def presented(
    name: str,
    status: int,
    code: str | None,
    *lines: tuple[str, str],
    claims: dict[str, Any],
    **case: Any,
) -> Case:
    """Return the case of a good license with constraints, presented as `Bearer`, and again.

    Args:
        name: what is special about it.
        status: of the answer.
        code: of the answer.
        lines: header lines beside the license.
        claims: the constraints.
        case: the other fields of the case; settings by their own name among `options`.
    """
    now = {} if case.get("at") is None else {"iat": case["at"], "exp": case["at"] + 3_600}
    headers: Lines = [*bearer(limited(**claims, **now)), *lines]
    permitted = tuple(sorted({text for value in claims.values() for text in texts(value)}))
    return Case(name, headers, status, code, twice=True, permitted=permitted, **case)


def refused(name: str, **claims: Any) -> Case:
    """Return the case of a license that is none for a malformed constraint."""
    return presented(name, 401, "license_invalid", claims=claims, options=ROOM)


def texts(value: object) -> Iterator[str]:
    """Yield the texts in a claim that would be told apart from words of an answer."""
    if isinstance(value, str) and len(value) > 3:
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from texts(each)
