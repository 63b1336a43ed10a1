"""The receiver of pushed events as a WSGI application of its own.

    DispatcherMiddleware(application, {"/licet/webhooks": WebhookReceiver(settings)})

It looks at no path: whoever mounts it says where it is. Behind `LicenseMiddleware` its path belongs
into `exempt_paths`, for the license server presents no license.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from licet.core.environ import EnvironFacts
from licet.core.gates import gate_for
from licet.core.revocation.reception import Reception
from licet.core.settings import Settings
from licet.core.settings.spellings import from_options

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


class WebhookReceiver:
    """Takes the events that a license server pushes (Standard Webhooks).

    What is said is in force on the next request of every middleware of this process with the same
    settings, and within seconds wherever `store` or `license_state` is shared. A middleware with
    other settings and no such thing in common never hears of it.

    Args:
        settings: those of the middleware, `webhook_receive_secret` among them.
        options: the fields of `Settings`, instead of `settings`.

    Raises:
        ConfigError: settings that cannot work, or no secret.
    """

    def __init__(self, settings: Settings | None = None, **options: Any) -> None:
        self.settings = from_options(settings, options)
        self._reception = Reception(gate_for(self.settings))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Take one delivery, or refuse it."""
        facts = EnvironFacts(environ)
        answer = self._reception.respond(facts.method, facts.fields, _reader(environ))
        phrase = HTTPStatus(answer.status).phrase
        start_response(f"{answer.status} {phrase}", list(answer.headers))
        return [answer.body]


def _reader(environ: WSGIEnvironment) -> Callable[[int], bytes]:
    """Return what reads the body, and never beyond it: some servers would wait there for ever."""
    read: Callable[[int], bytes] = environ["wsgi.input"].read
    length: str = environ.get("CONTENT_LENGTH", "")
    if length.isascii() and length.isdecimal():
        # What is longer is refused before it is read; and thousands of digits are no `int`.
        rest = int(length.lstrip("0")[:7] or "0")
    elif environ.get("wsgi.input_terminated"):
        return read
    else:
        rest = 0

    def bounded(size: int) -> bytes:
        nonlocal rest
        piece = read(min(size, rest))
        rest -= len(piece)
        return piece

    return bounded
