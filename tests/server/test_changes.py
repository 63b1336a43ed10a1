"""What is said of a license while a change of it is on its way to the disk."""

from __future__ import annotations

import threading

import jwt
import pytest

from licet.server import LicenseServer
from licet.server.licenses.changes import Changes
from tests.core.hands import Hands
from tests.core.loopback import until
from tests.server.callers import SIGNED, Calls


def test_a_statement_is_no_later_than_what_it_knows(hands: Hands) -> None:
    """It is dated before every change that is under way, of its license or of any, and else now."""
    changes = Changes(hands.clock)
    hands.wall = 1_800_000_000.123_456
    assert changes.as_of() == changes.as_of("lic_a") == hands.wall
    with changes.begin("lic_a") as first:
        assert first == 1_800_000_000.124
        assert changes.as_of("lic_a") == hands.wall
        hands.advance(1)
        with changes.begin("lic_b"), changes.begin("lic_a"):
            hands.advance(1)
            assert changes.as_of() == changes.as_of("lic_a") == first
            assert changes.as_of("lic_b") == 1_800_000_001.124
            assert changes.as_of("lic_c") == hands.wall
        assert changes.as_of("lic_b") == hands.wall
    with pytest.raises(LookupError), changes.begin("lic_a"):
        raise LookupError
    assert changes.as_of() == hands.wall


def test_a_yes_from_before_a_suspension_is_not_dated_after_it(
    calls: Calls, server: LicenseServer, hands: Hands
) -> None:
    """Who is told of the suspension first is not talked out of it by what was read before it."""
    given = calls.issue(key=True, status=True)
    uri = calls.decode(given["token"])["status"]["status_list"]["uri"]
    holding, may_go = threading.Event(), threading.Event()

    def hold(connection: object) -> None:
        holding.set()
        may_go.wait(10)

    server.database.write_later(hold)
    assert holding.wait(10)
    suspending = threading.Thread(target=calls.act, args=(given["id"], "suspend"))
    suspending.start()
    try:
        until(lambda: not server.database._waiting.empty(), 10)
        hands.advance(1.5)
        answers = [
            calls.validate(given["key"]),
            calls.decode(calls.client.get(uri).text, None),
        ]
        answers.append(calls.decode(calls.introspect(given["key"], SIGNED).text))
    finally:
        may_go.set()
        suspending.join(10)
    assert answers[0]["valid"] is True
    assert answers[2]["token_introspection"]["active"] is True
    assert calls.show(given["id"])["changed_at"] == "2027-01-15T08:00:00.000Z"
    assert [answer["iat"] for answer in answers] == [1_800_000_000] * 3
    after = calls.validate(given["key"])
    assert (after["error"], after["iat"]) == ("suspended", hands.wall)
    assert jwt.decode(calls.client.get(uri).text, options={"verify_signature": False})["iat"] == (
        1_800_000_001
    )
