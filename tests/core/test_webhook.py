"""Webhooks: signed as Standard Webhooks has it, once for each incident, harmless to requests."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import standardwebhooks

from licet import Settings
from licet.core import shutdown
from licet.core.clock import SYSTEM_CLOCK
from licet.core.events import webhook
from licet.core.events.event import KINDS, Event
from licet.core.events.incidents import Incidents
from licet.core.events.webhook import Webhook
from licet.core.gate import Gate
from licet.core.stores import Store, StoreUnavailable, open_store
from licet.core.transport import Transport
from tests.cage import serve_asgi
from tests.core.hands import Hands
from tests.core.loopback import Answer, Loopback, Request, reply, until
from tests.licenses import OPTIONS, license_token

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
AUTHORITY = str(Path(__file__).with_name("authority.pem"))
REVOKED = Event("license.revoked", {"issuer": "acme", "word": "revoked", "license_id": "lic_1"})


def revoked(number: int) -> Event:
    return Event("license.revoked", {**REVOKED.data, "license_id": f"lic_{number}"})


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

    def make(store: Store | None = None, pauses: tuple[float, ...] = (0.01,) * 3) -> Webhook:
        incidents = Incidents(SYSTEM_CLOCK, store)
        return Webhook(
            receiver.url, SECRET, transport=transport, incidents=incidents, pauses=pauses
        )

    return make


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
    told = json.loads(webhook.written(event, 0.5))
    assert told == {
        "type": "keys.refused",
        "timestamp": "1970-01-01T00:00:00.500Z",
        "data": {"issuer": "x" * webhook.LONGEST, "reasons": ["a", "b"], "count": 3},
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_processes_that_share_a_store_tell_an_incident_once(
    make: Make, receiver: Loopback, tmp_path: Path
) -> None:
    """As workers do: each notices it at the same moment, and one of them tells it."""
    tells = make(open_store(f"sqlite:///{tmp_path}/store.sqlite3"))
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            for number in range(5):
                tells(revoked(number))
            tells.finish(20)
            os._exit(len(tells._waiting))
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len(receiver.log) == 5


def test_a_store_that_is_down_keeps_nothing_back(make: Make, receiver: Loopback) -> None:
    """Twice is better than never."""

    class Down:
        def set_if_absent(self, *arguments: object) -> Down:
            return self

        def run(self) -> bool:
            raise StoreUnavailable("unreachable")

    make(Down())(REVOKED)  # type: ignore[arg-type]
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
    """An error that nobody expected ends one message, and not the thread."""
    tells = make()
    real, tells._send = tells._send, lambda message: 1 / 0  # type: ignore[assignment,return-value,method-assign]
    tells(REVOKED)
    until(lambda: tells.dropped == 1)
    tells._send = real  # type: ignore[method-assign]
    tells(revoked(2))
    until(lambda: len(receiver.log) == 1)


def test_a_receiver_that_is_gone_is_left_alone(make: Make, receiver: Loopback) -> None:
    """410 says that nothing is wanted any more."""
    receiver.answer = lambda request: reply(410)
    tells = make()
    tells(REVOKED)
    until(lambda: tells.dropped)
    tells(revoked(2))
    assert not tells._waiting
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
    until(lambda: not tells._waiting, 60)


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_tells_what_happens_in_it_alone(make: Make, receiver: Loopback) -> None:
    """What waits at a fork is the parent's, and a child has a thread of its own."""
    receiver.answer = lambda request: reply(500)
    tells = make(pauses=(3600.0,))
    tells(REVOKED)
    until(lambda: [message.attempts for message in tells._waiting] == [1])
    receiver.answer = lambda request: reply(204)
    child = os.fork()
    if not child:
        tells(revoked(2))
        tells.finish(10)
        os._exit(0 if not tells._waiting else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert [said(request)["data"]["license_id"] for request in receiver.log] == [  # type: ignore[index]
        "lic_1",
        "lic_2",
    ]
    assert len(tells._waiting) == 1


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


# -- at a gate -----------------------------------------------------------------------------------


def test_settings_make_a_gate_tell(receiver: Loopback) -> None:
    """Two settings are all it takes."""
    gate = Gate(
        Settings(**OPTIONS, webhook_url=receiver.url, webhook_secret=SECRET, tls_ca_file=AUTHORITY)
    )
    gate.events.emit(REVOKED)
    until(lambda: receiver.log)
    assert said(receiver.log[0])["type"] == "license.revoked"


def test_no_request_waits_for_a_receiver_that_hangs(receiver: Loopback) -> None:
    """Although each brings about something that is to be told."""
    hanging = threading.Event()

    def hang(request: Request) -> Answer:
        hanging.wait(20)
        return reply(204)

    receiver.answer = hang
    options = {"webhook_url": receiver.url, "webhook_secret": SECRET, "leeway": 3}
    client, _ = serve_asgi(Settings(**OPTIONS, **options, tls_ca_file=AUTHORITY))
    began = time.monotonic()
    for number in range(30):
        token = license_token(sub=f"lic_{number}", domains=["elsewhere.example"])
        fields = [("Authorization", f"Bearer {token}")]
        assert client.request("GET", "/me", fields).status == 403
    took = time.monotonic() - began
    until(lambda: receiver.log)
    hanging.set()
    assert took < 5, "one answer of the receiver alone would take 20 seconds"
    until(lambda: len(receiver.log) == 30)
    kinds = {said(request)["data"]["kind"] for request in receiver.log}  # type: ignore[index]
    assert kinds == {"domain_mismatch"}


@pytest.mark.row("R01")
def test_the_secret_does_not_show(make: Make, receiver: Loopback) -> None:
    """Neither in a repr, nor in the request that is sent."""
    tells = make()
    tells(REVOKED)
    until(lambda: receiver.log)
    shown = repr(tells) + repr(vars(tells)["_waiting"]) + repr(receiver.log)
    assert SECRET.removeprefix("whsec_") not in shown
