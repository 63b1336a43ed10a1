"""Licet under gevent: plain threading primitives, which monkey patching turns into greenlets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from licet.cli.demo.servers import Program, Server, Servers
from licet.issuer import Issuer
from tests.core.loopback import Answer, Loopback, Request, reply, until
from tests.licenses import AUDIENCE, FORGER, ISSUER_NAME, claims

pytest.importorskip("gevent")

pytestmark = pytest.mark.row("S05")

TOGETHER = 50
#: Seconds: how long keys live where they are to age; and the longest that one wait may last.
MAX_AGE, BOUND = 1.0, 20.0

#: All greenlets of one thread, one for each connection; it says what it was patched to.
PROGRAM = """
from gevent import monkey

monkey.patch_all()

import threading

from gevent import getcurrent
from gevent.pywsgi import WSGIServer

from licet import Settings
from licet.wsgi import LicenseMiddleware


def application(environ, start_response):
    patched = monkey.is_object_patched("threading", "Event")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{patched} {type(getcurrent()).__name__}".encode()]


guarded = LicenseMiddleware(application, Settings.from_env())
server = WSGIServer(("127.0.0.1", 0), guarded, log=None)
server.start()
print(f"Listening at: http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""


class Vendor:
    """An issuer on loopback, whose answers can be held back."""

    def __init__(self) -> None:
        self.issuer = Issuer.generate(ISSUER_NAME)
        self.answering = threading.Event()
        self.answering.set()

    def answer(self, request: Request) -> Answer:
        """Serve the key set as it is once answers go out."""
        self.answering.wait(BOUND)
        return reply(200, json.dumps(self.issuer.jwks()).encode())

    def license(self) -> str:
        """Return a license by the newest key."""
        return self.issuer.sign(claims())


class Place(NamedTuple):
    """A server under gevent, and its issuer."""

    server: Server
    vendor: Vendor
    issuer: Loopback
    client: httpx.Client

    def ask(self, token: str) -> httpx.Response:
        """Send one request, in a connection and so in a greenlet of its own."""
        return self.client.get("/reports", headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Starts the server, with settings from the environment."""
    vendor, script = Vendor(), tmp_path / "serve.py"
    script.write_text(PROGRAM)
    program = Program("A WSGI application", "gevent", tmp_path, (str(script),), health="/health")
    with (
        Loopback(vendor.answer) as issuer,
        Servers(tmp_path, announce=lambda server: None) as servers,
        httpx.Client(
            trust_env=False, timeout=BOUND, limits=httpx.Limits(max_keepalive_connections=0)
        ) as client,
    ):

        def start(**environ: str) -> Place:
            (server,) = servers.start(
                program,
                LICET_ISSUER=ISSUER_NAME,
                LICET_AUDIENCE=AUDIENCE,
                LICET_JWKS_URL=issuer.url,
                LICET_EXEMPT_PATHS="/health",
                **environ,
            )
            client.base_url = httpx.URL(server.url)
            return Place(server, vendor, issuer, client)

        yield start
        vendor.answering.set()


def test_cold_greenlets_fetch_once(serve: Callable[..., Place]) -> None:
    """Requests that come at once, before there are keys, wait for one fetch; none is lost."""
    place = serve()
    token, forged = place.vendor.license(), FORGER.sign(claims())
    place.vendor.answering.clear()
    with ThreadPoolExecutor(TOGETHER) as threads:
        answers = [threads.submit(place.ask, token) for _ in range(TOGETHER)]
        until(lambda: place.issuer.log)
        assert not any(answer.done() for answer in answers)
        place.vendor.answering.set()
        bodies = {(each.result().status_code, each.result().text) for each in answers}
    assert bodies == {(200, "True Greenlet")}
    assert len(place.issuer.log) == 1
    assert place.ask(forged).status_code == 401


def test_a_refresh_runs_behind_the_requests(serve: Callable[..., Place]) -> None:
    """Keys that are due are fetched in the background, and requests do not wait for a slow issuer.

    A withdrawn key stops with the refresh.
    """
    place = serve(LICET_JWKS_MAX_AGE=str(MAX_AGE))
    vendor, old = place.vendor, place.vendor.license()
    assert place.ask(old).status_code == 200
    vendor.issuer.rotate()
    vendor.issuer.retire(vendor.issuer.kids[0])
    vendor.answering.clear()
    until(lambda: place.ask(old).status_code == 200 and len(place.issuer.log) == 2)
    # The refresh is under way, and its answer goes out only when these are answered.
    assert {place.ask(old).status_code for _ in range(20)} == {200}
    assert len(place.issuer.log) == 2
    vendor.answering.set()
    until(lambda: place.ask(old).status_code == 401)
    assert place.ask(vendor.license()).status_code == 200


def test_an_unknown_key_blocks_no_licensed_greenlet(serve: Callable[..., Place]) -> None:
    """While some wait for a key that is being fetched, those with a known one are served."""
    place = serve()
    vendor, old = place.vendor, place.vendor.license()
    assert place.ask(old).status_code == 200
    vendor.issuer.rotate()
    other = vendor.license()
    vendor.answering.clear()
    with ThreadPoolExecutor(TOGETHER) as threads:
        waiting = [threads.submit(place.ask, other) for _ in range(TOGETHER)]
        until(lambda: len(place.issuer.log) == 2)
        assert {place.ask(old).status_code for _ in range(20)} == {200}
        assert not any(each.done() for each in waiting)
        vendor.answering.set()
        assert {each.result().status_code for each in waiting} == {200}
    assert len(place.issuer.log) == 2
