"""What a vendor is told of use: once, in time, and without a request that waits for it."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet import Settings, bind, consume
from licet.core import flow
from licet.core.gate import Gate
from licet.core.stores.sqlite import SQLiteStore
from licet.core.transport import Transport
from licet.core.usage.account import Account
from licet.core.usage.charge import Charge
from licet.core.usage.metering.courier import Courier
from licet.core.usage.metering.filed import LEASE, SQLiteSpool
from licet.core.usage.metering.meter import EVERY, Meter
from licet.core.usage.metering.spool import MemorySpool, Report, Spool
from licet.core.usage.metering.sums import HOUR, MOST, Pending, Place, Sum, hour_of
from tests.core.hands import Hands
from tests.core.loopback import Loopback, Request, reply, until
from tests.core.test_forks import in_child
from tests.core.test_stores_processes import needs_fork
from tests.licenses import ISSUER_NAME, OPTIONS, license_token

ISSUER = "issuer"
KEY = "lvk_0123456789"


def account(license_id: str = "lic_1", issuer: str = ISSUER) -> Account:
    """Return whose use it is."""
    return Account(issuer, license_id, None, {}, {}, 0.0)


class Vendor:
    """A server that is told of use, and counts a report once."""

    def __init__(self) -> None:
        self.reports: dict[str, Any] = {}
        self.bodies: list[bytes] = []
        self.answers: list[bytes] = []

    def __call__(self, request: Request) -> bytes:
        assert (request.method, request.headers["content-type"]) == ("POST", "application/json")
        self.bodies.append(request.body)
        if self.answers:
            return self.answers.pop(0)
        told = json.loads(request.body)
        assert told.keys() == {"batch_id", "license_id", "counters"}
        self.reports[told["batch_id"]] = told
        return reply(204)

    @property
    def counted(self) -> Counter[tuple[str, str]]:
        """How much of each license and name it was told of."""
        total: Counter[tuple[str, str]] = Counter()
        for told in self.reports.values():
            for counter in told["counters"]:
                assert counter.keys() == {"name", "from", "to", "count"}
                assert 0 <= counter["from"] <= counter["to"]
                total[told["license_id"], counter["name"]] += counter["count"]
        return total


@pytest.fixture
def vendor() -> Vendor:
    """A vendor of its own."""
    return Vendor()


@pytest.fixture
def listening(vendor: Vendor) -> Iterator[Loopback]:
    """The vendor's server."""
    with Loopback(vendor) as server:
        yield server


class Metered:
    """A meter that is told when to go on.

    Args:
        hands: time.
        url: of the vendor.
        spool: where sums wait.
    """

    def __init__(self, hands: Hands, url: str, spool: Spool) -> None:
        self.hands, self.spool = hands, spool
        transport = Transport(monotonic=time.monotonic)
        self.courier = Courier(url, {ISSUER: KEY}, spool, transport, hands.clock)
        self.meter = Meter(spool, self.courier, hands.clock)
        # Nobody but the test works.
        self.meter._thread = self

    def use(self, amount: int = 1, name: str = "apiCalls", license_id: str = "lic_1") -> Charge:
        """Charge a license that nothing limits."""

        def nothing() -> Any:
            yield from ()

        charge = Charge(name, amount, None, nothing)
        return self.meter.metered(charge, account(license_id))

    def round(self) -> None:
        """Do what is done once a second."""
        self.meter.keep()
        self.meter.send()


@pytest.fixture(params=["memory", "sqlite"])
def spool(request: pytest.FixtureRequest, tmp_path: Path, hands: Hands) -> Iterator[Spool]:
    """An empty spool of each kind."""
    if request.param == "memory":
        yield MemorySpool(100)
        return
    store = SQLiteStore(f"{tmp_path}/store", hands.clock)
    yield SQLiteSpool(store, 100)
    store.close()


@pytest.fixture
def metered(hands: Hands, listening: Loopback, spool: Spool) -> Metered:
    """A meter of each kind."""
    return Metered(hands, listening.url, spool)


# -- sums ------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(-5, 5)), max_size=60)
)
def test_what_was_told_and_what_is_owed_is_what_was_used(
    acts: list[tuple[str, int, int]],
) -> None:
    """Sums are never negative, and what is given back after it was told is taken off the next."""
    pending, told, used = Pending(1_000), Counter[str](), Counter[str]()
    for name, hour, amount in acts:
        # Nobody gives back what was not used.
        amount = max(amount, -used[name])
        used[name] += amount
        assert pending.add(Place("i", "l", name, hour), 3600.0 * hour, amount)
        if amount == 5:
            for place, total in pending.take().items():
                assert total.amount > 0
                told[place.name] += total.amount
    for place, total in pending.take().items():
        told[place.name] += total.amount
    owed = Counter({whose[2]: debt for whose, debt in pending._debts.items()})
    for name in "ab":
        assert told[name] - owed[name] == used[name]


def test_sums_are_by_hour_and_stay_numbers_of_json() -> None:
    """Each begins and ends where it was used; a clock that tells no time adds up still."""
    pending = Pending(10)
    for now in (3600.0, 3605.0, 3601.0, 7200.0):
        pending.add(Place("i", "l", "n", hour_of(now)), now, 2**52)
    pending.add(Place("i", "l", "n", 1), 3602.0, 2**60)
    assert pending.take() == {
        Place("i", "l", "n", 1): Sum(3600.0, 3605.0, MOST),
        Place("i", "l", "n", 2): Sum(7200.0, 7200.0, 2**52),
    }
    assert [hour_of(now) for now in (float("nan"), -1.0, float("inf"), HOUR)] == [0, 0, 0, 1]


# -- told ------------------------------------------------------------------------------------------


def test_what_is_used_is_told_in_one_report_for_each_license(
    metered: Metered, vendor: Vendor, listening: Loopback
) -> None:
    """Added up, with when it was used, and with the key that the server knows us by."""
    metered.use(2)
    metered.hands.advance(5)
    metered.use(3)
    metered.use(1, "exports")
    metered.use(7, license_id="lic_2")
    assert vendor.reports == {}
    metered.round()
    assert vendor.counted == {
        ("lic_1", "apiCalls"): 5,
        ("lic_1", "exports"): 1,
        ("lic_2", "apiCalls"): 7,
    }
    assert len(vendor.reports) == 2
    [told] = [each for each in vendor.reports.values() if each["license_id"] == "lic_1"]
    [calls] = [each for each in told["counters"] if each["name"] == "apiCalls"]
    assert (calls["from"], calls["to"]) == (1_800_000_000.0, 1_800_000_005.0)
    assert {request.headers["authorization"] for request in listening.log} == {f"Bearer {KEY}"}
    metered.round()
    assert len(vendor.bodies) == 2
    assert metered.courier.sent == 2


def test_what_is_given_back_is_not_told(metered: Metered, vendor: Vendor) -> None:
    """Before it was told at once, afterwards with the next."""
    charge = metered.use(2)
    metered.use(3).refund()
    metered.round()
    assert vendor.counted == {("lic_1", "apiCalls"): 2}
    charge.refund()
    charge.refund()
    metered.use(3)
    metered.round()
    assert vendor.counted == {("lic_1", "apiCalls"): 3}


@pytest.mark.parametrize(
    "answer", [reply(503), reply(429), reply(500), reply(401), reply(404), b"", b"garbage\r\n\r\n"]
)
def test_what_is_not_taken_is_sent_again_as_it_was(
    metered: Metered, vendor: Vendor, answer: bytes
) -> None:
    """To the byte, so that the server knows it again; each time after a longer pause."""
    vendor.answers = [answer] * 3
    metered.use()
    metered.round()
    for tries, pause in ((2, 1.3), (3, 2.6), (4, 5.2)):
        metered.round()
        metered.use()
        assert len(vendor.bodies) == tries - 1
        metered.hands.advance(pause)
        metered.round()
        assert len(vendor.bodies) >= tries
    metered.round()
    assert len(set(vendor.bodies[:4])) == 1
    assert vendor.counted == {("lic_1", "apiCalls"): 4}


def test_a_report_that_is_never_taken_stops_no_other(metered: Metered) -> None:
    """A server that fails at one license hears of the others, and what waits is bounded."""

    class Stumbling(Vendor):
        def __call__(self, request: Request) -> bytes:
            told = json.loads(request.body)["license_id"]
            return reply(500) if told == "lic_1" else super().__call__(request)

    vendor = Stumbling()
    with Loopback(vendor) as server:
        metered.courier._url = server.url
        for number in range(1, 41):
            metered.use()
            metered.use(license_id=f"lic_{1 + number % 3}")
            metered.round()
            metered.hands.advance(1.3)
        for _ in range(40):
            metered.hands.advance(400)
            metered.round()
    assert vendor.counted == {("lic_2", "apiCalls"): 14, ("lic_3", "apiCalls"): 13}
    assert metered.meter.dropped == 0


def test_a_report_that_was_counted_and_not_acknowledged_counts_once(
    metered: Metered, vendor: Vendor
) -> None:
    """The server took it, and its answer was lost."""
    serve, lost = vendor.__call__, [True]

    class Losing(Vendor):
        def __call__(self, request: Request) -> bytes:
            answer = serve(request)
            return b"" if lost and lost.pop() else answer

    with Loopback(Losing()) as server:
        metered.courier._url = server.url
        metered.use(3)
        metered.round()
        metered.hands.advance(2)
        metered.round()
    assert len(vendor.bodies) == 2
    assert vendor.counted == {("lic_1", "apiCalls"): 3}


def test_a_server_says_how_long_it_wants_to_be_left_alone(metered: Metered, vendor: Vendor) -> None:
    """Up to an hour, by `Retry-After`."""
    vendor.answers = [reply(503, Retry_After="100"), reply(503, Retry_After="9" * 30)]
    metered.use()
    metered.round()
    for pause, tries in ((70, 1), (60, 2), (2_000, 2), (2_500, 3)):
        metered.hands.advance(pause)
        metered.round()
        assert len(vendor.bodies) == tries


@pytest.mark.parametrize(("told", "tries"), [(1_800_000_100.0, 1), (-100.0, 2)])
def test_a_server_names_the_moment_at_which_it_wants_to_be_asked_again(
    metered: Metered, vendor: Vendor, told: float, tries: int
) -> None:
    """`Retry-After` may be a date, which says nothing to whoever has no time to tell it by."""
    vendor.answers = [reply(503, Retry_After=formatdate(1_800_000_200.0, usegmt=True))]
    metered.use()
    metered.hands.wall = told
    metered.round()
    metered.hands.advance(70)
    metered.round()
    assert len(vendor.bodies) == tries


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
def test_what_is_refused_for_good_stops_nothing(
    metered: Metered, vendor: Vendor, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted and said, and what comes after it is sent."""
    problem = "application/problem+json"
    vendor.answers = [reply(status, content_type=problem)]
    metered.use()
    metered.round()
    metered.use(2)
    metered.round()
    assert vendor.counted == {("lic_1", "apiCalls"): 2}
    assert (metered.courier.refused, metered.courier.dropped) == (1, 1)
    assert f"refused for good: status {status}, 1 dropped so far" in caplog.text
    assert KEY not in caplog.text


# -- bounds ----------------------------------------------------------------------------------------


def test_what_there_is_no_room_for_is_counted_and_said(
    metered: Metered, vendor: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    """Sums that wait are bounded, and those that are there already go on growing."""
    for number in range(103):
        metered.use(2, license_id=f"lic_{number}")
    metered.meter.keep()
    assert metered.meter.dropped == 6
    assert "6 dropped so far" in caplog.text or "2 dropped so far" in caplog.text
    metered.use(1, license_id="lic_7")
    metered.round()
    assert sum(vendor.counted.values()) == 201
    assert vendor.counted["lic_7", "apiCalls"] == 3


def test_sums_in_memory_are_bounded_too(
    hands: Hands, listening: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before they come to the spool."""
    monkeypatch.setattr("licet.core.usage.metering.meter.ROOM", 3)
    metered = Metered(hands, listening.url, MemorySpool(100))
    for number in range(5):
        metered.use(2, license_id=f"lic_{number}")
    assert metered.meter.dropped == 4


def test_a_license_with_many_names_comes_in_several_reports(spool: Spool) -> None:
    """None has more counters than a server takes."""
    spool._room = 5_000  # type: ignore[attr-defined]
    spool.add({Place("i", "l", f"n{n}", 1): Sum(1.0, 2.0, 1) for n in range(2_500)})
    sizes = []
    while (report := spool.next()) is not None:
        sizes.append(len(json.loads(report.body)["counters"]))
        spool.done(report)
    assert sizes == [1_000, 1_000, 500]


def test_a_spool_that_is_lost_loses_nothing(hands: Hands, tmp_path: Path) -> None:
    """What could not be put into it is put there later, with its ends."""
    store = SQLiteStore(f"{tmp_path}/store", hands.clock)
    spool = SQLiteSpool(store, 100)
    metered = Metered(hands, "http://127.0.0.1:9/", spool)
    metered.use(2)
    hands.advance(9)
    metered.use(1)
    os.rename(tmp_path / "store", tmp_path / "away")
    (tmp_path / "store").mkdir()
    store.close()
    metered.meter.keep()
    (tmp_path / "store").rmdir()
    os.rename(tmp_path / "away", tmp_path / "store")
    metered.meter.keep()
    report = spool.next()
    assert report is not None
    [counter] = json.loads(report.body)["counters"]
    assert (counter["count"], counter["to"] - counter["from"]) == (3, 9)
    store.close()


# -- processes -------------------------------------------------------------------------------------


def test_a_report_is_left_to_who_sends_it_for_a_while(hands: Hands, tmp_path: Path) -> None:
    """Another process sends what is left of one that was killed, the same to the byte."""
    stores = [SQLiteStore(f"{tmp_path}/store", hands.clock) for _ in range(2)]
    one, other = (SQLiteSpool(store, 10) for store in stores)
    one.add({Place("i", "l", "n", 1): Sum(1.0, 2.0, 3)})
    report = one.next()
    assert isinstance(report, Report)
    assert other.next() is None
    hands.advance(LEASE)
    assert other.next() == report
    one.later(report)
    assert one.next() == report
    hands.wall -= 10 * LEASE
    assert other.next() == report
    other.done(report)
    hands.advance(20 * LEASE)
    assert one.next() is other.next() is None
    for store in stores:
        store.close()


@needs_fork
def test_a_child_tells_its_own_alone(hands: Hands, listening: Loopback, vendor: Vendor) -> None:
    """What its parent had added up is the parent's to tell."""
    metered = Metered(hands, listening.url, MemorySpool(10))
    # Sent before the fork, so that a child has nothing to import that a thread may be importing.
    metered.use(5)
    metered.round()
    metered.use(1)

    def child() -> bool:
        metered.meter._thread = metered
        metered.use(10)
        # Again where the machine was too busy: a report counts once.
        for _ in range(3):
            metered.round()
            hands.advance(10)
        return metered.courier.sent == 2

    assert in_child(child) == 0
    metered.round()
    assert vendor.counted == {("lic_1", "apiCalls"): 16}


def test_the_end_of_a_process_does_not_wait_for_a_pause(metered: Metered, vendor: Vendor) -> None:
    """There is no later, so it is tried once more."""
    vendor.answers = [reply(503)]
    metered.use()
    metered.round()
    metered.use()
    metered.meter.finish(2.0)
    assert vendor.counted == {("lic_1", "apiCalls"): 2}


def test_the_end_of_a_process_waits_no_longer_than_it_has(
    metered: Metered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has waited for whoever is sending still is not left to send in."""
    left: list[float] = []
    monkeypatch.setattr(metered.courier, "go", lambda seconds, at_last: left.append(seconds))
    turn = metered.meter._turn
    turn.acquire()
    leaving = threading.Timer(0.3, turn.release)
    leaving.start()
    metered.meter.finish(20.0)
    leaving.join()
    assert left[0] <= 19.8
    assert not turn.locked()


def test_the_end_of_a_process_waits_for_no_name_to_be_looked_up(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that is dead takes its time, which nobody can bound, and has none of this."""
    looked_up = threading.Event()

    def dead(*arguments: object, **options: object) -> None:
        looked_up.wait(20)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", dead)
    metered = Metered(hands, "https://vendor.example/", MemorySpool(10))
    metered.use()
    begun = time.monotonic()
    metered.meter.finish(0.3)
    assert time.monotonic() - begun < 10
    looked_up.set()
    # It ends before the next test, which may look something up.
    assert metered.meter._turn.acquire(timeout=20)


def test_what_breaks_while_it_is_sent_is_sent_again(
    metered: Metered, vendor: Vendor, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was that nobody had thought of, no report is forgotten for it."""

    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(Transport, "send", broken)
        metered.use()
        metered.round()
    hands.advance(LEASE + 1)
    metered.use(2)
    for _ in range(3):
        metered.round()
    assert vendor.counted == {("lic_1", "apiCalls"): 3}


def test_what_is_lost_with_a_process_is_said(
    hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody took, and no file keeps."""
    metered = Metered(hands, "http://127.0.0.1:9/", MemorySpool(10))
    metered.use()
    metered.meter.finish(1.0)
    assert "ends with 1 counts" in caplog.text
    # Also where it is being sent still, and nobody knows what comes of it.
    held = MemorySpool(10)
    held.add({Place("i", "l", "n", 1): Sum(1.0, 2.0, 3)})
    assert held.next() is not None
    assert held.mortal() == 1


def settings(url: str, store: str) -> Settings:
    """Return the settings of an application that reports its usage."""
    return Settings(**OPTIONS, usage_url=url, validation_credentials=KEY, store=store)


def test_a_gate_tells_of_what_is_consumed(
    listening: Loopback, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limited or not, by itself, with the next round or the one after it."""
    monkeypatch.setattr("licet.core.usage.metering.meter.EVERY", 0.05)
    gate = Gate(settings(listening.url, "memory://"))
    limits = {"apiCalls": 5, "exports": "unlimited"}
    token = license_token(limits=limits, sub="lic_metered")
    with bind(flow.run(gate.verify(token.encode()))):
        consume("apiCalls", 2)
        consume("exports", 3)
        consume("apiCalls").refund()
    until(lambda: sum(vendor.counted.values()) == 5)
    assert vendor.counted == {("lic_metered", "apiCalls"): 2, ("lic_metered", "exports"): 3}


#: Consumes one after the other, and says so.
CONSUMER = r"""
import json, os, sys, time
import licet
from licet.core.usage.metering import meter
url, store, jwks, token, most, meter.EVERY = *sys.argv[1:-1], float(sys.argv[-1])
settings = licet.Settings(
    issuer="https://licenses.acme.example", audience="acme-reports",
    jwks=json.loads(jwks), jwks_url=None, store=store, usage_url=url,
    validation_credentials="lvk_0123456789",
)
with licet.bind(licet.verify(token, settings)):
    for number in range(1, int(most) + 1):
        licet.consume("apiCalls")
        os.write(1, b"%d\n" % number)
        if number % 100 == 0:
            time.sleep(0.05)
"""


def consumer(url: str, store: str, most: int, every: float = EVERY) -> subprocess.Popen[bytes]:
    """Return a process that consumes, and keeps what it has used `every` so many seconds."""
    token = license_token(limits={"apiCalls": "unlimited"}, sub="lic_killed")
    arguments = [url, store, json.dumps(OPTIONS["jwks"]), token, str(most), str(every)]
    return subprocess.Popen([sys.executable, "-c", CONSUMER, *arguments], stdout=subprocess.PIPE)


def test_a_process_that_ends_has_told_everything(listening: Loopback, vendor: Vendor) -> None:
    """At its exit, also what it used in its last moment, with nothing in a file."""
    process = consumer(listening.url, "memory://", 150)
    assert process.communicate(timeout=30)[0].split()[-1] == b"150"
    assert vendor.counted == {("lic_killed", "apiCalls"): 150}


def tell_the_rest(directory: Path, url: str) -> None:
    """Send what a killed process had begun to send, as the next one does after a while."""
    later = Hands(wall=time.time() + LEASE + 1)
    store = SQLiteStore(f"{directory}/store", later.clock)
    Courier(url, {}, SQLiteSpool(store, 10), Transport(), later.clock).go(5.0)
    store.close()


@pytest.mark.row("P05")
def test_a_killed_process_has_lost_a_second_at_most(
    listening: Loopback, vendor: Vendor, tmp_path: Path
) -> None:
    """What it had put into the file is told by the next process, once: all but its last round's.

    Rounds are a second apart; here they are shorter.
    """
    assert EVERY <= 1
    vendor.answers = [reply(503)] * 100
    process = consumer(listening.url, f"sqlite://{tmp_path}/store", 10**6, every=0.2)
    assert process.stdout
    marks: list[tuple[float, int]] = []
    began = math.inf
    while time.monotonic() < began + 1.1:
        number = int(process.stdout.readline())
        marks.append((time.monotonic(), number))
        began = marks[0][0]
    killed = time.monotonic()
    os.kill(process.pid, signal.SIGKILL)
    used = int(([str(marks[-1][1]).encode(), *process.stdout.read().split()])[-1])
    process.communicate()
    vendor.answers = []
    kept = max(number for at, number in marks if at < killed - 0.7)
    tell_the_rest(tmp_path, listening.url)
    assert 100 < kept <= vendor.counted["lic_killed", "apiCalls"] <= used
    assert ISSUER_NAME not in str(vendor.reports)
