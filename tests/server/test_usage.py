"""Usage as applications report it, and as the vendor sees it."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from licet.core.usage.metering.spool import MemorySpool
from licet.core.usage.metering.sums import Place, Sum, hour_of
from licet.server import LicenseServer, audit
from licet.server import usage as module
from licet.server.endpoints import usage as endpoint
from licet.server.storage.database import Database
from licet.server.usage import Counter, Used, beginning, end, totals
from tests.core.hands import Hands
from tests.server import stock
from tests.server.conftest import ISSUER

if TYPE_CHECKING:
    import httpx2
    from starlette.testclient import TestClient

NOON = datetime(2027, 1, 15, 12, 30, 45, tzinfo=UTC)
MONTH = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())
LIMITS = {"apiCalls": {"max": 100, "per": "month"}, "seats": 10, "exports": "unlimited"}


@pytest.fixture
def anyio_backend() -> str:
    """What servers run on."""
    return "asyncio"


@pytest.fixture
def hands() -> Hands:
    return Hands(wall=NOON.timestamp())


@pytest.fixture
def application(
    client: TestClient, server: LicenseServer, hands: Hands, validation: dict[str, str]
) -> Application:
    stock.license_(server.database, expires_at=hands.wall + stock.YEAR, limits=LIMITS)
    return Application(client, server, hands, validation)


class Application:
    """Reports usage of the license `lic_1`."""

    def __init__(
        self, client: TestClient, server: LicenseServer, hands: Hands, headers: dict[str, str]
    ) -> None:
        self.client, self.server, self.hands, self.headers = client, server, hands, headers

    def send(self, **body: object) -> httpx2.Response:
        return self.client.post("/v1/usage", headers=self.headers, json=body)

    def report(self, batch_id: str, *counters: dict[str, Any], to: str = "lic_1") -> int:
        return self.send(batch_id=batch_id, license_id=to, counters=counters).status_code

    def count(self, name: str = "apiCalls", count: object = 1, **when: object) -> dict[str, Any]:
        now = self.hands.wall
        return {"name": name, "from": now - 1, "to": now, "count": count, **when}

    def totals(self, limits: dict[str, Any] | None = None) -> dict[str, Used]:
        return self.server.database.read(
            lambda connection: totals(
                connection, "lic_1", LIMITS if limits is None else limits, self.hands.wall
            )
        )


def test_usage_is_counted_by_name(application: Application) -> None:
    """What was used of each limit in its period, and of what no limit is set for."""
    assert application.report("b1", application.count(count=3), application.count("exports")) == 204
    assert application.report("b2", application.count(count=4), application.count("pages")) == 204
    assert application.totals() == {
        "apiCalls": {"used": 7, "max": 100, "per": "month", "since": MONTH},
        "seats": {"used": 0, "max": 10, "per": "month", "since": MONTH},
        "exports": {"used": 1, "max": "unlimited", "per": "month", "since": MONTH},
        "pages": {"used": 1, "max": None, "per": "month", "since": MONTH},
    }


def test_a_report_counts_once(application: Application) -> None:
    """Sent again it is acknowledged again; with another content its id is 409, and counts not."""
    report = [application.count(count=3), application.count("seats")]
    for _ in range(3):
        assert application.report("b1", *report) == 204
    assert application.report("b1", application.count(count=4)) == 409
    stock.license_(application.server.database, "lic_2", limits={})
    assert application.report("b1", *report, to="lic_2") == 409
    assert application.totals()["apiCalls"]["used"] == 3
    # Members may be written in any order, and whole numbers in two ways.
    as_floats = [{**one, "to": float(one["to"])} for one in reversed(report)]
    assert application.report("b1", *as_floats) == 204


def test_what_is_acknowledged_is_there_after_a_restart(application: Application) -> None:
    """It is read from the file by somebody else, in the moment of the acknowledgement."""
    application.report("b1", application.count(count=3))
    other = sqlite3.connect(application.server.database.path)
    found = other.execute("SELECT per, count FROM usage ORDER BY per").fetchall()
    other.close()
    assert found == [(per, 3) for per in sorted(module.PERIODS)]


@pytest.mark.parametrize(
    ("per", "next_one"),
    [
        ("minute", NOON.replace(second=0) + timedelta(minutes=1)),
        ("hour", NOON.replace(minute=0, second=0) + timedelta(hours=1)),
        ("day", datetime(2027, 1, 16, tzinfo=UTC)),
        ("month", datetime(2027, 2, 1, tzinfo=UTC)),
    ],
)
def test_periods_are_those_of_the_calendar(per: str, next_one: datetime) -> None:
    """In UTC; each ends where the next begins."""
    moment = next_one.timestamp()
    assert end(per, NOON.timestamp()) == moment == beginning(per, moment)
    assert beginning(per, moment - 0.001) < NOON.timestamp() < moment
    assert end(per, beginning(per, NOON.timestamp())) == moment


def test_a_limit_begins_anew_with_its_period(application: Application, hands: Hands) -> None:
    """What was used before does not count any longer, but for the whole term it does."""
    application.report("b1", application.count(count=3))
    passes = {"minute": 60, "hour": 3600, "day": 86_400, "month": 31 * 86_400}
    for per, seconds in passes.items():
        limits = {"apiCalls": {"max": 5, "per": per}}
        assert application.totals(limits)["apiCalls"]["used"] == 3
        hands.wall = NOON.timestamp() + seconds
        assert application.totals(limits)["apiCalls"]["used"] == 0
        hands.wall = NOON.timestamp()
    hands.advance(300 * 86_400)
    term = application.totals({"apiCalls": {"max": 5, "per": "term"}})["apiCalls"]
    assert term == {"used": 3, "max": 5, "per": "term", "since": int(NOON.timestamp())}


def test_a_report_may_come_late(application: Application, hands: Hands) -> None:
    """It counts in the periods that it began in, not in those in which it came."""
    yesterday = hands.wall - 86_400
    application.report("b1", application.count(count=3, **{"from": yesterday, "to": yesterday}))
    used = {
        per: application.totals({"apiCalls": {"max": 5, "per": per}})["apiCalls"]["used"]
        for per in module.PERIODS
    }
    assert used == {"minute": 0, "hour": 0, "day": 0, "month": 3, "term": 3}
    # Of a minute that is long over nothing is kept.
    rows = "SELECT count(*) FROM usage WHERE per = 'minute'"
    assert stock.one(application.server.database, rows) == (0,)


def test_half_a_report_is_400_and_counts_nothing(application: Application) -> None:
    """Numbers are numbers, moments lie in order and not ahead, names are those of limits."""
    good = application.count(count=1)
    now = application.hands.wall
    halves: list[dict[str, Any]] = [
        {},
        {"batch_id": "", "counters": []},
        {"batch_id": 7, "counters": []},
        {"batch_id": "b" * 129, "counters": []},
        {"batch_id": "b ", "counters": []},
        {"license_id": None, "counters": []},
        {"counters": {}},
        {"counters": [good] * 1001},
        {"counters": [[]]},
        {"counters": [good], "more": 1},
    ]
    changes: list[dict[str, Any]] = [
        {"name": ""},
        {"name": "api calls"},
        {"name": "n" * 129},
        {"name": 7},
        {"from": now + 1},
        {"from": True, "to": True},
        {"from": "2027-01-15T00:00:00Z"},
        {"from": -1},
        {"from": now + 90_000, "to": now + 90_001},
        {"to": None},
        {"count": -1},
        {"count": 1.5},
        {"count": 1.0},
        {"count": True},
        {"count": "1"},
        {"count": 2**53 + 1},
        {"count": None},
        {"per": "day"},
    ]
    halves += [{"counters": [good, {**good, **change}]} for change in changes]
    missing = [{name: good[name] for name in good.keys() - {member}} for member in good]
    halves += [{"counters": [one]} for one in missing]
    for half in halves:
        answer = application.send(**{"batch_id": "b1", "license_id": "lic_1", **half})
        assert answer.status_code == 400, half
        assert answer.headers["content-type"] == "application/problem+json"
    counter = '{"name": "n", "from": 1e999, "to": 1e999, "count": 1}'
    infinite = f'{{"batch_id": "b", "license_id": "lic_1", "counters": [{counter}]}}'
    answer = application.client.post("/v1/usage", headers=application.headers, content=infinite)
    assert answer.status_code == 400
    assert {name: used["used"] for name, used in application.totals().items()} == dict.fromkeys(
        LIMITS, 0
    )


def test_a_report_of_the_largest_size_is_taken(application: Application) -> None:
    """1,000 counters with names of 128 characters; one that is longer still is 413."""
    report = [application.count(f"{number:0128}", 2**53) for number in range(1000)]
    assert application.report("b1", *report) == 204
    assert len(application.totals()) == 1003
    assert application.report("b2", *report * 2) == 413


def test_a_license_has_so_many_names_that_are_counted(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A further one is 409 with nothing of its report counted; those that are there go on."""
    monkeypatch.setattr(module, "MOST_NAMES", 2)
    assert application.report("b1", application.count("a"), application.count("b")) == 204
    assert application.report("b2", application.count("a"), application.count("c")) == 409
    assert application.report("b2", application.count("a")) == 204
    assert application.totals({})["a"]["used"] == 2


def test_a_sum_stays_a_number_of_json(application: Application) -> None:
    """However much is reported, it is no more than every reader of JSON can read."""
    for batch_id in ("b1", "b2"):
        application.report(batch_id, *[application.count(count=2**53)] * 3)
    assert application.totals()["apiCalls"]["used"] == 2**53


@pytest.mark.anyio
async def test_a_revocation_waits_for_few_reports(
    application: Application,
    server: LicenseServer,
    admin: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many reports come at once, few are written before it, and few are kept waiting."""
    monkeypatch.setattr(endpoint, "MOST_WAITING", 30)
    written: list[str] = []
    count, change = module.count, audit.record

    def counted(*about: Any) -> bool:
        written.append("report")
        return count(*about)

    def recorded(connection: sqlite3.Connection, *about: Any, **detail: Any) -> None:
        written.append(about[2])
        change(connection, *about, **detail)

    monkeypatch.setattr(module, "count", counted)
    monkeypatch.setattr(audit, "record", recorded)
    opened, statuses = threading.Event(), list[int]()
    server.database.write_later(lambda connection: opened.wait(5))

    async def report(number: int) -> None:
        body = {"batch_id": str(number), "license_id": "lic_1", "counters": []}
        answer = await asking.post("/v1/usage", headers=application.headers, json=body)
        statuses.append(answer.status_code)

    with anyio.fail_after(10):
        async with (
            httpx.AsyncClient(transport=httpx.ASGITransport(server.app), base_url=ISSUER) as asking,
            anyio.create_task_group() as applications,
        ):
            for number in range(50):
                applications.start_soon(report, number)
            while len(statuses) < 50 - 30 - endpoint.AT_ONCE:
                await anyio.lowlevel.checkpoint()
            assert set(statuses) == {503}
            applications.start_soon(
                partial(asking.post, "/v1/licenses/lic_1/revoke", headers=admin, json={})
            )
            while server.database._waiting.qsize() < endpoint.AT_ONCE + 1:
                await anyio.lowlevel.checkpoint()
            opened.set()
    assert statuses.count(204) == 30 + endpoint.AT_ONCE
    assert written.index("license.revoked") <= 2 * endpoint.AT_ONCE


def test_usage_of_an_unknown_license_is_404(application: Application) -> None:
    """And its batch may be sent again once there is one."""
    assert application.report("b1", application.count(), to="lic_9") == 404
    stock.license_(application.server.database, "lic_9", limits={})
    assert application.report("b1", application.count(), to="lic_9") == 204


def test_only_applications_report_usage(application: Application, admin: dict[str, str]) -> None:
    """With a validation key, and no other."""
    assert application.client.post("/v1/usage", json={}).status_code == 401
    assert application.client.post("/v1/usage", json={}, headers=admin).status_code == 403


@pytest.fixture
def database(database: Database) -> Database:
    stock.receiver(database, "wh_1", "usage.exceeded")
    return database


def count(database: Database, at: float, batch_id: str, **used: int) -> None:
    counters = [Counter(name, at, at, number) for name, number in used.items()]
    database.write_now(
        lambda connection: module.count(connection, at, stock.ISSUER, batch_id, "lic_1", counters)
    )


def test_a_limit_that_is_exceeded_is_told_once_in_its_period(database: Database) -> None:
    """More than its maximum, not as much; for each limit, and again in the next period."""
    stock.license_(database, limits=LIMITS)
    at = NOON.timestamp()
    count(database, at, "b1", apiCalls=100, exports=10**6)
    assert stock.waiting(database) == []
    for batch_id in ("b2", "b3"):
        count(database, at, batch_id, apiCalls=1, seats=11)
    calls, seats = [body["data"] for body in stock.waiting(database)]
    del calls["sequence"]
    assert calls == {
        "license_id": "lic_1",
        "name": "apiCalls",
        "used": 101,
        "max": 100,
        "per": "month",
        "since": MONTH,
    }
    assert (seats["name"], seats["used"], seats["max"]) == ("seats", 11, 10)
    count(database, at + 31 * 86_400, "b4", apiCalls=101)
    assert [body["data"]["name"] for body in stock.waiting(database)][2:] == ["apiCalls"]


@pytest.mark.parametrize("per", module.PERIODS)
def test_whatever_its_period_is_a_limit_is_told_of_once_in_it(database: Database, per: str) -> None:
    """Of a term that is once and for all."""
    stock.license_(database, limits={"n": {"max": 0, "per": per}})
    at = NOON.timestamp()
    for batch_id in ("b1", "b2"):
        count(database, at, batch_id, n=1)
    assert len(stock.waiting(database)) == 1
    is_term = per == "term"
    count(database, at + stock.YEAR if is_term else end(per, at), "b3", n=1)
    assert len(stock.waiting(database)) == (1 if is_term else 2)


def test_that_usage_came_is_on_record_once_an_hour(application: Application, hands: Hands) -> None:
    """For each license and key: the record is kept for good, and reports come all the time."""
    for number in range(3):
        application.report(f"b{number}", application.count())
        hands.advance(1800)
    lines = application.server.database.read(
        lambda connection: connection.execute(
            "SELECT actor, subject FROM audit WHERE action = 'usage.received'"
        ).fetchall()
    )
    assert [subject for _, subject in lines] == ["lic_1", "lic_1"]
    assert all(actor.startswith("lvk_") for actor, _ in lines)


@pytest.mark.anyio
async def test_old_sums_are_swept_all_the_time(
    server: LicenseServer, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a disk that took nothing for once."""
    monkeypatch.setattr(module, "EVERY", 0.001)
    database = server.database
    stock.license_(database)
    database.write_now(
        lambda connection: connection.execute("INSERT INTO usage VALUES ('lic_1','day',0,'n',1)")
    )

    stock.full_once(database, monkeypatch)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(module.sweeping, database, hands.clock)
        with anyio.fail_after(10):
            while stock.one(database, "SELECT 1 FROM usage"):  # noqa: ASYNC110 - in a thread
                await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()


def test_what_is_kept_is_bounded(
    application: Application, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short periods are forgotten, months and terms stay; reports are known for ninety days."""
    monkeypatch.setattr(module, "AT_ONCE", 2)
    database = application.server.database
    for number in range(5):
        application.report(f"b{number}", application.count(), application.count("pages"))
        hands.advance(60)

    def sweep() -> dict[str, int]:
        while database.write_now(lambda connection: module.sweep(connection, hands.wall)):
            pass
        rows = database.read(
            lambda connection: connection.execute(
                "SELECT per, count(*) FROM usage GROUP BY per"
            ).fetchall()
        )
        return dict(rows)

    kept = {"day": 2, "month": 2, "term": 2}
    assert sweep() == {**kept, "minute": 10, "hour": 2}
    hands.advance(2 * 3600)
    assert sweep() == {**kept, "hour": 2}
    hands.advance(3 * 86_400)
    assert sweep() == kept
    hands.advance(87 * 86_400)
    assert sweep() == {"month": 2, "term": 2}
    assert application.report("b1", application.count()) == 409
    hands.advance(20 * 86_400)
    sweep()
    assert stock.one(database, "SELECT count(*) FROM usage_batches") == (0,)
    assert application.totals({"apiCalls": {"max": 9, "per": "term"}})["apiCalls"]["used"] == 5


def test_what_licet_reports_is_taken(application: Application, hands: Hands) -> None:
    """Reports of an application's meter are understood as they are, and count once."""
    spool = MemorySpool(10)
    place = Place("https://licenses.acme.example", "lic_1", "apiCalls", hour_of(hands.wall))
    spool.add({place: Sum(hands.wall - 5, hands.wall, 7), place._replace(name="n"): Sum(1, 2, 1)})
    report = spool.next()
    assert report is not None
    headers = {**application.headers, "Content-Type": "application/json"}
    for _ in range(2):
        sent = application.client.post("/v1/usage", headers=headers, content=report.body)
        assert sent.status_code == 204
    assert application.totals()["apiCalls"]["used"] == 7
