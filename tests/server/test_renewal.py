"""Licenses that renew themselves, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest
from starlette.testclient import TestClient

from licet.issuer import Issuer
from licet.possession import ProofKey, certificate_thumbprint
from licet.server import Configuration, LicenseServer
from tests.core.hands import Hands
from tests.server.callers import TIMELESS, Calls
from tests.server.conftest import AUDIENCE, ISSUER

URL = f"{ISSUER}/v1/licenses/refresh"


def code(answer: Any) -> tuple[int, str]:
    """Return status and code of a refusal."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["code"]


def test_a_license_renews_itself(calls: Calls, hands: Hands) -> None:
    """Whoever has a license gets the same one from now on, for as long, and under the same id."""
    old = calls.issue(
        features=["analytics"], expires_in=600, grace=60, status=True, claims={"tenant": "a"}
    )
    hands.advance(100.5)
    answer = calls.refresh(old["token"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["expires_in"] == 600
    before, after = calls.decode(old["token"]), calls.decode(answer.json()["token"])
    assert (after["iat"], after["exp"]) == (before["iat"] + 100, before["exp"] + 100)
    assert after.pop("jti") != before.pop("jti")
    for claims in (before, after):
        del claims["iat"], claims["exp"]
    assert after == before
    shown = calls.show(old["id"])
    assert shown["claims"] == calls.decode(answer.json()["token"])
    assert shown["expires_at"] == "2027-01-15T08:11:40.000Z"
    assert shown["ends_at"] == "2027-01-15T08:12:40.000Z"
    assert [entry["action"] for entry in calls.audit()][-1] == "license.refreshed"
    assert calls.refresh(answer.json()["token"]).status_code == 200


def test_a_license_that_was_sold_for_a_term_ends_with_it(calls: Calls, hands: Hands) -> None:
    """It renews itself until then and not beyond, in its grace neither."""
    issued = calls.issue(expires_in=600, term=1000, grace=300)
    hands.advance(300)
    answer = calls.refresh(issued["token"]).json()
    assert answer["expires_in"] == 600
    hands.advance(500)
    answer = calls.refresh(answer["token"]).json()
    assert answer["expires_in"] == 200
    assert calls.show(issued["id"])["term_ends_at"] == calls.show(issued["id"])["expires_at"]
    hands.advance(199)
    answer = calls.refresh(answer["token"]).json()
    assert answer["expires_in"] == 1
    hands.advance(1)
    assert code(calls.refresh(answer["token"])) == (403, "license_expired")


def test_a_trial_does_not_go_on_for_ever(calls: Calls, hands: Hands) -> None:
    """Renewed, it ends where it would have ended at first, unless it was sold for longer."""
    trial = calls.issue(expires_in=600, trial=True)
    longer = calls.issue(expires_in=600, trial=True, term=900)
    hands.advance(400)
    assert calls.refresh(trial["token"]).json()["expires_in"] == 200
    assert calls.refresh(longer["token"]).json()["expires_in"] == 500


def test_an_older_token_renews_its_license_too(calls: Calls, hands: Hands) -> None:
    """What is renewed is the license: several that have it do not shut each other out."""
    old = calls.issue(key=True, expires_in=600)
    hands.advance(300)
    first = calls.refresh(old["token"]).json()["token"]
    hands.advance(299)
    second = calls.refresh(old["token"]).json()["token"]
    hands.advance(1)
    assert code(calls.refresh(old["token"])) == (403, "license_expired")
    for token in (first, second, old["key"]):
        assert calls.verdict(token) == "valid"
    # As it is at any gate that sees for itself.
    assert calls.verdict(old["token"]) == "expired"


def test_what_was_withdrawn_is_not_renewed(calls: Calls) -> None:
    """A suspended license is renewed once it is resumed, a revoked one never."""
    given = calls.issue()
    calls.act(given["id"], "suspend")
    assert code(calls.refresh(given["token"])) == (403, "license_suspended")
    calls.act(given["id"], "resume")
    assert calls.refresh(given["token"]).status_code == 200
    calls.act(given["id"], "revoke")
    assert code(calls.refresh(given["token"])) == (403, "license_revoked")


def test_what_is_withdrawn_meanwhile_is_not_renewed(
    calls: Calls, server: LicenseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A license that is revoked while it is signed anew is not handed out."""
    from licet.server.endpoints import renewal

    given, made = calls.issue(), renewal._from_now_on

    def late(*about: Any) -> Any:
        server.database.write_now(
            lambda connection: connection.execute("UPDATE licenses SET state = 'revoked'")
        )
        return made(*about)

    monkeypatch.setattr(renewal, "_from_now_on", late)
    assert code(calls.refresh(given["token"])) == (403, "license_revoked")
    assert calls.show(given["id"])["claims"] == calls.decode(given["token"])


def test_what_is_no_license_is_not_renewed(calls: Calls, server: LicenseServer) -> None:
    """A forged or foreign token, an answer, an opaque key and nothing at all renew nothing."""
    given = calls.issue(key=True)
    claims = calls.decode(given["token"])
    stranger = Issuer.generate(ISSUER).issue(audience="acme-reports", subject=given["id"])
    unknown = server.signing_keys.issuer.sign({**claims, "sub": "lic_other"})
    for other in (stranger, unknown, calls.ask(given["key"]), given["key"], "a.b.c", ""):
        assert code(calls.refresh(other)) == (403, "license_invalid")
    for malformed in (None, 7, ["a"], "é"):
        assert calls.refresh(malformed).status_code == 400
    for body in (b"{}", b"", b"[]", b'{"token": "a", "more": "b"}'):
        answer = calls.client.post("/v1/licenses/refresh", content=body)
        assert answer.status_code == 400


@pytest.mark.parametrize(
    ("terms", "last"),
    [({}, 999), ({"grace": 500}, 1499), ({"grace": 500, "trial": True, "term": 5000}, 999)],
)
def test_after_its_end_a_license_is_not_renewed(
    calls: Calls, hands: Hands, terms: dict[str, Any], last: int
) -> None:
    """A license is renewed from its beginning until its end, or that of its grace."""
    token = calls.issue(expires_in=1000, not_before=hands.wall + 10, **terms)["token"]
    assert code(calls.refresh(token)) == (403, "license_not_active")
    hands.advance(last)
    answer = calls.refresh(token)
    assert answer.json()["expires_in"] == 1000
    options: Any = {**TIMELESS, "verify_signature": False}
    claims = jwt.decode(answer.json()["token"], options=options)
    assert (claims["iat"], claims["exp"]) == (hands.wall, hands.wall + 1000)
    hands.advance(1)
    assert code(calls.refresh(token)) == (403, "license_expired")


def test_a_bound_license_is_renewed_for_the_holder_of_its_key(calls: Calls, hands: Hands) -> None:
    """Without a proof of the key for this license, this address and this moment it stays."""
    key = ProofKey.generate("ES256")
    given, other = calls.issue(cnf={"jkt": key.jkt}), calls.issue(cnf={"jkt": key.jkt})
    token = given["token"]

    def proof(of: str = token, by: ProofKey = key, **about: Any) -> str:
        return by.proof("POST", about.pop("url", URL), of, **{"iat": hands.wall, **about})

    answer = calls.refresh(token)
    assert code(answer) == (401, "pop_required")
    assert answer.headers["www-authenticate"].startswith("DPoP ")
    for wrong in (
        proof(by=ProofKey.generate("ES256")),
        proof(other["token"]),
        proof(ath=None),
        proof(url="http://testserver/v1/licenses/refresh"),
        proof(url=f"{ISSUER}/v1/licenses/validate"),
        proof(iat=hands.wall - 61),
        proof(htm="GET"),
        "nonsense",
    ):
        hands.advance(1)
        answer = calls.refresh(token, DPoP=wrong)
        assert code(answer) == (401, "pop_invalid")
        assert "invalid_dpop_proof" in answer.headers["www-authenticate"]
    right = proof()
    renewed = calls.refresh(token, DPoP=right)
    assert renewed.status_code == 200
    assert calls.decode(renewed.json()["token"])["cnf"] == {"jkt": key.jkt}
    assert code(calls.refresh(token, DPoP=right)) == (401, "pop_invalid")


def test_a_bound_license_is_renewed_for_the_holder_of_its_certificate(
    calls: Calls, server: LicenseServer
) -> None:
    """The certificate of the TLS connection is looked at, and no header's word for it."""
    right, wrong = b"\x30a certificate", b"\x30another certificate"
    token = calls.issue(cnf={"x5t#S256": certificate_thumbprint(right)})["token"]

    def refresh(shown: bytes | None) -> Any:
        async def over_tls(scope: Any, receive: Any, send: Any) -> None:
            chain = [] if shown is None else [shown]
            extensions = {"tls": {"client_cert_chain": chain}}
            await server.app({**scope, "extensions": extensions}, receive, send)

        return TestClient(over_tls).post("/v1/licenses/refresh", json={"token": token})

    assert code(refresh(None)) == (401, "pop_required")
    assert code(refresh(wrong)) == (401, "pop_invalid")
    assert refresh(right).status_code == 200
    assert code(calls.refresh(token, **{"Client-Cert": ":MGE=:"}))[0] == 401


def test_a_license_is_renewed_twice_a_second_and_then_waits(
    calls: Calls, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who renews in a loop fills no disk: it waits, and is then told to come back."""
    from licet.server.endpoints import renewal

    waited = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(renewal, "sleep", sleep)
    token, other = calls.issue()["token"], calls.issue()["token"]
    statuses = [calls.refresh(token).status_code for _ in range(13)]
    assert statuses == [200] * 12 + [429]
    assert waited == [0.5 * number for number in range(1, 11)]
    assert int(calls.refresh(token).headers["retry-after"]) > 0
    assert calls.refresh(other).status_code == 200


def test_who_renews_all_the_time_does_not_fill_the_record(calls: Calls, hands: Hands) -> None:
    """The record, which is kept for good, has a renewal of a license once a minute."""
    token, other = calls.issue()["token"], calls.issue()["token"]
    for one in (token, token, other):
        assert calls.refresh(one).status_code == 200
        hands.advance(20)
    assert calls.refresh(token).status_code == 200
    recorded = [line["subject"] for line in calls.audit() if line["action"] == "license.refreshed"]
    names = [calls.decode(one)["sub"] for one in (token, other)]
    assert recorded == [*names, names[0]]


def test_where_nobody_says_where_the_server_is_no_proof_is_believed(
    tmp_path: Path, hands: Hands
) -> None:
    """The host that a request names is a stranger's word: a proof made for another would do."""
    configuration = Configuration(data=tmp_path, issuer="Acme", audience=AUDIENCE)
    with (
        LicenseServer(configuration, clock=hands.clock) as server,
        TestClient(server.app) as client,
    ):
        vendor = {"Authorization": f"Bearer {server.api_keys.create('admin', 'vendor').key}"}
        key = ProofKey.generate("ES256")
        order = {"cnf": {"jkt": key.jkt}, "status": True}
        token = client.post("/v1/licenses", headers=vendor, json=order).json()["token"]
        url = "http://testserver/v1/licenses/refresh"
        proof = key.proof("POST", url, token, iat=hands.wall)
        answer = client.post("/v1/licenses/refresh", json={"token": token}, headers={"DPoP": proof})
        assert code(answer) == (503, "license_unavailable")
        options: Any = {**TIMELESS, "verify_signature": False}
        status = jwt.decode(token, options=options)["status"]["status_list"]
        assert client.get(status["uri"]).status_code == 200
