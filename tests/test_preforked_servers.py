"""Keys in the workers of a server that forks, kills and forks anew under load (row S01)."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from licet.cli.demo import programs
from licet.cli.demo.licenses import forged
from licet.cli.demo.servers import Server, Servers
from licet.issuer import Issuer
from tests.core.loopback import Answer, Loopback, Request, reply
from tests.licenses import AUDIENCE, ISSUER_NAME, claims

for needed in ("flask", "gunicorn"):
    pytest.importorskip(needed)

pytestmark = [
    pytest.mark.row("S01"),
    pytest.mark.skipif(sys.platform != "linux", reason="gunicorn, and signals that end a process"),
]

WORKERS, CLIENTS, ROUNDS = 4, 8, 2
#: Seconds: how long the issuer takes the first time, so that all first workers are forked in
#: mid-flight, and then; for any one answer; for a wait.
FIRST, SLOWNESS, ANSWERED_WITHIN, BOUND = 0.5, 0.02, 8.0, 20.0
#: Fetches for unknown keys that are allowed at once; one more per 30 s, longer than a test.
BURST = 2
#: Seconds: how long keys live where they are to age, and how long one fetch of them may take.
MAX_AGE, FETCH = 1.0, 5.0

#: The application is the example as it is. Each worker puts its process id on its answers; an
#: audit hook writes down which process connects anywhere. `WARM` says what the parent does.
GUNICORN = """
import os
import sys
import threading

from licet.cli.demo.gunicorn import *

workers, threads, worker_class, preload_app = 4, 4, "gthread", True
warm = os.environ["WARM"]
connects = os.open(os.environ["CONNECTS"], os.O_WRONLY | os.O_APPEND)
connecting = threading.Event()


def note(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        connecting.set()
        os.write(connects, f"{os.getpid()} {arguments[1][1]}\\n".encode())


sys.addaudithook(note)


def ask(server):
    application = server.app.wsgi()
    headers = {"Authorization": "Bearer " + os.environ["WARM_LICENSE"]}
    assert application.test_client().get("/reports", headers=headers).status_code == 200


def when_ready(server):
    if warm == "warm":
        ask(server)


def pre_fork(server, worker):
    global flight
    if warm == "in flight" and worker.age == 1:
        # It waits for the issuer while the first workers are forked. A thread that runs on would
        # hold locks of the import system's too, which no child of any program gets back.
        flight = threading.Thread(target=ask, args=(server,), daemon=True)
        flight.start()
        assert connecting.wait(10)
    elif warm == "in flight" and worker.age > workers:
        flight.join()


def post_worker_init(worker):
    application = worker.wsgi

    def stamped(environ, start_response):
        def start(status, headers, exc_info=None):
            return start_response(status, [*headers, ("X-Worker", str(worker.pid))], exc_info)

        return application(environ, start)

    worker.wsgi = stamped
"""


class Licenses(NamedTuple):
    """One key's license, and one that says the same and was signed by somebody else."""

    good: str
    forged: str


class Vendor:
    """An issuer on loopback that rotates, and licenses by each of its keys."""

    def __init__(self) -> None:
        self._issuer = Issuer.generate(ISSUER_NAME)
        self._slowness = [FIRST]
        self.by_key: list[Licenses] = []
        self._license()

    def answer(self, request: Request) -> Answer:
        """Serve the key set, without haste."""
        body = json.dumps(self._issuer.jwks()).encode()
        time.sleep(self._slowness.pop() if self._slowness else SLOWNESS)
        return reply(200, body)

    def rotate(self) -> None:
        """Publish a new key, and then license with it."""
        self._issuer.rotate()
        self._license()

    def withdraw(self) -> None:
        """Publish the first key no longer."""
        self._issuer.retire(self._issuer.kids[0])

    def _license(self) -> None:
        good = self._issuer.sign(claims())
        self.by_key.append(Licenses(good, forged(good)))


class Seen(NamedTuple):
    """One answer of one worker, when it was asked for, and the seconds it took."""

    worker: int
    status: int
    token: str
    asked_at: float
    took: float


class Load:
    """Threads that ask without pause, and what they were answered.

    Attributes:
        seen: all answers.
        cut: requests that were under way in a worker when it was killed.
        killed: its victims.
    """

    def __init__(self, server: Server, tokens: Callable[[], Iterable[str]]) -> None:
        self.seen: list[Seen] = []
        self.cut: list[Exception] = []
        self.killed: set[int] = set()
        self._tokens = tokens
        self._stop = threading.Event()
        self._client = httpx.Client(
            base_url=server.url,
            trust_env=False,
            timeout=ANSWERED_WITHIN,
            # A connection for each request, so that any worker may take it.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask while the block runs; what went wrong in a thread is raised at its end."""
        with self._client, ThreadPoolExecutor(CLIENTS) as threads:
            asking = [threads.submit(self._ask) for _ in range(CLIENTS)]
            try:
                yield
            finally:
                self._stop.set()
            for each in asking:
                each.result()

    def workers(self, token: str, status: int) -> set[int]:
        """Wait until as many workers as there are answer `token` so from now on; return them."""
        return self._until(token, status, lambda found: len(found) == WORKERS)

    def replace(self, worker: int, token: str) -> None:
        """Kill one worker, and wait until one that was never seen serves `token`."""
        known = {each.worker for each in self.seen}
        self.killed.add(worker)
        os.kill(worker, signal.SIGKILL)
        self._until(token, 200, lambda found: not found <= known)

    def _until(self, token: str, status: int, enough: Callable[[set[int]], bool]) -> set[int]:
        begin, deadline = len(self.seen), time.monotonic() + BOUND
        while True:
            wanted = (each for each in self.seen[begin:] if each.token == token)
            found = {each.worker for each in wanted if each.status == status} - self.killed
            if enough(found):
                return found
            assert time.monotonic() < deadline, f"not within {BOUND} s: {self.seen[-8:]}"
            time.sleep(0.01)

    def _ask(self) -> None:
        while not self._stop.is_set():
            for token in self._tokens():
                asked_at = time.monotonic()
                headers = {"Authorization": f"Bearer {token}"}
                try:
                    answer = self._client.get("/reports", headers=headers)
                except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
                    self.cut.append(error)  # a timeout is neither, and fails the test
                    continue
                took, worker = time.monotonic() - asked_at, int(answer.headers["X-Worker"])
                self.seen.append(Seen(worker, answer.status_code, token, asked_at, took))


class Place(NamedTuple):
    """A server, its issuer, and the file that says which process connected to which port."""

    server: Server
    vendor: Vendor
    issuer: Loopback
    connects: Path


def fetches_by_process(connects: Path, issuer: Loopback) -> Counter[int]:
    """Return how often each process connected to the issuer."""
    lines = [line.split() for line in connects.read_text().splitlines()]
    return Counter(int(pid) for pid, port in lines if int(port) == issuer.port)


@contextmanager
def serving(directory: Path, warm: str, **environ: str) -> Iterator[Place]:
    """Serve the Flask example; `warm` says whether its parent has keys when it forks."""
    vendor, connects, config = Vendor(), directory / "connects", directory / "gunicorn.conf.py"
    connects.touch()
    config.write_text(GUNICORN)
    example = next(each for each in programs.applications() if each.app == "Flask")
    arguments = ("-m", "gunicorn", "-c", str(config), "app:create_app()")
    program = replace(example, arguments=arguments)
    with (
        Loopback(vendor.answer) as issuer,
        Servers(directory, announce=lambda server: None) as servers,
    ):
        (server,) = servers.start(
            program,
            LICET_ISSUER=ISSUER_NAME,
            LICET_AUDIENCE=AUDIENCE,
            LICET_JWKS_URL=issuer.url,
            WARM=warm,
            WARM_LICENSE=vendor.by_key[0].good,
            CONNECTS=str(connects),
            **environ,
        )
        yield Place(server, vendor, issuer, connects)


@pytest.mark.parametrize("warm", ["cold", "warm", "in flight"])
def test_killed_and_reforked_under_load(warm: str, tmp_path: Path) -> None:
    """Workers killed and forked anew while keys rotate answer all, rightly, and fetch little."""
    with serving(tmp_path, warm) as (server, vendor, issuer, connects):
        # The oldest key's license and the newest's, and one in the newest's name.
        load = Load(server, lambda: [vendor.by_key[0].good, *vendor.by_key[-1]])
        with load.running():
            for _ in range(ROUNDS):
                new = vendor.by_key[-1].good
                for worker in load.workers(new, 200):
                    load.replace(worker, new)
                vendor.rotate()
                load.workers(vendor.by_key[-1].good, 200)
        fetches = fetches_by_process(connects, issuer)
        master = fetches.pop(server.pid, 0)

    good = {each.good for each in vendor.by_key}
    assert {each.status for each in load.seen if each.token in good} == {200}
    assert {each.status for each in load.seen if each.token not in good} == {401}
    assert len(load.killed) == WORKERS * ROUNDS
    assert len(load.cut) <= len(load.killed) * CLIENTS
    assert max(each.took for each in load.seen) < ANSWERED_WITHIN

    served = {each.worker for each in load.seen}
    assert len(served) == WORKERS * (ROUNDS + 1)
    # A worker that inherits keys pays for two changes of them at most, one that does not for
    # its first set besides; the keys live longer than the test.
    assert set(fetches) <= served
    assert max(fetches.values()) <= BURST + (warm != "warm")
    assert master == (warm != "cold")
    assert fetches.total() + master == len(issuer.log)


def test_a_withdrawn_key_in_workers_forked_from_before(tmp_path: Path) -> None:
    """A worker forked from a parent with a withdrawn key refuses it after its first refresh."""
    with serving(tmp_path, "warm", LICET_JWKS_MAX_AGE=str(MAX_AGE)) as (server, vendor, *_):
        vendor.rotate()
        (old, _), (new, _) = vendor.by_key
        load = Load(server, lambda: [old, new])
        with load.running():
            before = load.workers(new, 200)
            vendor.withdraw()
            load.workers(old, 401)
            for worker in before:
                load.replace(worker, new)
            after = load.workers(old, 401)
            assert load.workers(old, 401) == after

    assert not before & after
    assert {each.status for each in load.seen if each.token == new} == {200}
    for worker in after:
        answers = [each for each in load.seen if (each.worker, each.token) == (worker, old)]
        begin = min(each.asked_at for each in answers)
        passed = [each.asked_at - begin for each in answers if each.status == 200]
        assert max(passed, default=0) <= FETCH
