"""What the server notices by itself, and tells once."""

from __future__ import annotations

import json

import anyio
import pytest

from licet.server import notices as module
from licet.server.moments import rfc3339
from licet.server.notices import BURST, Notices
from licet.server.storage.database import Database
from tests.core.hands import Hands
from tests.server import stock

DAY = 86_400


@pytest.fixture
def anyio_backend() -> str:
    """What servers run on."""
    return "asyncio"


@pytest.fixture
def database(database: Database) -> Database:
    stock.receiver(database, "wh_1", "license.expiring license.suspicious_activity")
    return database


@pytest.fixture
def hands() -> Hands:
    return Hands(wall=stock.ISSUED_AT)


@pytest.fixture
def notices(database: Database, hands: Hands) -> Notices:
    return Notices(database, hands.clock, stock.ISSUER)


def told(database: Database) -> list[dict[str, object]]:
    """Return what is told, without numbers, once what is under way has been written."""
    database.write_now(lambda connection: None)
    data = [body["data"] for body in stock.waiting(database)]
    for one in data:
        del one["sequence"]
    return data


@pytest.mark.anyio
async def test_an_end_is_told_of_at_each_of_five_moments_once(
    database: Database, notices: Notices, hands: Hands
) -> None:
    """30, 15, 7, 2 and 1 days before it, however often one looks, and not after it."""
    stock.license_(database)
    end = stock.ISSUED_AT + stock.YEAR
    for days in (31, 30, 16, 15, 15, 8, 7, 3, 2, 1.5, 1, 0.5, 0, -1):
        hands.wall = end - days * DAY
        await notices.tell_endings()
    assert told(database) == [
        {"license_id": "lic_1", "days": days, "expires_at": rfc3339(end)}
        for days in (30, 15, 7, 2, 1)
    ]
    assert {body["type"] for body in stock.waiting(database)} == {"license.expiring"}


@pytest.mark.anyio
async def test_who_looks_late_is_told_the_last_moment_only(
    database: Database, notices: Notices, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first look at old licenses tells of each at most once, however many there are."""
    monkeypatch.setattr(module, "AT_ONCE", 3)
    names = [f"lic_{number}" for number in range(8)]
    for name in names:
        # All end in the same moment, in which a look is broken off and taken up again.
        stock.license_(database, name, expires_at=stock.ISSUED_AT + 5 * DAY)
    stock.license_(database, "later", expires_at=stock.ISSUED_AT + 40 * DAY)
    stock.license_(database, "withdrawn", expires_at=hands.wall + DAY, state="suspended")
    stock.license_(database, "over", expires_at=hands.wall - 1)
    await notices.tell_endings()
    await notices.tell_endings()
    data = told(database)
    assert [one["license_id"] for one in data] == names
    assert {one["days"] for one in data} == {7}


@pytest.mark.anyio
async def test_a_short_license_is_not_told_of_when_it_is_issued(
    database: Database, notices: Notices, hands: Hands
) -> None:
    """One for ten days was never a month from its end; it is told of a week before it."""
    stock.license_(database, expires_at=hands.wall + 10 * DAY, lifetime=10 * DAY)
    await notices.tell_endings()
    assert told(database) == []
    hands.advance(3 * DAY)
    await notices.tell_endings()
    assert [one["days"] for one in told(database)] == [7]


@pytest.mark.anyio
async def test_a_license_that_was_refreshed_starts_anew(
    database: Database, notices: Notices, hands: Hands
) -> None:
    """What was told of its old end is told of its new one."""
    stock.license_(database)
    hands.wall = stock.ISSUED_AT + stock.YEAR - DAY
    await notices.tell_endings()
    begin, end = hands.wall, hands.wall + stock.YEAR
    claims = json.dumps({"iat": begin, "exp": end})
    database.write_now(
        lambda connection: connection.execute(
            "UPDATE licenses SET claims = ?, expires_at = ?, told = NULL", (claims, end)
        )
    )
    hands.wall = end - DAY
    await notices.tell_endings()
    assert [one["expires_at"] for one in told(database)] == [rfc3339(begin + DAY), rfc3339(end)]


def test_what_changed_since_one_looked_is_not_told(database: Database, hands: Hands) -> None:
    """Suspended, refreshed or told of meanwhile: the change decides, not what was seen."""
    ends = hands.wall + DAY
    for name in ("lic_1", "lic_2", "lic_3", "lic_4"):
        stock.license_(database, name, expires_at=ends)
    at = hands.wall
    seen, _ = database.read(lambda reader: module._endings(reader, at, (at, "")))
    assert len(seen) == 4
    for change in (
        "UPDATE licenses SET state = 'suspended' WHERE id = 'lic_1'",
        "UPDATE licenses SET expires_at = expires_at + 1 WHERE id = 'lic_2'",
        "UPDATE licenses SET told = 1 WHERE id = 'lic_3'",
    ):
        database.write_now(lambda connection, change=change: connection.execute(change))
    database.write_now(lambda connection: module._tell_endings(connection, at, stock.ISSUER, seen))
    assert [one["license_id"] for one in told(database)] == ["lic_4"]


@pytest.mark.anyio
async def test_a_disk_that_takes_nothing_ends_no_watch(
    database: Database,
    notices: Notices,
    hands: Hands,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log says so, and the next look tells what this one could not."""
    monkeypatch.setattr(module, "EVERY", 0.001)
    stock.license_(database, expires_at=hands.wall + DAY)
    tried = stock.full_once(database, monkeypatch)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(notices.run)
        with anyio.fail_after(10):
            while not told(database):  # noqa: ASYNC110 - it is another thread that writes
                await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()
    assert len(tried) == 2
    assert "notices not written down: disk full" in caplog.text


@pytest.mark.anyio
async def test_nobody_looks_for_ends_where_nobody_wants_to_hear(
    database: Database, notices: Notices, hands: Hands
) -> None:
    """Who asks for it later is told then."""
    stock.license_(database, expires_at=hands.wall + DAY)
    database.write_now(lambda connection: connection.execute("UPDATE webhooks SET events = ''"))
    await notices.tell_endings()
    database.write_now(
        lambda connection: connection.execute("UPDATE webhooks SET events = 'license.expiring'")
    )
    assert told(database) == []
    await notices.tell_endings()
    assert [one["days"] for one in told(database)] == [1]


def test_a_look_at_ends_reads_an_index(database: Database) -> None:
    """However many licenses there are, it reads those that end soon, in order."""
    plan = database.read(
        lambda connection: connection.execute(
            f"EXPLAIN QUERY PLAN {module._ENDINGS}", (0.0, "", 1.0, 500)
        ).fetchall()
    )
    # Nothing is sorted afterwards.
    (search,) = [line[3] for line in plan]
    assert search.startswith("SEARCH licenses USING INDEX licenses_by_end (")


def test_a_suspicion_is_told_once_an_hour(
    database: Database, notices: Notices, hands: Hands
) -> None:
    """For each license and kind, also across restarts; with what makes it one."""
    for name in ("lic_1", "lic_2"):
        stock.license_(database, name)
    mismatch = {"requested_domain": "thief.example", "bound_domain": ["example.com"]}
    for _ in range(3):
        for name in ("lic_1", "lic_2"):
            notices.suspicious(name, "domain_mismatch", **mismatch)
    again = Notices(database, hands.clock, stock.ISSUER)
    again.suspicious("lic_1", "domain_mismatch", **mismatch)
    again.suspicious("lic_1", "burst")
    one = {"license_id": "lic_1", "kind": "domain_mismatch", **mismatch}
    two = {**one, "license_id": "lic_2"}
    assert told(database) == [one, two, {"license_id": "lic_1", "kind": "burst"}]
    hands.advance(module.QUIET)
    notices.suspicious("lic_1", "domain_mismatch", **mismatch)
    assert told(database)[3:] == [one]


def test_a_suspicion_that_was_told_costs_the_disk_nothing(
    database: Database, notices: Notices, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it comes again within the hour; the oldest are forgotten first."""
    monkeypatch.setattr(module, "MOST_SUSPICIONS", 2)
    written: list[object] = []
    monkeypatch.setattr(database, "write_later", written.append)
    for _ in range(3):
        notices.suspicious("lic_1", "burst")
        notices.suspicious("lic_2", "burst")
    assert len(written) == 2
    hands.advance(module.QUIET)
    # Told again, the first is the younger one now.
    for name in ("lic_1", "lic_3", "lic_1"):
        notices.suspicious(name, "burst")
    assert len(written) == 4


def test_what_strangers_say_is_cut(database: Database, notices: Notices) -> None:
    """No word is longer than a host name, and no list longer than ten."""
    stock.license_(database)
    notices.suspicious(
        "lic_1", "domain_mismatch", requested_domain="a" * 10_000, bound_domain=["b" * 999] * 99
    )
    (data,) = told(database)
    assert data["requested_domain"] == "a" * 253
    assert data["bound_domain"] == ["b" * 253] * 10


def test_a_burst_is_noticed(database: Database, notices: Notices, hands: Hands) -> None:
    """More questions about one license in a minute than so many, not as many in two."""
    for name in ("lic_1", "lic_2"):
        stock.license_(database, name)
    for _ in range(2):
        for _ in range(BURST):
            notices.asked("lic_1")
        hands.advance(60)
    assert told(database) == []
    for _ in range(BURST + 5):
        notices.asked("lic_2")
    assert told(database) == [
        {"license_id": "lic_2", "kind": "burst", "questions": BURST + 1, "seconds": 60}
    ]


def test_so_many_licenses_are_watched_and_no_more(
    database: Database, notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded, for questions and for suspicions; those who came first are watched on."""
    monkeypatch.setattr(module, "MOST_WATCHED", 3)
    monkeypatch.setattr(module, "MOST_SUSPICIONS", 3)
    stock.license_(database)
    for number in range(1, 10):
        notices.asked(f"lic_{number}")
        notices.suspicious(f"lic_{number}", "domain_mismatch")
    for _ in range(BURST):
        notices.asked("lic_1")
    assert len(notices._asked) == 3
    assert len(notices._noted) == 3
    assert [one["kind"] for one in told(database)] == ["domain_mismatch", "burst"]
