"""Every operation of the OpenAPI document behind its door: with every key but the right one."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient

from licet.server import Configuration, LicenseServer
from tests.core.hands import Hands
from tests.server.description import Operation, operations

GUARDED = [operation for operation in operations() if operation.door is not None]
FORM = "application/x-www-form-urlencoded"
OTHER = {"admin": "validation", "validation": "admin"}
PREFIX = {"admin": "lak_", "validation": "lvk_"}
#: What is said of a key that is missing, wrong, or of the other kind; and of two of them.
MISSING, WRONG, UNFIT, TWICE = (
    f'Bearer realm="licet"{error}'
    for error in (
        "",
        ', error="invalid_token"',
        ', error="insufficient_scope"',
        ', error="invalid_request"',
    )
)


class House(NamedTuple):
    """A server in use, and the keys to it.

    Attributes:
        server: which.
        client: talks to it.
        hands: of its clock.
        keys: a key of each kind.
        revoked: a key of each kind that was one.
        names: what stands in the paths of addresses: all of it is there.
    """

    server: LicenseServer
    client: TestClient
    hands: Hands
    keys: dict[str, str]
    revoked: dict[str, str]
    names: dict[str, dict[str, str]]

    def call(
        self, operation: Operation, *headers: tuple[str, str | bytes], query: str = "", **body: Any
    ) -> Any:
        """Call an operation as its example does."""
        # Guessing has its pace.
        self.hands.advance(1.0)
        path = operation.at(self.names.get(operation.path.rpartition("/{")[0], {}))
        request: dict[str, Any] = {"headers": list(headers), "params": query}
        sent = operation.example
        if body and not isinstance(sent, list):
            sent = {**(sent or {}), **body}
        if sent is not None:
            request["data" if operation.media_type == FORM else "json"] = sent
        return self.client.request(operation.method, path, **request)

    def contents(self) -> list[str]:
        """Return all that is kept."""
        # Behind whatever waits to be written.
        return self.server.database.write_now(lambda connection: list(connection.iterdump()))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server with a license, a receiver, two signing keys and keys of each kind."""
    hands = Hands()
    configuration = Configuration(
        data=tmp_path_factory.mktemp("doors") / "data",
        issuer="https://licenses.acme.example",
        audience="acme-reports",
        url="http://127.0.0.1",
    )
    with LicenseServer(configuration, clock=hands.clock) as server:
        # Without its lifespan: nothing goes on behind the requests.
        client = TestClient(server.app)
        made = {kind: server.api_keys.create(kind, "in use") for kind in OTHER}
        gone = {kind: server.api_keys.create(kind, "revoked") for kind in OTHER}
        spare = server.api_keys.create("validation", "in use elsewhere")
        for key in gone.values():
            server.api_keys.revoke(key.id)
        keys = {kind: key.key for kind, key in made.items()}
        vendor = {"Authorization": f"Bearer {keys['admin']}"}
        license_id = "lic_abc123"
        client.post("/v1/licenses", headers=vendor, json={"id": license_id})
        client.put("/v1/webhooks", headers=vendor, json={"url": "https://127.0.0.1:9/"})
        receiver = client.get("/v1/webhooks", headers=vendor).json()["webhooks"][0]["id"]
        kid = client.post("/v1/keys/rotate", headers=vendor).json()["keys"][0]["kid"]
        # Seen for the first time, which is noted.
        client.post("/v1/usage", headers={"Authorization": f"Bearer {keys['validation']}"})
        names = {
            "/v1/licenses": {"id": license_id},
            "/v1/webhooks": {"id": receiver},
            "/v1/keys": {"kid": kid},
            "/v1/validation-keys": {"id": spare.id},
            "/status": {"number": "0"},
        }
        revoked = {kind: key.key for kind, key in gone.items()}
        yield House(server, client, hands, keys, revoked, names)


def _strangers(house: House, kind: str) -> Iterator[tuple[str, int, str, list[tuple[str, Any]]]]:
    """Yield what it is, the answer's status and challenge, and the header fields of a request."""
    right, other = house.keys[kind], house.keys[OTHER[kind]]
    field, name = f"Bearer {right}", "Authorization"
    yield "nothing", 401, MISSING, []
    yield "the other kind", 403, UNFIT, [(name, f"Bearer {other}")]
    yield "the key twice", 400, TWICE, [(name, field), (name, field)]
    yield "a wrong key and the right one", 400, TWICE, [(name, "Bearer x"), (name, field)]
    basic = base64.b64encode(f"{right}:".encode()).decode()
    for scheme in (f"Basic {basic}", f"Digest {right}", f"DPoP {right}", right, f"Bearer\t{right}"):
        yield scheme.partition(" ")[0], 401, MISSING, [(name, scheme)]
    for elsewhere in ("Proxy-Authorization", "X-Api-Key", "X-Authorization", "Cookie"):
        value = f"key={right}" if elsewhere == "Cookie" else field
        yield elsewhere, 401, MISSING, [(elsewhere, value)]
    secret = right[21:]
    wrong = {
        "a revoked one": house.revoked[kind],
        "an unknown one": f"{PREFIX[kind]}{'0' * 16}_{secret}",
        "another secret": right[:21] + secret[::-1],
        "no secret": right[:20],
        "an empty one": right[:21],
        "more": right + "A",
        "less": right[:-1],
        "two in one": f"{right}, Bearer {right}",
        "its id with another prefix": PREFIX[OTHER[kind]] + right[4:],
        "capitals": right.upper(),
        "a long one": right + "A" * 8_000,
        "the id of the other": other[:21] + secret,
    }
    for what, key in wrong.items():
        yield what, 401, WRONG, [(name, f"Bearer {key}")]
    for octets in (b"Bearer " + right.encode() + b"\xe9", b"Bearer \xff\xfe"):
        yield "not ASCII", 401, WRONG, [(name, octets)]


@pytest.mark.parametrize("operation", GUARDED, ids=lambda operation: operation.id)
def test_nobody_comes_in_without_the_key_of_the_kind(house: House, operation: Operation) -> None:
    """Every other key is refused with a problem and a challenge, and leaves no trace."""
    kind, before = str(operation.door), house.contents()
    for what, status, challenge, fields in _strangers(house, kind):
        answer = house.call(operation, *fields)
        assert (what, answer.status_code) == (what, status), answer.text
        assert answer.headers["www-authenticate"] == challenge, what
        assert answer.headers["content-type"] == "application/problem+json", what
        assert answer.headers["cache-control"] == "no-store", what
        assert answer.json().keys() == {"type", "title", "status", "detail"}, what
        assert house.keys[kind] not in answer.text, what
        assert status in operation.statuses
    assert house.contents() == before


@pytest.mark.parametrize("operation", GUARDED, ids=lambda operation: operation.id)
def test_a_key_is_looked_for_in_one_place(house: House, operation: Operation) -> None:
    """In a query or a body, the right key opens nothing (RFC 6750, sections 2.2 and 2.3)."""
    key, before = house.keys[str(operation.door)], house.contents()
    for name in ("access_token", "key", "api_key", "token"):
        assert house.call(operation, query=f"{name}={key}").status_code == 401
    assert house.call(operation, access_token=key).status_code == 401
    assert house.contents() == before


@pytest.mark.parametrize("operation", GUARDED, ids=lambda operation: operation.id)
def test_nobody_learns_what_is_behind_a_door(house: House, operation: Operation) -> None:
    """Without a key what is not there is 401 as well, to HEAD too; no other spelling leads in."""
    nowhere = operation.at({"id": "nobody", "kid": "none"})
    assert house.client.request(operation.method, nowhere).status_code == 401
    if operation.method == "GET":
        assert house.client.head(nowhere).status_code == 401
    for other in (f"{nowhere}/", f"/{nowhere}", nowhere.upper(), f"/healthz/..{nowhere}"):
        assert house.client.request(operation.method, other).status_code in (401, 404, 405), other


@pytest.mark.parametrize("operation", GUARDED, ids=lambda operation: operation.id)
def test_the_key_of_the_kind_comes_in(house: House, operation: Operation) -> None:
    """With the right key the same request is answered as described: what was refused is the key."""
    field = f"Bearer {house.keys[str(operation.door)]}"
    answer = house.call(operation, ("Authorization", field))
    # What is withdrawn for good is not withdrawn for now any more.
    assert answer.status_code in (200, 201, 204, 409)
    operation.check(answer)


@pytest.mark.parametrize("kind", OTHER)
@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_has_no_case(house: House, kind: str, scheme: str) -> None:
    """However the scheme is spelt, and with one space or two, the right key comes in."""
    operation = next(one for one in GUARDED if one.door == kind and not one.path.endswith("}"))
    answer = house.call(operation, ("Authorization", f"{scheme} {house.keys[kind]}"))
    assert answer.status_code not in (401, 403)


def test_everything_else_is_for_everybody(house: House) -> None:
    """What the document gives no door demands no key, and what it gives one is all of the rest."""
    public = {"getKeySet", "getHealth", "getDescription", "getStatusList", "refresh"}
    assert {one.id for one in operations() if one.door is None} == public
    for operation in operations():
        if operation.door is None:
            answer = house.call(operation)
            assert "bearer" not in answer.headers.get("www-authenticate", "").lower()
            operation.check(answer)
