"""Licenses that renew themselves, over HTTP."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import jwt
import pytest
from starlette.testclient import TestClient

from example_projects.license_server import register
from example_projects.license_server.testing import (
    ADMIN,
    ISSUER,
    act,
    ask,
    decode,
    issue,
    issue_key,
)
from licet.core.clock import Clock
from licet.issuer import Issuer


def renew(client: TestClient, token: object) -> httpx.Response:
    return client.post("/v1/licenses/refresh", json={"token": token})  # type: ignore[return-value]


def test_a_license_renews_itself(client: TestClient) -> None:
    """Whoever has a license gets the same one from now on, for as long, and under the same id."""
    old = issue(client, features=["analytics"], expires_in=600, grace=60, status=True)
    answer = renew(client, old)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["expires_in"] == 600
    before, after = decode(client, old), decode(client, answer.json()["token"])
    assert after["exp"] - after["iat"] == 600
    assert after["iat"] >= before["iat"]
    assert after.pop("jti") != before.pop("jti")
    for claims in (before, after):
        del claims["iat"], claims["exp"]
    assert after == before
    assert renew(client, answer.json()["token"]).status_code == 200


def test_what_was_withdrawn_is_not_renewed(client: TestClient) -> None:
    """A suspended license is renewed once it is resumed, a revoked one never."""
    body = client.post("/v1/licenses", headers=ADMIN, json={}).json()
    statuses = []
    for happens in ("suspend", "resume", "revoke"):
        act(client, body["id"], happens)
        statuses.append(renew(client, body["token"]).status_code)
    assert statuses == [403, 200, 403]


def test_what_is_no_license_is_not_renewed(client: TestClient) -> None:
    """A forged or foreign token, an answer, an opaque key and nothing at all renew nothing."""
    license_id, key = issue_key(client)
    stranger = Issuer.generate(ISSUER).issue(audience="acme-reports", subject=license_id)
    for other in (stranger, ask(client, key), key, "a.b.c", ""):
        assert renew(client, other).status_code == 403
    for malformed in (None, 7, ["a"], "é"):
        assert renew(client, malformed).status_code == 400
    assert client.post("/v1/licenses/refresh", json={}).status_code == 400


def test_a_bound_license_is_not_renewed(client: TestClient) -> None:
    """Without a proof, which this server does not read, a license for a key's holder stays."""
    assert renew(client, issue(client, cnf={"jkt": "A" * 43})).status_code == 403


@pytest.mark.parametrize(
    ("terms", "last"),
    [({}, 999), ({"grace": 500}, 1499), ({"grace": 500, "trial": True}, 999)],
)
def test_after_its_end_a_license_is_not_renewed(terms: dict[str, Any], last: int) -> None:
    """A license is renewed while it is current or in grace; a trial has none."""
    hands = SimpleNamespace(now=1_800_000_000.0)
    clock = Clock(wall=lambda: hands.now)
    issuer, licenses = Issuer.generate(ISSUER, clock=clock), register.Register(60, clock=clock)
    token = issuer.issue(audience="acme-reports", subject="lic_a", expires_in=1000, **terms)
    licenses.add(token, keyed=False)
    hands.now += last
    renewed, expires_in = licenses.renewed(issuer, token)
    assert expires_in == 1000
    claims = jwt.decode(renewed, options={"verify_signature": False})
    assert (claims["iat"], claims["exp"]) == (hands.now, hands.now + 1000)
    hands.now += 1
    with pytest.raises(register.Refused, match="not current"):
        licenses.renewed(issuer, token)
