"""Limits and reports of servers as they are run: several workers, and a signal to stop."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet import Settings, bind, consume, verify
from tests.core.loopback import Loopback, until
from tests.core.redis_server import BINARY, RedisServer
from tests.core.test_meter import Vendor, tell_the_rest
from tests.licenses import OPTIONS, license_token
from tests.served import running

#: At the limit at once; of servers of one process fewer, which tests of threads have shown.
CROWD, FEW = 100, 20
#: Who ask without end when a server is stopped.
LOAD = 8
KNOWN = {"validation_credentials": "lvk_0123456789"}
BIND = "--log-level error --bind fd://{fd}"
GUNICORN = f"gunicorn {BIND} --workers 4 --threads 4 --keep-alive 0 tests.consuming_app:wsgi"
TWO = GUNICORN.replace("--workers 4", "--workers 2")
UVICORN = "uvicorn --log-level error --fd {fd} tests.consuming_app:asgi"

linux = pytest.mark.skipif(sys.platform != "linux", reason="servers that stop by signals")


def needs(module: str) -> pytest.MarkDecorator:
    """Skip where a server is not installed."""
    return pytest.mark.skipif(find_spec(module) is None, reason=f"needs {module}")


#: Server, store, and what has to be installed.
SERVERS = {
    "gunicorn": (GUNICORN, "sqlite://{}/store", ["gunicorn"]),
    "gunicorn, Flask": (
        f"gunicorn {BIND} --threads 4 tests.consuming_app:flask()",
        "memory://",
        ["gunicorn", "flask"],
    ),
    "gunicorn, uvicorn's workers": (
        f"gunicorn {BIND} -w 2 -k uvicorn.workers.UvicornWorker tests.consuming_app:asgi",
        "sqlite://{}/store",
        ["gunicorn", "uvicorn"],
    ),
    "uvicorn": (UVICORN, "memory://", ["uvicorn"]),
    "uvicorn, Django": (
        UVICORN.replace("app:", "django:"),
        "memory://",
        ["uvicorn", "django"],
    ),
    "hypercorn": (f"hypercorn {BIND} tests.consuming_app:asgi", "memory://", ["hypercorn"]),
}


def asking(where: str) -> httpx.Client:
    """Return a client of what listens there."""
    return httpx.Client(base_url=f"http://{where}", timeout=60, trust_env=False)


@linux
@pytest.mark.row("P01", "P05")
@pytest.mark.parametrize("server", SERVERS)
def test_workers_share_a_limit_and_a_stop_under_load_loses_nothing(
    server: str, tmp_path: Path
) -> None:
    """Of many at the limit but one passes one; SIGTERM leaves nothing untold that was used."""
    command, store, needed = SERVERS[server]
    for module in needed:
        pytest.importorskip(module)
    vendor = Vendor()
    crowd = CROWD if server == "gunicorn" else FEW
    scarce = {"X-License-Token": license_token(limits={"apiCalls": crowd}, sub="lic_scarce")}
    ample = {"X-License-Token": license_token(limits={"apiCalls": 10**6}, sub="lic_ample")}
    answered: list[int] = []
    with Loopback(vendor) as listening, ThreadPoolExecutor(20) as pool:
        options = {**OPTIONS, "store": store.format(tmp_path), "usage_url": listening.url, **KNOWN}
        with running(command.split(), options) as where:
            client = asking(where)
            assert client.get(f"/{crowd - 1}", headers=scarce).status_code == 200
            answers = pool.map(lambda _: client.get("/1", headers=scarce), range(crowd))
            statuses = Counter(answer.status_code for answer in answers)

            def load(_: int) -> None:
                with suppress(httpx.TransportError):
                    while True:
                        answered.append(client.get("/1", headers=ample).status_code)

            for number in range(LOAD):
                pool.submit(load, number)
            until(lambda: len(answered) > 40)
        pool.shutdown()
        client.close()
    assert statuses == {200: 1, 429: crowd - 1}
    assert vendor.counted["lic_scarce", "apiCalls"] == crowd
    told = vendor.counted["lic_ample", "apiCalls"]
    # What was served while its answer was lost is used too.
    assert answered.count(200) <= told <= answered.count(200) + LOAD
    if store != "memory://":
        assert told == used(options, ample)


def used(options: dict[str, Any], headers: dict[str, str]) -> int:
    """Return how much of the limit the store says is used."""
    settings = Settings(**{**options, "usage_url": None, "validation_credentials": None})
    with bind(verify(headers["X-License-Token"], settings)):
        rate = consume("apiCalls", 0).rate
    assert rate is not None
    return rate.used


@linux
@needs("uvicorn")
@pytest.mark.skipif(BINARY is None, reason="needs a redis-server or valkey-server")
@pytest.mark.row("P01")
def test_machines_share_a_limit(tmp_path: Path) -> None:
    """Two, which have nothing in common but one Redis: of a hundred at the limit but one, one."""
    headers = {"X-License-Token": license_token(limits={"apiCalls": CROWD}, sub="lic_machines")}
    with RedisServer() as redis, ExitStack() as stack:
        clients = []
        for name in ("one", "other"):
            directory = tmp_path / name
            directory.mkdir()
            options = {**OPTIONS, "store": redis.url, "license_state": str(directory / "state")}
            machine = running(UVICORN.split(), options, directory=directory)
            clients.append(stack.enter_context(asking(stack.enter_context(machine))))
        assert clients[0].get(f"/{CROWD - 1}", headers=headers).status_code == 200
        assert clients[1].get("/0", headers=headers).status_code == 200
        with ThreadPoolExecutor(20) as pool:
            answers = pool.map(lambda n: clients[n % 2].get("/1", headers=headers), range(CROWD))
            statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {200: 1, 429: CROWD - 1}


@linux
@needs("gunicorn")
@pytest.mark.row("P05")
def test_a_worker_that_is_killed_loses_no_count(tmp_path: Path) -> None:
    """What was answered is counted, and told but for what the killed one used in its last second.

    At most as much more is counted as was under way in it.
    """
    vendor, token = Vendor(), license_token(limits={"apiCalls": 10**6}, sub="lic_worker_killed")
    headers = {"X-License-Token": token}
    answered: list[tuple[float, int]] = []
    with Loopback(vendor) as listening:
        options = {
            **OPTIONS,
            "store": f"sqlite://{tmp_path}/store",
            "usage_url": listening.url,
            **KNOWN,
        }
        with (
            running(TWO.split(), {**options, "rate_limit_headers": True}) as where,
            httpx.Client(base_url=f"http://{where}", timeout=60, trust_env=False) as client,
            ThreadPoolExecutor(8) as pool,
        ):

            def request(_: int) -> None:
                try:
                    answer = client.get("/1", headers=headers)
                except httpx.TransportError:
                    return
                assert answer.status_code == 200
                answered.append((time.monotonic(), int(answer.headers["X-Process"])))

            asked = [pool.submit(request, number) for number in range(160)]
            until(lambda: len(answered) > 60)
            killed, process = time.monotonic(), answered[-1][1]
            os.kill(process, signal.SIGKILL)
            for one in asked:
                one.result(60)
            rate = client.get("/0", headers=headers).headers["RateLimit"]
        used = 10**6 - int(rate.split(";")[1].removeprefix("r="))
        tell_the_rest(tmp_path, listening.url)
    assert len(answered) <= used <= len(answered) + 4
    lost = sum(at > killed - 1.5 for at, pid in answered if pid == process)
    assert len(answered) - lost <= vendor.counted["lic_worker_killed", "apiCalls"] <= used
