"""The whole server: how it starts, what it answers where nothing is, and how it ends."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from licet.issuer import Issuer
from licet.server import Configuration, LicenseServer, ServerError
from licet.server.failures import lasting
from licet.server.storage.database import StorageError
from tests.core.hands import Hands
from tests.server.conftest import AUDIENCE, ISSUER
from tests.server.description import DOCUMENT


def test_what_the_first_start_settles_stands(tmp_path: Path) -> None:
    """Issuer and audience are kept; a later start need not name them, and may not change them."""
    data = tmp_path / "deep" / "data"
    with LicenseServer(Configuration(data=data, issuer=ISSUER, audience=AUDIENCE)) as server:
        admin = server.api_keys.create("admin", "vendor")
        assert server.address.known == ISSUER
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    with LicenseServer(Configuration(data=data, url="https://host.example/")) as server:
        assert (server.issuer, server.audience) == (ISSUER, AUDIENCE)
        assert server.signing_keys.issuer.name == ISSUER
        assert server.api_keys.find(admin.key) is not None
        assert server.address.known == "https://host.example"
    for other in (
        Configuration(data=data, issuer="https://other.example"),
        Configuration(data=data, audience="other"),
    ):
        with pytest.raises(ServerError, match="what was issued from here says"):
            LicenseServer(other)


def test_a_first_start_wants_an_issuer_and_an_audience(tmp_path: Path) -> None:
    """What nobody has named is asked for; a key file names the issuer by itself."""
    with pytest.raises(ServerError, match="issuer") as refused:
        LicenseServer(Configuration(data=tmp_path / "a", audience=AUDIENCE))
    assert refused.value.remedy == "give --issuer, or --dev to try it"
    with pytest.raises(ServerError, match="audience"):
        LicenseServer(Configuration(data=tmp_path / "a", issuer=ISSUER))
    issuer = Issuer.generate(ISSUER)
    issuer.save(tmp_path / "issuer.json")
    configuration = Configuration(
        data=tmp_path / "a", audience=AUDIENCE, key_file=tmp_path / "issuer.json"
    )
    with LicenseServer(configuration) as server:
        assert server.signing_keys.issuer.kids == issuer.kids


def test_an_algorithm_that_cannot_sign_ends_the_first_start(tmp_path: Path) -> None:
    """An unknown algorithm is named, and what can be chosen."""
    configuration = Configuration(
        data=tmp_path / "data", issuer=ISSUER, audience=AUDIENCE, algorithm="HS256"
    )
    with pytest.raises(ServerError, match="choose one of EdDSA"):
        LicenseServer(configuration)


def test_a_start_that_failed_settles_nothing(tmp_path: Path) -> None:
    """As long as there are no keys, another issuer and audience may be named."""
    data = tmp_path / "data"
    with pytest.raises(ServerError, match="choose one of"):
        LicenseServer(Configuration(data=data, issuer="typo", audience="typo", algorithm="HS256"))
    with LicenseServer(Configuration(data=data, issuer=ISSUER, audience=AUDIENCE)) as server:
        assert (server.issuer, server.audience) == (ISSUER, AUDIENCE)


def test_a_damaged_database_ends_the_start(server: LicenseServer) -> None:
    """What SQLite cannot read is said to be so, with what to do."""
    server.close()
    path = server.database.path
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"x" * (len(content) - 4096))
    with pytest.raises(ServerError) as refused:
        LicenseServer(server.configuration)
    assert refused.value.remedy


def test_a_database_without_its_tables_ends_the_start(server: LicenseServer) -> None:
    """A database that somebody has changed is no reason for a traceback."""
    server.database.write_now(lambda connection: connection.execute("DROP TABLE api_keys"))
    server.close()
    with pytest.raises(ServerError, match="no such table: api_keys"):
        LicenseServer(server.configuration)


def test_one_server_at_a_time_has_the_data(server: LicenseServer) -> None:
    """A second server on the same data does not start, and does the first no harm."""
    with pytest.raises(ServerError, match="already"):
        LicenseServer(server.configuration)
    server.signing_keys.rotate()


@pytest.mark.parametrize(
    "options",
    [
        {"jwks_max_age": 0},
        {"cache_for": True},
        {"status_ttl": "300"},
        {"validation_rate": -1},
        {"issuer": ""},
        {"passphrase": ""},
        {"url": "licenses.acme.example"},
        {"url": "ftp://licenses.acme.example"},
        {"url": "https://"},
        {"url": "https://licenses.acme.example/?a=b"},
        {"issuer": "https://[licenses.acme.example"},
        {"passphrase": "a", "key_file": Path("keys")},
        {"key_file": Path("keys"), "unlock_file": Path("unlock")},
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    """A value that makes no sense, or contradicts another, is refused with a remedy."""
    with pytest.raises(ServerError) as refused:
        Configuration(data=Path("nowhere"), **options)
    assert refused.value.remedy


def test_a_data_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    """Where there is a file already there is no directory."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerError, match="cannot be"):
        LicenseServer(Configuration(data=tmp_path / "file", issuer=ISSUER, audience=AUDIENCE))


def test_what_is_not_there_is_a_problem(client: TestClient) -> None:
    """Unknown addresses and methods are problems too, with all methods that there are."""
    for method, path, status, allow in [
        ("GET", "/nothing", 404, None),
        ("GET", "/v1/keys/", 404, None),
        ("GET", "//healthz", 404, None),
        ("POST", "/healthz", 405, "GET, HEAD"),
        ("GET", "/v1/keys/rotate", 405, "POST"),
        ("PUT", "/v1/validation-keys", 405, "GET, HEAD, POST"),
        ("OPTIONS", "/v1/audit", 405, "GET, HEAD"),
    ]:
        answer = client.request(method, path, follow_redirects=False)
        assert (answer.status_code, answer.headers.get("allow")) == (status, allow), path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


def test_head_answers_as_get_does_without_a_body(client: TestClient) -> None:
    """HEAD has the status and the length of GET (RFC 9110, section 9.3.2)."""
    for path in ("/healthz", "/.well-known/jwks.json"):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(get.content))


def test_it_describes_itself(client: TestClient) -> None:
    """The description is public and cacheable, and the one that `test_openapi` holds it to."""
    answer = client.get("/openapi.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["etag"]
    assert answer.json() == DOCUMENT


def test_health_is_looked_at_once_a_second(
    client: TestClient, server: LicenseServer, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes nothing is 503; whoever asks all the time does not keep it busy."""
    write, written = server.database.write, []

    def counted(act: Any) -> Any:
        written.append(act)
        return write(act)

    monkeypatch.setattr(server.database, "write", counted)
    for _ in range(5):
        assert client.get("/healthz").status_code == 200
    assert len(written) == 1
    refuse = "CREATE TRIGGER refused BEFORE INSERT ON settings BEGIN SELECT RAISE(ABORT, 'no'); END"
    server.database.write_now(lambda connection: connection.execute(refuse))
    hands.advance(1)
    for _ in range(2):
        answer = client.get("/healthz")
        assert (answer.status_code, answer.json()["title"]) == (503, "Service Unavailable")
    server.database.write_now(lambda connection: connection.execute("DROP TRIGGER refused"))
    hands.advance(1)
    assert client.get("/healthz").status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize("is_well", [True, False])
async def test_many_who_ask_at_once_have_one_look(
    server: LicenseServer, monkeypatch: pytest.MonkeyPatch, is_well: bool
) -> None:
    """Of any number of strangers who ask for the health at once one has the disk looked at."""
    looks: list[int] = []

    def check() -> None:
        looks.append(1)
        if not is_well:
            raise StorageError("no")

    monkeypatch.setattr(server.signing_keys, "check", check)
    transport, statuses = httpx.ASGITransport(server.app), list[int]()

    async def ask() -> None:
        statuses.append((await asking.get("/healthz")).status_code)

    async with (
        httpx.AsyncClient(transport=transport, base_url=ISSUER) as asking,
        anyio.create_task_group() as strangers,
    ):
        for _ in range(20):
            strangers.start_soon(ask)
    assert (len(looks), set(statuses)) == (1, {200 if is_well else 503})


def failing(server: LicenseServer, error: Exception, *, late: bool = False) -> None:
    """Give the server an address that fails."""

    async def body() -> Any:
        yield b"half"
        raise error

    async def fail(request: Request) -> Response:
        if late:
            return StreamingResponse(body())
        raise error

    server.app.router.routes.append(Route("/fail", fail))


def test_an_error_nobody_has_thought_of_tells_nothing(
    server: LicenseServer, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a problem without a reason, and one line in the log without what the error says."""
    failing(server, ZeroDivisionError("a secret"))
    answer = client.get("/fail")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    (logged,) = [record for record in caplog.records if record.name.startswith("licet")]
    assert "ZeroDivisionError at" in logged.getMessage()
    assert "a secret" not in answer.text + caplog.text


def test_an_answer_that_breaks_off_does_not_look_whole(
    server: LicenseServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Once an answer has begun, a failure ends the connection."""
    failing(server, ZeroDivisionError("a secret"), late=True)
    with pytest.raises(ConnectionAbortedError), TestClient(server.app) as client:
        client.get("/fail")
    assert "a secret" not in caplog.text


@pytest.mark.anyio
async def test_who_has_gone_away_is_no_error(
    server: LicenseServer, admin: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """A caller that hangs up in the middle of a body is answered nothing and logged nowhere."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/keys/rotate",
        "query_string": b"",
        "headers": [(b"authorization", admin["Authorization"].encode())],
    }
    await server.app(scope, receive, send)
    assert sent == []
    assert caplog.records == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(StorageError("disk full"), 503), (HTTPException(418, "No."), 418)],
)
def test_errors_that_were_thought_of_are_answered_as_such(
    server: LicenseServer, client: TestClient, error: Exception, status: int
) -> None:
    """A change that the disk did not take is 503, what a handler refuses is what it says."""
    failing(server, error)
    assert client.get("/fail").status_code == status


@pytest.mark.anyio
async def test_what_fails_behind_the_requests_begins_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A task of the server that fails is reported without what the error says, and goes on."""
    monkeypatch.setattr("licet.server.failures.PAUSE", 0.0)
    begun = anyio.Event()
    failures = [ZeroDivisionError("a secret"), OSError("a secret")]

    async def run() -> None:
        if failures:
            raise failures.pop()
        begun.set()
        await anyio.sleep_forever()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lasting, run)
            await begun.wait()
            tasks.cancel_scope.cancel()
    assert [record.getMessage().split(" at ")[0] for record in caplog.records] == [
        "failed: OSError",
        "failed: ZeroDivisionError",
    ]
    assert "a secret" not in caplog.text


def test_it_ends_and_begins_again(server: LicenseServer) -> None:
    """Its application may be started several times; closed, however often, nothing is open."""
    for _ in range(2):
        with TestClient(server.app) as client:
            assert client.get("/healthz").status_code == 200
    server.close()
    server.close()
    with LicenseServer(server.configuration) as again:
        assert again.signing_keys.issuer.kids == server.signing_keys.issuer.kids
    with pytest.raises((StorageError, sqlite3.ProgrammingError)):
        server.database.read(lambda connection: connection.execute("SELECT 1"))
