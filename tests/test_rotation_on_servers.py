"""Keys rotate and are withdrawn while real servers, of one process and of several, serve."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from licet.cli.demo import programs
from licet.cli.demo.licenses import Vendor
from licet.cli.demo.servers import Program, Server, Servers

for needed in ("flask", "starlette", "uvicorn", "gunicorn"):
    pytest.importorskip(needed)

ISSUER, AUDIENCE = "https://licenses.acme.example", "acme-reports"
#: Seconds: how long keys live here, and how long one fetch of them may take.
MAX_AGE, FETCH = 1.0, 5.0
#: Seconds for anything that is waited for.
BOUND = 20.0

#: Has each worker put its process id on its answers; the application is the example as it is.
GUNICORN = """
from licet.cli.demo.gunicorn import *

workers = 2

def post_worker_init(worker):
    application = worker.wsgi

    def stamped(environ, start_response):
        def start(status, headers, exc_info=None):
            return start_response(status, [*headers, ("X-Worker", str(worker.pid))], exc_info)

        return application(environ, start)

    worker.wsgi = stamped
"""


class Answer(NamedTuple):
    """What one worker answered, and when it was asked."""

    worker: str
    status: int
    asked_at: float


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with Servers(tmp_path, announce=lambda server: None) as servers:
        yield servers


@pytest.fixture
def vendor(servers: Servers, tmp_path: Path) -> Iterator[Vendor]:
    program = programs.license_server(tmp_path / "data", issuer=ISSUER, audience=AUDIENCE)
    (server,) = servers.start(program)
    with Vendor(server.url, server.told["admin_key"]) as vendor:
        yield vendor


def example(framework: str, server: str) -> Program:
    return next(
        program
        for program in programs.applications()
        if (program.app, program.server) == (framework, server)
    )


@pytest.fixture(params=["uvicorn", "gunicorn", "gunicorn --preload"])
def app(
    request: pytest.FixtureRequest, servers: Servers, vendor: Vendor, tmp_path: Path
) -> tuple[Server, int]:
    """A server and the number of its workers."""
    if request.param == "uvicorn":
        program, workers = example("Starlette", "uvicorn"), 1
    else:
        config = tmp_path / "gunicorn.conf.py"
        config.write_text(GUNICORN)
        preload = request.param.split()[1:]
        arguments = ("-m", "gunicorn", "-c", str(config), *preload, "app:create_app()")
        program, workers = replace(example("Flask", "gunicorn"), arguments=arguments), 2
    (server,) = servers.start(
        program,
        LICET_ISSUER=ISSUER,
        LICET_AUDIENCE=AUDIENCE,
        LICET_JWKS_URL=f"{servers.running[0].url}/.well-known/jwks.json",
        LICET_JWKS_MAX_AGE=str(MAX_AGE),
    )
    return server, workers


def answers(server: Server, token: str, until: Callable[[list[Answer]], bool]) -> list[Answer]:
    """Ask with `token` from several threads at once, again and again, until it is enough."""
    seen: list[Answer] = []
    deadline = time.monotonic() + BOUND

    with (
        httpx.Client(
            trust_env=False,
            timeout=10,
            headers={"Authorization": f"Bearer {token}"},
            # A connection for each request, so that any worker may take it.
            limits=httpx.Limits(max_keepalive_connections=0),
        ) as client,
        ThreadPoolExecutor(8) as threads,
    ):

        def ask(_: int) -> Answer:
            asked_at = time.monotonic()
            answer = client.get(f"{server.url}/reports")
            return Answer(answer.headers.get("X-Worker", "only"), answer.status_code, asked_at)

        while not until(seen):
            assert time.monotonic() < deadline, f"not within {BOUND} s: {seen[-8:]}"
            seen += threads.map(ask, range(8))
    return seen


def workers_of(seen: list[Answer], status: int) -> set[str]:
    return {answer.worker for answer in seen if answer.status == status}


def test_rotation_and_withdrawal(app: tuple[Server, int], vendor: Vendor) -> None:
    """In each worker a new key's license works at once and a withdrawn key's stops in time."""
    server, workers = app
    old = vendor.license(features=["analytics"])
    seen = answers(server, old, lambda seen: len(workers_of(seen, 200)) == workers)
    assert {answer.status for answer in seen} == {200}

    vendor.rotate()
    new = vendor.license(features=["analytics"])
    seen = answers(server, new, lambda seen: len(workers_of(seen, 200)) == workers)
    assert {answer.status for answer in seen} == {200}

    withdrawn_at = time.monotonic()
    vendor.withdraw(old)
    seen = answers(server, old, lambda seen: len(workers_of(seen, 401)) == workers)
    late = [each.asked_at - withdrawn_at for each in seen if each.status == 200]
    assert max(late, default=0) <= MAX_AGE + FETCH
    assert {answer.status for answer in seen} <= {200, 401}
    again = answers(server, old, lambda seen: len(workers_of(seen, 401)) == workers)
    assert {answer.status for answer in again} == {401}
    kept = answers(server, new, lambda seen: len(workers_of(seen, 200)) == workers)
    assert {answer.status for answer in kept} == {200}
