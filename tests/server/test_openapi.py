"""The OpenAPI document is the server: nothing is missing in it, and nothing in it is not so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from licet.server import Configuration, LicenseServer
from licet.server.access.apikeys import Kind
from licet.server.webhooks.deliveries import signed
from licet.server.webhooks.receivers import Receiver
from tests.core.hands import Hands
from tests.server.callers import SIGNED, Calls
from tests.server.conftest import ISSUER
from tests.server.description import DOCUMENT, METHODS, operations, validate

KINDS: tuple[Kind, ...] = ("admin", "validation")

#: Requests of each operation that are made up: so many here, and more in `tox -e openapi`.
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "3"))
WHOLE = "SCHEMATHESIS_EXAMPLES" in os.environ
DAY = 86_400
#: Seconds that it may take.
PATIENCE = 7200 if WHOLE else 240

#: All checks there are are made, but for those that say here what they cannot know.
CONFIGURATION = """
seed = 1
hooks = "{hooks}"

[generation]
deterministic = true
database = "none"
max-examples = {examples}

[auth.openapi.admin]
bearer = "{admin}"

[auth.openapi.validation]
bearer = "{validation}"

# A body that has too many of something may be larger than is read: that is 413.
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415]

# What is well formed may contradict itself, or the clock: `well_formed_is_accepted` knows how.
[[operations]]
include-operation-id = ["issueLicense", "importLicenses", "countUsage"]
[operations.checks.positive_data_acceptance]
enabled = false

# Left out unless it is named: the address that the document comes from.
[[operations]]
include-operation-id = ["getDescription"]
enabled = true

# Nobody guesses the number of a list; every other number is 404, which is tried as well.
[[operations]]
include-operation-id = ["getStatusList"]
[operations.parameters]
"path.number" = "{status_list}"
"""
#: What takes long, as it tries each bound of each member of each body.
SHORT = """
[[operations]]
include-tag = ["public", "licenses", "keys", "validation keys", "webhooks", "audit"]
[operations.phases.coverage]
enabled = false
"""


@pytest.fixture
def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LicenseServer]:
    """A server at which nobody waits, and which tells nobody anything."""
    for pace in ("app.WRONG_RATE", "endpoints.renewal.RATE"):
        monkeypatch.setattr(f"licet.server.{pace}", 10**6)
    configuration = Configuration(
        data=tmp_path / "data",
        issuer="https://licenses.acme.example",
        audience="acme-reports",
        validation_rate=10**6,
    )
    with LicenseServer(configuration) as server:
        monkeypatch.setattr(server._deliveries, "run", anyio.sleep_forever)
        yield server


def test_every_address_stands_in_it_and_nothing_else(tmp_path: Path) -> None:
    """Routes and document name the same addresses, with the same methods."""
    configuration = Configuration(data=tmp_path / "data", issuer="a", audience="b")
    with LicenseServer(configuration) as server:
        routes = [route for route in server.app.routes if isinstance(route, Route)]
        assert len(routes) == len(server.app.routes)
        # `HEAD` comes with `GET`.
        served = {
            (method, route.path)
            for route in routes
            for method in (route.methods or set()) - {"HEAD"}
        }
    assert served == {(one.method, one.path) for one in operations()}


def test_it_is_an_openapi_document() -> None:
    """It is valid by the schema of OpenAPI 3.1, and each of its schemas is one."""
    jsonschema_rs = pytest.importorskip("jsonschema_rs")
    definitions = pytest.importorskip("schemathesis.specs.openapi.definitions")
    definitions.OPENAPI_31_VALIDATOR.validate(DOCUMENT)
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


def test_its_references_lead_somewhere() -> None:
    """Every reference names a component, every component is named, and ids are of one operation."""
    named = set(_references(DOCUMENT))
    components = DOCUMENT["components"]
    there = {
        f"#/components/{kind}/{name}"
        for kind in components.keys() - {"securitySchemes"}
        for name in components[kind]
    }
    assert named == there
    ids = [one.id for one in operations()]
    assert len(set(ids)) == len(ids)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _references(one)


def test_its_examples_are_what_they_are_examples_of() -> None:
    """Each example of a body is as the schema beside it says."""
    checked = 0
    for content in _contents(DOCUMENT):
        if "example" in content:
            validate(content["schema"], content["example"])
            checked += 1
    for schema in DOCUMENT["components"]["schemas"].values():
        for example in schema.get("examples", ()):
            validate(schema, example)
            checked += 1
    assert checked > 20


def _contents(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if "schema" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _contents(one)


def test_whatever_fails_is_a_problem() -> None:
    """Every error of every operation is a problem, and whoever needs a key can be refused."""
    for path, item in DOCUMENT["paths"].items():
        for method in item.keys() & METHODS:
            for status, answer in item[method]["responses"].items():
                name = answer.get("$ref", "").rpartition("/")[2]
                described = DOCUMENT["components"]["responses"][name] if name else answer
                if int(status) >= 400:
                    assert list(described["content"]) == ["application/problem+json"], (
                        path,
                        status,
                    )
    for operation in operations():
        wanted = {400, 401, 403, 429} if operation.door else set()
        wanted |= {400, 413} if operation.media_type else set()
        assert operation.statuses >= wanted | {500}, operation.id


@pytest.mark.parametrize(
    "order",
    [
        {"customer": None},
        {"claims": 0},
        {"claims": []},
        {"expires_in": 3600.5},
        {"expires_in": 3_155_760_001},
        {"expires_in": True},
        {"grace": 0.5},
        {"audience": ""},
        {"audience": ["acme-reports", ""]},
    ],
    ids=str,
)
def test_an_order_means_what_it_says(calls: Calls, order: dict[str, object]) -> None:
    """Nothing of an order is rounded, and what says nothing is not taken for what is left out."""
    answer = calls.client.post("/v1/licenses", headers=calls.admin, json=order)
    assert answer.status_code == 400
    assert calls.page()["licenses"] == []


def test_an_algorithm_without_a_name_is_none(calls: Calls) -> None:
    """An empty name of an algorithm is not the present one's."""
    answer = calls.client.post("/v1/keys/rotate", headers=calls.admin, json={"algorithm": ""})
    assert answer.status_code == 400


@pytest.mark.parametrize("word", ["import", "introspect", "refresh", "validate"])
def test_an_address_allows_its_own_methods(calls: Calls, word: str) -> None:
    """What a license of that name would be asked by is nothing that the address takes."""
    answer = calls.client.options(f"/v1/licenses/{word}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_what_is_signed_is_described(calls: Calls, hands: Hands) -> None:
    """Tokens, answers of both kinds and lists have the claims that the document gives them."""
    terms = {"domains": ["example.com"], "limits": {"seats": 2}, "status": True, "grace": 60}
    given = calls.issue(key=True, expires_in=60, **terms)
    (refresh,) = (one for one in operations() if one.id == "refresh")
    for presented in (given["token"], given["token"][:-1]):
        refresh.check(calls.refresh(presented))
    token, key = given["token"], given["key"]
    _is(calls.decode(token), "LicenseClaims")
    for moment, domain in ((0, "example.com"), (0, "example.net"), (70, "example.com"), (60, None)):
        hands.advance(moment)
        question = {} if domain is None else {"domain": domain}
        for credential in (key, token, "lic_unknown"):
            _is(calls.validate(credential, **question), "ValidationAnswer")
            asked = calls.introspect(credential, SIGNED, nonce="n")
            _is(calls.decode(asked.text), "IntrospectionAnswer")
    path = calls.decode(token)["status"]["status_list"]["uri"].removeprefix(ISSUER)
    _is(calls.decode(calls.client.get(path).text, audience=None), "StatusList")
    used = {"name": "seats", "from": hands.wall, "to": hands.wall, "count": 1}
    report = {"batch_id": "1", "license_id": given["id"], "counters": [used, {**used, "name": "a"}]}
    calls.client.post("/v1/usage", headers=calls.validation, json=report)
    assert set(calls.show(given["id"])["use"]) == {"seats", "a"}
    _is(calls.show(given["id"]), "ShownLicense")


def _is(value: object, name: str) -> None:
    validate({"$ref": f"#/components/schemas/{name}"}, value)


def test_what_receivers_are_told_is_described(
    server: LicenseServer, hands: Hands, admin: dict[str, str], validation: dict[str, str]
) -> None:
    """Every event that is told is under `webhooks`, as it is described there, and no other is."""
    # Without its lifespan: nothing is delivered.
    calls = Calls(TestClient(server.app), admin, validation)
    url = "https://127.0.0.1:9/"
    put = calls.client.put("/v1/webhooks", headers=calls.admin, json={"url": url})
    order = {"expires_in": 40 * DAY, "limits": {"seats": 1}, "domains": ["example.com"]}
    given = calls.issue(key=True, **order)
    calls.ask(given["key"], domain="example.net")
    seats = {"name": "seats", "from": hands.wall, "to": hands.wall, "count": 2}
    report = {"batch_id": "1", "license_id": given["id"], "counters": [seats]}
    calls.client.post("/v1/usage", headers=calls.validation, json=report)
    hands.advance(11 * DAY)
    anyio.run(server._notices.tell_endings)
    for what in ("suspend", "resume", "revoke"):
        assert calls.act(given["id"], what) == 200
    calls.client.post("/v1/keys/rotate", headers=calls.admin)
    told = server.database.write_now(
        lambda connection: connection.execute("SELECT message_id, body FROM outbox").fetchall()
    )
    described = DOCUMENT["webhooks"]
    seen = set()
    for message_id, body in told:
        event = json.loads(body)
        seen.add(event["type"])
        content = described[event["type"]]["post"]["requestBody"]["content"]["application/json"]
        validate(content["schema"], event)
        delivery = signed(Receiver("wh_1", url, put.json()["secret"]), message_id, 1, body)
        for parameter in DOCUMENT["components"]["parameters"].values():
            if parameter["name"].startswith("webhook-"):
                validate(parameter["schema"], delivery.headers[parameter["name"]])
    assert seen == described.keys() == set(DOCUMENT["components"]["schemas"]["Event"]["enum"])


def test_the_server_is_what_it_says(hasty: LicenseServer, tmp_path: Path) -> None:
    """Whatever schemathesis asks of any operation is answered as the document says."""
    pytest.importorskip("schemathesis")
    pytest.importorskip("uvicorn")
    from tests.server.running import serving

    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(_configuration(hasty))
    with serving(hasty.app) as (host, port):
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration)]
        ran = subprocess.run(
            [*command, "run", f"http://{host}:{port}/openapi.json", "--no-color"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    number = len(operations())
    assert f"Selected: {number}/{number}\n  Tested: {number}\n" in ran.stdout, ran.stdout


def _configuration(server: LicenseServer) -> str:
    keys = {kind: server.api_keys.create(kind, "schemathesis").key for kind in KINDS}
    client = TestClient(server.app)
    vendor = {"Authorization": f"Bearer {keys['admin']}"}
    assert client.post("/v1/licenses", headers=vendor, json={"status": True}).status_code == 201
    (number,) = server.database.read(
        lambda connection: connection.execute("SELECT number FROM status_lists").fetchone()
    )
    hooks = Path(__file__).with_name("wellformed.py")
    known = CONFIGURATION.format(hooks=hooks, examples=EXAMPLES, status_list=number, **keys)
    return known if WHOLE else known + SHORT
