"""The license server's first form, over HTTP as its callers see it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import jwt
import pytest
from starlette.testclient import TestClient

from example_projects.license_server import app, bodies, register
from example_projects.license_server.testing import (
    ADMIN,
    ADMIN_KEY,
    APPLICATION,
    ISSUER,
    NONCE,
    act,
    ask,
    decode,
    issue,
    issue_key,
    validate,
    verdict,
)
from licet.core.clock import Clock
from licet.issuer import Issuer


def test_what_it_issues_verifies_against_what_it_publishes(client: TestClient) -> None:
    """A license is signed by a published key and says what was asked for."""
    answer = client.post(
        "/v1/licenses",
        headers=ADMIN,
        json={
            "customer": "Example GmbH",
            "plan": "professional",
            "features": ["analytics"],
            "limits": {"seats": 10},
            "roles": ["admin"],
            "scope": "reports:read",
            "domains": ["example.com"],
            "expires_in": 3600,
        },
    )
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    claims = decode(client, answer.json()["token"])
    assert claims["sub"] == answer.json()["id"]
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["features"] == ["analytics"]
    assert claims["limits"] == {"seats": 10}
    assert (claims["scope"], claims["roles"]) == ("reports:read", ["admin"])
    assert (claims["customer"], claims["plan"]) == ("Example GmbH", "professional")
    assert claims["domains"] == ["example.com"]


def test_a_license_may_hold_for_some_requests_only(client: TestClient) -> None:
    """What narrows a license is signed as it was asked for."""
    narrow: dict[str, Any] = {
        "domains": ["*.example.com"],
        "ip_ranges": ["203.0.113.0/24"],
        "regions": ["DE"],
        "time_windows": [{"days": "mon-fri", "from": "07:00", "to": "19:00", "tz": "UTC"}],
        "cnf": {"jkt": "A" * 43},
        "must_understand": ["domains"],
    }
    claims = decode(client, issue(client, **narrow))
    assert {name: claims[name] for name in narrow} == narrow


def test_a_request_may_name_another_audience(client: TestClient) -> None:
    """The audience of the body stands before the server's own."""
    token = issue(client, audience="acme-mail")
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == "acme-mail"


def test_the_key_set_is_cacheable_and_public_only(client: TestClient) -> None:
    """The key set has a validator, a lifetime, and no private member."""
    answer = client.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["content-type"] == "application/jwk-set+json"
    (key,) = answer.json()["keys"]
    assert key.keys() == {"kty", "crv", "x", "kid", "alg", "use"}


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_an_unchanged_key_set_is_304(client: TestClient, form: str) -> None:
    """Whoever names the current validator gets 304 with it, and no body."""
    etag = client.get("/.well-known/jwks.json").headers["etag"]
    answer = client.get("/.well-known/jwks.json", headers={"If-None-Match": form.format(etag)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == etag
    assert answer.headers["cache-control"] == "public, max-age=60"


def test_rotation_keeps_the_old_key_published(client: TestClient) -> None:
    """After a rotation a new key signs, the old license still verifies, the validator differs."""
    old, etag = issue(client), client.get("/.well-known/jwks.json").headers["etag"]
    answer = client.post("/v1/keys/rotate", headers=ADMIN)
    assert answer.status_code == 200
    new = issue(client)
    assert jwt.get_unverified_header(new)["kid"] == answer.json()["kid"]
    assert decode(client, old)["sub"] != decode(client, new)["sub"]
    changed = client.get("/.well-known/jwks.json", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert [key["signing"] for key in client.get("/v1/keys", headers=ADMIN).json()["keys"]] == [
        False,
        True,
    ]


def test_a_retired_key_is_published_no_longer(client: TestClient) -> None:
    """A retired key leaves the key set; its licenses verify no more."""
    token = issue(client)
    kid = jwt.get_unverified_header(token)["kid"]
    client.post("/v1/keys/rotate", headers=ADMIN)
    answer = client.post(f"/v1/keys/{kid}/retire", headers=ADMIN)
    assert answer.status_code == 200
    assert kid not in {key["kid"] for key in answer.json()["keys"]}
    with pytest.raises(KeyError):
        decode(client, token)


def test_the_signing_key_cannot_be_retired(client: TestClient) -> None:
    """Retiring the key that signs is 409, an unknown one 404, and both change nothing."""
    before = client.get("/.well-known/jwks.json").json()
    (key,) = before["keys"]
    assert client.post(f"/v1/keys/{key['kid']}/retire", headers=ADMIN).status_code == 409
    assert client.post("/v1/keys/unknown/retire", headers=ADMIN).status_code == 404
    assert client.get("/.well-known/jwks.json").json() == before


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Bearer wrong")],
        [("Authorization", f"Basic {ADMIN_KEY}")],
        [("Authorization", f"Bearer {ADMIN_KEY} ä".encode("latin-1"))],
        [("Authorization", f"Bearer {ADMIN_KEY}"), ("Authorization", f"Bearer {ADMIN_KEY}")],
    ],
    ids=["none", "wrong", "another scheme", "not ascii", "two"],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/licenses"),
        ("GET", "/v1/keys"),
        ("POST", "/v1/keys/rotate"),
        ("POST", "/v1/keys/any/retire"),
        ("POST", "/v1/licenses/any/revoke"),
        ("POST", "/v1/licenses/any/suspend"),
        ("POST", "/v1/licenses/any/resume"),
        ("POST", "/v1/licenses/validate"),
        ("PUT", "/v1/webhooks"),
    ],
)
def test_without_a_key_nothing_happens(
    client: TestClient, headers: list[tuple[str, str | bytes]], method: str, path: str
) -> None:
    """Each endpoint behind a key answers 401 with a challenge, and the keys stay as they are."""
    before = client.get("/.well-known/jwks.json").content
    answer = client.request(method, path, headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/.well-known/jwks.json").content == before


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[]",
        b"[" * 50_000,
        b'{"featurs": []}',
        b'{"features": "analytics"}',
        b'{"limits": {"seats": -1}}',
        b'{"limits": 7}',
        b'{"expires_in": 0}',
        b'{"expires_in": "3600"}',
        b'{"audience": null}',
        b'{"subject": "lic_mine"}',
        b'{"key": "lic_mine"}',
        b'{"status": {"status_list": {"idx": 0, "uri": "https://licenses.acme.example"}}}',
    ],
)
def test_a_license_that_nobody_would_accept_is_400(client: TestClient, body: bytes) -> None:
    """What is misspelt or breaks the profile is answered with a sentence, not with a license."""
    answer = client.post("/v1/licenses", headers=ADMIN, content=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 400
    assert answer.json()["detail"]


def test_a_huge_body_is_413(client: TestClient) -> None:
    """A body over the limit is refused before it is read as JSON."""
    answer = client.post("/v1/licenses", headers=ADMIN, content=b" " * (bodies.MAX_BODY + 1))
    assert answer.status_code == 413


def test_other_paths_are_problems_too(client: TestClient) -> None:
    """404 and 405 have the same form as every other error."""
    for answer, status in ((client.get("/nothing"), 404), (client.post("/healthz"), 405)):
        assert answer.status_code == status
        assert answer.json()["title"]
        assert answer.headers["content-type"] == "application/problem+json"


def test_keys_outlive_the_process(tmp_path: Path) -> None:
    """With a key file a second server publishes and signs with what the first one rotated to."""
    path = tmp_path / "issuer.json"
    environ = {"LICENSE_SERVER_ADMIN_KEY": ADMIN_KEY, "LICENSE_SERVER_KEY_FILE": str(path)}
    with TestClient(app.from_env(environ)) as first:
        first.post("/v1/keys/rotate", headers=ADMIN)
        published = first.get("/.well-known/jwks.json").json()
        token = issue(first)
    with TestClient(app.from_env({**environ, "LICENSE_SERVER_MAX_AGE": "7"})) as second:
        answer = second.get("/.well-known/jwks.json")
        assert answer.json() == published
        assert len(published["keys"]) == 2
        assert answer.headers["cache-control"] == "public, max-age=7"
        signer = second.get("/v1/keys", headers=ADMIN).json()["keys"][-1]
    assert jwt.get_unverified_header(token)["kid"] == signer["kid"]
    assert signer["signing"] is True


def test_a_key_that_cannot_be_kept_does_not_sign(tmp_path: Path) -> None:
    """Where the key file is gone a rotation fails, health says so, and the old key still signs."""
    path = tmp_path / "issuer.json"
    server = app.create_app(Issuer.generate(ISSUER), ADMIN_KEY, "acme-reports", key_path=path)
    with TestClient(server, raise_server_exceptions=False) as client:
        assert client.get("/healthz").status_code == 200
        before = client.get("/.well-known/jwks.json").json()
        path.unlink()
        answer = client.post("/v1/keys/rotate", headers=ADMIN)
        assert answer.status_code == 503
        assert str(path) not in answer.text
        assert client.get("/healthz").status_code == 503
        assert client.get("/.well-known/jwks.json").json() == before
        assert decode(client, issue(client))


@pytest.mark.parametrize("key", ["", "short", "ä" * 20, "a" * 16 + "\n"])
def test_a_weak_key_fails_at_start(key: str) -> None:
    """A key that is short, or that no header can carry, makes no server."""
    with pytest.raises(ValueError, match="admin key needs 16 printable"):
        app.create_app(Issuer.generate(ISSUER), key, "acme-reports")
    with pytest.raises(ValueError, match="validation key needs 16 printable"):
        app.create_app(Issuer.generate(ISSUER), ADMIN_KEY, "acme-reports", validation_key=key)


def test_the_admin_key_is_not_handed_out() -> None:
    """One key for both makes no server: whoever may ask could issue."""
    issuer = Issuer.generate(ISSUER)
    with pytest.raises(ValueError, match="must not be the admin key"):
        app.create_app(issuer, ADMIN_KEY, "acme-reports", validation_key=ADMIN_KEY)


def test_each_key_opens_its_own_door(client: TestClient) -> None:
    """The validation key issues nothing and the admin key asks nothing."""
    assert client.post("/v1/licenses", headers=APPLICATION, json={}).status_code == 401
    assert client.post("/v1/licenses/validate", headers=ADMIN, json={}).status_code == 401


def test_without_a_validation_key_nobody_asks() -> None:
    """A server that was given no validation key has no such endpoint."""
    with TestClient(app.from_env({"LICENSE_SERVER_ADMIN_KEY": ADMIN_KEY})) as client:
        assert client.post("/v1/licenses/validate", headers=ADMIN, json={}).status_code == 404


def test_an_answer_is_for_its_question_only(client: TestClient) -> None:
    """What is signed names nonce, domain, credential and audience, and holds for minutes."""
    license_id, key = issue_key(client, features=["analytics"], domains=["*.example.com"])
    began = time.time()
    answer = validate(client, key, domain="shop.example.com")
    named = urlsafe_b64encode(hashlib.sha256(key.encode()).digest()).rstrip(b"=").decode()
    assert began <= answer.pop("iat") <= time.time()
    assert 60 <= answer.pop("exp") - began <= 600
    license_ = answer.pop("license")
    assert answer == {
        "iss": ISSUER,
        "aud": "acme-reports",
        "nonce": NONCE,
        "req": named,
        "domain": "shop.example.com",
        "valid": True,
        "grace": False,
        "cache_for": 60,
    }
    assert (license_["sub"], license_["features"]) == (license_id, ["analytics"])
    assert {"iss", "aud", "iat", "exp", "domains"} <= license_.keys()


def test_outside_a_request_there_is_no_domain(client: TestClient) -> None:
    """Who names no domain is told none, and a license for some domains holds."""
    _, key = issue_key(client, domains=["example.com"])
    answer = validate(client, key)
    assert answer["valid"] is True
    assert "domain" not in answer


def test_a_no_carries_no_license(client: TestClient) -> None:
    """With a no comes the word for it, and nothing that could be taken for a license."""
    answer = validate(client, "lic_nobodys")
    assert (answer["valid"], answer["error"]) == (False, "unknown")
    assert not {"license", "cache_for", "grace", "sub"} & answer.keys()
    license_id, key = issue_key(client)
    act(client, license_id, "revoke")
    answer = validate(client, key)
    assert (answer["valid"], answer["error"], answer["sub"]) == (False, "revoked", license_id)
    assert not {"license", "cache_for", "grace"} & answer.keys()


def test_a_key_is_shown_once(client: TestClient) -> None:
    """A license has a key only where one was asked for; the server keeps its digest."""
    assert "key" not in client.post("/v1/licenses", headers=ADMIN, json={}).json()
    _, key = issue_key(client)
    assert re.fullmatch(r"lic_[A-Za-z0-9_-]{43}", key)
    endpoint = next(route for route in client.app.routes if "validate" in route.path)  # type: ignore[attr-defined]
    register = endpoint.endpoint.__self__.register
    assert key.removeprefix("lic_") not in repr(vars(register))


def test_key_and_token_are_one_license(client: TestClient) -> None:
    """What happens to a license happens to its key and to its token."""
    body = client.post("/v1/licenses", headers=ADMIN, json={"key": True}).json()
    for happens, word in (
        ("suspend", "suspended"),
        ("suspend", "suspended"),
        ("resume", "valid"),
        ("resume", "valid"),
        ("revoke", "revoked"),
        ("revoke", "revoked"),
    ):
        assert act(client, body["id"], happens, reason="a test") == 200
        assert verdict(client, body["key"]) == verdict(client, body["token"]) == word
    assert act(client, body["id"], "resume") == act(client, body["id"], "suspend") == 409
    assert verdict(client, body["key"]) == "revoked"


def test_only_licenses_that_are_there_change(client: TestClient) -> None:
    """An unknown license or act is 404, a malformed reason 400, and nothing changes."""
    license_id, key = issue_key(client)
    assert act(client, "lic_other", "revoke") == 404
    assert act(client, license_id, "forget") == 404
    assert act(client, license_id, "revoke", reason=7) == 400
    assert act(client, license_id, "revoke", motive="none") == 400
    assert verdict(client, key) == "valid"


@pytest.mark.parametrize(
    ("domain", "word"),
    [
        ("example.com", "valid"),
        ("shop.example.com", "valid"),
        ("a.shop.example.com", "domain_mismatch"),
        ("example.com.evil.example", "domain_mismatch"),
        ("evil.example", "domain_mismatch"),
        ("", "domain_mismatch"),
    ],
)
def test_a_license_holds_where_it_says(client: TestClient, domain: str, word: str) -> None:
    """Names and wildcards cover what they say, however they were written."""
    _, key = issue_key(client, domains=["Example.COM", "*.example.com"])
    assert verdict(client, key, domain=domain) == word


def test_a_license_is_for_its_audience(client: TestClient) -> None:
    """For a product that it does not name a license is unknown."""
    _, key = issue_key(client, audience=["acme-reports", "acme-mail"])
    assert verdict(client, key, audience="acme-mail") == "valid"
    assert verdict(client, key, audience="acme-crm") == "unknown"


@pytest.mark.parametrize(
    ("terms", "seen"),
    [
        ({}, ["valid", "expired", "expired", "expired"]),
        ({"grace": 500}, ["valid", "grace", "grace", "expired"]),
        ({"grace": 500, "trial": True}, ["valid", "expired", "expired", "expired"]),
    ],
)
def test_a_license_ends(terms: dict[str, Any], seen: list[str]) -> None:
    """Past its end a license is in the grace that it signs, which a trial has not, or expired."""
    hands = SimpleNamespace(now=1_800_000_000.0)
    clock = Clock(wall=lambda: hands.now)
    issuer, licenses = Issuer.generate(ISSUER, clock=clock), register.Register(60, clock=clock)
    token = issuer.issue(audience="acme-reports", subject="lic_a", expires_in=1000, **terms)
    licenses.add(token, keyed=False)
    words = []
    for age in (999, 1000, 1499, 1500):
        hands.now = 1_800_000_000.0 + age
        answer = licenses.answer(issuer, token, "acme-reports", None)
        words.append(answer.get("error") or ("grace" if answer["grace"] else "valid"))
    assert words == seen


def test_only_its_own_tokens_are_known(client: TestClient) -> None:
    """A token is judged once a published key has signed it, as a license and nothing else."""
    token = issue(client)
    assert verdict(client, token) == "valid"
    header, payload, signature = token.split(".")
    stranger = Issuer.generate(ISSUER)
    claims = jwt.decode(token, options={"verify_signature": False})
    kid = jwt.get_unverified_header(token)["kid"]
    for other in (
        stranger.sign(claims),
        stranger.sign(claims, header={"kid": kid}),
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f"{header}.{payload}.",
        ask(client, token),
        "a.b.c",
        "..",
    ):
        assert verdict(client, other) == "unknown"


def test_a_token_of_a_retired_key_is_unknown(client: TestClient) -> None:
    """A key that is published no longer vouches for nothing here either; the license key does."""
    body = client.post("/v1/licenses", headers=ADMIN, json={"key": True}).json()
    client.post("/v1/keys/rotate", headers=ADMIN)
    assert verdict(client, body["token"]) == "valid"
    kid = jwt.get_unverified_header(body["token"])["kid"]
    client.post(f"/v1/keys/{kid}/retire", headers=ADMIN)
    assert verdict(client, body["token"]) == "unknown"
    assert verdict(client, body["key"]) == "valid"


@pytest.mark.parametrize(
    "change",
    [
        {"licenseKey": None},
        {"licenseKey": "lic_\ud800"},
        {"audience": ["acme-reports"]},
        {"nonce": 7},
        {"domain": None},
        {"hostname": "example.com"},
    ],
)
def test_half_a_question_is_400(client: TestClient, change: dict[str, object]) -> None:
    """A question with a part missing, malformed or unknown gets a problem, and no signature."""
    question = {"licenseKey": "lic_a", "audience": "acme-reports", "nonce": NONCE}
    for asked in ({**question, **change}, {"licenseKey": "lic_a"}, {}):
        body = json.dumps(asked)
        answer = client.post("/v1/licenses/validate", headers=APPLICATION, content=body)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"


def test_without_an_admin_key_it_does_not_start() -> None:
    """Started without its admin key the server says which variable it wants."""
    with pytest.raises(SystemExit, match="LICENSE_SERVER_ADMIN_KEY"):
        app.from_env({})


def test_it_serves_as_a_program() -> None:
    """`python -m license_server` serves the key set over a real socket until it is told to stop."""
    above = str(Path(app.__file__).parents[1])
    environ = {
        **os.environ,
        "LICENSE_SERVER_ADMIN_KEY": ADMIN_KEY,
        "LICENSE_SERVER_PORT": "0",
        "PYTHONPATH": os.pathsep.join([above, os.environ.get("PYTHONPATH", above)]),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "license_server"],
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        address = next(
            line.split("running on ")[1].split()[0]
            for line in process.stderr
            if "running on " in line
        )
        answer = httpx.get(f"{address}/.well-known/jwks.json", timeout=5, trust_env=False)
        assert len(json.loads(answer.content)["keys"]) == 1
    finally:
        process.terminate()
        process.communicate(timeout=10)
