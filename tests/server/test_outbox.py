"""What others are to be told is written down with what it tells of."""

from __future__ import annotations

import sqlite3
from datetime import datetime

import pytest

from licet.server.storage.database import Database
from licet.server.webhooks import outbox
from tests.server import stock

ISSUER = stock.ISSUER
AT = 1_800_000_000.25


def tell(
    database: Database, event: str, license_id: str | None, at: float = AT, **data: object
) -> None:
    database.write_now(
        lambda connection: outbox.tell(connection, at, event, license_id, ISSUER, **data)
    )


def test_an_event_is_written_as_the_protocol_says(database: Database) -> None:
    """Type, moment in RFC 3339 and data with the id of the license and its number, and no more."""
    stock.receiver(database, "wh_1", "license.revoked")
    tell(database, "license.revoked", stock.license_(database), reason="a test")
    (body,) = stock.waiting(database)
    assert body == {
        "type": "license.revoked",
        "timestamp": "2027-01-15T08:00:00.250000+00:00",
        "data": {"license_id": "lic_1", "reason": "a test", "sequence": 1_800_000_000_250},
    }
    assert datetime.fromisoformat(body["timestamp"]).timestamp() == AT


def test_only_who_asked_for_an_event_is_told(database: Database) -> None:
    """One row for each receiver that wants the event, under one id, and none for any other."""
    for name, events in (
        ("wh_1", "license.revoked license.suspended"),
        ("wh_2", "license.suspended"),
        ("wh_3", "license.revoked"),
    ):
        stock.receiver(database, name, events)
    tell(database, "license.revoked", stock.license_(database))
    rows = database.read(
        lambda connection: connection.execute("SELECT webhook, message_id FROM outbox").fetchall()
    )
    assert sorted(name for name, _ in rows) == ["wh_1", "wh_3"]
    assert len({message_id for _, message_id in rows}) == 1
    counts = "SELECT group_concat(waiting) FROM (SELECT waiting FROM webhooks ORDER BY id)"
    assert stock.one(database, counts) == ("1,0,1",)


def test_numbers_grow_for_each_license_whatever_the_clock_does(database: Database) -> None:
    """By one where the clock stands or runs backwards, and with the clock where that is ahead."""
    stock.receiver(database, "wh_1", "license.suspended keys.rotated")
    for name in ("lic_1", "lic_2"):
        stock.license_(database, name)
    start = int(AT * 1000)
    for at in (AT, AT, AT - 3600, AT + 1):
        tell(database, "license.suspended", "lic_1", at)
    tell(database, "license.suspended", "lic_2", AT - 7200)
    for at in (AT, AT - 1):
        tell(database, "keys.rotated", None, at)
    numbers = [body["data"]["sequence"] for body in stock.waiting(database)]
    assert numbers[:4] == [start, start + 1, start + 2, start + 1000]
    assert numbers[4] == start - 7_200_000
    assert numbers[5:] == [start, start + 1]


def test_a_license_and_the_issuer_are_lanes_of_their_own(database: Database) -> None:
    """What is said of keys names the issuer, and waits for no license, not even of that name."""
    stock.receiver(database, "wh_1", "license.revoked keys.rotated")
    tell(database, "license.revoked", stock.license_(database, ISSUER))
    tell(database, "license.revoked", stock.license_(database, "keys"))
    tell(database, "keys.rotated", None)
    assert stock.one(database, "SELECT count(DISTINCT lane) FROM outbox") == (3,)
    assert stock.waiting(database)[-1]["data"] == {"issuer": ISSUER, "sequence": int(AT * 1000)}


def test_what_did_not_happen_is_not_told(database: Database) -> None:
    """A change that fails after it was told of takes that along."""
    stock.receiver(database, "wh_1", "license.revoked")
    stock.license_(database)

    def change(connection: sqlite3.Connection) -> None:
        outbox.tell(connection, AT, "license.revoked", "lic_1", ISSUER)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        database.write_now(change)
    assert stock.waiting(database) == []
    assert stock.one(database, "SELECT sequence FROM licenses") == (0,)


def test_what_cannot_be_told_is_an_error(database: Database) -> None:
    """An event that nobody can ask for, and a license that is none, undo the change."""
    stock.receiver(database, "wh_1", "license.revoked")
    with pytest.raises(ValueError, match="nobody can ask for"):
        tell(database, "license.forgotten", "lic_1")
    with pytest.raises(LookupError):
        tell(database, "license.revoked", "lic_9")


def test_a_receiver_that_is_gone_does_not_fill_the_disk(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """So many events wait for one receiver and no more, the log says so, and others are told."""
    monkeypatch.setattr(outbox, "MOST_WAITING", 2)
    stock.receiver(database, "wh_1", "license.revoked license.suspended")
    stock.receiver(database, "wh_2", "license.revoked")
    stock.license_(database)
    for event in ("license.suspended", "license.suspended", "license.revoked"):
        tell(database, event, "lic_1")
    assert len(stock.waiting(database, "wh_1")) == 2
    assert len(stock.waiting(database, "wh_2")) == 1
    assert "receiver=wh_1 event=license.revoked waiting=2" in caplog.text


def test_what_applications_cause_leaves_room_for_what_the_vendor_does(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However much is suspicious while a receiver is away, it hears of each revocation later."""
    monkeypatch.setattr(outbox, "MOST_WAITING", 4)
    stock.receiver(database, "wh_1", "license.revoked license.suspicious_activity")
    stock.license_(database)
    for _ in range(10):
        tell(database, "license.suspicious_activity", "lic_1")
    assert caplog.text == ""
    for _ in range(2):
        tell(database, "license.revoked", "lic_1")
    events = [body["type"] for body in stock.waiting(database, "wh_1")]
    assert events == ["license.suspicious_activity"] * 2 + ["license.revoked"] * 2
