"""Webhooks of servers as they are run: four workers, one incident, one message."""

from __future__ import annotations

import base64
import secrets
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
import standardwebhooks

from tests.core.loopback import Loopback, Request, reply, until
from tests.licenses import OPTIONS, license_token
from tests.served import running

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
AUTHORITY = str(Path(__file__).parent / "core" / "authority.pem")
DAY = 86_400
WORKERS = 4
GUNICORN = f"gunicorn --workers {WORKERS} --threads 4 --log-level error --bind fd://{{fd}}"
GUNICORN += " tests.consuming_app:wsgi"

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="servers that stop by signals"),
    pytest.mark.skipif(find_spec("gunicorn") is None, reason="needs gunicorn"),
]


def told(request: Request) -> tuple[str, str, str]:
    """Return what was told of which license, if the library of Standard Webhooks believes it."""
    message: Any = standardwebhooks.Webhook(SECRET).verify(request.body, request.headers)
    data = message["data"]
    about = data.get("kind") or data.get("limit") or data.get("days")
    return message["type"], data["license_id"], str(about)


def test_an_incident_that_all_workers_see_is_told_once(tmp_path: Path) -> None:
    """The end of a license, a limit that is used up, and a foreign domain, each once."""
    now = int(time.time())
    ending = license_token(
        sub="ending", iat=now - 25 * DAY, exp=now + 5 * DAY, limits={"apiCalls": 1}
    )
    foreign = license_token(sub="foreign", domains=["elsewhere.example"], limits={"apiCalls": 1})
    with Loopback(lambda request: reply(204)) as receiver:
        options = {**OPTIONS, "store": f"sqlite://{tmp_path}/store", "tls_ca_file": AUTHORITY}
        options |= {"webhook_url": receiver.url, "webhook_secret": SECRET}
        with (
            running(GUNICORN.split(), options) as where,
            httpx.Client(
                base_url=f"http://{where}",
                timeout=60,
                trust_env=False,
                headers={"Connection": "close"},
            ) as client,
            ThreadPoolExecutor(16) as pool,
        ):

            def ask(path: str, token: str) -> httpx.Response:
                return client.get(path, headers={"X-License-Token": token})

            seen: set[str] = set()

            def look() -> bool:
                answers = pool.map(lambda _: ask("/0", ending), range(16))
                seen.update(answer.headers["X-Process"] for answer in answers)
                return len(seen) == WORKERS

            until(look)
            statuses = Counter(
                one.status_code for one in pool.map(lambda _: ask("/2", ending), range(40))
            )
            statuses += Counter(
                one.status_code for one in pool.map(lambda _: ask("/1", foreign), range(40))
            )
            until(lambda: len(receiver.log) >= 3)
    assert statuses == {429: 40, 403: 40}
    assert sorted(map(told, receiver.log)) == [
        ("license.expiring", "ending", "7"),
        ("license.suspicious_activity", "foreign", "domain_mismatch"),
        ("usage.exceeded", "ending", "apiCalls"),
    ]
