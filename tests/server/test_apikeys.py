"""API keys: who brings which, and what is kept of them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from licet.server import audit
from licet.server.access.apikeys import ApiKeys, Caller, NoSuchKeyError
from licet.server.storage.database import Database, StorageError
from tests.core.hands import Hands


@pytest.fixture
def keys(database: Database, hands: Hands) -> ApiKeys:
    return ApiKeys(database, clock=hands.clock)


def actions(database: Database) -> list[Any]:
    database.write_now(lambda connection: None)
    return [
        (line["actor"], line["action"], line["subject"])
        for line in database.read(lambda connection: audit.page(connection, 0))
    ]


def test_a_key_is_its_callers_also_after_another_start(
    keys: ApiKeys, database: Database, hands: Hands
) -> None:
    """A key names who brings it; one that differs anywhere is nobody's."""
    made = keys.create("admin", "vendor")
    assert re.fullmatch(r"lak_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", made.key)
    for known in (keys, ApiKeys(database, clock=hands.clock)):
        assert known.find(made.key) == Caller(made.id, "admin", "vendor")
        wrong = [made.key[:at] + "~" + made.key[at + 1 :] for at in range(len(made.key))]
        for other in (*wrong, made.id, made.key[:-1], f"{made.key}A", "", "\udcff", "ü" * 64):
            assert known.find(other) is None


def test_a_revoked_key_is_refused_at_once_and_for_good(
    keys: ApiKeys, database: Database, hands: Hands
) -> None:
    """A revoked key opens nothing, now and after another start; others go on."""
    gone, stays = keys.create("validation", "a"), keys.create("validation", "b")
    keys.revoke(gone.id)
    keys.revoke(gone.id)
    for known in (keys, ApiKeys(database, clock=hands.clock)):
        assert known.find(gone.key) is None
        assert known.find(stays.key) is not None
    assert [action for _, action, _ in actions(database)].count("validation_key.revoked") == 1


def test_a_key_that_is_revoked_as_it_is_made_opens_nothing(
    keys: ApiKeys, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sees a key in the list may revoke it, before who made it has heard of it."""
    write_now, revoked = database.write_now, threading.Event()

    def revoking(*arguments: Any, **more: Any) -> Any:
        revoked.set()
        return write_now(*arguments, **more)

    def revoke() -> None:
        (listed,) = keys.listing("validation")
        monkeypatch.setattr(database, "write_now", revoking)
        keys.revoke(str(listed["id"]))

    def making(act: Any, then: Callable[[Any], object]) -> Any:
        def meanwhile(result: object) -> None:
            # On disk, and told to nobody.
            revoker.start()
            assert revoked.wait(10)
            then(result)

        return write_now(act, then=meanwhile)

    revoker = threading.Thread(target=revoke)
    monkeypatch.setattr(database, "write_now", making)
    made = keys.create("validation", "brief")
    revoker.join(10)
    assert keys.find(made.key) is None


def test_a_key_that_is_not_there_is_not_revoked(keys: ApiKeys) -> None:
    """Neither an unknown id nor one of another kind is revoked."""
    admin = keys.create("admin", "vendor")
    with pytest.raises(NoSuchKeyError):
        keys.revoke("lvk_0")
    with pytest.raises(NoSuchKeyError):
        keys.revoke(admin.id, kind="validation")
    assert keys.find(admin.key) is not None


def test_a_revocation_that_the_disk_does_not_take_refuses_all_the_same(
    keys: ApiKeys, database: Database
) -> None:
    """Who was told that a key could not be revoked has one that opens nothing."""
    made = keys.create("admin", "vendor")
    database.write_now(lambda connection: connection.execute("PRAGMA query_only = ON"))
    with pytest.raises(StorageError):
        keys.revoke(made.id)
    assert keys.find(made.key) is None


def test_no_key_is_in_the_database(keys: ApiKeys, database: Database, tmp_path: Path) -> None:
    """Neither the files nor the record hold a key, or the secret part of one."""
    made = keys.create("admin", "vendor")
    keys.find(made.key)
    database.close()
    for path in tmp_path.iterdir():
        assert made.key[21:].encode() not in path.read_bytes()


def test_use_is_written_down_once_an_hour(keys: ApiKeys, database: Database, hands: Hands) -> None:
    """The first use of an hour is recorded and no other; that of admin keys is not news."""
    made, admin = keys.create("validation", "reports"), keys.create("admin", "vendor")
    for _ in range(3):
        keys.find(made.key)
        keys.find(admin.key)
    used = (made.id, "validation_key.used", made.id)
    assert actions(database).count(used) == 1
    assert [key["used_at"] for key in keys.listing("validation")] == [hands.wall]
    hands.advance(3599)
    keys.find(made.key)
    assert actions(database).count(used) == 1
    hands.advance(1)
    keys.find(made.key)
    assert actions(database).count(used) == 2
    # Set back by a day: that must not silence it for a day.
    hands.suspend(-86_400)
    keys.find(made.key)
    assert actions(database).count(used) == 3
    assert {subject for _, action, subject in actions(database) if "used" in action} == {made.id}


def test_a_use_that_cannot_be_written_is_no_reason_to_refuse(
    keys: ApiKeys, database: Database
) -> None:
    """A key opens although its use finds no disk."""
    made = keys.create("validation", "reports")
    database.close()
    assert keys.find(made.key) is not None
    with pytest.raises(StorageError):
        keys.create("validation", "more")
