"""Webhooks: signed as Standard Webhooks has it, once for each incident, harmless to requests."""

from __future__ import annotations

import base64
import json
import os
import pickle
import random
import secrets
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import trustme

from licet import ConfigError, Settings
from licet.core import forks, shutdown
from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.events import filed, messages, webhook
from licet.core.events.event import KINDS, Event
from licet.core.events.filed import FiledOutbox
from licet.core.events.incidents import Incidents
from licet.core.events.messages import Message
from licet.core.events.outbox import CAPACITY, LONGEST_PAUSE, MemoryOutbox, Outbox
from licet.core.events.webhook import Webhook
from licet.core.gate import Gate
from licet.core.stores import Store, StoreUnavailable, open_store
from licet.core.stores.sqlite import SQLiteStore
from licet.core.transport import Transport
from tests.cage import serve_asgi
from tests.core.hands import Hands
from tests.core.loopback import Answer, Loopback, Request, Reset, reply, until
from tests.core.redis_server import BINARY, RedisServer
from tests.core.secure import authority_file, server_context
from tests.licenses import OPTIONS, license_token

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
AUTHORITY = str(Path(__file__).with_name("authority.pem"))
REVOKED = Event("license.revoked", {"issuer": "acme", "word": "revoked", "license_id": "lic_1"})


def revoked(number: int) -> Event:
    return Event("license.revoked", {**REVOKED.data, "license_id": f"lic_{number}"})


@pytest.fixture(autouse=True)
def _retired() -> Iterator[None]:
    """No webhook of a test tells, or writes, anything in the tests that follow."""
    yield
    for one in list(forks._everything):
        if isinstance(one, Webhook):
            with one.lock:
                one._thread = None
                one._changed.notify_all()
    for thread in threading.enumerate():
        if thread.name == "licet-webhook":
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture(name="receiver")
def _receiver() -> Iterator[Loopback]:
    """A server that takes everything."""
    with Loopback(lambda request: reply(204)) as server:
        yield server


@pytest.fixture(name="transport", scope="module")
def _transport() -> Transport:
    return Transport()


Make = Callable[..., Webhook]


@pytest.fixture(name="make")
def _make(receiver: Loopback, transport: Transport) -> Make:
    """Make a webhook to the receiver, without long pauses."""

    def make(
        store: Store | None = None,
        pauses: tuple[float, ...] = (0.01,) * 3,
        outbox: Outbox | None = None,
        secret: str = SECRET,
    ) -> Webhook:
        incidents = Incidents(SYSTEM_CLOCK, store, receiver.url)
        if isinstance(store, SQLiteStore):
            outbox = FiledOutbox(store, incidents, "receiver")
        return Webhook(
            receiver.url,
            secret,
            transport=transport,
            incidents=incidents,
            outbox=outbox,
            pauses=pauses,
        )

    return make


def kept(tells: Webhook) -> list[Message]:
    """Return what waits in the memory of this process."""
    assert isinstance(tells._outbox, MemoryOutbox)
    return [message for _, _, message in tells._outbox._waiting]


def said(request: Request) -> dict[str, object]:
    """Return what was delivered, if the library of Standard Webhooks believes it."""
    told: dict[str, object] = standardwebhooks.Webhook(SECRET).verify(request.body, request.headers)
    return told


# -- what is sent --------------------------------------------------------------------------------


def test_an_event_arrives_signed_as_the_standard_has_it(make: Make, receiver: Loopback) -> None:
    """The standard's own library verifies it; type, moment and data are what happened."""
    make()(Event("keys.unavailable", {"issuer": "acme", "age": float("inf"), "reason": None}))
    until(lambda: receiver.log)
    [request] = receiver.log
    told = said(request)
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"].startswith("msg_")
    assert told.pop("timestamp").endswith("Z")  # type: ignore[attr-defined]
    assert told == {"type": "keys.unavailable", "data": {"issuer": "acme", "age": None}}


def test_what_is_told_is_plain_and_bounded() -> None:
    """Texts are cut, sequences are lists, and whatever else a member holds is text."""
    event = Event("keys.refused", {"issuer": "x" * 5000, "reasons": ("a", "b"), "count": 3})
    told = json.loads(messages.written(event, 0.5))
    assert told == {
        "type": "keys.refused",
        "timestamp": "1970-01-01T00:00:00.500Z",
        "data": {"issuer": "x" * messages.LONGEST, "reasons": ["a", "b"], "count": 3},
    }


def test_denials_and_samples_are_not_told(make: Make, receiver: Loopback) -> None:
    """What strangers bring about at will reaches no receiver."""
    tells = make()
    tells(Event("license.denied", {"code": "license_invalid"}))
    tells(Event("license.verified", {"license_id": "lic_1"}))
    tells(REVOKED)
    until(lambda: receiver.log)
    tells.finish(5)
    assert [said(request)["type"] for request in receiver.log] == ["license.revoked"]


# -- once ----------------------------------------------------------------------------------------


def test_one_incident_is_told_once(make: Make, receiver: Loopback) -> None:
    """However often and from however many threads it is emitted within the hour."""
    tells = make()
    threads = [threading.Thread(target=tells, args=(revoked(n % 2),)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    until(lambda: len(receiver.log) == 2)
    tells.finish(5)
    ids = {said(request)["data"]["license_id"] for request in receiver.log}  # type: ignore[index]
    assert (len(receiver.log), ids) == (2, {"lic_0", "lic_1"})


def test_workers_that_share_a_store_tell_an_incident_once(
    make: Make, receiver: Loopback, tmp_path: Path
) -> None:
    """The first to claim it tells it, and the others do not."""
    store = open_store(f"sqlite:///{tmp_path}/store.sqlite3")
    workers = [make(store) for _ in range(4)]
    for worker in workers:
        worker(REVOKED)
    for worker in workers:
        worker.finish(10)
    assert len(receiver.log) == 1


@pytest.fixture(name="shared", params=["sqlite", "redis"])
def _shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store that processes share."""
    if request.param == "sqlite":
        yield open_store(f"sqlite:///{tmp_path}/store.sqlite3")
        return
    if BINARY is None:
        pytest.skip("needs a Redis server")
    with RedisServer() as server:
        yield open_store(server.url)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_processes_that_share_a_store_tell_an_incident_once(
    make: Make, receiver: Loopback, shared: Store
) -> None:
    """As workers do: each notices it at the same moment, and one of them tells it."""
    tells = make(shared)
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            for number in range(5):
                tells(revoked(number))
            tells.finish(20)
            os._exit(len(tells._fresh))
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len(receiver.log) == 5
    assert tells._outbox.next() is None


def test_each_receiver_is_told(make: Make, receiver: Loopback, tmp_path: Path) -> None:
    """What one was told is news to another, also where both share a store."""
    store = open_store(f"sqlite:///{tmp_path}/store.sqlite3")
    for whom in ("https://a.example/", "https://b.example/", "https://a.example/"):
        incidents = Incidents(SYSTEM_CLOCK, store, whom)
        tells = make(outbox=MemoryOutbox(incidents))
        tells(REVOKED)
        tells.finish(10)
    assert len(receiver.log) == 2


def test_a_store_that_is_down_keeps_nothing_back(make: Make, receiver: Loopback) -> None:
    """Twice is better than never."""

    class Down:
        def set_if_absent(self, *arguments: object) -> Down:
            return self

        def run(self) -> bool:
            raise StoreUnavailable("unreachable")

    make(Down())(REVOKED)
    until(lambda: receiver.log)
    assert said(receiver.log[0])["type"] == "license.revoked"


def test_after_the_window_an_incident_is_news_again() -> None:
    """Within it the same is none, another one is; the memory is bounded."""
    hands = Hands()
    incidents = Incidents(hands.clock)
    assert [incidents.is_news(event) for event in (REVOKED, REVOKED, revoked(2))] == [
        True,
        False,
        True,
    ]
    hands.advance(KINDS["license.revoked"].window)
    assert incidents.is_news(REVOKED)
    for number in range(10_050):
        incidents.is_news(revoked(number))
    assert len(incidents._told) == 10_000


# -- trouble -------------------------------------------------------------------------------------


def test_what_is_not_taken_is_sent_again_as_the_same_message(
    make: Make, receiver: Loopback
) -> None:
    """Errors and refusals alike; the id stays, so that a receiver can tell."""
    answers: list[Answer] = [reply(500), reply(429, retry_after="0"), reply(400), reply(200)]
    receiver.answer = lambda request: answers.pop(0)
    tells = make()
    tells(REVOKED)
    until(lambda: len(receiver.log) == 4)
    assert len({request.headers["webhook-id"] for request in receiver.log}) == 1
    assert [said(request)["type"] for request in receiver.log] == ["license.revoked"] * 4
    assert tells.dropped == 0


def test_what_is_never_taken_is_given_up(
    make: Make, receiver: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    """After the last pause; it is counted and said, without address and secret."""
    receiver.answer = lambda request: reply(500)
    tells = make()
    tells(REVOKED)
    until(lambda: "webhook given up: problem=status_500 dropped=1" in caplog.messages)
    assert len(receiver.log) == 4
    assert SECRET not in caplog.text
    assert receiver.url not in caplog.text


def test_what_fails_here_is_dropped_and_the_rest_told(make: Make, receiver: Loopback) -> None:
    """An error that nobody expected ends one message, and not the thread; where it waits too."""
    tells = make()
    real, tells._transport = tells._transport, None  # type: ignore[assignment]
    tells(REVOKED)
    until(lambda: tells.dropped == 1)
    tells._transport = real
    kept, tells._outbox = tells._outbox, None  # type: ignore[assignment]
    tells(revoked(2))
    until(lambda: tells.dropped == 2)
    tells._outbox = kept
    tells(revoked(3))
    until(lambda: len(receiver.log) == 1)


def test_a_receiver_that_is_gone_is_left_alone(make: Make, receiver: Loopback) -> None:
    """410 says that nothing is wanted any more."""
    receiver.answer = lambda request: reply(410)
    tells = make()
    tells(REVOKED)
    until(lambda: tells.dropped)
    tells(revoked(2))
    assert not tells._fresh
    assert len(receiver.log) == 1


def test_a_receiver_that_hangs_slows_nothing(
    make: Make, receiver: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events are emitted in no time; what there is no room for is dropped and counted."""
    monkeypatch.setattr(webhook, "CAPACITY", 100)
    hanging = threading.Event()

    def hang(request: Request) -> Answer:
        hanging.wait(20)
        return reply(204)

    receiver.answer = hang
    tells = make()
    tells(REVOKED)
    until(lambda: receiver.log)
    began = time.monotonic()
    for number in range(150):
        tells(revoked(number + 10))
    took = time.monotonic() - began
    hanging.set()
    assert tells.dropped == 50
    assert took < 1, "milliseconds for a hundred"
    until(lambda: tells._rests, 60)
    assert not kept(tells)


def test_the_end_of_a_process_waits_for_what_was_never_tried(
    make: Make, receiver: Loopback
) -> None:
    """And not for a receiver that refuses what it is told."""
    receiver.answer = lambda request: reply(500)
    tells = make(pauses=(3600.0,))
    for number in range(5):
        tells(revoked(number))
    began = time.monotonic()
    shutdown.finish(20)
    assert len(receiver.log) == 5
    assert time.monotonic() - began < 15


def test_the_end_of_a_process_waits_for_what_is_tried_again(make: Make, receiver: Loopback) -> None:
    """An attempt under way is not cut off, the first or a later one."""
    answers: list[Answer] = [reply(500)]
    again, hanging = threading.Event(), threading.Event()

    def answer(request: Request) -> Answer:
        if answers:
            return answers.pop()
        again.set()
        hanging.wait(20)
        return reply(204)

    receiver.answer = answer
    tells = make()
    tells(REVOKED)
    assert again.wait(20)
    tells.finish(0.1)
    assert not tells._rests
    hanging.set()
    tells.finish(20)
    assert tells._rests
    assert not kept(tells)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_tells_what_happens_in_it_alone(make: Make, receiver: Loopback) -> None:
    """What waits at a fork is the parent's, and a child has a thread of its own."""
    receiver.answer = lambda request: reply(500)
    tells = make(pauses=(3600.0,))
    tells(REVOKED)
    until(lambda: [message.attempts for message in kept(tells)] == [1])
    receiver.answer = lambda request: reply(204)
    child = os.fork()
    if not child:
        tells(revoked(2))
        tells.finish(10)
        os._exit(len(tells._fresh) or len(kept(tells)))
    assert os.waitpid(child, 0)[1] == 0
    assert [said(request)["data"]["license_id"] for request in receiver.log] == [  # type: ignore[index]
        "lic_1",
        "lic_2",
    ]
    assert len(kept(tells)) == 1


ENDING = """
import sys
from licet.core.events.event import Event
from licet.core.events.incidents import Incidents
from licet.core.events.webhook import Webhook
from licet.core.clock import SYSTEM_CLOCK
from licet.core.transport import Transport
tells = Webhook(sys.argv[1], sys.argv[2], transport=Transport(), incidents=Incidents(SYSTEM_CLOCK))
tells(Event("license.revoked", {"license_id": "lic_1"}))
"""


def test_a_process_that_ends_at_once_has_told(receiver: Loopback) -> None:
    """The interpreter gives what is to be told its moment."""
    command = [sys.executable, "-c", ENDING, receiver.url, SECRET]
    subprocess.run(command, check=True, timeout=60, env={**os.environ, **_path()})
    assert [said(request)["type"] for request in receiver.log] == ["license.revoked"]


def _path() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


# -- what outlives a process ---------------------------------------------------------------------

KILLED = """
import sys, time
from licet.core.clock import SYSTEM_CLOCK
from licet.core.events.event import Event
from licet.core.events.filed import FiledOutbox
from licet.core.events.incidents import Incidents
from licet.core.events.webhook import Webhook
from licet.core.stores import open_store
from licet.core.transport import Transport
url, secret, address = sys.argv[1:]
store = open_store(address)
incidents = Incidents(SYSTEM_CLOCK, store, url)
outbox = FiledOutbox(store, incidents, "receiver")
tells = Webhook(url, secret, transport=Transport(), incidents=incidents, outbox=outbox)
for number in range(5):
    tells(Event("license.revoked", {"license_id": f"lic_{number}"}))
time.sleep(60)
"""


def test_what_a_killed_process_had_to_tell_is_told_by_the_next(
    make: Make, receiver: Loopback, tmp_path: Path
) -> None:
    """All of it; and what it was at is the same message, so that a receiver knows it again.

    It is signed by the secret that is in force then.
    """
    held = threading.Event()

    def hang(request: Request) -> Answer:
        held.wait(20)
        raise Reset

    receiver.answer = hang
    address = f"sqlite:///{tmp_path}/store.sqlite3"
    old = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    command = [sys.executable, "-c", KILLED, receiver.url, old, address]
    with subprocess.Popen(command, env={**os.environ, **_path()}) as process:
        try:
            until(lambda: receiver.log)
        finally:
            process.kill()
    held.set()
    receiver.answer = lambda request: reply(204)
    [first], receiver.log[:] = list(receiver.log), []
    later = Clock(wall=lambda: time.time() + filed.LEASE, monotonic=time.monotonic)
    tells = make(open_store(address, later))
    tells.resume()
    tells.finish(10)
    told = {said(request)["data"]["license_id"] for request in receiver.log}  # type: ignore[index]
    assert sorted(told) == [f"lic_{number}" for number in range(5)]
    assert len(receiver.log) == 5
    assert first.headers["webhook-id"] in {one.headers["webhook-id"] for one in receiver.log}
    assert tells._outbox.next() is None


class Filed:
    """An outbox in a file, and the hands of its clock."""

    def __init__(self, path: Path) -> None:
        self.hands = Hands()
        self.store = SQLiteStore(f"{path}/store.sqlite3", self.hands.clock)
        self.outbox = self.of("receiver")

    def of(self, receiver: str) -> FiledOutbox:
        incidents = Incidents(self.hands.clock, self.store, receiver)
        return FiledOutbox(self.store, incidents, receiver)


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Filed:
    return Filed(tmp_path)


def test_a_message_is_its_senders_for_a_while(file: Filed) -> None:
    """Then anybody's; what is to be sent later waits, and what is done is gone."""
    outbox, other = file.outbox, file.of("receiver")
    assert outbox.add(REVOKED, Message("msg_1", b"{}"))
    assert other.add(REVOKED, Message("msg_2", b"{}")), "told of already"
    taken = outbox.next()
    assert isinstance(taken, Message)
    assert other.next() == filed.LEASE
    assert file.of("another").next() is None
    file.hands.advance(filed.LEASE)
    again = other.next()
    assert again == taken == Message("msg_1", b"{}", 0, filed=True)
    again.attempts = 3
    other.later(again, 60.0)
    assert outbox.next() == pytest.approx(60.0)
    file.hands.advance(60.0)
    assert outbox.next() == Message("msg_1", b"{}", 3, filed=True)
    outbox.done(again)
    assert outbox.next() is other.next() is None


@pytest.mark.parametrize("seed", range(5))
def test_workers_that_come_and_go_lose_nothing(file: Filed, seed: int) -> None:
    """In whatever order they add, take, fail and are killed: each incident becomes one message.

    It arrives, and more than once only after a kill.
    """
    chance = random.Random(seed)
    workers = [file.of("receiver") for _ in range(3)]
    holding: list[Message | None] = [None] * 3
    arrived: list[str] = []
    added: set[int] = set()
    killed = 0
    for step in range(150):
        who = chance.randrange(3)
        worker, held = workers[who], holding[who]
        match chance.choice(["add", "take", "take", "done", "done", "fail", "kill", "wait"]):
            case "add":
                number = chance.randrange(12)
                added.add(number)
                assert worker.add(revoked(number), Message(f"{number}-{step}", b"{}"))
            case "take" if held is None:
                found = worker.next()
                holding[who] = found if isinstance(found, Message) else None
            case "done" if held is not None:
                arrived.append(held.id)
                worker.done(held)
                holding[who] = None
            case "fail" if held is not None:
                worker.later(held, chance.choice([0.5, 5.0]))
                holding[who] = None
            case "kill":
                # It may have been told of, and that not noted.
                if held is not None and chance.random() < 0.5:
                    arrived.append(held.id)
                killed += held is not None
                workers[who], holding[who] = file.of("receiver"), None
            case "wait":
                # Nobody takes as long as a lease.
                file.hands.advance(0.5)
    file.hands.advance(filed.LEASE)
    while isinstance(found := workers[0].next(), Message):
        arrived.append(found.id)
        workers[0].done(found)
    assert found is None
    assert {int(name.partition("-")[0]) for name in arrived} == added
    assert len(set(arrived)) == len(added)
    assert len(arrived) - len(added) <= killed


def test_what_waits_in_a_file_is_bounded(file: Filed) -> None:
    """In number, and to a day."""
    for number in range(CAPACITY):
        assert file.outbox.add(revoked(number), Message(f"msg_{number}", b"{}"))
    assert not file.outbox.add(revoked(-1), Message("msg_more", b"{}"))
    file.hands.advance(filed.DAY)
    assert file.outbox.next() is None
    assert file.outbox.add(revoked(-1), Message("msg_more", b"{}"))


@pytest.mark.parametrize("moved", [-50_000.0, 50_000.0], ids=str)
def test_a_clock_that_was_wrong_keeps_nothing_back(file: Filed, moved: float) -> None:
    """What is due later than anything can be is due."""
    file.outbox.add(REVOKED, Message("msg_1", b"{}"))
    message = file.outbox.next()
    assert isinstance(message, Message)
    file.outbox.later(message, 3600.0)
    file.hands.suspend(moved)
    assert isinstance(file.outbox.next(), Message)


@pytest.mark.parametrize(("back", "told"), [(filed.AHEAD, False), (50_000.0, True), (1e9, True)])
def test_what_a_clock_that_was_ahead_has_told_is_news(file: Filed, back: float, told: bool) -> None:
    """An incident is told of again once the clock is right; a small step tells nothing twice."""
    file.outbox.add(REVOKED, Message("msg_1", b"{}"))
    message = file.outbox.next()
    assert isinstance(message, Message)
    file.outbox.done(message)
    file.hands.suspend(-back)
    assert file.outbox.add(REVOKED, Message("msg_2", b"{}"))
    assert isinstance(file.outbox.next(), Message) is told


def test_a_file_that_cannot_be_had_is_done_without(file: Filed, tmp_path: Path) -> None:
    """What happens meanwhile is kept in memory; what is in the file is looked for again."""
    file.outbox.add(REVOKED, Message("msg_1", b"{}"))
    message = file.outbox.next()
    assert isinstance(message, Message)
    file.store.close()
    (tmp_path / "store.sqlite3").write_bytes(b"no database")
    file.outbox.later(message, 1.0)
    file.outbox.done(message)
    assert file.outbox.next() == filed.RETRY
    assert file.outbox.add(revoked(2), Message("msg_2", b"{}"))
    kept = file.outbox.next()
    assert kept == Message("msg_2", b"{}")
    file.outbox.later(kept, 1.0)
    assert 0 < file.outbox.next() <= 1  # type: ignore[operator]


# -- how it is sent ------------------------------------------------------------------------------


def test_a_receiver_says_when_to_come_again(make: Make, receiver: Loopback) -> None:
    """By Retry-After, an hour at most; it is never come to earlier than the pause says."""
    wishes = ["1", "0", "86400"]
    came: list[float] = []

    def answer(request: Request) -> Answer:
        came.append(time.monotonic())
        return reply(503, retry_after=wishes[len(came) - 1])

    receiver.answer = answer
    tells = make(pauses=(0.2,) * 3)
    tells(REVOKED)
    until(lambda: len(came) == 3 and tells._rests)
    assert came[1] - came[0] >= 1
    assert came[2] - came[1] >= 0.15
    [(due, _, _)] = tells._outbox._waiting  # type: ignore[attr-defined]
    assert due - time.monotonic() == pytest.approx(LONGEST_PAUSE, abs=60)


def test_what_waits_is_due_by_the_clock_that_goes_on() -> None:
    """A monotonic clock that begins anew, as of a process that was thawed, keeps nothing back."""
    hands = Hands(monotonic=1e6)
    outbox = MemoryOutbox(Incidents(hands.clock), hands.clock)
    outbox.later(Message("msg_1", b"{}"), 600.0)
    assert outbox.next() == 600.0
    hands.monotonic = 50.0
    assert isinstance(outbox.next(), Message)


def test_a_clock_that_says_nothing_loses_no_message(
    receiver: Loopback, transport: Transport
) -> None:
    """It is told of as an event too, and signed once there is a time again."""
    wall = [float("nan")]
    clock = Clock(wall=lambda: wall[0], monotonic=time.monotonic)
    incidents = Incidents(clock)
    tells = Webhook(
        receiver.url,
        SECRET,
        transport=transport,
        incidents=incidents,
        clock=clock,
        pauses=(0.01,) * 500,
    )
    tells(REVOKED)
    until(lambda: kept(tells) and kept(tells)[0].attempts)
    assert receiver.log == []
    wall[0] = time.time()
    until(lambda: receiver.log)
    assert said(receiver.log[0])["type"] == "license.revoked"
    assert tells.dropped == 0


def test_a_redirection_is_not_followed(make: Make, receiver: Loopback) -> None:
    """What is signed for one receiver is sent to no other."""
    with Loopback(lambda request: reply(204)) as other:
        answers = [reply(301, location=other.url), reply(307, location=other.url), reply(204)]
        receiver.answer = lambda request: answers.pop(0)
        make()(REVOKED)
        until(lambda: not answers)
        assert other.connections == 0
    assert len(receiver.log) == 3


def test_who_listens_proves_who_it_is(tmp_path: Path) -> None:
    """By a certificate that `tls_ca_file` vouches for; to anybody else nothing is said."""
    authority = trustme.CA()
    context = server_context(authority.issue_cert("127.0.0.1"))
    with Loopback(lambda request: reply(204), context) as receiver:
        options = {**OPTIONS, "webhook_url": receiver.url, "webhook_secret": SECRET}
        for trusted in (AUTHORITY, authority_file(authority, tmp_path)):
            assert receiver.log == []
            gate = Gate(Settings(**options, tls_ca_file=trusted))
            gate.events.emit(REVOKED)
            shutdown.finish(10)
    assert [said(request)["type"] for request in receiver.log] == ["license.revoked"]


def test_a_secret_is_changed_without_a_message_that_nobody_believes(receiver: Loopback) -> None:
    """As long as there are both, a receiver that knows either believes what is said."""
    old, new, other = (
        "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(3)
    )
    options = {**OPTIONS, "webhook_url": receiver.url, "tls_ca_file": AUTHORITY}
    gate = Gate(Settings(**options, webhook_secret=f"{new} {old}"))
    gate.events.emit(REVOKED)
    until(lambda: receiver.log)
    [request] = receiver.log
    for secret in (old, new):
        standardwebhooks.Webhook(secret).verify(request.body, request.headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(other).verify(request.body, request.headers)
    for wrong in (" ", f"{new} whsec_AAAA", f"{new},{old}", f"{new}\n{old}", f"{new} {old}\n"):
        with pytest.raises(ConfigError):
            Settings(**options, webhook_secret=wrong)


# -- at a gate -----------------------------------------------------------------------------------


def test_settings_make_a_gate_tell(receiver: Loopback) -> None:
    """Two settings are all it takes."""
    gate = Gate(
        Settings(**OPTIONS, webhook_url=receiver.url, webhook_secret=SECRET, tls_ca_file=AUTHORITY)
    )
    gate.events.emit(REVOKED)
    until(lambda: receiver.log)
    assert said(receiver.log[0])["type"] == "license.revoked"


def delivering() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "licet-webhook"}


def _hang(server: Loopback, request: Request) -> Answer:
    server.stopping.wait(20)
    return reply(204)


def _drip(server: Loopback, request: Request) -> Answer:
    return server.drip(b"HTTP/1.1 204 No Content\r\nX-", b"x", 0.05)


def _reset(server: Loopback, request: Request) -> Answer:
    raise Reset


def _flood(server: Loopback, request: Request) -> Answer:
    return server.drip(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536, 0.0)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(_hang, id="hangs"),
        pytest.param(_drip, id="drips"),
        pytest.param(_flood, id="floods"),
        pytest.param(_reset, id="resets"),
        pytest.param(None, id="refuses"),
        pytest.param(lambda server, request: reply(500), id="fails"),
        pytest.param(lambda server, request: reply(410), id="is gone"),
        pytest.param(lambda server, request: reply(301, location=server.url), id="redirects"),
        pytest.param(lambda server, request: b"no HTTP\r\n\r\n", id="is no web server"),
    ],
)
def test_no_request_waits_for_a_receiver(answer: Any) -> None:
    """Whatever it does, although each request brings about something that is to be told.

    One thread waits, the process ends in bounded time, and the receiver is asked by and by.
    """
    with Loopback(lambda request: answer(receiver, request)) as receiver:
        url = receiver.url
        if answer is None:
            with socket.create_server(("127.0.0.1", 0)) as closed:
                url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        options: dict[str, Any] = {"webhook_url": url, "webhook_secret": SECRET, "leeway": 3}
        before, took = delivering(), []
        client, gate = serve_asgi(Settings(**OPTIONS, **options, tls_ca_file=AUTHORITY))
        for number in range(30):
            token = license_token(sub=f"lic_{number}", domains=["elsewhere.example"])
            began = time.monotonic()
            answered = client.request("GET", "/me", [("Authorization", f"Bearer {token}")])
            took.append(time.monotonic() - began)
            assert answered.status == 403
        more = len(delivering() - before)
        [tells] = [one for one in gate.events._subscribers if isinstance(one, Webhook)]
        if answer is not None:
            until(lambda: receiver.log)
        began = time.monotonic()
        tells.finish(0.2)
        assert time.monotonic() - began < 1
        assert len(receiver.log) <= 60
        # Nothing more of this test is told while others run.
        tells._gone = True
    assert statistics.median(took) < 0.2, "milliseconds; one answer alone would take ten seconds"
    assert more <= 1


@pytest.mark.row("R01", "R07")
def test_the_secret_does_not_show(make: Make, receiver: Loopback, file: Filed) -> None:
    """Neither in a repr, nor in the message or the request that is sent; nor can it be pickled."""
    receiver.answer = lambda request: reply(500)
    tells = make(pauses=(3600.0,))
    tells(REVOKED)
    until(lambda: kept(tells))
    shown = repr((tells, vars(tells._outbox), vars(file.outbox), receiver.log))
    assert SECRET.removeprefix("whsec_") not in shown
    assert receiver.url not in repr((tells, vars(tells._outbox)))
    with pytest.raises(TypeError):
        pickle.dumps(tells)
