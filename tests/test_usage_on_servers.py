"""Limits and reports of servers as they are run: several workers, and a signal to stop."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from tests.core.loopback import Loopback, until
from tests.core.test_meter import Vendor, tell_the_rest
from tests.licenses import OPTIONS, license_token
from tests.served import running

CROWD = 100
GUNICORN = "gunicorn --workers 4 --threads 4 --log-level error --bind fd://{fd}"
GUNICORN += " tests.consuming_app:wsgi"
UVICORN = "uvicorn --log-level error --fd {fd} tests.consuming_app:asgi"

linux = pytest.mark.skipif(sys.platform != "linux", reason="servers that stop by signals")


def needs(module: str) -> pytest.MarkDecorator:
    """Skip where a server is not installed."""
    return pytest.mark.skipif(find_spec(module) is None, reason=f"needs {module}")


@linux
@pytest.mark.row("P01")
@pytest.mark.parametrize(
    ("command", "store"),
    [
        pytest.param(GUNICORN, "sqlite://{}/store", marks=needs("gunicorn")),
        pytest.param(UVICORN, "memory://", marks=needs("uvicorn")),
    ],
    ids=["gunicorn", "uvicorn"],
)
def test_workers_share_a_limit_and_a_stop_loses_no_report(
    command: str, store: str, tmp_path: Path
) -> None:
    """Of a hundred at the limit but one passes one; the vendor hears of all that passed."""
    vendor = Vendor()
    token = license_token(limits={"apiCalls": CROWD}, sub="lic_served")
    headers = {"X-License-Token": token}
    with Loopback(vendor) as listening:
        options = {**OPTIONS, "store": store.format(tmp_path), "usage_url": listening.url}
        with (
            running(command.split(), options) as where,
            httpx.Client(base_url=f"http://{where}", timeout=60, trust_env=False) as client,
            ThreadPoolExecutor(20) as pool,
        ):
            assert client.get(f"/{CROWD - 1}", headers=headers).status_code == 200
            answers = pool.map(lambda _: client.get("/1", headers=headers), range(CROWD))
            statuses = Counter(answer.status_code for answer in answers)
        assert statuses == {200: 1, 429: CROWD - 1}
    assert vendor.counted == {("lic_served", "apiCalls"): CROWD}


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
        options = {**OPTIONS, "store": f"sqlite://{tmp_path}/store", "usage_url": listening.url}
        with (
            running(GUNICORN.split(), {**options, "rate_limit_headers": True}) as where,
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

            asked = [pool.submit(request, number) for number in range(400)]
            until(lambda: len(answered) > 200)
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
