"""A pushed revocation reaches one process of several that share a store, and counts in all."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests import rows
from tests.core.redis_server import BINARY, RedisServer
from tests.licenses import AUDIENCE, ISSUER, ISSUER_NAME, license_token
from tests.pushed import event, lines, new_secret
from tests.served import running

pytest.importorskip("gunicorn")
pytest.importorskip("uvicorn")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="gunicorn")

SECRET = new_secret()
#: Seconds for what has to become true.
BOUND = 20.0


class Seen(NamedTuple):
    """One answer: the status or refusal, the process, and its questions to the store."""

    told: str
    worker: str
    asked: int


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30, trust_env=False) as made:
        yield made


def options(store: str) -> dict[str, Any]:
    return {
        "issuer": ISSUER_NAME,
        "audience": AUDIENCE,
        "jwks": ISSUER.jwks(),
        "jwks_url": None,
        "store": store,
        "webhook_receive_secret": SECRET,
    }


def get(client: httpx.Client, where: str, token: str) -> Seen:
    # A connection of its own: which worker takes it is the system's to say.
    fields = {"Authorization": f"Bearer {token}", "Connection": "close"}
    answer = client.get(f"http://{where}/", headers=fields)
    told = "licensed" if answer.status_code == 200 else answer.json()["code"]
    return Seen(told, answer.headers["x-worker"], int(answer.headers["x-asked"]))


def push(client: httpx.Client, where: str, kind: str, license_id: str, sequence: int) -> str:
    """Deliver an event; return the process that took it."""
    body = event(kind, license_id=license_id, sequence=sequence)
    fields = [*lines(SECRET, body), ("Connection", "close")]
    answer = client.post(f"http://{where}/pushed", content=body, headers=fields)
    assert answer.status_code == 204
    return str(answer.headers["x-worker"])


def everywhere(
    client: httpx.Client, places: list[str], token: str, told: str, workers: int
) -> dict[str, float]:
    """Ask until so many processes have answered so; return how long each took, in seconds."""
    began = time.monotonic()
    seen: dict[str, float] = {}
    while len(seen) < workers:
        assert time.monotonic() - began < BOUND, f"{told} was answered by {seen} only"
        for where in places:
            answer = get(client, where, token)
            if answer.told == told:
                seen.setdefault(answer.worker, time.monotonic() - began)
    return seen


def hits_ask_nothing(client: httpx.Client, places: list[str], token: str, workers: int) -> None:
    """See to it that no process that knows the license asks the store about it again."""
    known: dict[str, int] = {}
    began = time.monotonic()
    while len(known) < workers or min(known.values()) < 5:
        assert time.monotonic() - began < BOUND
        for where in places:
            answer = get(client, where, token)
            assert answer.told == "licensed"
            if answer.worker in known:
                assert answer.asked == 0
            known[answer.worker] = known.get(answer.worker, 0) + 1


def revoked_everywhere(client: httpx.Client, places: list[str], workers: int) -> None:
    token, other = license_token(sub="lic_pushed"), license_token(sub="lic_other")
    for one in (token, other):
        everywhere(client, places, one, "licensed", workers)
        hits_ask_nothing(client, places, one, workers)
    taker = push(client, places[0], "license.revoked", "lic_pushed", 1)
    heard = everywhere(client, places, token, "license_revoked", workers)
    seconds = ", ".join(f"{at:.2f}" for at in sorted(heard.values()))
    rows.REPORTED.append(f"a pushed revocation, heard by each process after {seconds} s")
    assert taker in heard
    hits_ask_nothing(client, places, other, workers)


def test_four_workers_on_sqlite_hear_of_a_push(client: httpx.Client, tmp_path: Path) -> None:
    """Of gunicorn's four workers each refuses what one was told, and no hit asks the store."""
    gunicorn = ["gunicorn", "--bind", "fd://{fd}", "--workers", "4", "tests.pushed_app:wsgi"]
    with running(gunicorn, options(f"sqlite:///{tmp_path}/licet.db")) as where:
        revoked_everywhere(client, [where], 4)


def test_workers_that_inherit_a_loaded_application_hear_of_a_push(
    client: httpx.Client, tmp_path: Path
) -> None:
    """Whose gate was made before the fork."""
    gunicorn = ["gunicorn", "--bind", "fd://{fd}", "--workers", "2", "--preload"]
    with running(
        [*gunicorn, "tests.pushed_app:wsgi"], options(f"sqlite:///{tmp_path}/licet.db")
    ) as where:
        revoked_everywhere(client, [where], 2)


@pytest.mark.skipif(BINARY is None, reason="no Redis is installed")
def test_two_machines_on_redis_hear_of_a_push(client: httpx.Client) -> None:
    """Two servers that share nothing else: what one was told, the other refuses."""
    with RedisServer() as redis, ExitStack() as stack:
        uvicorn = ["uvicorn", "--fd", "{fd}", "--lifespan", "off", "--no-access-log"]
        server = [*uvicorn, "tests.pushed_app:asgi"]
        places = [stack.enter_context(running(server, options(redis.url))) for _ in range(2)]
        revoked_everywhere(client, places, 2)
