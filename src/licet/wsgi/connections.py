"""Event streams that end with their license (`recheck_every`), as far as WSGI can.

The license is looked at when a piece of the stream is there and a look is due, and that piece is
sent only if it still holds. Nothing can interrupt an iterator that waits for its next piece: a
stream that is idle ends at the first piece after its license. One that sends a comment every few
seconds, as servers of events do to keep proxies from closing, ends within these seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from licet.core.connections import Recheck, ends_with_license, is_event_stream
from licet.core.entitlements import Entitlements
from licet.core.environ import EnvironFacts, environ_path
from licet.core.gate import Gate

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

#: Where a request keeps its entitlements.
ENTITLEMENTS = "licet.entitlements"


class Rechecking:
    """Serves `app` behind the middleware, and ends an event stream when its license ends.

    Args:
        app: the application.
        gate: what judged the requests.
        every: seconds between two looks at a license.
    """

    def __init__(self, app: WSGIApplication, gate: Gate, every: float) -> None:
        self._app = app
        self._gate = gate
        self._every = every

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request, which the middleware let through."""
        entitlements: Entitlements = environ[ENTITLEMENTS]
        if not ends_with_license(self._gate, entitlements, environ_path(environ)):
            return self._app(environ, start_response)
        recheck = Recheck(self._gate, entitlements, EnvironFacts({**environ}), self._every)
        answer = _Answer(recheck, start_response)
        body = self._app(environ, answer.start)
        if isinstance(body, (list, tuple)):
            return body
        answer.body = body
        return answer


class _Answer:
    """An answer of which it is known only once it has started whether it is an event stream."""

    __slots__ = ("_is_stream", "_recheck", "_start", "body")

    body: Iterable[bytes]

    def __init__(self, recheck: Recheck, start: StartResponse) -> None:
        self._recheck = recheck
        self._start = start
        self._is_stream = False

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Start the response, and note what it is."""
        self._is_stream = any(
            name.lower() == "content-type" and is_event_stream(value) for name, value in headers
        )
        return self._start(status, headers, exc_info)

    def __iter__(self) -> Iterator[bytes]:
        # An application that is a generator starts the response with its first piece.
        return self._recheck.pieces(self.body, lambda: self._is_stream)

    def close(self) -> None:
        """Close the application's body."""
        close: Callable[[], object] | None = getattr(self.body, "close", None)
        if close is not None:
            close()
