"""The doors: who gets in, who does not, and who waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from licet.server import LicenseServer
from licet.server.access import doors
from licet.server.access.apikeys import ApiKeys
from licet.server.access.doors import WRONG_RATE, Doors
from licet.server.access.pace import Pace
from licet.server.endpoints.bodies import HANDLERS
from licet.server.storage.database import Database
from tests.core.hands import Hands

#: Where a license is all that one needs, and where nothing is.
OPEN = {"/.well-known/jwks.json", "/healthz", "/openapi.json", "/status/{number}"} | {
    "/v1/licenses/refresh"
}


class Guarded:
    """Two addresses behind doors, whose waiting takes no time and is written down."""

    def __init__(self, path: Path, hands: Hands) -> None:
        self.database = Database(path / "licet.db")
        self.keys = ApiKeys(self.database, clock=hands.clock)
        self.waits: list[float] = []
        self.while_waiting: Callable[[], object] = lambda: None
        paces = Pace(2, clock=hands.clock), Pace(WRONG_RATE, clock=hands.clock)
        doors = Doors(self.keys, *paces, sleep=self.sleep)
        routes = [
            Route("/admin", caller, middleware=doors.admin),
            Route("/validation", caller, middleware=doors.validation),
        ]
        self.app = Starlette(routes=routes, exception_handlers=HANDLERS)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.while_waiting()

    def get(self, path: str, *fields: str, host: str = "192.0.2.1") -> Any:
        client = TestClient(self.app, client=(host, 50_000))
        return client.get(path, headers=[("Authorization", field) for field in fields])


async def caller(request: Request) -> Response:
    return JSONResponse([request.state.caller.id, request.state.caller.kind])


@pytest.fixture
def guarded(tmp_path: Path, hands: Hands) -> Iterator[Guarded]:
    guarded = Guarded(tmp_path, hands)
    yield guarded
    guarded.database.close()


def test_every_other_address_of_the_server_has_a_door(
    server: LicenseServer,
    client: TestClient,
    hands: Hands,
    admin: dict[str, str],
    validation: dict[str, str],
) -> None:
    """Nothing but what is public is answered without a key, with a wrong or with a revoked one."""
    revoked = server.api_keys.create("admin", "gone")
    server.api_keys.revoke(revoked.id)
    refused: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": f"Bearer {revoked.key}"},
        {"Authorization": "Basic YTpi"},
    )
    guarded = 0
    for route in server.app.routes:
        assert isinstance(route, Route)
        if route.path in OPEN:
            continue
        guarded += 1
        hands.advance(1)
        path = route.path.replace("{id}", "lic_1").replace("{kid}", "kid")
        for method in sorted(route.methods or ()):
            for headers in refused:
                answer = client.request(method, path, headers=headers)
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"].startswith("Bearer")
            other = client.request(method, path, headers=validation).status_code
            asked = path in ("/v1/licenses/validate", "/v1/licenses/introspect", "/v1/usage")
            assert (other != 403) is asked, (method, path)
            if asked:
                assert client.request(method, path, headers=admin).status_code == 403
    assert guarded >= 15


def test_a_key_of_the_right_kind_comes_in(guarded: Guarded) -> None:
    """Whoever brings the right key is known to the handler; the scheme's case does not matter."""
    made = guarded.keys.create("admin", "vendor")
    for scheme in ("Bearer", "bearer", "BEARER"):
        answer = guarded.get("/admin", f"{scheme} {made.key}")
        assert (answer.status_code, answer.json()) == (200, [made.id, "admin"])


def test_a_challenge_says_what_is_wrong_and_no_more(guarded: Guarded) -> None:
    """The challenge has an error only where a key was presented, and repeats nothing of it."""
    admin, asking = guarded.keys.create("admin", "a"), guarded.keys.create("validation", "v")
    cases: list[tuple[str, tuple[str, ...], int, str]] = [
        ("/admin", (), 401, ""),
        ("/admin", ("Basic bGljZXQ6bGljZXQ=",), 401, ""),
        ("/admin", ("Bearer",), 401, "invalid_token"),
        ("/admin", ("Bearer guess",), 401, "invalid_token"),
        ("/admin", (f"Bearer {admin.key}x",), 401, "invalid_token"),
        ("/admin", (f"Bearer {admin.id}",), 401, "invalid_token"),
        ("/admin", (f"Bearer {asking.key}",), 403, "insufficient_scope"),
        ("/validation", (f"Bearer {admin.key}",), 403, "insufficient_scope"),
        ("/admin", (f"Bearer {admin.key}", f"Bearer {admin.key}"), 400, "invalid_request"),
        ("/admin", ("Bearer guess", f"Bearer {admin.key}"), 400, "invalid_request"),
    ]
    for path, fields, status, error in cases:
        answer = guarded.get(path, *fields)
        assert answer.status_code == status, fields
        assert answer.headers["content-type"] == "application/problem+json"
        said = f', error="{error}"' if error else ""
        assert answer.headers["www-authenticate"] == f'Bearer realm="licet"{said}'
        assert "guess" not in answer.text
        assert admin.key not in answer.text


def test_a_field_that_is_no_ascii_is_no_key(guarded: Guarded) -> None:
    """Bytes that no key has are a wrong key, and no error of the server's."""
    made = guarded.keys.create("admin", "vendor")
    client = TestClient(guarded.app)
    for field in (f"Bearer {made.key}\xe4", f"Bearer \xe4{made.key}", f"B\xe4rer {made.key}"):
        answer = client.get("/admin", headers={"Authorization": field.encode("latin-1")})  # type: ignore[dict-item]
        assert answer.status_code == 401, field


def test_who_asks_too_fast_waits_and_is_then_told_when_to_come_back(
    guarded: Guarded, hands: Hands
) -> None:
    """At two a second each one more waits 0.5 s longer, up to 5 s; then it is 429."""
    asking, other = guarded.keys.create("validation", "a"), guarded.keys.create("validation", "b")
    answers = [guarded.get("/validation", f"Bearer {asking.key}") for _ in range(13)]
    assert [answer.status_code for answer in answers] == [200] * 12 + [429]
    assert guarded.waits == [pytest.approx(0.5 * n) for n in range(1, 11)]
    assert answers[-1].headers["retry-after"] == "6"
    assert answers[-1].json()["title"] == "Too Many Requests"
    assert guarded.get("/validation", f"Bearer {other.key}").status_code == 200
    assert len(guarded.waits) == 10
    hands.advance(6)
    assert guarded.get("/validation", f"Bearer {asking.key}").status_code == 200


def test_a_key_that_is_revoked_while_it_waits_does_not_come_in(guarded: Guarded) -> None:
    """A revocation reaches those too that are waiting for their turn."""
    asking = guarded.keys.create("validation", "a")
    for _ in range(2):
        assert guarded.get("/validation", f"Bearer {asking.key}").status_code == 200
    guarded.while_waiting = lambda: guarded.keys.revoke(asking.id)
    assert guarded.get("/validation", f"Bearer {asking.key}").status_code == 401
    assert guarded.waits == [0.5]


def test_guessing_gets_slow_for_who_guesses_only(guarded: Guarded) -> None:
    """Wrong keys of one address wait, then get 429; right ones, and other addresses, do not."""
    admin = guarded.keys.create("admin", "vendor")
    most = WRONG_RATE * 6
    statuses = [guarded.get("/admin", f"Bearer guess{n}").status_code for n in range(most + 1)]
    assert statuses == [401] * most + [429]
    assert guarded.waits[-1] == pytest.approx(5.0)
    waited = len(guarded.waits)
    assert guarded.get("/admin", f"Bearer {admin.key}").status_code == 200
    assert guarded.get("/admin", "Bearer guess", host="192.0.2.2").status_code == 401
    assert len(guarded.waits) == waited


def test_one_network_of_addresses_guesses_as_one(guarded: Guarded) -> None:
    """Whoever has a network of IPv6 addresses is slowed as if they were one."""
    for number in range(WRONG_RATE + 1):
        guarded.get("/admin", "Bearer guess", host=f"2001:db8::{number:x}")
    assert len(guarded.waits) == 1
    for host in (
        "2001:db8:0:1::1",
        "::ffff:192.0.2.1",
        "::ffff:192.0.2.2",
        "testclient",
        "fe80::1%e",
    ):
        guarded.get("/admin", "Bearer guess", host=host)
    assert len(guarded.waits) == 1


def test_to_bring_no_key_is_no_guess(guarded: Guarded) -> None:
    """Requests without a key wait for nothing."""
    for _ in range(WRONG_RATE + 5):
        guarded.get("/admin")
    assert guarded.waits == []


def test_of_those_who_guess_only_so_many_wait(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From however many addresses wrong keys come, few are kept waiting; right ones come in."""
    monkeypatch.setattr(doors, "MOST_WAITING", 1)
    right = f"Bearer {guarded.keys.create('admin', 'vendor').key}"
    seen = []

    def meanwhile() -> None:
        guess = guarded.get("/admin", "Bearer wrong", host="192.0.2.2")
        seen.append((guess.status_code, guess.headers["retry-after"]))
        seen.append(guarded.get("/admin", right, host="192.0.2.2").status_code)

    guarded.while_waiting = meanwhile
    statuses = {guarded.get("/admin", "Bearer wrong").status_code for _ in range(WRONG_RATE + 1)}
    assert (statuses, seen) == ({401}, [(429, "5"), 200])
    assert guarded.get("/admin", "Bearer wrong", host="192.0.2.2").status_code == 401
