"""The status list, read without anything of ours."""

from __future__ import annotations

import re
import zlib
from base64 import urlsafe_b64decode

import jwt
from starlette.testclient import TestClient

from example_projects.license_server import app
from example_projects.license_server.testing import (
    ADMIN,
    ADMIN_KEY,
    ISSUER,
    act,
    decode,
    issue,
)
from licet.issuer import Issuer


def listed(client: TestClient, token: str) -> int:
    """Return what the status list says of a license, read with PyJWT and the draft in hand."""
    claims = decode(client, token)["status"]["status_list"]
    answer = client.get(claims["uri"])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/statuslist+jwt"
    assert jwt.get_unverified_header(answer.text)["typ"] == "statuslist+jwt"
    published = jwt.PyJWKSet.from_dict(client.get("/.well-known/jwks.json").json())
    key = published[jwt.get_unverified_header(answer.text)["kid"]]
    said = jwt.decode(answer.text, key)
    assert said["sub"] == claims["uri"]
    assert said["exp"] > said["iat"]
    assert said["ttl"] == 300
    lst = said["status_list"]["lst"]
    content = zlib.decompress(urlsafe_b64decode(lst + "=" * (-len(lst) % 4)))
    bits, index = said["status_list"]["bits"], claims["idx"]
    byte = content[index * bits // 8]
    return int((byte >> (index * bits % 8)) & ((1 << bits) - 1))


def test_a_status_list_follows_its_licenses(client: TestClient) -> None:
    """A license that asked for it is on a signed list, which knows at once what became of it."""
    body = client.post("/v1/licenses", headers=ADMIN, json={"status": True}).json()
    other = issue(client, status=True)
    seen = [listed(client, body["token"])]
    for happens in ("suspend", "resume", "revoke"):
        act(client, body["id"], happens)
        seen.append(listed(client, body["token"]))
    assert seen == [0, 2, 0, 1]
    assert listed(client, other) == 0
    client.post("/v1/keys/rotate", headers=ADMIN)
    assert listed(client, body["token"]) == 1


def test_the_status_list_is_cached(client: TestClient) -> None:
    """Whoever has the list is told so, until something changes."""
    body = client.post("/v1/licenses", headers=ADMIN, json={"status": True}).json()
    uri = decode(client, body["token"])["status"]["status_list"]["uri"]
    answer = client.get(uri)
    assert answer.headers["cache-control"] == "public, max-age=150"
    known = {"If-None-Match": answer.headers["etag"]}
    assert client.get(uri, headers=known).status_code == 304
    act(client, body["id"], "revoke")
    assert client.get(uri, headers=known).status_code == 200


def test_there_is_no_list_of_another_process(client: TestClient) -> None:
    """A server says nothing about licenses that it does not know: it has not forgotten them."""
    uri = decode(client, issue(client, status=True))["status"]["status_list"]["uri"]
    with TestClient(app.create_app(Issuer.generate(ISSUER), ADMIN_KEY, "acme-reports")) as other:
        assert other.get(uri).status_code == 404
        issue(other, status=True)
        assert other.get(uri).status_code == 404


def test_who_asks_for_no_status_has_none(client: TestClient) -> None:
    """A license names a list only where that was asked for, at the address that is configured."""
    assert "status" not in decode(client, issue(client))
    server = app.create_app(
        Issuer.generate(ISSUER), ADMIN_KEY, "acme-reports", url="https://status.example/"
    )
    with TestClient(server) as elsewhere:
        uri = decode(elsewhere, issue(elsewhere, status=True))["status"]["status_list"]["uri"]
        assert re.fullmatch(r"https://status\.example/status/\d+", uri)
