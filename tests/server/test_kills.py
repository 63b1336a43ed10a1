"""What a license server has acknowledged outlives `kill -9`, and applications go on meanwhile.

The suite kills it a few times; with `KILLS=20` in the environment, as `tox -e kills` has it, twenty
times: in the midst of the requests of four clients, each second time at the very moment at which
one of them has its answer. All tests look at what came of it.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet.cli.demo.licenses import forged
from licet.cli.demo.servers import Server, Servers
from licet.issuer import Issuer
from tests import rows
from tests.core.loopback import until
from tests.server.aftermath import AUDIENCE, Aftermath, caller
from tests.server.ears import Heard, listening
from tests.server.processes import Served, served
from tests.server.shop import (
    EVENTS,
    LIMITS,
    METERED,
    PATIENCE,
    Client,
    Counting,
    Issuing,
    Line,
    Rotating,
    Withdrawing,
    reserved,
)
from tests.server.visitors import Visitor, client, three, told

for needed in ("django", "flask", "starlette", "uvicorn", "gunicorn"):
    pytest.importorskip(needed)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kill -9, and gunicorn")

KILLS = int(os.environ.get("KILLS", "5"))
#: Seconds from the first answer of a server to its end.
SOONEST, LATEST = 0.05, 0.4
#: Seconds between two questions of a visitor.
PAUSE = 0.1
GOOD, REFUSED = (200, None), (401, "license_invalid")


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """Kill the server again and again, and let it run in the end."""
    directory = tmp_path_factory.mktemp("kills")
    data = directory / "data"
    with ExitStack() as stack:
        port, ear = stack.enter_context(reserved()), stack.enter_context(listening())
        start = partial(served, data, "--dev", "--json", "--port", port, "--validation-rate", 10**6)
        with start() as server:
            url, key = server.told["url"], server.told["admin_key"]
            admin = stack.enter_context(caller(server, "admin_key"))
            secret = admin.put("/v1/webhooks", json={"url": ear.url}).json()["secret"]
            for name in METERED:
                _issue(admin, id=name, limits=LIMITS)
            good = _issue(admin, id="presented", features=["analytics"])
            visitors = _visitors(stack, directory, url, good)
            server.end(signal.SIGKILL)
        line = Line(url)
        issuing, rotating = Issuing(line, key), Rotating(line, key)
        withdrawing = Withdrawing(line, key, issuing.fresh)
        counting = Counting(line, server.told["validation_key"])
        clients = (issuing, withdrawing, rotating, counting)
        threads = stack.enter_context(ThreadPoolExecutor(len(clients) + len(visitors)))
        stack.callback(line.close)
        running = [threads.submit(each.run) for each in clients]
        running += [threads.submit(each.run, line.is_closing, PAUSE) for each in visitors]
        began = time.monotonic()
        in_midst = _kill(start, line, clients)
        server = stack.enter_context(start())
        line.up()
        line.close()
        for each in running:
            each.result(PATIENCE)
        lasted = time.monotonic() - began
        until(lambda: not admin.get("/v1/webhooks").json()["webhooks"][0]["waiting"], PATIENCE)
        heard = []
        while not ear.is_quiet():
            heard.append(ear.hear(secret))
        rows.REPORTED.append(
            f"{KILLS} kills in {lasted:.1f} s, {in_midst} of them within requests:"
            f" {sum(each.answers for each in clients)} requests answered,"
            f" {sum(each.unanswered for each in clients)} not, of which {issuing.found} orders were"
            f" carried out; {len(heard)} events told, {len({each.id for each in heard})} different;"
            f" {sum(sum(each.answered.values()) for each in visitors)} questions to applications"
        )
        validation = stack.enter_context(caller(server, "validation_key"))
        yield Aftermath(admin, validation, server, data, *clients, visitors, heard)


def _kill(
    start: Callable[[], AbstractContextManager[Served]], line: Line, clients: Sequence[Client]
) -> int:
    """Start the server and kill it, again and again; return how often requests were under way."""
    chance, in_midst = random.Random("kills"), 0

    def killed(server: Served) -> None:
        line.down()
        assert server.end(signal.SIGKILL) == -signal.SIGKILL, server.log

    for number in range(KILLS):
        before = [each.unanswered for each in clients]
        with start() as server:
            line.up()
            # Not a wait for anything: when the end comes is what is tried.
            time.sleep(chance.uniform(SOONEST, LATEST))
            if number % 2:
                line.at_next_answer(partial(killed, server))
            else:
                killed(server)
        in_midst += before != [each.unanswered for each in clients]
    return in_midst


def _issue(admin: httpx.Client, **order: object) -> str:
    """Issue a license; return its token."""
    answer = admin.post("/v1/licenses", json=order)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def _visitors(stack: ExitStack, directory: Path, url: str, good: str) -> list[Visitor]:
    """Start the applications, and see that they know the keys of the server."""
    servers = stack.enter_context(Servers(directory, announce=lambda server: None))
    apps = servers.start(
        *three(),
        LICET_ISSUER=url,
        LICET_AUDIENCE=AUDIENCE,
        # Whoever serves for so long fetches keys while there is nobody, and while they change.
        LICET_JWKS_MAX_AGE="0.5",
        LICET_JWKS_COOLDOWN="0.1",
    )
    with client() as http:
        for app in apps:
            until(partial(_is_served, http, app, good), PATIENCE)
    return [Visitor(app, {good: GOOD, forged(good): REFUSED}) for app in apps]


def _is_served(http: httpx.Client, app: Server, credential: str) -> bool:
    return told(http, app, credential) == GOOD


def test_no_acknowledged_license_is_lost(after: Aftermath) -> None:
    """Each is there, in the state that was acknowledged last, and its key and token say so too."""
    found: dict[str, str] = {}
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        page = after.get("/v1/licenses", limit=1000, after=page["next"])
        found.update((each["id"], each["state"]) for each in page["licenses"])
    issued = after.issuing.issued
    assert issued
    assert found == {
        **{name: after.state(name) for name in issued},
        **dict.fromkeys((*METERED, "presented"), "active"),
    }
    for name, key in issued.items():
        if key is not None:
            assert after.verdict(key) == after.state(name)


def test_no_acknowledged_rotation_is_lost(after: Aftermath) -> None:
    """Each new key is published unless it was retired, each retired one is not; so in the file."""
    rotated, retired = after.rotating.rotated, after.rotating.retired
    published = [key.key_id for key in after.keys.keys]
    assert [kid for kid in rotated if kid not in retired] == [
        kid for kid in published if kid in rotated
    ]
    assert not {*retired} & {*published}
    listed = after.get("/v1/keys")["keys"]
    assert [key["kid"] for key in listed if key["retired_at"] is None] == published
    assert [key["kid"] for key in listed if key["signing"]] == published[-1:]
    assert Issuer.load(after.data / "issuer.json").kids == tuple(published)
    for name, kid in after.issuing.kids.items():
        assert kid in {key["kid"] for key in listed}, name


def test_usage_is_counted_once(after: Aftermath) -> None:
    """Sums are those that were acknowledged, and stay so when everything is reported once more."""
    sums = after.counting.sums
    assert sums
    for _ in range(2):
        used = {name: after.get(f"/v1/licenses/{name}")["use"] for name in METERED}
        assert {(name, each): used[name][each]["used"] for name, each in sums} == sums
        for batch in after.counting.batches[-100:]:
            assert after.validation.post("/v1/usage", json=batch).status_code == 204


def test_what_was_acknowledged_is_in_the_record(after: Aftermath) -> None:
    """Each license, withdrawal and key has its lines in the audit: those, once, and in order."""
    for name in after.issuing.issued:
        done = after.withdrawing.done.get(name, [])
        assert after.record[name] == ["license.issued", *done]
    for kid in after.rotating.rotated:
        ended = ["keys.retired"] if kid in after.rotating.retired else []
        assert after.record[kid] == ["keys.rotated", *ended]
    for name in METERED:
        assert "usage.received" in after.record[name]


def test_whoever_is_told_hears_of_everything(after: Aftermath) -> None:
    """Each withdrawal at least once, under one id, in order; what is repeated was not passed by."""
    lanes: dict[str | None, list[Heard]] = {}
    for each in after.heard:
        lanes.setdefault(each.body["data"].get("license_id"), []).append(each)
    of_keys = [each.id for each in lanes.pop(None)]
    assert set(lanes) == set(after.withdrawing.done)
    for name, lane in lanes.items():
        assert name is not None
        assert list(_distinct(lane).values()) == after.withdrawing.done[name]
    actions = [action for done in after.record.values() for action in done]
    # The first key was made before anybody was told.
    changes = actions.count("keys.rotated") + actions.count("keys.retired") - 1
    assert len(set(of_keys)) == changes
    assert after.withdrawing.done
    assert set(EVENTS.values()) == {
        event for done in after.withdrawing.done.values() for event in done
    }


def _distinct(lane: list[Heard]) -> dict[str, str]:
    """Return the events of a lane by their ids, seen to come in order; the last may be repeated."""
    events: dict[str, str] = {}
    sequence = 0
    for each in lane:
        number = each.body["data"]["sequence"]
        if each.id in events:
            assert number == sequence
        else:
            assert number > sequence
            sequence, events[each.id] = number, each.body["type"]
    return events


def test_applications_go_on_meanwhile(after: Aftermath) -> None:
    """In each framework the good license is always served, and the forged one always refused."""
    assert {each.app.program.app for each in after.visitors} == {"Flask", "Django", "Starlette"}
    for each in after.visitors:
        assert each.wrong == []
        assert each.answered[GOOD] == each.answered[REFUSED] > KILLS


def test_the_file_is_sound(after: Aftermath) -> None:
    """SQLite finds nothing wrong with it, and the server logged no error at any start."""
    with sqlite3.connect(f"file:{after.data}/licet.db?mode=ro", uri=True) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    assert "ERROR" not in after.server.log
    assert "Traceback" not in after.server.log
