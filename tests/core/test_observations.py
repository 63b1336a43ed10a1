"""What is noticed about licenses that are let in: their ends, strange use; and what it costs."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from licet import LicenseError, PossessionInvalid, Settings
from licet.core import flow
from licet.core.admissions import NEW, SAMPLE
from licet.core.events import incidents, observations
from licet.core.events.anomaly import HOUR, MANY, MINUTE, PLACES, UNKNOWN, Habits
from licet.core.events.bus import GateBus
from licet.core.events.event import Event
from licet.core.events.incidents import Incidents
from licet.core.events.observations import Observations
from licet.core.events.webhook import UNTOLD
from licet.core.gate import Gate
from licet.core.moments import rfc3339
from licet.possession import ProofKey
from tests import rows
from tests.core.hands import Hands
from tests.core.presented import Presented
from tests.core.worlds import token_of
from tests.licenses import OPTIONS

DAY = 86_400


# -- one license ---------------------------------------------------------------------------------


def minute(habits: Habits, number: int, count: int) -> bool:
    """Have a license used so often in one minute; return whether that is a burst."""
    for part in range(10):
        habits.add(number * MINUTE + part * 6, count // 10, None)
    return habits.is_bursting


def test_ten_times_the_usual_is_a_burst() -> None:
    """Of a license that is known; what is always so much is none, and what grows slowly either."""
    habits = Habits()
    assert not any(minute(habits, number, 1_000) for number in range(1, 20))
    assert not minute(habits, 20, 8_000)
    assert minute(habits, 21, 40_000)
    steady = Habits()
    assert not any(minute(steady, number, 1_000 * number) for number in range(1, 40))


def test_few_requests_are_no_burst() -> None:
    """However few are usual: what one person clicks is none."""
    habits = Habits()
    assert not any(minute(habits, number, 10) for number in range(1, 5))
    assert not minute(habits, 5, 600)
    assert minute(habits, 6, 2_000)


def test_a_new_license_may_be_used_much_and_not_without_end() -> None:
    """Nobody knows yet what is usual."""
    assert not minute(Habits(), 1, 10 * int(UNKNOWN))
    assert minute(Habits(), 1, 10 * int(UNKNOWN) + 10)


def test_what_was_usual_is_forgotten_while_nothing_comes() -> None:
    """After hours without a request few are usual, whatever there was before."""
    habits = Habits()
    for number in range(1, 5):
        minute(habits, number, 100_000)
    assert minute(habits, 10_000, 1_000)


@pytest.mark.parametrize("version", [4, 6])
def test_networks_are_counted_closely_enough(version: int) -> None:
    """Within a quarter, up to several hundred; addresses of one network count once."""
    for number in (1, 20, 90, 300):
        habits = Habits()
        for each in range(number):
            for host in (1, 2, 250):
                address: IPv4Address | IPv6Address = IPv4Address((each << 8) + host)
                if version == 6:
                    address = IPv6Address((0x2001 << 112) + (each << 80) + (host << 64) + host)
                habits.add(1.0, 1, address)
        assert habits.networks == pytest.approx(number, rel=0.25, abs=1)
        assert habits.is_everywhere == (number > MANY)


def test_networks_are_those_of_an_hour() -> None:
    """What was seen before it does not count."""
    habits = Habits()
    for each in range(2 * MANY):
        habits.add(1.0 + each * 2 * HOUR / MANY, 1, IPv4Address(each << 8))
    assert not habits.is_everywhere


def test_so_many_networks_that_all_places_are_full() -> None:
    """Are many, and a number."""
    habits = Habits()
    for each in range(20 * PLACES):
        habits.add(1.0, 1, IPv4Address(each << 8))
    assert habits.is_everywhere
    assert habits.networks > PLACES


# -- at a gate -----------------------------------------------------------------------------------


class World:
    """A gate, its clock, and what it told."""

    def __init__(self, hands: Hands | None = None, **options: Any) -> None:
        self.hands = hands or Hands()
        self.gate = Gate(Settings(**{**OPTIONS, **options}), clock=self.hands.clock)
        self.told: list[Event] = []
        self.gate.events.subscribe(self.told.append)

    def names(self, name: str) -> list[Event]:
        return [event for event in self.told if event.name == name]

    def suspicions(self) -> list[str]:
        return [str(one.data["kind"]) for one in self.names("license.suspicious_activity")]

    def ask(self, token: str, peer: str = "203.0.113.9", **fields: str) -> str:
        """Return what becomes of a request, as an adapter would have it judged."""
        lines = {"authorization": [f"Bearer {token}"], "host": ["customer.example"]}
        lines |= {name: [value] for name, value in fields.items()}
        facts = Presented(lines=lines, peer=peer)
        try:
            grant = self.gate.recall(token.encode())
            if grant is not None:
                if grant.free:
                    return "free"
                held = self.gate.admit(grant, token.encode(), "authorization", _same, facts)
                if held is not None:
                    return "admitted"
            flow.run(self.gate.decide(facts))
        except LicenseError as error:
            return error.code
        return "decided"


def _same(facts: Any) -> Any:
    return facts


def test_most_hits_are_not_looked_at() -> None:
    """One in a while is, and stands for all since the last; then the license is free again."""
    world = World()
    token = token_of(world.hands)
    assert world.ask(token) == "decided"
    assert {world.ask(token) for _ in range(99)} == {"free"}
    world.hands.advance(SAMPLE)
    assert world.ask(token) == "admitted"
    assert {world.ask(token) for _ in range(10)} == {"free"}
    [habits] = world.gate._observations._licenses.values()
    assert habits.count == 1 + 100


def test_of_two_that_come_at_once_one_is_looked_at() -> None:
    """And it stands for all that came before, whichever of them is let in first."""
    world = World()
    token = token_of(world.hands)
    assert world.ask(token) == "decided"
    assert {world.ask(token) for _ in range(99)} == {"free"}
    world.hands.advance(SAMPLE)
    grant = world.gate.recall(token.encode())
    assert grant is not None
    world.gate._admissions.sample(grant, world.hands.monotonic)
    assert world.ask(token) == "admitted"
    [habits] = world.gate._observations._licenses.values()
    assert habits.count == 1 + 100


def test_a_remembered_license_is_looked_at_as_rarely_whichever_way_it_comes() -> None:
    """One in a cookie takes the longer way, and each request of it counts once all the same."""
    world = World(sources=("cookie:license",))
    facts = Presented(lines={"cookie": [f"license={token_of(world.hands)}"]})
    flow.run(world.gate.decide(facts))
    world.hands.advance(NEW)
    [habits] = world.gate._observations._licenses.values()
    for _ in range(100):
        flow.run(world.gate.decide(facts))
    assert habits.count == 1 + 1
    world.hands.advance(SAMPLE)
    flow.run(world.gate.decide(facts))
    assert habits.count == 1 + 1 + 100 == world.gate.admitted()


def test_what_no_hit_is_owed_for_is_looked_at_as_rarely() -> None:
    """A license that a server vouched for at one domain is remembered, and not by the gate."""
    world = World()
    token = token_of(world.hands)
    assert world.ask(token) == "decided"
    grant = world.gate.recall(token.encode())
    assert grant is not None
    [habits] = world.gate._observations._licenses.values()
    world.hands.advance(NEW)
    for _ in range(100):
        world.gate._admissions.admitted(grant, Presented())
    assert habits.count == 1 + 1 + 1
    world.hands.advance(SAMPLE)
    world.gate._admissions.admitted(grant, Presented())
    assert habits.count == 1 + 1 + 1 + 100 == world.gate.admitted()
    assert grant.free


def test_a_license_in_use_is_told_of_once_a_minute() -> None:
    """With about how often it was used in the minute before."""
    world = World()
    token = token_of(world.hands)
    for _ in range(300):
        world.ask(token)
        world.hands.advance(0.5)
    told = [event.data["requests"] for event in world.names("license.verified")]
    assert told == [0, 120, 120]


def test_a_burst_is_told_once_an_hour() -> None:
    """By an estimate from few requests that were looked at."""
    world = World()
    token = token_of(world.hands)
    for _ in range(40):
        for _ in range(400):
            world.ask(token)
        world.hands.advance(1)
    assert world.suspicions() == ["burst"]
    [event] = world.names("license.suspicious_activity")
    assert event.data["license_id"] == "lic_1"
    assert event.data["requests"] > 6_000  # type: ignore[operator]


def test_many_addresses_are_told_once_an_hour() -> None:
    """A license that is used from more networks than its holder has."""
    world = World()
    token = token_of(world.hands)
    for each in range(200):
        world.ask(token, peer=str(ip_address((203 << 24) + (each << 8))))
        world.hands.advance(1)
    assert world.suspicions() == ["many_addresses"]


def test_a_foreign_domain_is_told_once_an_hour_and_license() -> None:
    """With the domain that was asked for."""
    world = World()
    token, other = (
        token_of(world.hands, sub=name, domains=["elsewhere.example"]) for name in ("a", "b")
    )
    for _ in range(5):
        assert world.ask(token) == world.ask(other) == "license_domain"
    assert world.suspicions() == ["domain_mismatch"] * 2
    [first, second] = world.names("license.suspicious_activity")
    assert first.data["requested_domain"] == "customer.example"
    assert (first.data["license_id"], second.data["license_id"]) == ("a", "b")
    world.hands.advance(HOUR)
    world.ask(token_of(world.hands, sub="a", domains=["elsewhere.example"]))
    assert len(world.suspicions()) == 3


def test_a_proof_that_is_used_again_is_told() -> None:
    """It may be an honest repetition, and may be somebody else's."""
    world = World(external_url="https://customer.example")
    key = ProofKey.generate()
    token = token_of(world.hands, cnf={"jkt": key.jkt})
    proof = key.proof("GET", "https://customer.example/reports", token, iat=world.hands.wall)
    lines = {"authorization": [f"DPoP {token}"], "dpop": [proof], "host": ["customer.example"]}
    flow.run(world.gate.decide(Presented(lines=lines)))
    for _ in range(3):
        with pytest.raises(PossessionInvalid):
            flow.run(world.gate.decide(Presented(lines=lines)))
    assert world.suspicions() == ["replay"]


def test_the_end_of_a_license_is_told_at_each_step_once() -> None:
    """At 30, 15, 7, 2 and 1 days, and nothing that was missed; a week was never a month."""
    world = World()
    now = int(world.hands.wall)
    year = token_of(world.hands, sub="year", iat=now - 300 * DAY, exp=now + 40 * DAY)
    week = token_of(world.hands, sub="week", iat=now, exp=now + 7 * DAY)
    for _ in range(80):
        world.ask(year)
        world.ask(week)
        world.hands.advance(DAY / 2)
    days: dict[object, list[object]] = {"year": [], "week": []}
    for event in world.names("license.expiring"):
        days[event.data["license_id"]].append(event.data["days"])
    assert days == {"year": [30, 15, 7, 2, 1], "week": [2, 1]}


def test_a_grace_is_told_once_a_day_and_license() -> None:
    """While it lasts, and until when that is."""
    world = World()
    now = int(world.hands.wall)
    token = token_of(world.hands, iat=now, exp=now + 10 * DAY, grace=3 * DAY)
    world.ask(token)
    world.hands.advance(10 * DAY + 60)
    for _ in range(20):
        world.ask(token)
        world.hands.advance(DAY / 4)
    told = world.names("license.grace_entered")
    assert len(told) == 3
    assert {event.data["until"] for event in told} == {rfc3339(now + 13 * DAY)}


def test_workers_that_share_a_store_tell_of_an_end_once(tmp_path: Path) -> None:
    """Each step of days and each day of grace, among all of them and after a restart too."""
    hands = Hands()
    now = int(hands.wall)
    token = token_of(hands, iat=now - 300 * DAY, exp=now + 40 * DAY, grace=3 * DAY)
    told: list[object] = []
    for day in range(86):
        if day % 20 == 0:
            store = f"sqlite://{tmp_path}/store.sqlite3"
            workers = [World(store=store, hands=hands) for _ in range(4)]
        for worker in workers:
            worker.ask(token)
        for worker in workers:
            assert worker.gate.events._told is not None
            worker.gate.events._told.finish(10)
            told += [event.data.get("days") for event in worker.names("license.expiring")]
            told += [event.name for event in worker.names("license.grace_entered")]
            worker.told.clear()
        hands.advance(DAY / 2)
    assert told == [30, 15, 7, 2, 1, *["license.grace_entered"] * 3]


def test_nothing_is_strange_about_the_license_of_an_installation() -> None:
    """All requests of all users are its own."""
    hands = Hands()
    world = World(license=token_of(hands))
    for each in range(200):
        facts = Presented(peer=str(ip_address((203 << 24) + (each << 8))))
        for _ in range(100):
            held = world.gate.installation and world.gate.installation.recall()
            if held is None or world.gate.admit(*held, "", _same, facts) is None:
                flow.run(world.gate.decide(facts))
        world.hands.advance(0.1)
    assert world.suspicions() == []
    assert world.names("license.verified")


def test_what_fails_in_passing_keeps_nobody_out(caplog: pytest.LogCaptureFixture) -> None:
    """The request is served, and the log says what happened."""
    world = World()

    def fail(*arguments: object) -> None:
        raise RuntimeError("broken")

    watching = world.gate._observations
    watching._look = watching._suspect = fail  # type: ignore[method-assign]
    assert world.ask(token_of(world.hands)) == "decided"
    assert world.ask(token_of(world.hands, domains=["elsewhere.example"])) == "license_domain"
    assert caplog.text.count("what a license is used for goes unnoticed") == 2


def test_threads_leave_every_license_free() -> None:
    """However their samples meet: in the end all are answered from memory alone."""
    world = World()
    tokens = [token_of(world.hands, sub=f"lic_{number}") for number in range(4)]
    for token in tokens:
        world.ask(token)

    def ask(token: str) -> None:
        for _ in range(300):
            world.ask(token)
            world.hands.advance(SAMPLE)

    threads = [threading.Thread(target=ask, args=(token,)) for token in tokens * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for token in tokens:
        world.ask(token)
        assert world.ask(token) == "free"


# -- what it costs -------------------------------------------------------------------------------


class _Nowhere:
    now = 0.0

    def __init__(self, address: IPv4Address) -> None:
        self._address = address

    def address(self) -> IPv4Address:
        return self._address


def _grants(number: int) -> list[Any]:
    stage = SimpleNamespace(status=None)
    return [
        SimpleNamespace(
            issuer="https://licenses.acme.example",
            license_id=f"lic_{each:08}",
            verified_by="local",
            stage=stage,
            issued_at=-400.0 * DAY,
            expires_at=10.0 * DAY,
            wall=float,
        )
        for each in range(number)
    ]


@pytest.mark.row("P06")
def test_memory_is_bounded_by_licenses_and_not_by_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """A license takes some hundred bytes, whatever it is used for, and only so many are watched.

    Each makes the most of it: it ends soon, bursts, and is used from another network each time; and
    what was told of it is remembered. Row 30 of the benchmarks is the same of ten thousand.
    """
    for module in (observations, incidents):
        monkeypatch.setattr(module, "MOST", 2_000)
    hands = Hands()
    bus = GateBus(hands.clock)
    webhooks = Incidents(hands.clock)

    def remember(event: Event) -> None:
        if event.name not in UNTOLD:
            webhooks.is_news(event)

    bus.subscribe(remember)
    grants = _grants(observations.MOST * 6 // 5)

    def use(watching: Observations, times: int, number: int) -> None:
        for each in range(times):
            hands.advance(1)
            for grant in grants[:number]:
                address = IPv4Address((each * 7919 % 65_536) << 16 | 1)
                watching.admitted(grant, _Nowhere(address), 7_000)  # type: ignore[arg-type]

    def size(build: Callable[[], object]) -> tuple[float, object]:
        before = tracemalloc.get_traced_memory()[0]
        built = build()
        return tracemalloc.get_traced_memory()[0] - before, built

    def watched() -> Observations:
        watching = Observations(bus, hands.clock, personal=True)
        use(watching, 1, observations.MOST)
        return watching

    tracemalloc.start()
    try:
        first, watching = size(watched)
        assert isinstance(watching, Observations)
        tenfold, _ = size(lambda: use(watching, 9, observations.MOST))
        over, _ = size(lambda: use(watching, 1, len(grants)))
    finally:
        tracemalloc.stop()
    assert len(watching) == observations.MOST
    assert len(bus._incidents._told) == len(webhooks._told) == incidents.MOST
    each = first / observations.MOST
    rows.REPORTED.append(
        f"memory of a watched license: {each:.0f} bytes, with what was told of it;"
        f" ten times the events {tenfold / first:+.0%}, a fifth more licenses {over / first:+.0%}"
    )
    assert each < 1_500
    assert tenfold < 0.5 * first
    assert over < 0.3 * first
