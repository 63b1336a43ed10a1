"""The licenses in the database: what happens to one happens as a whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from licet.server import LicenseServer
from tests.server import stock
from tests.server.callers import Calls


def counts(server: LicenseServer) -> tuple[object, ...]:
    """Return how many lines there are in the tables that a license leaves a trace in."""
    tables = ("licenses", "audit", "outbox")
    return server.database.read(
        lambda reader: tuple(
            reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
            for table in tables
        )
    )


def refuse(server: LicenseServer, table: str) -> None:
    """Have the database take no further line of a table."""
    server.database.write_now(
        lambda connection: connection.execute(
            f"CREATE TRIGGER refused BEFORE INSERT ON {table}"
            " BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
    )


@pytest.fixture
def told(calls: Calls, server: LicenseServer) -> None:
    """Have somebody to tell, whom nobody reaches."""
    events = "license.revoked license.suspended license.resumed"
    url = "https://receiver.invalid/"
    stock.receiver(server.database, "wh_a", events, url=url, secret=bytes(1))


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("table", ["audit", "outbox"])
def test_a_change_that_leaves_no_trace_does_not_happen(
    calls: Calls, server: LicenseServer, table: str
) -> None:
    """Without its line in the record, or what is told of it, a license stays as it was."""
    given = calls.issue(key=True, status=True)
    assert calls.verdict(given["key"]) == "valid"
    # Behind the question it is recorded that a validation key was used.
    server.database.write_now(lambda connection: None)
    before = counts(server)
    refuse(server, table)
    client = TestClient(server.app, raise_server_exceptions=False)
    for what in ("suspend", "revoke"):
        path = f"/v1/licenses/{given['id']}/{what}"
        assert client.post(path, headers=calls.admin).status_code == 500
    assert calls.show(given["id"])["state"] == "active"
    assert calls.verdict(given["key"]) == "valid"
    if table == "audit":
        calls.client = client
        assert client.post("/v1/licenses", headers=calls.admin, json={}).status_code == 500
        assert calls.refresh(given["token"]).status_code == 500
        assert calls.show(given["id"])["claims"] == calls.decode(given["token"])
    assert counts(server) == before


def test_what_is_not_on_disk_is_not_acknowledged(calls: Calls, server: LicenseServer) -> None:
    """Where the disk takes nothing the answer is 503, with a time, and nothing is there."""
    given = calls.issue()
    server.database.write_now(
        lambda connection: connection.execute(
            "CREATE TRIGGER lost BEFORE INSERT ON audit"
            " BEGIN SELECT RAISE(ROLLBACK, 'the disk is full'); END"
        )
    )
    for path, body in (
        ("", {}),
        (f"/{given['id']}/revoke", {}),
        ("/refresh", {"token": given["token"]}),
    ):
        answer = calls.client.post(f"/v1/licenses{path}", headers=calls.admin, json=body)
        assert answer.status_code == 503, path
        assert answer.headers["retry-after"] == "10"
        assert answer.headers["content-type"] == "application/problem+json"
    assert [shown["state"] for shown in calls.page()["licenses"]] == ["active"]
    assert calls.show(given["id"])["claims"] == calls.decode(given["token"])


def test_a_key_that_the_database_knows_to_be_retired_signs_nothing(
    calls: Calls, server: LicenseServer
) -> None:
    """However often it is tried, nothing is acknowledged that no gate would accept."""
    given = calls.issue()
    server.database.write_now(
        lambda connection: connection.execute("UPDATE signing_keys SET retired_at = 1")
    )
    answer = calls.client.post("/v1/licenses", headers=calls.admin, json={})
    assert answer.status_code == calls.refresh(given["token"]).status_code == 503
    assert len(calls.page()["licenses"]) == 1


@pytest.mark.usefixtures("told")
def test_each_change_is_told_once(calls: Calls, server: LicenseServer) -> None:
    """What changes nothing is neither recorded nor told; what does is, with its reason."""
    given = calls.issue()
    before = counts(server)
    calls.act(given["id"], "resume")
    assert counts(server) == before
    calls.act(given["id"], "suspend", reason="fällig")
    calls.act(given["id"], "suspend", reason="immer noch")
    bodies: list[tuple[bytes]] = server.database.read(
        lambda reader: reader.execute("SELECT body FROM outbox").fetchall()
    )
    (body,) = bodies
    assert b'"license.suspended"' in body[0]
    assert b"f\\u00e4llig" in body[0]
    assert calls.show(given["id"])["reason"] == "fällig"
    assert calls.audit()[-1]["detail"] == {"reason": "fällig"}


def test_who_did_it_stands_in_the_record(calls: Calls) -> None:
    """The vendor's key, or the holder, is named with what happened to a license."""
    given = calls.issue(customer="Müller")
    calls.refresh(given["token"])
    calls.act(given["id"], "revoke")
    lines = [line for line in calls.audit() if line["subject"] == given["id"]]
    vendor = calls.admin["Authorization"].removeprefix("Bearer ")[:20]
    assert [(line["actor"], line["action"]) for line in lines] == [
        (vendor, "license.issued"),
        ("holder", "license.refreshed"),
        (vendor, "license.revoked"),
    ]
    assert lines[0]["detail"]["customer"] == "Müller"


def test_questions_are_answered_by_index(server: LicenseServer) -> None:
    """No question, and no page, reads all licenses."""
    from licet.server.licenses import statuslists
    from licet.server.licenses.catalogue import Catalogue
    from licet.server.licenses.register import Register

    def plan(query: str, *values: object) -> str:
        def explain(reader: sqlite3.Connection) -> str:
            rows = reader.execute("EXPLAIN QUERY PLAN " + query, values)
            return " ".join(row[3] for row in rows)

        return server.database.read(explain)

    asked: list[tuple[str, tuple[object, ...]]] = []

    class Watched:
        def read(self, act: Callable[[object], object]) -> object:
            return act(self)

        def execute(self, query: str, values: tuple[object, ...]) -> Watched:
            asked.append((query, values))
            return self

        def fetchone(self) -> None:
            return None

        def fetchall(self) -> list[object]:
            return []

        def __iter__(self) -> object:
            return iter(())

    watched = Watched()
    register, catalogue = Register(watched, None), Catalogue(watched, None)  # type: ignore[arg-type]
    register.license("a")
    register.license_of_key("a")
    catalogue.one("a", 0.0)
    for customer in (None, "a"):
        for state in (None, "revoked"):
            catalogue.page("", 10, customer=customer, state=state)
    statuslists._withdrawn(watched, 1)  # type: ignore[arg-type]
    assert len(asked) == 8
    for query, values in asked:
        explained = plan(query, *values)
        assert "SEARCH" in explained, query
        assert "SCAN" not in explained, query
        assert "TEMP B-TREE" not in explained, query
