"""Catches what a process may leave behind, and searches it for what must not show itself.

Each secret carries a canary: a text that stands nowhere else.
"""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import licet.asgi
import licet.wsgi
from licet import Settings
from licet.core.gate import Gate
from tests.adapters.clients import AsgiClient, WsgiClient
from tests.adapters.contract import Answer

CANARY = "canary-a4f1c9"


class Cage:
    """Collects what might sing."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def hear(self, *things: object) -> None:
        """Keep what `str` and `repr` say of each."""
        for thing in things:
            self.heard += [str(thing), repr(thing)]

    def raised(self, error: BaseException) -> None:
        """Keep all that a handler of an error shows without looking at local variables."""
        self.hear(error, error.args, error.__dict__, error.__cause__)
        self.heard += traceback.TracebackException.from_exception(error).format()
        self.pickled(error)

    def answered(self, answer: Answer) -> None:
        """Keep an answer whole."""
        self.hear(answer.headers, answer.body.decode("utf-8", "replace"))

    def pickled(self, thing: object) -> None:
        """Keep a pickle, unless it is refused."""
        try:
            self.heard.append(pickle.dumps(thing, 0).decode("latin-1"))
        except (TypeError, AttributeError, pickle.PicklingError):
            return

    def silent_about(self, *secrets: str) -> None:
        """Hold everything heard against the secrets."""
        assert self.heard
        for secret in secrets:
            assert len(secret) > 8, "too short to tell from chance"
            loud = [text[:200] for text in self.heard if secret in text]
            assert loud == [], loud


class _Ear(logging.Handler):
    def __init__(self, cage: Cage) -> None:
        super().__init__(logging.DEBUG)
        self.cage = cage
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        # With the traceback, and with what structured handlers would send along.
        self.cage.heard += [self.format(record), repr(record.args), repr(record.__dict__)]


@contextmanager
def caged() -> Iterator[Cage]:
    """Collect what every logger is told, for as long as this lasts."""
    cage = Cage()
    root = logging.getLogger()
    ear, before = _Ear(cage), root.level
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    try:
        yield cage
    finally:
        root.setLevel(before)
        root.removeHandler(ear)


def parts(token: str) -> list[str]:
    """Return what of a token is secret: payload, signature, and the whole."""
    return [*token.split(".")[1:], token]


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer 200."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})


def wsgi_application(environ: Any, start_response: Any) -> list[bytes]:
    """Answer 200."""
    start_response("200 OK", [])
    return [b"served"]


def serve_asgi(settings: Settings) -> tuple[Any, Any]:
    app = licet.asgi.LicenseMiddleware(application, settings)
    return AsgiClient(app, []), app.gate


def serve_wsgi(settings: Settings) -> tuple[Any, Any]:
    app = licet.wsgi.LicenseMiddleware(wsgi_application, settings)
    return WsgiClient(app, []), app.gate


Serve = Callable[[Settings], tuple[Any, Gate]]
