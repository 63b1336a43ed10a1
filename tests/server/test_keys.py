"""Signing keys and validation keys, as the vendor changes them over HTTP."""

from __future__ import annotations

import jwt
import pytest
from starlette.testclient import TestClient

from licet.server import LicenseServer
from licet.server.moments import rfc3339
from tests.core.hands import Hands
from tests.server.conftest import AUDIENCE


def published(client: TestClient) -> list[str]:
    return [key["kid"] for key in client.get("/.well-known/jwks.json").json()["keys"]]


def test_the_key_set_is_cacheable_and_public_only(client: TestClient) -> None:
    """The key set has a validator, a lifetime, and no private member."""
    answer = client.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["content-type"] == "application/jwk-set+json"
    (key,) = answer.json()["keys"]
    assert key.keys() == {"kty", "crv", "x", "kid", "alg", "use"}


def test_an_unchanged_key_set_is_304(client: TestClient) -> None:
    """Whoever names the current validator, weak or among others, gets 304 with it and no body."""
    etag = client.get("/.well-known/jwks.json").headers["etag"]
    for form in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = client.get("/.well-known/jwks.json", headers={"If-None-Match": form})
        assert (answer.status_code, answer.content) == (304, b""), form
        assert answer.headers["etag"] == etag
        assert answer.headers["cache-control"] == "public, max-age=300"
    other = client.get("/.well-known/jwks.json", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


def test_a_rotation_is_published_with_its_overlap(
    client: TestClient, server: LicenseServer, admin: dict[str, str], hands: Hands
) -> None:
    """After a rotation a new key signs, the old one stays published until it is retired."""
    (old,) = published(client)
    etag = client.get("/.well-known/jwks.json").headers["etag"]
    token = server.signing_keys.issuer.issue(audience=AUDIENCE, subject="lic_1")
    made = hands.wall
    hands.advance(60)
    answer = client.post("/v1/keys/rotate", headers=admin, json={"algorithm": "ES256"})
    new = answer.json()["kid"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["keys"] == client.get("/v1/keys", headers=admin).json()["keys"]
    assert answer.json()["keys"] == [
        {
            "kid": old,
            "alg": "EdDSA",
            "created_at": rfc3339(made),
            "signing": False,
            "retired_at": None,
            "licenses": 0,
        },
        {
            "kid": new,
            "alg": "ES256",
            "created_at": rfc3339(hands.wall),
            "signing": True,
            "retired_at": None,
            "licenses": 0,
        },
    ]
    changed = client.get("/.well-known/jwks.json", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert published(client) == [old, new]
    assert jwt.get_unverified_header(token)["kid"] == old
    hands.advance(60)
    answer = client.post(f"/v1/keys/{old}/retire", headers=admin)
    assert [key["retired_at"] for key in answer.json()["keys"]] == [rfc3339(hands.wall), None]
    assert published(client) == [new]
    again = client.post(f"/v1/keys/{old}/retire", headers=admin)
    assert (again.status_code, again.json()) == (200, answer.json())


def test_what_cannot_be_done_to_keys_says_why(client: TestClient, admin: dict[str, str]) -> None:
    """The signing key is 409, an unknown one 404, an unknown algorithm 400; all stays as it was."""
    before = client.get("/v1/keys", headers=admin).json()
    signing = before["keys"][0]["kid"]
    cases = [
        (f"/v1/keys/{signing}/retire", {}, 409, "rotate first"),
        ("/v1/keys/nobody/retire", {}, 404, "no such key"),
        (f"/v1/keys/{signing}/retire", {"force": True}, 400, ""),
        ("/v1/keys/rotate", {"algorithm": "HS256"}, 400, "cannot sign licenses"),
        ("/v1/keys/rotate", {"algorithm": 5}, 400, "text"),
        ("/v1/keys/rotate", {"algorithm": ["EdDSA"]}, 400, "text"),
    ]
    for path, body, status, detail in cases:
        answer = client.post(path, headers=admin, json=body)
        assert (answer.status_code, detail in answer.json()["detail"]) == (status, True), body
    assert client.get("/v1/keys", headers=admin).json() == before


def test_more_keys_than_gates_read_are_not_made(
    client: TestClient, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One published key more than gates read is refused: they would refuse all of them."""
    monkeypatch.setattr("licet.server.signing.keys.MOST_KEYS", 2)
    assert client.post("/v1/keys/rotate", headers=admin).status_code == 200
    answer = client.post("/v1/keys/rotate", headers=admin)
    assert answer.status_code == 409
    assert "retire one" in answer.json()["detail"]


def test_a_key_file_that_cannot_be_used_is_said_to_be(
    client: TestClient, server: LicenseServer, admin: dict[str, str], hands: Hands
) -> None:
    """Without its key file the server is not well and changes no keys; it goes on signing."""
    assert client.get("/healthz").json() == {"status": "ok"}
    path = server.configuration.key_path
    path.chmod(0o644)
    hands.advance(1)
    for method, address in [
        ("GET", "/healthz"),
        ("POST", "/v1/keys/rotate"),
        ("POST", "/v1/keys/nobody/retire"),
    ]:
        answer = client.request(method, address, headers=admin)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert str(path) not in answer.text
    assert client.get("/.well-known/jwks.json").status_code == 200
    path.chmod(0o600)
    hands.advance(1)
    assert client.get("/healthz").status_code == 200


def test_a_validation_key_is_shown_once_and_opens_until_it_is_revoked(
    client: TestClient, server: LicenseServer, admin: dict[str, str], hands: Hands
) -> None:
    """The key is in the answer that makes it and in no other; revoked, it is refused at once."""
    answer = client.post("/v1/validation-keys", headers=admin, json={"name": "Grüße"})
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    assert made == {"id": made["id"], "key": made["key"], "name": "Grüße"}
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert client.post("/v1/licenses/validate", headers=headers).status_code == 400
    # Its use is written down behind the request.
    server.database.write_now(lambda connection: None)
    listed = client.get("/v1/validation-keys", headers=admin)
    assert made["key"] not in listed.text
    assert listed.json() == {
        "validation_keys": [
            {
                "id": made["id"],
                "name": "Grüße",
                "created_at": rfc3339(hands.wall),
                "used_at": rfc3339(hands.wall),
                "revoked_at": None,
            }
        ]
    }
    for _ in range(2):
        gone = client.delete(f"/v1/validation-keys/{made['id']}", headers=admin)
        assert (gone.status_code, gone.content) == (204, b"")
    assert client.post("/v1/licenses/validate", headers=headers).status_code == 401
    (entry,) = client.get("/v1/validation-keys", headers=admin).json()["validation_keys"]
    assert entry["revoked_at"] == rfc3339(hands.wall)


def test_the_name_of_a_validation_key_is_one_line_of_text(
    client: TestClient, admin: dict[str, str]
) -> None:
    """Whatever is no printable text of reasonable length is refused."""
    for name in (5, "x" * 257, "a\nb", None, ["a"]):
        answer = client.post("/v1/validation-keys", headers=admin, json={"name": name})
        assert answer.status_code == 400, name


def test_only_validation_keys_are_revoked_over_http(
    client: TestClient, server: LicenseServer, admin: dict[str, str]
) -> None:
    """An admin key, or one that is not there, is 404: the vendor cannot lock themselves out."""
    other = server.api_keys.create("admin", "colleague")
    for key_id in (other.id, "lvk_0123456789abcdef"):
        assert client.delete(f"/v1/validation-keys/{key_id}", headers=admin).status_code == 404
    assert server.api_keys.find(other.key) is not None
