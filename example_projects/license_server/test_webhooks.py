"""Webhooks, as a receiver of them hears them."""

from __future__ import annotations

import hmac
import json
import queue
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from example_projects.license_server import webhooks
from example_projects.license_server.testing import (
    ADMIN,
    ISSUER,
    act,
    issue_key,
)


class Ear(BaseHTTPRequestHandler):
    """Takes webhooks, after having refused as many as its server is told to."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server: Any = self.server
        server.heard.put((dict(self.headers), body))
        refused = next(server.refusals, False)
        self.send_response(503 if refused else 204)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(webhooks, "PAUSES", (0.01, 0.01))
    with ThreadingHTTPServer(("127.0.0.1", 0), Ear) as server:
        server.daemon_threads = True
        server.heard, server.refusals = queue.Queue(), iter(())  # type: ignore[attr-defined]
        server.url = f"http://127.0.0.1:{server.server_port}/hooks"  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def put(client: TestClient, **body: object) -> httpx.Response:
    return client.put("/v1/webhooks", headers=ADMIN, json=body)  # type: ignore[return-value]


def hear(ear: Any, secret: str) -> tuple[str, dict[str, Any]]:
    """Return id and content of what is told next, once its signature held."""
    headers, body = ear.heard.get(timeout=10)
    names = {name.lower(): value for name, value in headers.items()}
    signed = f"{names['webhook-id']}.{names['webhook-timestamp']}.".encode() + body
    digest = hmac.digest(b64decode(secret.removeprefix("whsec_")), signed, "sha256")
    assert names["webhook-signature"] == f"v1,{b64encode(digest).decode()}"
    assert abs(int(names["webhook-timestamp"]) - time.time()) < 60
    assert names["content-type"] == "application/json"
    return names["webhook-id"], json.loads(body)


def test_what_happens_is_told(client: TestClient, ear: Any) -> None:
    """A receiver hears of each license and of keys, signed, in order, with growing numbers."""
    secret = put(client, url=ear.url).json()["secret"]
    license_id, _ = issue_key(client)
    for happens in ("suspend", "resume", "revoke"):
        assert act(client, license_id, happens, reason="a test") == 200
    client.post("/v1/keys/rotate", headers=ADMIN)
    told = [hear(ear, secret) for _ in range(4)]
    assert len({message_id for message_id, _ in told}) == 4
    bodies = [body for _, body in told]
    assert [body["type"] for body in bodies] == [
        "license.suspended",
        "license.resumed",
        "license.revoked",
        "keys.rotated",
    ]
    assert all(datetime.fromisoformat(body["timestamp"]).tzinfo for body in bodies)
    numbers = [body["data"].pop("sequence") for body in bodies]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] <= 2**53
    about = {"license_id": license_id, "reason": "a test"}
    assert [body["data"] for body in bodies] == [about, about, about, {"issuer": ISSUER}]


def test_what_was_not_taken_is_told_again(client: TestClient, ear: Any) -> None:
    """A receiver that fails is told the same again, and what comes after waits for it."""
    ear.refusals = iter([True, True])
    secret = put(client, url=ear.url).json()["secret"]
    license_id, _ = issue_key(client)
    act(client, license_id, "suspend")
    act(client, license_id, "revoke")
    told = [hear(ear, secret) for _ in range(4)]
    types = [body["type"].partition(".")[2] for _, body in told]
    assert types == ["suspended", "suspended", "suspended", "revoked"]
    assert len({message_id for message_id, _ in told[:3]}) == 1


def test_what_is_never_taken_is_given_up(client: TestClient, ear: Any) -> None:
    """After its attempts an event is dropped, and the next one is told."""
    ear.refusals = iter([True] * 3)
    secret = put(client, url=ear.url).json()["secret"]
    license_id, _ = issue_key(client)
    act(client, license_id, "suspend")
    act(client, license_id, "revoke")
    types = [hear(ear, secret)[1]["type"] for _ in range(4)]
    assert types == ["license.suspended"] * 3 + ["license.revoked"]


def test_a_receiver_hears_what_it_asked_for(client: TestClient, ear: Any) -> None:
    """Only the events that were named are told, and a later word about them counts."""
    secret = put(client, url=ear.url, events=["license.revoked"]).json()["secret"]
    license_id, _ = issue_key(client)
    act(client, license_id, "suspend")
    act(client, license_id, "revoke")
    assert hear(ear, secret)[1]["type"] == "license.revoked"
    again = put(client, url=ear.url, events=["keys.rotated"]).json()
    assert again["secret"] == secret
    act(client, license_id, "revoke")
    client.post("/v1/keys/rotate", headers=ADMIN)
    assert hear(ear, secret)[1]["type"] == "keys.rotated"


def test_a_receiver_may_bring_its_secret(client: TestClient, ear: Any) -> None:
    """An application that has a secret already is told with that one."""
    secret = f"whsec_{b64encode(bytes(range(32))).decode()}"
    answer = put(client, url=ear.url, secret=secret)
    assert answer.json() == {"secret": secret}
    assert answer.headers["cache-control"] == "no-store"
    client.post("/v1/keys/rotate", headers=ADMIN)
    assert hear(ear, secret)[1]["type"] == "keys.rotated"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": 7},
        {"url": "ftp://127.0.0.1/hooks"},
        {"url": "http://elsewhere.example/hooks"},
        {"url": "https:///hooks"},
        {"url": "https://[hooks"},
        {"url": "https://hooks.example:port/"},
        {"url": "https://hooks.example", "events": []},
        {"url": "https://hooks.example", "events": "keys.rotated"},
        {"url": "https://hooks.example", "events": ["license.forgotten"]},
        {"url": "https://hooks.example", "events": [["keys.rotated"]]},
        {"url": "https://hooks.example", "secret": "whsec_c2hvcnQ="},
        {"url": "https://hooks.example", "secret": "whsec_*"},
        {"url": "https://hooks.example", "secret": b64encode(bytes(32)).decode()},
        {"url": "https://hooks.example", "secret": None},
    ],
)
def test_half_a_receiver_is_400(client: TestClient, body: dict[str, object]) -> None:
    """An address that is none or is not private, an unknown event or a weak secret: a problem."""
    answer = put(client, **body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
