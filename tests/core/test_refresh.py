"""An installation's license is refreshed before it ends; nothing bad ever takes its place."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from licet.core import flow
from licet.core.clock import SYSTEM_CLOCK
from licet.core.errors import KeysUnavailable, LicenseExpired
from licet.core.grants import Grant
from licet.core.installation import pace
from licet.core.installation.pace import Turns
from licet.core.installation.renewals import CAPACITY
from licet.core.revocation.statements import Subject, Withdrawal
from licet.core.stores import StoreUnavailable, key
from tests.core.hands import Hands
from tests.core.installed import DAY, EARLIEST, LATEST, LIFETIME, Renewer, Worker, given, token
from tests.core.loopback import Answer, Loopback, Request, reply, until
from tests.core.presented import Presented
from tests.core.secure import server_context
from tests.core.test_forks import in_child
from tests.licenses import AUDIENCE, FORGER, ISSUER, ISSUER_NAME, tampered

LICENSE = Subject("license", ISSUER_NAME, "lic_1")


@pytest.fixture(name="renewer")
def _renewer(hands: Hands) -> Iterator[Renewer]:
    renewer = Renewer(hands)
    with renewer.server:
        yield renewer


class World:
    """One installation: its clock, its state and its file, and as many processes as it takes."""

    def __init__(self, hands: Hands, renewer: Renewer, directory: Path) -> None:
        self.hands, self.renewer = hands, renewer
        self.state, self.file = directory / "state", directory / "license.jwt"
        self.began = hands.wall
        self.write(token(hands.wall))

    def write(self, credential: str) -> None:
        beside = self.file.with_suffix(".new")
        beside.write_text(credential)
        beside.replace(self.file)

    def worker(self, setting: str | None = None, url: str | None = "", **options: Any) -> Worker:
        """Return a new process."""
        url = self.renewer.url if url == "" else url
        return Worker(self.state, url, setting or f"file:{self.file}", self.hands.clock, **options)

    def at(self, seconds: float) -> None:
        """Let it be so many seconds after the license was issued."""
        self.hands.advance(self.began + seconds - self.hands.wall)


@pytest.fixture(name="world")
def _world(hands: Hands, renewer: Renewer, tmp_path: Path) -> World:
    return World(hands, renewer, tmp_path)


def serve(worker: Worker) -> float:
    """Have a request served, and what it brings about done; return the license's age of birth."""
    worker.ask()
    worker.at_rest()
    return worker.issued()


# -- before the end, behind the requests ---------------------------------------------------------


def test_it_is_refreshed_before_its_end(world: World) -> None:
    """Not before three fifths of its life are over, and not after three quarters."""
    worker = world.worker()
    for hours in range(0, EARLIEST // 3600, 6):
        world.at(hours * 3600)
        assert serve(worker) == world.began
    assert world.renewer.log == []
    world.at(LATEST)
    assert serve(worker) == world.began + LATEST
    (request,) = world.renewer.log
    assert (request.method, request.target) == ("POST", "/v1/licenses/refresh")
    assert request.headers["content-type"] == request.headers["accept"] == "application/json"
    assert "authorization" not in request.headers
    assert json.loads(request.body) == {"token": world.file.read_text()}
    assert worker.told("license.denied") == worker.told("online.unavailable") == []


def test_it_goes_on_for_ever(world: World) -> None:
    """Each token is shown for the next, and the file of the first day never changes."""
    worker = world.worker()
    for _ in range(5 * 20):
        world.hands.advance(DAY / 2)
        serve(worker)
    assert 6 <= len(world.renewer.log) <= 9
    assert len(set(world.renewer.shown)) == len(world.renewer.log)
    assert worker.error() is None


def test_a_setting_that_is_the_license_itself_is_refreshed(world: World) -> None:
    """Text is never looked for anywhere, and its license does not end either."""
    worker = world.worker(setting=token(world.began))
    world.at(LATEST - 1)
    worker.ask()
    world.at(LATEST)
    assert serve(worker) == pytest.approx(world.began + LATEST, abs=1)


@pytest.mark.parametrize("lifetime", [DAY, 75 * DAY, 90 * DAY, 400 * DAY], ids=lambda n: n // DAY)
def test_long_licenses_are_not_refreshed_too_early(world: World, lifetime: int) -> None:
    """The last two fifths of a life at most, and never more than thirty days."""
    world.write(token(world.began, exp=int(world.began) + lifetime))
    due = set()
    for _ in range(20):
        worker = world.worker(max_lifetime=400 * DAY)
        worker.ask()
        held = worker.refresher._held
        assert held is not None
        due.add(held.expires_at - worker.refresher._pace.due_at(held))
    longest = min(0.4 * lifetime, 30 * DAY)
    assert 0.6 * longest <= min(due)
    assert max(due) <= longest
    assert len(due) == 20


@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "tasks"])
def test_no_request_waits_for_it(world: World, asynchronous: bool) -> None:
    """While the server takes its time the license serves as it is."""
    worker = world.worker()
    worker.ask()
    world.at(LATEST)
    with world.renewer.held() as release:
        for _ in range(3):
            if asynchronous:
                served = anyio.run(flow.arun, worker.gate.decide(Presented()))
                assert served.claims["iat"] == world.began
            else:
                assert worker.issued() == world.began
        until(lambda: world.renewer.log)
        # Nor is any further request bothered with it.
        assert worker.refresher.look_at > world.hands.monotonic
        release()
        until(lambda: worker.issued() == world.began + LATEST)
    worker.at_rest()
    assert len(world.renewer.log) == 1


def test_a_glance_costs_a_hit_one_comparison(world: World) -> None:
    """Until it is due no request asks for more than the time."""
    worker = world.worker(setting=token(world.began))
    worker.ask()

    def never() -> None:
        raise AssertionError("looked at")

    worker.refresher.look = never  # type: ignore[method-assign]
    for _ in range(3):
        assert worker.installation.recall() is not None


def test_a_machine_that_slept_sees_how_late_it_is(world: World) -> None:
    """The monotonic clock stood still; within an hour of work the wall is looked at."""
    worker = world.worker(setting=token(world.began))
    worker.ask()
    world.hands.suspend(LATEST)
    world.hands.advance(pace.GLANCE)
    assert serve(worker) == pytest.approx(world.began + LATEST + pace.GLANCE, abs=1)


def test_a_license_that_began_long_ago_is_refreshed_at_once(world: World) -> None:
    """An installation that was switched off for a while does not wait for the end."""
    world.at(LATEST)
    assert serve(world.worker()) == world.began + LATEST


def test_an_expired_license_is_asked_about_too(world: World) -> None:
    """The server decides about grace; once it has given a license, requests are served again."""
    world.at(LIFETIME + DAY)
    worker = world.worker()
    assert worker.error() == "expired"
    worker.at_rest()
    assert worker.issued() == world.began + LIFETIME + DAY


def test_a_license_that_ends_meanwhile_is_asked_about_again(world: World) -> None:
    """The end changes nothing about when to ask: each failure has its pause."""
    worker = world.worker()
    world.renewer.trouble = lambda _: reply(503)
    worker.ask()
    for day in range(9, 17):
        world.at(day * DAY + 60)
        assert worker.error() == (None if day < 10 else "expired")
        worker.at_rest()
    assert len(world.renewer.log) == 8
    world.renewer.trouble = None
    world.at(17 * DAY)
    assert worker.error() == "expired"
    worker.at_rest()
    assert worker.error() is None


@pytest.mark.parametrize("setting", ["ABCD-EFGH", "rubbish", ""])
def test_what_is_no_token_is_not_refreshed(world: World, setting: str) -> None:
    """An opaque key has nothing that could end; nobody is sent what is no license."""
    world.write(setting)
    worker = world.worker()
    assert worker.error() == ("invalid" if setting else "missing")
    world.hands.advance(400 * DAY)
    worker.error()
    worker.at_rest()
    assert world.renewer.log == []


def test_nobody_is_asked_where_there_is_nobody(world: World) -> None:
    """Without an address what was refreshed earlier serves, and is not refreshed."""
    world.at(LATEST)
    serve(world.worker())
    worker = world.worker(url=None)
    assert worker.issued() == world.began + LATEST
    world.hands.advance(LIFETIME + 60)
    assert worker.error() == "expired"
    worker.at_rest()
    assert len(world.renewer.log) == 1


# -- several processes ---------------------------------------------------------------------------


def test_one_of_all_processes_asks(world: World) -> None:
    """However many there are and find it due in the same moment; all serve what came of it."""
    workers = [world.worker() for _ in range(4)]
    world.at(LATEST)
    with world.renewer.held() as release:
        for worker in workers:
            worker.ask()
        until(lambda: world.renewer.log)
        asking = [worker for worker in workers if worker.refresher._background._running]
        until(lambda: sum(bool(w.refresher._background._running) for w in workers) == 1)
        assert asking
        release()
        for worker in workers:
            worker.at_rest()
    for worker in workers:
        worker.listen()
        assert worker.issued() == world.began + LATEST
    assert len(world.renewer.log) == 1
    # Nor later, when each would be due by the old license.
    world.hands.advance(3600)
    for worker in workers:
        serve(worker)
    assert len(world.renewer.log) == 1


def test_others_hear_of_it_behind_their_requests(world: World) -> None:
    """By their own watch, within two seconds, and without a request that looks for it."""
    one, other = world.worker(), world.worker()
    assert other.issued() == world.began
    # It does not ask by itself.
    other.refresher.look_at = float("inf")
    world.at(LATEST)
    assert serve(one) == world.began + LATEST
    until(lambda: other.installation.kept == one.installation.kept)
    assert other.issued() == world.began + LATEST
    assert len(world.renewer.log) == 1


def test_all_rest_when_one_has_failed(world: World) -> None:
    """A server that is down is not asked by each worker in turn, nor by those who are started."""
    world.renewer.trouble = lambda _: reply(503, Retry_After="1800")
    workers = [world.worker() for _ in range(3)]
    world.at(LATEST)
    for _ in range(29):
        for worker in [*workers, world.worker()]:
            serve(worker)
        world.hands.advance(60)
    assert len(world.renewer.log) == 1
    world.hands.advance(120)
    for worker in workers:
        serve(worker)
    assert len(world.renewer.log) == 2


def test_who_has_the_address_corrected_need_not_wait(world: World) -> None:
    """The rest is from the address that has refused, and not from another one."""
    right = world.renewer.url
    world.renewer.trouble = lambda _: reply(404)
    world.at(LATEST)
    serve(world.worker(url=right + "es"))
    world.renewer.trouble = None
    assert serve(world.worker(url=right)) == world.began + LATEST
    assert [one.target for one in world.renewer.log] == [
        "/v1/licenses/refreshes",
        "/v1/licenses/refresh",
    ]


def test_a_worker_that_dies_over_it_is_followed_by_another(world: World) -> None:
    """The turn of who never tells what came of it ends by itself."""
    one, other = world.worker(), world.worker()
    world.at(LATEST)
    with world.renewer.held():
        one.ask()
        until(lambda: world.renewer.log)
        serve(other)
        assert len(world.renewer.log) == 1
        # It is gone: nothing that it does later is heard of.
        world.renewer.trouble = None
        world.hands.advance(pace.TURN)
        assert serve(other) == world.began + LATEST + pace.TURN
    one.at_rest()


#: Serves one request, from the license it finds, and says when that was issued.
PROCESS = """
import json, sys
from pathlib import Path
from licet.core.clock import SYSTEM_CLOCK
from tests.core.installed import Worker
directory, url, setting, jwks = json.loads(sys.stdin.read())
worker = Worker(Path(directory), url, setting, SYSTEM_CLOCK, jwks=jwks)
print(worker.error() or worker.issued())
"""


def in_another_process(world: World, url: str) -> str:
    """Return what a request is told in a process that begins now, by the true clock."""
    told = json.dumps([str(world.state), url, f"file:{world.file}", ISSUER.jwks()])
    path = [os.getcwd(), *filter(None, sys.path)]
    return subprocess.run(
        [sys.executable, "-c", PROCESS],
        input=told,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()


@pytest.mark.parametrize("in_time", [True, False], ids=["current", "expired"])
def test_a_restart_without_the_server_serves_what_was_refreshed(
    tmp_path: Path, in_time: bool
) -> None:
    """A new process finds it in the state, also where the license in the file has ended since."""
    hands = Hands(wall=SYSTEM_CLOCK.wall())
    with (renewer := Renewer(hands)).server:
        world = World(hands, renewer, tmp_path)
        world.write(token(hands.wall - (LATEST if in_time else LIFETIME + 60)))
        worker = world.worker()
        worker.error()
        worker.at_rest()
        assert worker.issued() == int(hands.wall)
    # The server is gone.
    assert in_another_process(world, renewer.url) == str(int(hands.wall))


def test_without_the_state_an_expired_license_is_expired(world: World) -> None:
    """The control of the test above: it is the state that has it serve."""
    world.at(LIFETIME)
    serve_expired = world.worker()
    assert serve_expired.error() in ("expired", None)
    serve_expired.at_rest()
    world.state = world.state.with_name("other")
    world.renewer.trouble = lambda _: reply(503)
    world.hands.advance(60)
    assert world.worker().error() == "expired"


# -- nothing bad for something good --------------------------------------------------------------


def later(**claims: Any) -> Callable[[float], object]:
    return lambda now: token(now, **claims)


#: What a server may give: how it is refused, in the log.
BAD: dict[str, tuple[Callable[[float], object], str]] = {
    "forged": (
        lambda now: FORGER.sign(
            {"iss": ISSUER_NAME, "aud": AUDIENCE, "sub": "lic_1", "iat": now, "exp": now + LIFETIME}
        ),
        "token:unknown_kid",
    ),
    "tampered": (lambda now: tampered(token(now)), "token:bad_signature"),
    "another license": (later(sub="lic_2"), "token:another_license"),
    "another issuer": (later(iss="https://evil.example"), "token:bad_issuer"),
    "another product": (later(aud="another-product"), "token:bad_audience"),
    "issued earlier": (lambda now: token(now, iat=int(now - LATEST) - 1), "token:not_later"),
    "ends earlier": (lambda now: token(now, exp=int(now) + 3600), "token:not_later"),
    "the same": (lambda now: token(now - LATEST), "token:not_later"),
    "from the future": (lambda now: token(now + DAY), "token:issued_in_the_future"),
    "not active yet": (lambda now: token(now, nbf=int(now) + DAY), "token:not_yet_valid"),
    "bound to a holder": (later(cnf={"jkt": "A" * 43}), "token:bound"),
    "malformed": (later(domains=[]), "token:bad_claim"),
    "huge": (later(customer="x" * 5000), "token:token_too_large"),
    "an opaque key": (lambda now: "lic_secret", "token:not_a_jws"),
    "empty": (lambda now: "", "token:not_a_jws"),
    "a number": (lambda now: 1, "garbage"),
    "nothing": (lambda now: None, "garbage"),
    "no ASCII": (lambda now: "\N{SNOWMAN}.a.b", "garbage"),
}


@pytest.mark.parametrize("name", BAD)
def test_no_bad_token_takes_the_place_of_a_good_one(world: World, name: str) -> None:
    """Neither in this process, nor in another, nor after a restart; and it is told of."""
    made, reason = BAD[name]
    world.renewer.trouble = lambda _: given(made(world.hands.wall))
    worker, other = world.worker(), world.worker()
    other.ask()
    world.at(LATEST)
    assert serve(worker) == world.began
    (told,) = worker.told("online.unavailable")
    assert (told["reason"], told["issuer"]) == (f"refresh:{reason}", ISSUER_NAME)
    assert told["host"] == "127.0.0.1"
    not_later = reason == "token:not_later"
    assert told["retry_after"] == (pace.LAST_PAUSE if not_later else pace.FIRST_PAUSE)
    assert len(str(told["correlation_id"])) == 16
    other.listen()
    assert other.issued() == world.began
    assert world.worker(url=None).issued() == world.began
    assert worker.told("license.denied") == []


#: What is no answer.
NONE: dict[str, tuple[Callable[[World], Answer], str]] = {
    "a redirect": (lambda world: reply(302, location=world.renewer.url), "status_302"),
    "no content": (lambda world: reply(204), "status_204"),
    "made": (lambda world: reply(201, json.dumps({"token": ""}).encode()), "status_201"),
    "a page": (lambda world: reply(200, b"{}", "text/html"), "content_type"),
    "no type": (lambda world: reply(200, b"{}", ""), "content_type"),
    "rubbish": (lambda world: reply(200, b"rubbish"), "garbage"),
    "a list": (lambda world: reply(200, b"[]"), "garbage"),
    "nothing in it": (lambda world: reply(200, b"{}"), "garbage"),
    "without its life": (
        lambda world: reply(200, json.dumps({"token": token(world.hands.wall)}).encode()),
        "garbage",
    ),
    "true for its life": (
        lambda world: given(token(world.hands.wall), expires_in=True),
        "garbage",
    ),
    "twice": (
        lambda world: reply(
            200, b'{"token": "a.b.c", "token": "%s", "expires_in": 1}' % token(0).encode()
        ),
        "garbage",
    ),
    "huge": (lambda world: reply(200, b" " * 65_537), "too_large"),
    "cut": (lambda world: reply(200, b"{}")[:-1], "protocol"),
    "not HTTP": (lambda world: b"rubbish\r\n\r\n", "protocol"),
    "compressed": (lambda world: reply(200, b"{}", Content_Encoding="gzip"), "encoding"),
}


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_answer_changes_nothing(world: World, name: str) -> None:
    """The license serves on, and the server is asked again later."""
    answer, reason = NONE[name]
    world.renewer.trouble = lambda _: answer(world)
    worker = world.worker()
    world.at(LATEST)
    assert serve(worker) == world.began
    assert [told["reason"] for told in worker.told("online.unavailable")] == [f"refresh:{reason}"]
    assert len(world.renewer.log) == 1
    world.renewer.trouble = None
    world.hands.advance(pace.FIRST_PAUSE)
    assert serve(worker) > world.began


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_refusal_is_no_statement(world: World, status: int) -> None:
    """Nobody has signed it: the license serves to its end, and is asked about once an hour."""
    world.renewer.trouble = lambda _: reply(status, Retry_After="1")
    worker = world.worker()
    world.at(LATEST)
    for minute in range(0, 240, 5):
        world.at(LATEST + minute * 60)
        assert serve(worker) == world.began
    assert len(world.renewer.log) == 4
    assert {told["retry_after"] for told in worker.told("online.unavailable")} == {3600}
    assert worker.gate.withdrawals.known(LICENSE) is None


def test_a_server_that_is_down_for_a_week(world: World, renewer: Renewer) -> None:
    """Is asked after a minute, then half as often each time, and at last once an hour."""
    worker = world.worker()
    world.at(LATEST)
    times: list[float] = []

    def down(_: Request) -> Answer:
        times.append(world.hands.wall)
        return reply(500)

    renewer.trouble = down
    for _ in range(3 * 24 * 12):
        assert worker.error() in (None, "expired")
        worker.at_rest()
        world.hands.advance(300)
    pauses = [b - a for a, b in pairwise(times)]
    assert pauses[:5] == [300, 300, 300, 600, 1200]
    assert set(pauses[6:]) == {3600}
    assert 70 <= len(times) <= 80


def test_a_server_that_was_down_is_forgiven(world: World) -> None:
    """Once it has given a license, the next failure is the first again."""
    world.renewer.trouble = lambda _: reply(500)
    worker = world.worker()
    world.at(LATEST)
    for pause in (60, 120, 240):
        serve(worker)
        assert worker.told("online.unavailable")[-1]["retry_after"] == pause
        world.hands.advance(pause)
    world.renewer.trouble = None
    assert serve(worker) > world.began
    world.renewer.trouble = lambda _: reply(500)
    world.hands.advance(LATEST)
    serve(worker)
    assert worker.told("online.unavailable")[-1]["retry_after"] == 60


@pytest.mark.row("J02")
@pytest.mark.parametrize("killed", [False, True], ids=["rests", "was killed"])
def test_a_clock_that_was_ahead_keeps_nobody_from_asking(world: World, killed: bool) -> None:
    """J02: who asked by a clock ten years ahead has reason to rest, but not for ten years."""
    worker, real = world.worker(), world.hands.wall
    world.renewer.hands = Hands(wall=real)
    world.hands.wall += 3650 * DAY
    assert worker.error() == "expired"
    worker.at_rest()
    if killed:
        turns = Turns(worker.state, world.hands.clock.wall)
        assert flow.run(turns.take((ISSUER_NAME, "lic_1"), hastened=True))
    assert len(world.renewer.log) == 1
    world.hands.wall, world.renewer.hands = real, world.hands
    world.hands.monotonic += 3600
    world.at(LATEST)
    assert serve(world.worker()) == world.began + LATEST


def test_turns_are_taken_and_given_back(world: World) -> None:
    """By who asks, by who finds that it is not time yet, and by nobody else."""
    one, other = (Turns(world.worker().state, world.hands.clock.wall) for _ in range(2))
    name = (ISSUER_NAME, "lic_1")

    def takes(turns: Turns, *, hastened: bool = False) -> bool:
        return flow.run(turns.take(name, hastened=hastened))

    assert takes(one)
    assert not takes(other)
    assert not takes(other, hastened=True)
    flow.run(one.over(name, 5))
    assert not takes(other)
    assert takes(one, hastened=True)
    flow.run(one.over(name, 5))
    world.hands.advance(5)
    assert takes(other)
    assert flow.run(one.take((ISSUER_NAME, "lic_2"), hastened=False))


@pytest.mark.parametrize(
    ("field", "wait"),
    [("-5", 60), ("0", 60), ("5", 60), ("90", 90), ("999999999", 3600), ("rubbish", 60)],
)
@pytest.mark.row("I10")
def test_retry_after_is_honoured_within_bounds(world: World, field: str, wait: float) -> None:
    """No server is asked sooner than it wishes, nor puts itself out of reach for longer."""
    world.renewer.trouble = lambda _: reply(429, Retry_After=field)
    worker = world.worker()
    world.at(LATEST)
    serve(worker)
    world.hands.advance(wait - 1)
    serve(worker)
    assert len(world.renewer.log) == 1
    world.hands.advance(1)
    serve(worker)
    assert len(world.renewer.log) == 2


def test_a_server_that_nobody_vouches_for_is_told_no_license(world: World) -> None:
    """What is told of the TLS failure carries the same number as what came of it."""
    context = server_context(trustme.CA().issue_cert("127.0.0.1"))
    with Loopback(lambda _: given(token(world.hands.wall)), context) as stranger:
        worker = world.worker(url=stranger.url)
        world.at(LATEST)
        assert serve(worker) == world.began
        assert stranger.connections == 1
        assert stranger.log == []
    (tls,), (told,) = worker.told("tls.failure"), worker.told("online.unavailable")
    tied = told["correlation_id"]
    assert told == {
        "issuer": ISSUER_NAME,
        "host": "127.0.0.1",
        "reason": "refresh:tls",
        "retry_after": pace.FIRST_PAUSE,
        "correlation_id": tied,
    }
    assert (tls["kind"], tls["correlation_id"]) == ("certificate", tied)


def test_a_server_that_is_away_is_told_of(world: World) -> None:
    """Nobody listens at its address: the license serves on."""
    with Loopback(lambda _: reply()) as gone:
        pass
    worker = world.worker(url=gone.url)
    world.at(LATEST)
    assert serve(worker) == world.began
    assert [told["reason"] for told in worker.told("online.unavailable")] == ["refresh:connect"]
    assert worker.told("tls.failure") == []


def test_a_server_that_gives_too_little_is_not_asked_in_a_circle(world: World) -> None:
    """What ends a second later is taken, and the next is asked for after a pause."""
    end = [int(world.began) + LIFETIME]

    def a_little(_: Request) -> Answer:
        end[0] += 1
        return given(token(world.began, exp=end[0]))

    world.renewer.trouble = a_little
    workers = [world.worker(), world.worker()]
    world.at(LATEST)
    for minute in range(1, 4):
        for _ in range(5):
            for worker in workers:
                serve(worker)
                worker.listen()
                assert worker.ask().claims["exp"] == end[0]
        assert len(world.renewer.log) == minute
        world.hands.advance(60)
    assert world.worker(url=None).ask().claims["exp"] == end[0]


def test_short_licenses_are_refreshed_in_time(world: World) -> None:
    """Also where they live no longer than a turn lasts."""
    world.renewer.trouble = lambda _: given(token(world.hands.wall, exp=int(world.hands.wall) + 40))
    world.write(token(world.began, exp=int(world.began) + 40))
    worker = world.worker(leeway=0)
    for _ in range(200):
        assert worker.error() is None
        worker.at_rest()
        world.hands.advance(1)


def test_nothing_of_a_license_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Neither what is shown nor what is given, whatever goes wrong with it."""
    shown = world.file.read_text()
    bad = [shown, f"{shown}x", f"{shown.split('.')[1]}.a.b", "a.b.c"]
    worker = world.worker()
    world.at(LATEST)
    caplog.set_level("DEBUG")
    for each in bad:
        world.renewer.trouble = lambda _, each=each: given(each)
        serve(worker)
        world.hands.advance(3600)
    written = caplog.text + repr(worker.events)
    assert len(world.renewer.log) == len(bad)
    for part in shown.split("."):
        assert part[:40] not in written


# -- between a file and what was refreshed -------------------------------------------------------


def test_the_later_that_holds_wins(world: World) -> None:
    """A file that is renewed by hand counts from when it was issued, in a new process too."""
    worker = world.worker()
    world.at(LATEST)
    serve(worker)
    for issued, wins in ((LATEST - DAY, LATEST), (LATEST + 1, LATEST + 1), (0, LATEST)):
        world.write(token(world.began + issued))
        world.hands.advance(1)
        assert worker.issued() == int(world.began + wins)
        assert world.worker().issued() == int(world.began + wins)


def test_a_file_with_another_license_wins(world: World) -> None:
    """Whatever the old one was refreshed to, and the new one has its own refreshed token."""
    worker = world.worker()
    world.at(LATEST)
    serve(worker)
    world.write(token(world.began, sub="lic_2"))
    world.hands.advance(1)
    for each in (worker, world.worker()):
        assert each.ask().license_id == "lic_2"
    worker.at_rest()


@pytest.mark.parametrize("bad", ["forged", "another product", "expired", "rubbish", "empty"])
def test_a_bad_file_does_not_displace_what_was_refreshed(world: World, bad: str) -> None:
    """Neither in the process that refreshed it, nor, where it names the license, in a new one."""
    worker = world.worker()
    world.at(LATEST)
    serve(worker)
    now = world.hands.wall
    world.write(
        {
            "forged": FORGER.sign(
                {
                    "iss": ISSUER_NAME,
                    "aud": AUDIENCE,
                    "sub": "lic_1",
                    "iat": int(now) + 9,
                    "exp": int(now) + LIFETIME,
                }
            ),
            "another product": token(now + 9, aud="another-product"),
            "expired": token(now - 2 * LIFETIME),
            "rubbish": "rubbish",
            "empty": "",
        }[bad]
    )
    for _ in range(3):
        world.hands.advance(1)
        assert worker.issued() == world.began + LATEST
    if bad in ("forged", "expired"):
        assert world.worker(url=None).issued() == world.began + LATEST


def test_what_was_refreshed_ends_too(world: World) -> None:
    """Expired is what a request is told when neither holds any more."""
    worker = world.worker()
    world.at(LATEST)
    serve(worker)
    world.renewer.trouble = lambda _: reply(503)
    world.at(LATEST + LIFETIME + 60)
    for each in (worker, world.worker()):
        assert each.error() == "expired"
        each.at_rest()
    # The later of the two is what is shown.
    assert world.renewer.shown[-1] != world.file.read_text()
    assert len(world.renewer.log) == 2


@pytest.mark.parametrize("kind", ["state_damaged", "state_copied"])
def test_a_state_that_was_tampered_with(world: World, kind: str) -> None:
    """Damaged, the file counts alone; copied, what it holds is judged and serves; both are told."""
    world.at(LATEST)
    serve(world.worker())
    if kind == "state_copied":
        shutil.copytree(world.state, world.state.with_name("copy"))
        world.state = world.state.with_name("copy")
    else:
        with closing(sqlite3.connect(world.state / "state.db")) as database, database:
            database.execute("UPDATE announcements SET value = substr(value, 2)")
        database.close()
    worker = world.worker(url=None)
    assert worker.issued() == world.began + (LATEST if kind == "state_copied" else 0)
    assert worker.told("license.suspicious_activity") == [{"kind": kind}]


class Broken:
    """A state that gives no answer."""

    def __init__(self, worker: Worker, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.calls = 0
        self._undo = monkeypatch
        for name in names:
            monkeypatch.setattr(worker.state._store, name, self._fail)

    def _fail(self, *_: object) -> object:
        self.calls += 1
        raise StoreUnavailable("unreachable:Full")


def test_a_state_that_gives_no_answer_is_undecided(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expired license may have been refreshed: 503 and not 402, at one question a second."""
    world.at(LATEST)
    serve(world.worker())
    world.at(LIFETIME + DAY)
    worker = world.worker(url=None)
    with monkeypatch.context() as patch:
        broken = Broken(worker, patch, "get")
        for _ in range(3):
            assert worker.error() == "state:unreachable:Full"
        # What the time was, and what the license was refreshed to.
        assert broken.calls == 2
    world.hands.advance(1)
    assert worker.issued() == world.began + LATEST


def test_a_refreshed_license_that_cannot_be_judged_is_no_no(world: World) -> None:
    """Whatever becomes of the file's: while one of the two is undecided, so is the installation."""
    world.at(LATEST)
    serve(world.worker())
    world.hands.advance(1)
    in_file = token(world.hands.wall)
    world.write(in_file)
    worker = world.worker(url=None)

    def judge(credential: bytes) -> flow.Flow[Grant]:
        raise LicenseExpired if credential == in_file.encode() else KeysUnavailable
        yield

    worker.installation._judge = judge
    with pytest.raises(KeysUnavailable):
        worker.ask()


@pytest.mark.parametrize("told", ["lic_1", "lic_2"])
def test_only_what_its_own_license_was_refreshed_to_is_found(world: World, told: str) -> None:
    """A good license in the wrong place of the state is none for this installation."""
    worker = world.worker(url=None)
    world.hands.advance(60)
    value = ["token", ISSUER_NAME, told, token(world.hands.wall, sub="lic_2")]
    place = key("token", ISSUER_NAME, "lic_1")
    worker.state.announce(place, json.dumps(value).encode(), DAY).run()
    assert worker.ask().license_id == "lic_1"


def test_a_license_that_holds_needs_no_state(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file says serves meanwhile, and nobody is asked out of turn."""
    worker = world.worker()
    world.at(LATEST)
    with monkeypatch.context() as patch:
        Broken(worker, patch, "get", "set_if_absent")
        assert worker.issued() == world.began
        worker.at_rest()
        assert world.renewer.log == []
    world.hands.advance(pace.FIRST_PAUSE)
    assert serve(worker) == world.began + LATEST + pace.FIRST_PAUSE


def test_what_could_not_be_kept_is_kept_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves in this process at once, is not asked for again, and others hear of it in time."""
    worker, other = world.worker(), world.worker()
    other.ask()
    world.at(LATEST)
    with monkeypatch.context() as patch:
        Broken(worker, patch, "announce")
        assert serve(worker) == world.began + LATEST
        other.listen()
        assert other.installation.kept != worker.installation.kept
    world.hands.advance(pace.FIRST_PAUSE)
    serve(worker)
    other.listen()
    assert other.installation.kept == worker.installation.kept
    assert len(world.renewer.log) == 1


# -- withdrawn -----------------------------------------------------------------------------------


def withdraw(worker: Worker, word: Any, at: float) -> None:
    flow.run(worker.gate.withdrawals.record(Withdrawal(word, at), LICENSE))


def test_a_revoked_license_is_never_refreshed(world: World) -> None:
    """Nobody is asked about what the issuer has taken away for good."""
    worker = world.worker()
    worker.ask()
    withdraw(worker, "revoked", world.began + 60)
    for day in range(1, 12):
        world.at(day * DAY)
        assert worker.error() in ("revoked", "expired")
        worker.at_rest()
    assert world.renewer.log == []


def test_a_suspended_license_comes_back_with_a_later_token(world: World) -> None:
    """It is asked about at once; what is issued after the suspension lifts it, for all workers."""
    worker, other = world.worker(), world.worker()
    other.ask()
    world.renewer.trouble = lambda _: reply(403)
    withdraw(worker, "suspended", world.began + 60)
    world.at(120)
    assert worker.error() == "suspended"
    worker.at_rest()
    assert len(world.renewer.log) == 1
    world.renewer.trouble = None
    world.hands.advance(3600)
    assert worker.error() == "suspended"
    worker.at_rest()
    assert worker.issued() == world.began + 3720
    other.listen()
    assert other.issued() == world.began + 3720
    assert world.worker(url=None).issued() == world.began + 3720


def test_an_older_token_lifts_nothing(world: World) -> None:
    """What was issued before the suspension, or in its very moment, changes nothing about it."""
    worker = world.worker()
    worker.ask()
    world.at(120)
    withdraw(worker, "suspended", world.hands.wall)
    for _ in range(2):
        assert worker.error() == "suspended"
        worker.at_rest()
    assert [told["reason"] for told in worker.told("online.unavailable")] == [
        "refresh:token:online"
    ]
    assert world.worker(url=None).error() == "suspended"


@pytest.mark.parametrize("name", ["forged", "another license", "another product", "tampered"])
def test_a_bad_token_lifts_nothing(world: World, name: str) -> None:
    """What gives a suspended license back is signed by its issuer, and about that license."""
    worker = world.worker()
    worker.ask()
    withdraw(worker, "suspended", world.began + 60)
    world.renewer.trouble = lambda _: given(BAD[name][0](world.hands.wall))
    world.at(120)
    for _ in range(2):
        assert worker.error() == "suspended"
        worker.at_rest()
    assert len(world.renewer.log) == 1
    assert worker.gate.withdrawals.known(LICENSE) == ("suspended", world.began + 60)


def test_a_hint_that_it_was_resumed_has_it_asked_about(world: World) -> None:
    """At once, although the server has just refused; a hint about another license is not ours."""
    worker = world.worker()
    worker.ask()
    world.renewer.trouble = lambda _: reply(403)
    world.at(60)
    withdraw(worker, "suspended", world.hands.wall)
    assert worker.error() == "suspended"
    worker.at_rest()
    world.renewer.trouble = None
    world.hands.advance(61)
    for hinted, asked in (("lic_2", 1), ("lic_1", 2)):
        worker.refresher.hasten(ISSUER_NAME, hinted)
        worker.at_rest()
        assert len(world.renewer.log) == asked
    assert worker.issued() == world.began + 121


# -- what is heard -------------------------------------------------------------------------------


def test_what_others_announce_is_judged(world: World) -> None:
    """Each listener ignores what is not its own; a bad token is denied and displaces nothing."""
    worker = world.worker()
    worker.ask()
    now = world.hands.wall
    strange: list[object] = [
        ["license", ISSUER_NAME, "lic_1", "valid", now],
        ["token", ISSUER_NAME, "lic_1"],
        ["token", ISSUER_NAME, "lic_1", "\N{SNOWMAN}"],
        ["token", ISSUER_NAME, 1, "a.b.c"],
        ["token", ISSUER_NAME, "lic_2", token(now + 9, sub="lic_2")],
        ["token", ISSUER_NAME, "lic_1", token(now - 9)],
        {"token": 1},
        "token",
        None,
    ]
    for each in strange:
        worker.refresher.heard(json.dumps(each).encode())
    worker.refresher.heard(b"\xff")
    worker.at_rest()
    assert worker.told("license.denied") == []
    bad = FORGER.sign(
        {
            "iss": ISSUER_NAME,
            "aud": AUDIENCE,
            "sub": "lic_1",
            "iat": now + 9,
            "exp": now + 2 * LIFETIME,
        }
    )
    for each in (bad, token(now + 9, sub="lic_2")):
        worker.refresher.heard(json.dumps(["token", ISSUER_NAME, "lic_1", each]).encode())
    worker.at_rest()
    reasons = {str(told["reason"]).partition(":")[0] for told in worker.told("license.denied")}
    assert reasons == {"unknown_kid", "another_license"}
    assert worker.issued() == now


def test_what_is_heard_before_the_first_request_is_found(world: World) -> None:
    """A process that does not know yet which license is its own looks into the state."""
    early = world.worker()
    world.at(LATEST)
    serve(world.worker())
    early.listen()
    assert early.issued() == world.began + LATEST
    early.at_rest()
    assert len(world.renewer.log) == 1


def test_each_child_draws_its_own_moment(world: World) -> None:
    """Workers that were forked from one process are not all due at once."""
    worker = world.worker()
    worker.ask()
    held = worker.refresher._held
    assert held is not None
    drawn = {worker.refresher._pace.due_at(held)}
    for _ in range(5):
        worker.refresher.after_fork()
        drawn.add(worker.refresher._pace.due_at(held))
    assert len(drawn) == 6


def test_what_is_heard_of_another_license_is_looked_for_when_it_is_needed(world: World) -> None:
    """Its file may come back: then what it was refreshed to meanwhile counts."""
    one, other = world.worker(), world.worker(url=None)
    other.ask()
    old = world.file.read_text()
    world.write(token(world.began, sub="lic_2"))
    world.hands.advance(1)
    assert other.ask().license_id == "lic_2"
    world.write(old)
    world.at(LATEST)
    serve(one)
    other.listen()
    assert other.issued() == world.began + LATEST


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a platform that forks")
def test_a_child_of_a_fork_refreshes_too(world: World) -> None:
    """Where no thread of its parent is, nor a connection to the state."""
    worker = world.worker()
    worker.ask()
    world.at(LATEST)
    assert in_child(lambda: serve(worker) == world.began + LATEST) == 0
    worker.listen()
    assert worker.issued() == world.began + LATEST
    assert len(world.renewer.log) == 1


# -- odd corners ---------------------------------------------------------------------------------


def test_who_looks_too_early_or_for_nothing_does_nothing(world: World) -> None:
    """Threads come at the same moment; one of them has done what there was to do."""
    worker = world.worker()
    worker.refresher.look()
    worker.refresher._refresh()
    worker.ask()
    worker.refresher.look()
    worker.refresher.follow(b"ABCD-EFGH")
    world.at(LATEST)
    worker.refresher.look()
    worker.at_rest()
    assert worker.refresher.look_at == float("inf")
    assert world.renewer.log == []


def test_a_board_that_gives_no_answer_keeps_no_license_from_its_renewal(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was said of it is known here, and counts as before."""

    def lost(*_: object) -> Iterator[object]:
        raise StoreUnavailable("unreachable")
        yield

    worker = world.worker()
    monkeypatch.setattr(worker.gate.withdrawals, "lift", lost)
    world.at(LATEST)
    assert serve(worker) == world.began + LATEST
    withdraw(worker, "suspended", world.hands.wall + 1)
    world.hands.advance(120)
    for _ in range(2):
        assert worker.error() == "suspended"
        worker.at_rest()


def test_what_the_settings_no_longer_allow_is_not_found(world: World) -> None:
    """A refreshed token of an audience that was given up is as if it were not there."""
    world.write(token(world.began, aud=[AUDIENCE, "reports-2"]))
    world.at(LATEST)
    assert serve(world.worker()) == world.began + LATEST
    assert world.worker(url=None, audience="reports-2").issued() == world.began


def test_what_is_heard_of_a_suspended_license_counts_once_it_is_resumed(world: World) -> None:
    """The token may be heard of before the statement that gives the license back."""
    one, other = world.worker(), world.worker()
    other.ask()
    world.at(LATEST)
    serve(one)
    other.gate.withdrawals.keep(Withdrawal("suspended", world.hands.wall + 1), LICENSE)
    other.listen()
    world.hands.advance(5)
    assert other.error() == "suspended"
    other.at_rest()
    other.gate.withdrawals.keep(Withdrawal("valid", world.hands.wall), LICENSE)
    world.hands.advance(1)
    assert other.issued() >= world.began + LATEST


def test_few_licenses_are_remembered(world: World) -> None:
    """An installation that tries many grows with none of them."""
    worker = world.worker()
    for number in range(100):
        world.write(token(world.hands.wall, sub=f"lic_{number}"))
        assert worker.ask().license_id == f"lic_{number}"
        world.hands.advance(1)
    assert len(worker.refresher.renewals._known) <= CAPACITY
