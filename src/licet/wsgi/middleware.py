"""The middleware of WSGI: judges each request, and serves it or refuses it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from licet.core.caching import licensed_headers
from licet.core.entitlements import Entitlements, context
from licet.core.environ import EnvironFacts, EnvironMemory, environ_path
from licet.core.errors import LicenseError
from licet.core.flow import run
from licet.core.gates import gate_for
from licet.core.problem import problem
from licet.core.settings import Settings
from licet.core.settings.spellings import from_options
from licet.core.usage.rates import Rate, rate_fields
from licet.wsgi.connections import ENTITLEMENTS, Rechecking

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_END: Any = object()


class LicenseMiddleware:
    """Lets a request through to `app` only with a license that holds.

    Args:
        app: the WSGI application behind it.
        settings: what counts as a valid license.
        options: the fields of `Settings`, instead of `settings`.

    Raises:
        ConfigError: settings that cannot work.
    """

    def __init__(
        self, app: WSGIApplication, settings: Settings | None = None, **options: Any
    ) -> None:
        self.app = app
        self.settings = from_options(settings, options)
        self.gate = gate_for(self.settings)
        every = self.settings.recheck_every
        self._serve = app if every is None else Rechecking(app, self.gate, every)
        self._memory = EnvironMemory(self.gate)
        self._exempts_paths = bool(self.gate.exempt_paths)
        self._tells_rates = self.settings.rate_limit_headers

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Judge one request, and serve it or refuse it."""
        try:
            entitlements = self._entitle(environ)
            additions = licensed_headers(entitlements.source)
        except Exception as error:
            unlicensed = self.gate.let_pass(error)
            if unlicensed is None:
                return self._respond(self.gate.as_refusal(error), start_response)
            entitlements, additions = unlicensed, ()
        environ[ENTITLEMENTS] = entitlements
        if additions or self._tells_rates:
            rates = entitlements.rates if self._tells_rates else tuple
            start_response = _with_headers(start_response, additions, rates)
        # The application, each step of its body and its `close` see one context of their own, so
        # that interleaved bodies keep their own entitlements and nothing stays on the thread.
        own = copy_context()
        own.run(context.current.set, entitlements)
        try:
            body = own.run(self._serve, environ, start_response)
        except LicenseError as error:
            entitlements.release()
            return self._respond(error, start_response, sys.exc_info())
        except BaseException:
            entitlements.release()
            raise
        if isinstance(body, (list, tuple)):
            entitlements.release()
            return body
        return _Body(self, body, own, entitlements, start_response)

    def _entitle(self, environ: WSGIEnvironment) -> Entitlements:
        gate = self.gate
        if self._exempts_paths and environ_path(environ) in gate.exempt_paths:
            return gate.peek(EnvironFacts(environ))
        entitlements = self._memory.recall(environ)
        if entitlements is None:
            entitlements = run(gate.decide(EnvironFacts(environ)))
        return entitlements

    def _respond(
        self, error: LicenseError, start_response: StartResponse, exc_info: Any = None
    ) -> list[bytes]:
        """Answer a refusal; with `exc_info`, the server re-raises it if the response started."""
        answer = problem(error, self.settings)
        # An application's own refusal may have a status that has no name.
        named = answer.status in HTTPStatus.__members__.values()
        phrase = HTTPStatus(answer.status).phrase if named else "Refused"
        status = f"{answer.status} {phrase}"
        if exc_info is None:
            start_response(status, list(answer.headers))
        else:
            start_response(status, list(answer.headers), exc_info)
        return [answer.body]


class _Body:
    """A response body whose every step runs in the context of its request."""

    __slots__ = ("_body", "_entitlements", "_middleware", "_run", "_start_response")

    def __init__(
        self,
        middleware: LicenseMiddleware,
        body: Iterable[bytes],
        own: Context,
        entitlements: Entitlements,
        start_response: StartResponse,
    ) -> None:
        self._middleware = middleware
        self._body = body
        self._run = own.run
        self._entitlements = entitlements
        self._start_response = start_response

    def __iter__(self) -> Iterator[bytes]:
        run = self._run
        try:
            iterator = run(iter, self._body)
            while (piece := run(next, iterator, _END)) is not _END:
                yield piece
        except LicenseError as error:
            yield from self._middleware._respond(error, self._start_response, sys.exc_info())

    def close(self) -> None:
        """Close the application's body, in its context too, and end the request."""
        try:
            close: Callable[[], object] | None = getattr(self._body, "close", None)
            if close is not None:
                self._run(close)
        finally:
            self._entitlements.release()


def _with_headers(
    start_response: StartResponse,
    additions: tuple[tuple[str, str], ...],
    rates: Callable[[], Iterable[Rate]],
) -> StartResponse:
    """Return a `start_response` that adds header fields.

    Args:
        start_response: what the server gave.
        additions: what is known.
        rates: how the limits stand when the application answers.
    """

    def starting(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        present = {name.lower() for name, _ in headers}
        headers = headers + [
            (name, value)
            for name, value in (*additions, *rate_fields(rates()))
            if name == "Vary" or name.lower() not in present
        ]
        return start_response(status, headers, exc_info)

    return starting
