"""The record, as the vendor reads it."""

from __future__ import annotations

from datetime import datetime

from starlette.testclient import TestClient

from licet.server import LicenseServer
from tests.core.hands import Hands


def test_what_was_done_is_recorded_with_who_did_it(
    client: TestClient, admin: dict[str, str], hands: Hands
) -> None:
    """Every change of keys has a line with its moment, its doer and its object, and no secret."""
    made = client.post("/v1/validation-keys", headers=admin, json={"name": "reports"}).json()
    hands.advance(1)
    client.post("/v1/licenses/validate", headers={"Authorization": f"Bearer {made['key']}"})
    old = client.get("/v1/keys", headers=admin).json()["keys"][0]["kid"]
    new = client.post("/v1/keys/rotate", headers=admin).json()["kid"]
    client.post(f"/v1/keys/{old}/retire", headers=admin)
    client.delete(f"/v1/validation-keys/{made['id']}", headers=admin)
    answer = client.get("/v1/audit", headers=admin)
    assert answer.headers["cache-control"] == "no-store"
    assert made["key"][21:] not in answer.text
    vendor = admin["Authorization"].split()[1][:20]
    lines = answer.json()["entries"]
    assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)
    found = [
        (
            datetime.fromisoformat(line["at"]).timestamp() - hands.wall,
            line["actor"],
            line["action"],
            line["subject"],
        )
        for line in lines
    ]
    assert found == [
        (-1, "server", "keys.rotated", old),
        (-1, "server", "admin_key.created", vendor),
        (-1, vendor, "validation_key.created", made["id"]),
        (0, made["id"], "validation_key.used", made["id"]),
        (0, vendor, "keys.rotated", new),
        (0, vendor, "keys.retired", old),
        (0, vendor, "validation_key.revoked", made["id"]),
    ]
    assert lines[2]["detail"] == {"name": "reports"}


def test_a_reader_goes_on_where_they_were(
    client: TestClient, server: LicenseServer, admin: dict[str, str]
) -> None:
    """Page by page every line is seen once, in order, and then there is none."""
    for number in range(9):
        server.api_keys.create("validation", str(number))
    everything = client.get("/v1/audit", headers=admin).json()["entries"]
    seen: list[object] = []
    after = 0
    while page := client.get(
        "/v1/audit", headers=admin, params={"after": after, "limit": 4}
    ).json()["entries"]:
        assert len(page) <= 4
        seen += page
        after = page[-1]["id"]
    assert seen == everything
    assert len(seen) == 11


def test_a_page_that_is_none_is_refused(client: TestClient, admin: dict[str, str]) -> None:
    """What is no number in its bounds, or two of them, is 400 with a sentence."""
    for query in (
        "after=-1 after=x after= after=1&after=2 after=%D9%A1 after=99999999999999999999 limit=0"
        " limit=1001 limit=1.5 limit=+1"
    ).split():
        answer = client.get(f"/v1/audit?{query}", headers=admin)
        assert answer.status_code == 400, query
        assert "whole number" in answer.json()["detail"]
