"""The license server's first form, over HTTP as its callers see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from starlette.testclient import TestClient

from example_projects.license_server import app
from licet.issuer import Issuer

ISSUER = "https://licenses.acme.example"
ADMIN_KEY = "an-admin-key-for-tests"
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(
        app.create_app(Issuer.generate(ISSUER), ADMIN_KEY, "acme-reports"),
        raise_server_exceptions=False,
    ) as client:
        yield client


def issue(client: TestClient, **body: object) -> str:
    answer = client.post("/v1/licenses", headers=ADMIN, json=body)
    assert answer.status_code == 201, answer.text
    token = answer.json()["token"]
    assert isinstance(token, str)
    return token


def decode(client: TestClient, token: str) -> dict[str, Any]:
    """Verify `token` against the published keys, with PyJWT and nothing of ours."""
    published = jwt.PyJWKSet.from_dict(client.get("/.well-known/jwks.json").json())
    key = published[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(token, key, audience="acme-reports", issuer=ISSUER)
    return claims


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
    ],
)
def test_without_the_admin_key_nothing_happens(
    client: TestClient, headers: list[tuple[str, str | bytes]], method: str, path: str
) -> None:
    """Each admin endpoint answers 401 with a challenge, and the keys stay as they are."""
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
    answer = client.post("/v1/licenses", headers=ADMIN, content=b" " * (app.MAX_BODY + 1))
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
def test_a_weak_admin_key_fails_at_start(key: str) -> None:
    """A key that is short, or that no header can carry, makes no server."""
    with pytest.raises(ValueError, match="16 printable"):
        app.create_app(Issuer.generate(ISSUER), key, "acme-reports")


def test_without_an_admin_key_it_does_not_start() -> None:
    """Started without its admin key the server says which variable it wants."""
    with pytest.raises(SystemExit, match="LICENSE_SERVER_ADMIN_KEY"):
        app.from_env({})


def test_it_serves_as_a_program() -> None:
    """`python app.py` serves the key set over a real socket until it is told to stop."""
    environ = {
        **os.environ,
        "LICENSE_SERVER_ADMIN_KEY": ADMIN_KEY,
        "LICENSE_SERVER_PORT": "0",
    }
    process = subprocess.Popen(  # noqa: S603 - the example itself
        [sys.executable, app.__file__], env=environ, stderr=subprocess.PIPE, text=True
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
