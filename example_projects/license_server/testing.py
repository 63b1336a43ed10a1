"""The server's callers, for its tests."""

from __future__ import annotations

from typing import Any

import jwt
from starlette.testclient import TestClient

ISSUER = "https://licenses.acme.example"
ADMIN_KEY = "an-admin-key-for-tests"
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}
VALIDATION_KEY = "a-validation-key-for-tests"
APPLICATION = {"Authorization": f"Bearer {VALIDATION_KEY}"}
NONCE = "bm9uY2Ugb2YgYSB0ZXN0LCAyNTYgYml0cyBvZiBpdC4"


def issue(client: TestClient, **body: object) -> str:
    answer = client.post("/v1/licenses", headers=ADMIN, json=body)
    assert answer.status_code == 201, answer.text
    token = answer.json()["token"]
    assert isinstance(token, str)
    return token


def issue_key(client: TestClient, **body: object) -> tuple[str, str]:
    """Return the id of a new license, and its opaque key."""
    answer = client.post("/v1/licenses", headers=ADMIN, json={"key": True, **body}).json()
    return answer["id"], answer["key"]


def act(client: TestClient, license_id: str, what: str, **body: object) -> int:
    return client.post(f"/v1/licenses/{license_id}/{what}", headers=ADMIN, json=body).status_code


def ask(client: TestClient, credential: str, **changes: object) -> str:
    """Return the signed answer about `credential`."""
    question = {"licenseKey": credential, "audience": "acme-reports", "nonce": NONCE, **changes}
    answer = client.post("/v1/licenses/validate", headers=APPLICATION, json=question)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/jwt"
    assert answer.headers["cache-control"] == "no-store"
    return answer.text


def validate(
    client: TestClient, credential: str, *, audience: str = "acme-reports", **changes: object
) -> dict[str, Any]:
    """Return what is answered about `credential`, once its signature held."""
    answer = ask(client, credential, audience=audience, **changes)
    assert jwt.get_unverified_header(answer)["typ"] == "license-validation+jwt"
    return decode(client, answer, audience)


def verdict(client: TestClient, credential: str, **changes: str) -> str:
    """Return the word for what is wrong with `credential`, `valid` where nothing is."""
    answer = validate(client, credential, **changes)
    assert answer["valid"] is ("error" not in answer)
    return str(answer.get("error", "valid"))


def decode(client: TestClient, token: str, audience: str = "acme-reports") -> dict[str, Any]:
    """Verify `token` against the published keys, with PyJWT and nothing of ours."""
    published = jwt.PyJWKSet.from_dict(client.get("/.well-known/jwks.json").json())
    key = published[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(token, key, audience=audience, issuer=ISSUER)
    return claims
