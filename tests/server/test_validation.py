"""The one question of `protocol.md`, section 3, over HTTP."""

from __future__ import annotations

import hashlib
import json
import logging
from base64 import urlsafe_b64encode

import pytest

from licet.core.online.dialects.licet import Licet
from licet.core.online.question import Answer, Denied, Granted, Question
from licet.issuer import Issuer
from licet.server import LicenseServer
from tests.core.hands import Hands
from tests.server.callers import NONCE, Calls
from tests.server.conftest import AUDIENCE, ISSUER


def test_an_answer_is_for_its_question_only(calls: Calls, hands: Hands) -> None:
    """What is signed names nonce, domain, credential and audience, and holds for minutes."""
    given = calls.issue(key=True, features=["analytics"], domains=["*.example.com"])
    answer = calls.validate(given["key"], domain="shop.example.com")
    named = urlsafe_b64encode(hashlib.sha256(given["key"].encode()).digest())
    assert answer.pop("license") == calls.decode(given["token"])
    assert answer == {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": hands.wall,
        "exp": hands.wall + 300,
        "nonce": NONCE,
        "req": named.rstrip(b"=").decode(),
        "domain": "shop.example.com",
        "valid": True,
        "grace": False,
        "cache_for": 3600,
    }


def understood(calls: Calls, hands: Hands, credential: str, domain: str | None) -> Answer:
    """Return how an application reads the answer to its question."""
    question = Question(credential, ISSUER, AUDIENCE, domain, NONCE, hands.wall)
    return calls.understood(Licet(), "/v1/licenses/validate", question)


def test_applications_understand_the_answer(calls: Calls, hands: Hands) -> None:
    """Each answer is one to Licet's own reader, and about the license that it names."""
    given = calls.issue(key=True, domains=["example.com"])
    for credential in (given["key"], given["token"]):
        granted = understood(calls, hands, credential, "example.com")
        assert isinstance(granted, Granted)
        assert granted.license == calls.decode(given["token"])
        assert (granted.signed, granted.cache_for) == (True, 3600)
    calls.act(given["id"], "suspend")
    for credential, domain, error, license_id in (
        (given["token"], None, "suspended", given["id"]),
        ("lic_nobodys", None, "unknown", None),
    ):
        denied = understood(calls, hands, credential, domain)
        assert denied == Denied(error, True, hands.wall, license_id)


def test_outside_a_request_there_is_no_domain(calls: Calls) -> None:
    """Who names no domain is told none, and a license for some domains holds."""
    answer = calls.validate(calls.issue(key=True, domains=["example.com"])["key"])
    assert answer["valid"] is True
    assert "domain" not in answer


def test_a_no_carries_no_license(calls: Calls) -> None:
    """With a no comes the word for it, and nothing that could be taken for a license."""
    answer = calls.validate("lic_nobodys")
    assert (answer["valid"], answer["error"]) == (False, "unknown")
    assert not {"license", "cache_for", "grace", "sub"} & answer.keys()
    given = calls.issue(key=True)
    calls.act(given["id"], "revoke")
    answer = calls.validate(given["key"])
    assert (answer["valid"], answer["error"], answer["sub"]) == (False, "revoked", given["id"])
    assert not {"license", "cache_for", "grace"} & answer.keys()


def test_a_license_is_for_its_audience(calls: Calls) -> None:
    """For a product that it does not name a license is unknown."""
    key = calls.issue(key=True, audience=["acme-reports", "acme-mail"])["key"]
    assert calls.verdict(key, audience="acme-mail") == "valid"
    assert calls.verdict(key, audience="acme-crm") == "unknown"


def test_a_license_ends(calls: Calls, hands: Hands) -> None:
    """A license that is in its grace says so; after that it has expired."""
    key = calls.issue(key=True, expires_in=1000, grace=500)["key"]
    seen = []
    for seconds in (999, 1, 499, 1):
        hands.advance(seconds)
        answer = calls.validate(key)
        seen.append(answer.get("error") or answer["grace"])
    assert seen == [False, True, True, "expired"]


def test_of_what_has_ended_it_is_told_what_it_was(calls: Calls, hands: Hands) -> None:
    """So that an application that leaves something of it can hold that to its conditions."""
    given = calls.issue(key=True, expires_in=1000, domains=["example.com"])
    hands.advance(1000)
    denied = understood(calls, hands, given["key"], "example.com")
    claims = calls.decode(given["token"])
    assert denied == Denied("expired", True, hands.wall, given["id"], claims)


def test_only_its_own_tokens_are_known(calls: Calls, server: LicenseServer) -> None:
    """A token is judged once a published key has signed it, as a license and nothing else."""
    token = calls.issue()["token"]
    assert calls.verdict(token) == "valid"
    header, payload, signature = token.split(".")
    stranger, own = Issuer.generate(ISSUER), server.signing_keys.issuer
    claims = calls.decode(token)
    for other in (
        stranger.sign(claims),
        stranger.sign(claims, header={"kid": own.kid}),
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f"{header}.{payload}.",
        calls.ask(token),
        own.sign(claims, header={"typ": "JWT"}),
        own.sign({**claims, "sub": "lic_other"}),
        own.sign({**claims, "sub": 7}),
        own.sign({**claims, "exp": "never"}),
        own.sign({**claims, "grace": "some"}),
        own.sign({**claims, "nbf": None}),
        "a.b.c",
        "..",
        "",
    ):
        assert calls.verdict(other) == "unknown"
    assert calls.verdict(token) == "valid"


def test_a_token_of_a_retired_key_is_unknown(calls: Calls, server: LicenseServer) -> None:
    """A key that is published no longer vouches for nothing here either; the license key does."""
    given = calls.issue(key=True)
    old = server.signing_keys.issuer.kid
    server.signing_keys.rotate()
    assert calls.verdict(given["token"]) == "valid"
    server.signing_keys.retire(old)
    assert calls.verdict(given["token"]) == "unknown"
    assert calls.verdict(given["key"]) == "valid"


def test_half_a_question_is_400(calls: Calls) -> None:
    """A question with a part missing, malformed or unknown gets a problem, and no signature."""
    question = {"licenseKey": "lic_a", "audience": "acme-reports", "nonce": NONCE}
    changes: tuple[dict[str, object], ...] = (
        {"licenseKey": None},
        {"licenseKey": "lic_\ud800"},
        {"licenseKey": "lic_ä"},
        {"audience": ["acme-reports"]},
        {"nonce": 7},
        {"domain": None},
        {"hostname": "example.com"},
    )
    bodies = [json.dumps({**question, **change}).encode() for change in changes]
    for body in (*bodies, b'{"licenseKey": "lic_a"}', b"{}", b"", b"[]"):
        answer = calls.client.post("/v1/licenses/validate", headers=calls.validation, content=body)
        assert answer.status_code == 400, body
        assert answer.headers["content-type"] == "application/problem+json"


def test_each_key_opens_its_own_door(calls: Calls) -> None:
    """The validation key issues nothing and the admin key asks nothing."""
    for method, path, headers in (
        ("POST", "/v1/licenses", calls.validation),
        ("POST", "/v1/licenses/import", calls.validation),
        ("GET", "/v1/licenses", calls.validation),
        ("GET", "/v1/licenses/any", calls.validation),
        ("POST", "/v1/licenses/any/revoke", calls.validation),
        ("POST", "/v1/licenses/any/suspend", calls.validation),
        ("POST", "/v1/licenses/any/resume", calls.validation),
        ("POST", "/v1/licenses/validate", calls.admin),
        ("POST", "/v1/licenses/introspect", calls.admin),
    ):
        assert calls.client.request(method, path, headers=headers).status_code == 403, path
        assert calls.client.request(method, path).status_code == 401, path


def test_when_a_license_was_validated_is_known_at_once_and_written_later(
    calls: Calls, server: LicenseServer, hands: Hands
) -> None:
    """No question waits for the disk, and the vendor sees the moment all the same."""
    given = calls.issue(key=True)
    assert calls.show(given["id"])["validated_at"] is None

    def written() -> object:
        row = server.database.read(
            lambda reader: reader.execute("SELECT max(at) FROM sightings").fetchone()
        )
        return row[0]

    hands.advance(1)
    calls.ask(given["key"])
    assert calls.show(given["id"])["validated_at"] == "2027-01-15T08:00:01.000Z"
    assert written() is None
    hands.advance(5)
    calls.ask(given["key"])
    server.database.write_now(lambda connection: None)
    assert written() == hands.wall
    calls.act(given["id"], "suspend")
    hands.advance(5)
    calls.ask(given["key"])
    assert calls.show(given["id"])["validated_at"] == "2027-01-15T08:00:06.000Z"


def test_a_strange_domain_is_noticed(
    calls: Calls, server: LicenseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A license that is asked about where it does not hold is reported, once it is answered."""
    noticed = []
    notices = server._notices
    monkeypatch.setattr(
        notices, "suspicious", lambda *about, **data: noticed.append((*about, data))
    )
    given = calls.issue(key=True, domains=["example.com"])
    calls.verdict(given["key"], domain="example.com")
    calls.verdict(given["key"], domain="evil.example")
    data = {"requested_domain": "evil.example", "bound_domain": ["example.com"]}
    assert noticed == [(given["id"], "domain_mismatch", data)]


def test_a_key_is_in_no_log(calls: Calls, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is logged of a question, the credential is not in it."""
    given = calls.issue(key=True, domains=["example.com"])
    with caplog.at_level(logging.DEBUG):
        for credential in (given["key"], given["token"]):
            calls.verdict(credential, domain="evil.example")
            calls.refresh(credential)
    assert given["key"] not in caplog.text
    assert given["token"] not in caplog.text
