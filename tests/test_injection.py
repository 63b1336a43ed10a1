"""An error at any call of the core during a request refuses it, and never serves it."""

from __future__ import annotations

import gc
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

import pytest

import licet.asgi
import licet.wsgi
from licet.core.grants import GrantCache
from licet.core.grants.reading import TermsTable
from tests.adapters.clients import environ, http_scope
from tests.licenses import OPTIONS, license_token

REFUSALS = {401, 402, 403, 503}


class Injector:
    """Raises `error` at the n-th call that the core makes or receives, once.

    Args:
        number: which call, from 1; 0 raises nothing and only counts.
        error: what is raised there.
    """

    def __init__(self, number: int, error: BaseException) -> None:
        self.number = number
        self.error = error
        self.seen = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        # `call` comes in the frame that is called, `c_call` in the one that calls.
        if event not in ("call", "c_call"):
            return
        # The release of a lock cannot fail; raised before it, this would do what no error does.
        if event == "c_call" and argument.__name__ == "__exit__":
            return
        if not str(frame.f_globals.get("__name__")).startswith("licet.core"):
            return
        if _is_noticing(frame):
            return
        self.seen += 1
        if self.seen == self.number:
            sys.setprofile(None)
            raise self.error

    def __enter__(self) -> Self:
        # What an earlier test left would be finalised here, and its calls taken for the request's.
        gc.disable()
        sys.setprofile(self)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)
        gc.enable()


def _is_noticing(frame: FrameType | None) -> bool:
    """Whether a call only serves what is noticed in passing, which keeps nobody out."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "licet.core.events.observations":
            return True
        frame = frame.f_back
    return False


class Asgi:
    """A plain ASGI application behind Licet, called without an event loop: nothing waits."""

    def __init__(self, **options: Any) -> None:
        self.called = False
        self.guarded = licet.asgi.LicenseMiddleware(self.app, **options)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        sys.setprofile(None)
        self.called = True
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def request(self, token: str | None) -> int:
        """Send one request, return the status."""
        self.called = False
        headers = [("X-License-Token", token)] if token else []
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        whole = self.guarded(http_scope("GET", "/", headers), None, send)  # type: ignore[arg-type]
        with pytest.raises(StopIteration):
            whole.send(None)  # type: ignore[attr-defined]
        if messages[0]["status"] != 200:
            assert json.loads(messages[1]["body"])["status"] == messages[0]["status"]
        return int(messages[0]["status"])


class Wsgi:
    """A plain WSGI application behind Licet."""

    def __init__(self, **options: Any) -> None:
        self.called = False
        self.guarded = licet.wsgi.LicenseMiddleware(self.app, **options)

    def app(self, environ: Any, start_response: Any) -> list[bytes]:
        sys.setprofile(None)
        self.called = True
        start_response("200 OK", [])
        return []

    def request(self, token: str | None) -> int:
        """Send one request, return the status."""
        self.called = False
        statuses: list[str] = []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
            statuses.append(status)

        headers = [("X-License-Token", token)] if token else []
        self.guarded(environ("GET", "/", headers), start_response)
        return int(statuses[-1][:3])


def forget(served: Asgi | Wsgi) -> None:
    """Make the gate as cold as after a start, but for its keys."""
    gate = served.guarded.gate
    # Old names stay bound in the gate's own methods otherwise.
    gate._judgements.grants = GrantCache(1024)
    gate._judgements._known = gate._judgements.grants.get
    gate._judge._terms = TermsTable()
    gate._judge._headers.clear()
    if gate.installation is not None:
        gate.installation.kept = None
        gate.installation._failure = None
        gate.installation._retry_at = float("-inf")
        gate.installation._source.look_at = float("-inf")


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    """Thousands of tracebacks are not worth formatting."""
    logger = logging.getLogger("licet")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(before)


@pytest.fixture(params=["request", "installation"])
def license_of(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str | None, dict[str, Any]]:
    """Return the token that a request carries, and the settings, for both kinds of license."""
    token = license_token()
    if request.param == "request":
        return token, OPTIONS
    path = tmp_path / "license.jwt"
    path.write_text(token)
    return None, {**OPTIONS, "license": f"file:{path}"}


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, RecursionError, KeyboardInterrupt])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("serve", [Asgi, Wsgi])
def test_an_error_at_any_call_refuses_the_request(
    serve: type[Asgi | Wsgi],
    warm: bool,
    error: type[BaseException],
    license_of: tuple[str | None, dict[str, Any]],
) -> None:
    """At each call in turn: a refusal, no call of the application, and the next request passes.

    What is no `Exception` goes through, and the application is not called either.
    """
    token, options = license_of
    served = serve(**options)
    number = 0
    while True:
        number += 1
        assert served.request(token) == 200
        if not warm:
            forget(served)
        status = None
        with Injector(number, error("injected")) as injector:
            try:
                status = served.request(token)
            except KeyboardInterrupt:
                assert error is KeyboardInterrupt
        if injector.seen < number:
            assert status == 200
            break
        assert not served.called, f"call {number}"
        if error is KeyboardInterrupt:
            assert status is None
        else:
            assert status in REFUSALS, f"call {number}"
    # So that a change that hides the core from the injector is noticed.
    assert number > (5 if warm else 100)


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, RecursionError])
@pytest.mark.parametrize("serve", [Asgi, Wsgi])
def test_a_log_that_fails_keeps_no_refusal_back(
    serve: type[Asgi | Wsgi], error: type[Exception]
) -> None:
    """Where neither the check nor its log works, the request is refused all the same."""
    logger = logging.getLogger("licet")
    logger.setLevel(logging.DEBUG)

    def fail(record: logging.LogRecord) -> bool:
        raise error("injected")

    logger.addFilter(fail)
    served = serve(**OPTIONS)
    token = license_token(sub="lic_unlogged")
    try:
        with Injector(1, error("injected")):
            assert served.request(token) in REFUSALS
        assert served.request("rubbish") in REFUSALS
    finally:
        logger.removeFilter(fail)
    assert not served.called
