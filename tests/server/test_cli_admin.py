"""The vendor's commands, as they are typed against a real license server on loopback."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from licet import Settings, verify
from licet.cli.admin import audit, importing, licenses
from licet.server import Configuration, LicenseServer
from licet.server.audit import page
from tests.commands import Said, licet
from tests.core.license_server import AUTHORITY
from tests.server.conftest import AUDIENCE, ISSUER
from tests.server.running import serving

YEAR = 365 * 86_400


@dataclass
class Vendor:
    """Who runs the server, with its address and admin key in the environment."""

    server: LicenseServer
    url: str
    key: str

    def __call__(self, *arguments: object, stdin: bytes | None = None) -> Said:
        """Type a command."""
        # `certifi`'s authorities take longer to read than most of what is tested.
        return licet(*arguments, "--ca-file", AUTHORITY, stdin=stdin)

    def document(self, *arguments: object) -> Any:
        """Type a command that succeeds; return what it prints as JSON."""
        said = self(*arguments, "--json")
        assert said.status == 0, said
        return said.document

    def issue(self, *options: object) -> str:
        """Issue a license; return its id."""
        return str(self.document("licenses", "issue", *options)["id"])

    def state(self, license_id: str) -> str:
        """Return the state of a license, as the server shows it."""
        return str(self.document("licenses", "show", license_id)["state"])


@pytest.fixture(name="vendor", scope="module")
def _vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    data = tmp_path_factory.mktemp("server")
    with (
        LicenseServer(Configuration(data=data, issuer=ISSUER, audience=AUDIENCE)) as server,
        serving(server.app) as (host, port),
        pytest.MonkeyPatch.context() as environment,
    ):
        vendor = Vendor(server, f"http://{host}:{port}", server.api_keys.create("admin", "me").key)
        environment.setenv("LICET_SERVER", vendor.url)
        environment.setenv("LICET_ADMIN_KEY", vendor.key)
        yield vendor


def test_the_token_alone_is_printed(vendor: Vendor) -> None:
    """Standard output is one line, the license, which an application accepts."""
    said = vendor("licenses", "issue", "--feature", "analytics", "--plan", "pro")
    assert (said.status, said.err) == (0, "")
    jwks = vendor.server.signing_keys.issuer.jwks()
    settings = Settings(issuer=ISSUER, audience=AUDIENCE, jwks=jwks, jwks_url=None)
    entitlements = verify(said.out.removesuffix("\n"), settings)
    assert entitlements.features == {"analytics"}
    assert entitlements.plan == "pro"


def test_the_key_is_printed_on_a_second_line(vendor: Vendor) -> None:
    """`--key` makes an opaque license key, which is shown below the token."""
    said = vendor("licenses", "issue", "--key")
    token, key = said.out.splitlines()
    assert (token.count("."), key[:4]) == (2, "lic_")


def test_the_options_are_those_of_issue(vendor: Vendor, tmp_path: Path) -> None:
    """What `licet issue` signs here the server signs for the same options."""
    options = (
        *("--audience", AUDIENCE, "--audience", "acme-forms", "--subject", "lic_twin"),
        *("--customer", "Example GmbH", "--plan", "professional", "--feature", "a,b"),
        *("--limit", "seats=10,apiCalls=50000/month", "--role", "admin", "--scope", "x,y"),
        *("--domain", "example.com", "--ip-range", "203.0.113.0/24", "--region", "DE"),
        *("--time-window", "mon-fri 07:00-19:00 Europe/Berlin", "--grace", "7d", "--trial"),
        *("--bind-x5t", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "--expires-in", "30d"),
        *("--not-before", "2026-01-01T00:00:00Z"),
        *("--claim", 'tenant="acme"', "--claim", 'must_understand=["cnf"]'),
    )
    path = tmp_path / "issuer.json"
    assert licet("keygen", path, "--issuer", ISSUER).status == 0
    tokens = [licet("issue", path, *options), vendor("licenses", "issue", *options)]
    here, there = (licet("inspect", "--json", said.out.strip()).document for said in tokens)
    assert vendor.document("licenses", "show", "lic_twin")["claims"] == there["claims"]
    for claims in (here["claims"], there["claims"]):
        assert claims["exp"] - claims["iat"] == 30 * 86_400
        assert all(claims.pop(name) for name in ("jti", "iat", "exp"))
    assert here["claims"] == there["claims"]


def test_a_place_on_the_status_list(vendor: Vendor) -> None:
    """`--status` has the license name the server's own list."""
    license_id = vendor.issue("--status")
    claims = vendor.document("licenses", "show", license_id)["claims"]
    assert "/status/" in claims["status"]["status_list"]["uri"]


def test_what_no_gate_would_accept_is_not_issued(vendor: Vendor) -> None:
    """The server's own sentence is shown, and it is status 1; what cannot be read is status 2."""
    said = vendor("licenses", "issue", "--feature", "two words", "--json")
    assert (said.status, said.document["status"]) == (1, 400)
    assert said.document["detail"] in said.err
    assert vendor("licenses", "issue", "--limit", "seats").status == 2


def test_a_large_license_is_warned_about(vendor: Vendor) -> None:
    """Above 4 KiB the license is printed all the same, and standard error says what that means."""
    features = ",".join(f"feature-number-{n}" for n in range(250))
    said = vendor("licenses", "issue", "--feature", features)
    assert said.status == 0
    assert "LICET_MAX_TOKEN_SIZE" in said.err


def test_an_id_is_issued_once(vendor: Vendor) -> None:
    """A second license of an id is status 1, and says so."""
    vendor.issue("--subject", "lic_once")
    said = vendor("licenses", "issue", "--subject", "lic_once")
    assert (said.status, said.out) == (1, "")
    assert "already" in said.err


def test_listing(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages are listed, of one customer, in one state, or as many as are wanted."""
    monkeypatch.setattr(licenses, "PAGE", 2)
    ids = sorted(vendor.issue("--customer", "Ämter & Co") for _ in range(5))
    vendor("licenses", "suspend", ids[0])
    wanted = ("licenses", "list", "--customer", "Ämter & Co")

    def listed(*options: object) -> list[str]:
        return [each["id"] for each in vendor.document(*wanted, *options)["licenses"]]

    assert listed() == ids
    assert listed("--state", "active") == ids[1:]
    assert listed("--limit", 3) == ids[:3]
    table = vendor(*wanted).out.splitlines()
    assert len(table) == 6
    assert table[0].split() == ["id", "state", "customer", "plan", "ends"]
    assert ids[0] in table[1]
    assert "suspended" in table[1]
    assert "in 365 days" in table[1]
    assert "no such" in vendor("licenses", "list", "--customer", "nobody").out


def test_one_license(vendor: Vendor) -> None:
    """All that the server knows of it is shown, for people one thing a line."""
    license_id = vendor.issue("--plan", "pro", "--limit", "seats=10")
    shown = vendor("licenses", "show", license_id).out
    for line in (f"id: {license_id}", "state: active", "plan: pro", "claims:", "use:"):
        assert line in " ".join(shown.split())
    assert vendor.document("licenses", "show", license_id)["use"]["seats"]["max"] == 10


def test_a_life(vendor: Vendor) -> None:
    """Suspended, resumed and revoked: each is what the server then says, and nothing undoes the
    last."""
    license_id = vendor.issue()
    states = []
    for step in ("suspend", "resume", "revoke"):
        said = vendor("licenses", step, license_id, "--reason", "invoice 4711")
        assert said.status == 0
        assert license_id in said.out
        states.append(vendor.state(license_id))
    assert states == ["suspended", "active", "revoked"]
    assert vendor.document("licenses", "show", license_id)["reason"] == "invoice 4711"
    said = vendor("licenses", "resume", license_id)
    assert said.status == 1
    assert "stays revoked" in said.err
    assert vendor.state(license_id) == "revoked"


def test_several_at_once(vendor: Vendor) -> None:
    """Each is asked for, the status is 1 where the server says no to one of them, and it says to
    which."""
    ids = [vendor.issue(), vendor.issue()]
    said = vendor("licenses", "revoke", ids[0], "lic_none", ids[1], ids[1], "--json")
    assert said.status == 1
    results = said.document["licenses"]
    assert [each["id"] for each in results] == [ids[0], "lic_none", ids[1]]
    assert [each.get("state") for each in results] == ["revoked", None, "revoked"]
    assert results[1]["status"] == 404
    assert "lic_none: the server says no (404)" in said.err


def lines(count: int, **members: object) -> bytes:
    """Return orders, one on each line."""
    orders = ({"plan": f"p{n}", "expires_in": YEAR, **members} for n in range(count))
    return b"".join(json.dumps(order).encode() + b"\n" for order in orders)


def test_import(vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line is answered by one with its number, id, token and key; empty ones are skipped."""
    monkeypatch.setattr(importing, "MOST", 3)
    path = tmp_path / "licenses.ndjson"
    first, rest = lines(4, customer="import", id=None), lines(3, customer="import", key=True)
    path.write_bytes(first + b"\n" + rest)
    said = vendor("licenses", "import", path)
    assert said.status == 0
    issued = [json.loads(line) for line in said.out.splitlines()]
    assert [each["line"] for each in issued] == [1, 2, 3, 4, 6, 7, 8]
    assert ["key" in each for each in issued] == [False] * 4 + [True] * 3
    listed = vendor.document("licenses", "list", "--customer", "import")["licenses"]
    assert sorted(each["id"] for each in listed) == sorted(each["id"] for each in issued)
    assert "7 licenses are issued, up to line 8" in said.err


def test_an_import_that_stops(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the line, its batch is not issued, and `--after` goes on where it ended."""
    monkeypatch.setattr(importing, "MOST", 2)
    bad = json.dumps({"features": "analytics"}).encode() + b"\n"
    content = lines(3, customer="stops") + bad + lines(1, customer="stops")
    said = vendor("licenses", "import", "-", stdin=content)
    assert said.status == 1
    assert [json.loads(line)["line"] for line in said.out.splitlines()] == [1, 2]
    assert "line 4: features" in said.err
    assert "--after 2" in said.err
    mended = content.replace(bad, lines(1, customer="stops"))
    again = vendor("licenses", "import", "-", "--after", 2, stdin=mended)
    assert [json.loads(line)["line"] for line in again.out.splitlines()] == [3, 4, 5]
    assert len(vendor.document("licenses", "list", "--customer", "stops")["licenses"]) == 5


def test_where_licenses_come_from(vendor: Vendor, tmp_path: Path) -> None:
    """A file that is not there, and a terminal, are status 2, and nothing is said of lines."""
    for name in (tmp_path / "none", tmp_path, "-"):
        said = vendor("licenses", "import", name)
        assert said.status == 2
        assert "--after" not in said.err


@pytest.mark.parametrize(
    "line", [b"[]", b'{"plan": 1, "plan": 2}', b"\xff", b"{" + b" " * 70_000 + b"}"], ids=len
)
def test_a_line_that_is_no_license(vendor: Vendor, line: bytes) -> None:
    """It is status 2, and nothing of its batch is sent."""
    said = vendor("licenses", "import", "-", "--json", stdin=lines(1, customer="none") + line)
    assert said.status == 2
    assert "line 2 is no JSON object" in said.document["detail"]
    assert vendor.document("licenses", "list", "--customer", "none") == {"licenses": []}


def test_keys(vendor: Vendor) -> None:
    """A new key signs, the old one stays until it is retired; the one that signs cannot be."""
    old = vendor.server.signing_keys.issuer.kid
    new = vendor("keys", "rotate").out.split()[1]
    assert vendor.server.signing_keys.issuer.kid == new != old
    assert [key["kid"] for key in vendor.document("keys", "list")["keys"]] == [old, new]
    said = vendor("keys", "retire", new)
    assert said.status == 1
    assert "rotate first" in said.err
    assert vendor("keys", "retire", old).status == 0
    states = [line.split()[2] for line in vendor("keys", "list").out.splitlines()]
    assert states == ["state", "retired", "signs"]
    assert vendor.document("keys", "rotate", "--algorithm", "ES256")["keys"][-1]["alg"] == "ES256"
    assert vendor("keys", "rotate", "--algorithm", "HS256").status == 1
    # One id in 64 looks like an option.
    assert vendor("keys", "retire", "-" + "k" * 42).status == 1


def test_validation_keys(vendor: Vendor) -> None:
    """A key is printed alone and once, is listed without its secret, and refused once revoked."""
    said = vendor("validation-keys", "create", "Example GmbH")
    key = said.out.removesuffix("\n")
    caller = vendor.server.api_keys.find(key)
    assert caller is not None
    assert caller.id in said.err
    listed = vendor("validation-keys", "list").out
    assert "Example GmbH" in listed
    assert key not in listed
    assert vendor("validation-keys", "revoke", caller.id).status == 0
    assert vendor.server.api_keys.find(key) is None
    assert "revoked" in vendor("validation-keys", "list").out
    assert vendor("validation-keys", "revoke", "lvk_none").status == 1


def test_webhooks(vendor: Vendor, tmp_path: Path) -> None:
    """An address is told from then on until it is removed, and keeps its secret."""
    url = "https://app.example/licet/webhook"
    secret = vendor("webhooks", "set", url).out
    assert secret.startswith("whsec_")
    again = vendor("webhooks", "set", url, "--event", "license.revoked,license.suspended")
    assert again.out == secret
    (told,) = vendor.document("webhooks", "list")["webhooks"]
    assert sorted(told["events"]) == ["license.revoked", "license.suspended"]
    assert url in vendor("webhooks", "list").out
    own = tmp_path / "secret"
    own.write_text("whsec_" + "A" * 32 + "\n")
    assert vendor("webhooks", "set", url, "--secret", f"@{own}").out == "whsec_" + "A" * 32 + "\n"
    assert vendor("webhooks", "set", "http://app.example/").status == 1
    assert vendor("webhooks", "set", url, "--secret", "whsec_written-out").status == 2
    assert vendor("webhooks", "remove", url).status == 0
    assert vendor("webhooks", "remove", url).status == 1
    assert vendor("webhooks", "remove", told["id"]).status == 1
    assert vendor("webhooks", "list").out == "Nobody is told.\n"


def test_audit(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page of the record is printed, a line each, or what came behind a line."""
    monkeypatch.setattr(audit, "PAGE", 2)
    license_id = vendor.issue()
    entries = [json.loads(line) for line in vendor("audit", "--json").out.splitlines()]
    numbers = [entry["id"] for entry in entries]
    assert numbers == list(range(1, len(numbers) + 1))
    assert (entries[-1]["action"], entries[-1]["subject"]) == ("license.issued", license_id)
    said = vendor("audit", "--after", numbers[-2])
    (line,) = said.out.splitlines()
    assert license_id in line
    assert vendor.key[:20] in line


def test_following_the_audit(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--follow` prints what comes, until Ctrl-C."""
    before = len(vendor("audit", "--json").out.splitlines())
    coming: list[str] = []

    def pause(_: float) -> None:
        if len(coming) == 2:
            raise KeyboardInterrupt
        coming.append(vendor.issue())

    monkeypatch.setattr(time, "sleep", pause)
    said = vendor("audit", "--after", before, "--follow", "--json")
    assert said.status == 130
    assert [json.loads(line)["subject"] for line in said.out.splitlines()] == coming


COMMANDS = (
    ("licenses", "list"),
    ("licenses", "show", "lic_1"),
    ("licenses", "issue"),
    ("licenses", "import", "-"),
    ("licenses", "revoke", "lic_1"),
    ("licenses", "suspend", "lic_1"),
    ("licenses", "resume", "lic_1"),
    ("keys", "list"),
    ("keys", "rotate"),
    ("keys", "retire", "kid"),
    ("validation-keys", "create", "x"),
    ("validation-keys", "list"),
    ("validation-keys", "revoke", "lvk_1"),
    ("webhooks", "set", "https://app.example/"),
    ("webhooks", "list"),
    ("webhooks", "remove", "x"),
    ("audit",),
)


def recorded(vendor: Vendor) -> set[tuple[str, str]]:
    """Return what was done, and to what."""
    entries = vendor.server.database.read(lambda connection: page(connection, 0, 10_000))
    return {(entry["action"], entry["subject"]) for entry in entries}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_the_key(
    vendor: Vendor, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no, a wrong, a validation or a revoked key it is status 2, nothing happens, and the key
    is not shown."""
    keys = vendor.server.api_keys
    revoked = keys.create("admin", "gone")
    keys.revoke(revoked.id)
    validation = keys.create("validation", "app")
    before = recorded(vendor)
    for key in ("", "lak_wrong", validation.key, revoked.key):
        monkeypatch.setenv("LICET_ADMIN_KEY", key)
        said = vendor(*command, stdin=lines(1))
        assert said.status == 2
        assert "LICET_ADMIN_KEY" in said.err
        assert not key or key not in said.err + said.out
    assert recorded(vendor) - before <= {("validation_key.used", validation.id)}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help(command: tuple[str, ...]) -> None:
    """`licet help` tells more about each of them, its exit statuses included, as `--help` does."""
    names = command[: 1 if command[0] == "audit" else 2]
    said = licet("help", *names)
    assert said == licet(*names, "--help")
    assert said.status == 0
    assert "Exit status" in said.out
    assert "%" not in said.out


@pytest.mark.parametrize("group", ["licenses", "keys", "validation-keys", "webhooks"])
def test_a_group_alone_helps(group: str) -> None:
    """Without a command behind it, it is wrong usage, answered with the commands there are."""
    said = licet(group)
    assert (said.status, said.out) == (2, "")
    assert said.err == licet("help", group).out
    assert "list" in said.err


def test_where_the_key_is(vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read from a file, from standard input, and from the directory of a local server."""
    monkeypatch.delenv("LICET_ADMIN_KEY")
    listing = ("keys", "list")
    path = tmp_path / "admin-key"
    path.write_text(vendor.key + "\n")
    assert vendor(*listing, "--admin-key", f"@{path}").status == 0
    assert vendor(*listing, "--admin-key", "-", stdin=vendor.key.encode()).status == 0
    assert vendor(*listing, "--data", tmp_path).status == 0
    (tmp_path / "dev-keys.json").write_text(json.dumps({"admin_key": vendor.key}))
    assert vendor(*listing, "--data", tmp_path).status == 0
    (tmp_path / "address").write_text(f"{vendor.url}\n")
    monkeypatch.setenv("LICET_SERVER", "http://127.0.0.1:1")
    assert vendor(*listing, "--data", tmp_path).status == 0
    # A new admin key is in the other file, and ends those before it.
    path.write_text("lak_another")
    os.utime(path, (4e9, 4e9))
    monkeypatch.setenv("LICET_SERVER", vendor.url)
    assert vendor(*listing, "--data", tmp_path).status == 2


def test_what_is_no_key(vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is written out, missing, or could not be sent is status 2, and is not shown."""
    monkeypatch.delenv("LICET_ADMIN_KEY")
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    (tmp_path / "dev-keys.json").write_text("[")
    for options in (
        ["--admin-key", vendor.key],
        ["--admin-key", "@" + str(tmp_path / "none")],
        ["--admin-key", f"@{tmp_path / 'key'}"],
        ["--admin-key", "-"],
        ["--data", str(tmp_path)],
        ["--data", str(tmp_path / "none")],
        # Of which not even can be said whether it is there.
        ["--data", str(tmp_path / ("x" * 300))],
    ):
        said = vendor("keys", "list", *options)
        assert (said.status, said.out) == (2, "")
        assert vendor.key[4:] not in said.err
    said = vendor("licenses", "import", "-", "--admin-key", "-", stdin=b"x")
    assert said.status == 2
    assert "standard input" in said.err
