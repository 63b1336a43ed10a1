"""Webhooks over HTTP: who is told, and what a receiver hears of what the vendor does."""

from __future__ import annotations

import itertools
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from licet.server import Configuration, LicenseServer
from licet.server.webhooks import deliveries, receivers
from licet.server.webhooks.outbox import EVENTS
from tests.core.hands import Hands
from tests.server import stock
from tests.server.callers import Calls
from tests.server.conftest import AUDIENCE, ISSUER
from tests.server.ears import Ear, listening

if TYPE_CHECKING:
    import httpx2
    from starlette.testclient import TestClient

#: What is no receiver.
HALVES: list[dict[str, Any]] = [
    {},
    {"url": 7},
    {"url": "ftp://127.0.0.1/hooks"},
    {"url": "http://elsewhere.example/hooks"},
    {"url": "http://localhost.elsewhere.example/hooks"},
    {"url": "https:///hooks"},
    {"url": "https://[hooks"},
    {"url": "https://hooks.example:port/"},
    {"url": "https://hooks.example:0/"},
    {"url": "https://user:password@hooks.example/"},
    {"url": "https://hooks.example/#part"},
    {"url": "https://hooks.example/ö"},
    {"url": "https://hooks.example/\r\nHost: elsewhere.example"},
    {"url": "https://hooks.example/" + "a" * 2048},
    {"url": "https://hooks.example", "events": []},
    {"url": "https://hooks.example", "events": "keys.rotated"},
    {"url": "https://hooks.example", "events": ["license.forgotten"]},
    {"url": "https://hooks.example", "events": [["keys.rotated"]]},
    {"url": "https://hooks.example", "secret": "whsec_c2hvcnQ="},
    {"url": "https://hooks.example", "secret": "whsec_*"},
    {"url": "https://hooks.example", "secret": b64encode(bytes(32)).decode()},
    {"url": "https://hooks.example", "secret": None},
    {"url": "https://hooks.example", "owner": "me"},
]


@pytest.fixture
def hands() -> Hands:
    """Signatures are held against the real time."""
    return Hands(wall=time.time())


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    # By a clock that stands still, a failed attempt is repeated at once.
    monkeypatch.setattr(deliveries, "PAUSES", (0.0,))
    with listening() as ear:
        yield ear


@pytest.fixture
def vendor(client: TestClient, admin: dict[str, str], validation: dict[str, str]) -> Vendor:
    return Vendor(client, admin, validation)


class Vendor(Calls):
    """Does what a vendor does about receivers, too."""

    def put(self, **body: object) -> httpx2.Response:
        return self.client.put("/v1/webhooks", headers=self.admin, json=body)

    def rotate(self) -> None:
        assert self.client.post("/v1/keys/rotate", headers=self.admin).is_success

    def listing(self) -> list[dict[str, Any]]:
        answer = self.client.get("/v1/webhooks", headers=self.admin)
        assert answer.headers["cache-control"] == "no-store"
        found: list[dict[str, Any]] = answer.json()["webhooks"]
        return found


def test_what_happens_is_told(vendor: Vendor, ear: Ear) -> None:
    """A receiver hears of each license and of keys, signed, in order, with growing numbers."""
    secret = vendor.put(url=ear.url).json()["secret"]
    license_id = vendor.issue()["id"]
    for happens in ("suspend", "resume", "revoke"):
        assert vendor.act(license_id, happens, reason="a test") == 200
    told = [ear.hear(secret) for _ in range(3)]
    vendor.rotate()
    told.append(ear.hear(secret))
    assert len({heard.id for heard in told}) == 4
    bodies = [heard.body for heard in told]
    assert [body["type"] for body in bodies] == [
        "license.suspended",
        "license.resumed",
        "license.revoked",
        "keys.rotated",
    ]
    assert all(datetime.fromisoformat(body["timestamp"]).tzinfo for body in bodies)
    numbers = [body["data"].pop("sequence") for body in bodies]
    assert numbers[:3] == sorted(set(numbers[:3]))
    assert max(numbers) <= 2**53
    about = {"license_id": license_id, "reason": "a test"}
    assert [body["data"] for body in bodies[:3]] == [about, about, about]
    assert bodies[3]["data"]["issuer"] == ISSUER


def test_what_is_strange_about_a_question_is_told(vendor: Vendor, ear: Ear) -> None:
    """Asked about at a host that it does not name, it is told of once, with both."""
    secret = vendor.put(url=ear.url).json()["secret"]
    given = vendor.issue(domains=["example.com"], key=True)
    for _ in range(2):
        vendor.ask(given["key"], domain="thief.example")
    vendor.act(given["id"], "revoke")
    told = [ear.hear(secret).body for _ in range(2)]
    assert [body["type"] for body in told] == ["license.suspicious_activity", "license.revoked"]
    del told[0]["data"]["sequence"]
    assert told[0]["data"] == {
        "license_id": given["id"],
        "kind": "domain_mismatch",
        "requested_domain": "thief.example",
        "bound_domain": ["example.com"],
    }


def test_a_limit_that_is_exceeded_is_told(vendor: Vendor, ear: Ear, hands: Hands) -> None:
    """As soon as an application has reported it."""
    secret = vendor.put(url=ear.url, events=["usage.exceeded"]).json()["secret"]
    license_id = vendor.issue(limits={"exports": {"max": 1, "per": "day"}})["id"]
    counter = {"name": "exports", "from": hands.wall, "to": hands.wall, "count": 2}
    report = {"batch_id": "b1", "license_id": license_id, "counters": [counter]}
    answer = vendor.client.post("/v1/usage", headers=vendor.validation, json=report)
    assert answer.status_code == 204
    data = ear.hear(secret).body["data"]
    assert (data["name"], data["used"], data["max"], data["per"]) == ("exports", 2, 1, "day")


def test_what_ends_soon_is_told_at_the_start(server: LicenseServer, ear: Ear) -> None:
    """The server looks for it by itself, from its start on."""
    from starlette.testclient import TestClient

    secret = receivers.new_secret()
    stock.receiver(server.database, "wh_1", "license.expiring", url=ear.url, secret=secret.encode())
    stock.license_(server.database, expires_at=time.time() + 86_000)
    with TestClient(server.app):
        assert ear.hear(secret).body["data"]["days"] == 1


def test_what_was_not_taken_is_told_again(vendor: Vendor, ear: Ear) -> None:
    """A receiver that fails is told the same again, and what comes after waits for it."""
    ear.answer([503, 503])
    secret = vendor.put(url=ear.url).json()["secret"]
    license_id = vendor.issue()["id"]
    vendor.act(license_id, "suspend")
    vendor.act(license_id, "revoke")
    told = [ear.hear(secret) for _ in range(4)]
    types = [heard.body["type"].partition(".")[2] for heard in told]
    assert types == ["suspended", "suspended", "suspended", "revoked"]
    assert len({heard.id for heard in told[:3]}) == 1


def test_what_is_never_taken_is_given_up(
    vendor: Vendor, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time an event is dropped, and the next one is told."""
    monkeypatch.setattr(deliveries, "TRIED_FOR", -1.0)
    ear.answer([500])
    secret = vendor.put(url=ear.url).json()["secret"]
    license_id = vendor.issue()["id"]
    vendor.act(license_id, "suspend")
    vendor.act(license_id, "revoke")
    types = [ear.hear(secret).body["type"] for _ in range(2)]
    assert types == ["license.suspended", "license.revoked"]


def test_a_receiver_hears_what_it_asked_for(vendor: Vendor, ear: Ear) -> None:
    """Only the events that were named are told, and a later word about them counts."""
    secret = vendor.put(url=ear.url, events=["license.revoked"]).json()["secret"]
    license_id = vendor.issue()["id"]
    vendor.act(license_id, "suspend")
    vendor.act(license_id, "revoke")
    assert ear.hear(secret).body["type"] == "license.revoked"
    again = vendor.put(url=ear.url, events=["keys.rotated"]).json()
    assert again["secret"] == secret
    vendor.act(vendor.issue()["id"], "revoke")
    vendor.rotate()
    assert ear.hear(secret).body["type"] == "keys.rotated"


def test_a_receiver_may_bring_its_secret(vendor: Vendor, ear: Ear) -> None:
    """An application that has a secret already is told with that one."""
    secret = f"whsec_{b64encode(bytes(range(32))).decode()}"
    answer = vendor.put(url=ear.url, secret=secret)
    assert answer.json() == {"secret": secret}
    assert answer.headers["cache-control"] == "no-store"
    vendor.rotate()
    assert ear.hear(secret).body["type"] == "keys.rotated"


def test_receivers_are_listed_without_their_secrets(vendor: Vendor, ear: Ear) -> None:
    """Address, events, how many wait and what went wrong last; the secret was shown once."""
    ear.answer(itertools.repeat(500, 1000))
    secret = vendor.put(url=ear.url).json()["secret"]
    vendor.put(url="https://hooks.example/a", events=["keys.rotated", "license.revoked"])
    license_id = vendor.issue()["id"]
    vendor.act(license_id, "suspend")
    ear.hear(secret)
    # The second attempt comes after the first was written down.
    ear.hear(secret)
    # Set in the same moment, by a clock that stands still.
    first, second = sorted(vendor.listing(), key=lambda listed: listed["waiting"], reverse=True)
    assert first.pop("created_at") == first.pop("failed_at")
    assert first.pop("id").startswith("wh_")
    assert first == {
        "url": ear.url,
        "events": sorted(EVENTS),
        "waiting": 1,
        "problem": "status 500",
    }
    assert second["events"] == ["keys.rotated", "license.revoked"]
    assert (second["waiting"], second["problem"], second["failed_at"]) == (0, None, None)


def test_a_receiver_that_was_removed_hears_nothing(vendor: Vendor, ear: Ear) -> None:
    """Nor is it listed; to remove it again is 404, and to put it again makes another one."""
    vendor.put(url=ear.url)
    (listed,) = vendor.listing()
    path = f"/v1/webhooks/{listed['id']}"
    assert vendor.client.delete(path, headers=vendor.admin).status_code == 204
    assert vendor.client.delete(path, headers=vendor.admin).status_code == 404
    assert vendor.listing() == []
    vendor.act(vendor.issue()["id"], "revoke")
    secret = vendor.put(url=ear.url).json()["secret"]
    vendor.rotate()
    assert ear.hear(secret).body["type"] == "keys.rotated"
    assert vendor.listing()[0]["id"] != listed["id"]


def test_what_is_done_to_receivers_is_on_record(server: LicenseServer, vendor: Vendor) -> None:
    """By whom, with the host and the events; with neither secrets nor the rest of the address."""
    secret = vendor.put(url="https://hooks.example/a-capability", events=["keys.rotated"]).json()
    (listed,) = vendor.listing()
    vendor.client.delete(f"/v1/webhooks/{listed['id']}", headers=vendor.admin)
    lines = server.database.read(
        lambda connection: connection.execute(
            "SELECT action, actor, subject, detail FROM audit WHERE action LIKE 'webhook.%'"
        ).fetchall()
    )
    assert [line[0] for line in lines] == ["webhook.set", "webhook.removed"]
    assert all(line[1].startswith("lak_") and line[2] == listed["id"] for line in lines)
    assert lines[0][3] == '{"host": "hooks.example", "events": ["keys.rotated"]}'
    assert secret["secret"] not in str(lines)


def test_there_are_so_many_receivers_and_no_more(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is 409; one that is there may still change its mind."""
    monkeypatch.setattr(receivers, "MOST_RECEIVERS", 1)
    assert vendor.put(url="https://hooks.example/a").status_code == 200
    assert vendor.put(url="https://hooks.example/b").status_code == 409
    assert vendor.put(url="https://hooks.example/a", events=["keys.rotated"]).status_code == 200


def test_secrets_are_sealed_where_keys_are(tmp_path: Path, hands: Hands) -> None:
    """With a passphrase the database does not show them, and the next start knows them still."""
    from starlette.testclient import TestClient

    unlock = tmp_path / "unlock"
    unlock.write_bytes(bytes(range(64)))
    unlock.chmod(0o600)
    configuration = Configuration(
        data=tmp_path / "data", issuer=ISSUER, audience=AUDIENCE, unlock_file=unlock
    )
    shown = []
    for _ in range(2):
        with LicenseServer(configuration, clock=hands.clock) as server:
            key = server.api_keys.create("admin", "vendor").key
            with TestClient(server.app) as client:
                vendor = Vendor(client, {"Authorization": f"Bearer {key}"}, {})
                shown.append(vendor.put(url="https://hooks.example").json()["secret"])
            kept = stock.one(server.database, "SELECT secret FROM webhooks")[0]
    assert shown[0] == shown[1]
    assert shown[0].encode() not in kept
    assert b"whsec_" not in kept


def test_a_secret_that_is_lost_has_to_be_brought(server: LicenseServer, vendor: Vendor) -> None:
    """Where nothing unseals it any longer, 409 says so, and another one mends it."""
    url = "https://hooks.example"
    stock.receiver(server.database, "wh_1", "keys.rotated", url=url, secret=b"sealed otherwise")
    assert vendor.put(url=url).status_code == 409
    secret = receivers.new_secret()
    assert vendor.put(url=url, secret=secret).json() == {"secret": secret}
    assert vendor.put(url=url).json() == {"secret": secret}


def test_half_a_receiver_is_400(vendor: Vendor) -> None:
    """An address that is none or is not private, an unknown event or a weak secret: a problem."""
    for body in HALVES:
        answer = vendor.put(**body)
        assert answer.status_code == 400, body
        assert answer.headers["content-type"] == "application/problem+json"
    assert vendor.listing() == []


def test_receivers_are_the_vendors_business(client: TestClient, validation: dict[str, str]) -> None:
    """Nobody else lists, sets or removes one."""
    for method, path in (
        ("GET", "/v1/webhooks"),
        ("PUT", "/v1/webhooks"),
        ("DELETE", "/v1/webhooks/wh_1"),
    ):
        assert client.request(method, path).status_code == 401
        assert client.request(method, path, headers=validation).status_code == 403
