"""A license from its issue to its end, each step seen by applications in three frameworks.

Once as a vendor types it, once as a program calls it; the server and the applications are the same.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet import Settings
from licet.cli.demo.servers import SERVER, Server, Servers
from licet.wsgi import LicenseMiddleware
from tests.pushed import new_secret
from tests.server.processes import Served, served
from tests.server.vendors import AUDIENCE, VENDORS, Vendor, kid_of
from tests.server.visitors import client, three, told

for needed in ("django", "flask", "starlette", "uvicorn", "gunicorn"):
    pytest.importorskip(needed)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="gunicorn")

SECRET = new_secret()
#: Seconds for anything that is waited for.
BOUND = 20.0
YEAR, HOUR = 365 * 86_400, 3_600
#: Seconds that a token of the installation lives, so that it can be watched as it is refreshed.
LIFE = 2
GOOD = (200, None)
SUSPENDED, REVOKED = (403, "license_suspended"), (403, "license_revoked")


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    """Ends what runs."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def server(stack: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Served, Path]:
    """A license server whose answers are soon to be asked for anew, and its directory."""
    data = tmp_path_factory.mktemp("server") / "data"
    short = ("--jwks-max-age", "1s", "--status-ttl", "1s", "--cache-for", "1s")
    return stack.enter_context(served(data, "--dev", "--json", *short)), data


@pytest.fixture(scope="module")
def settings(server: tuple[Served, Path]) -> dict[str, str]:
    """What applications are started with that ask this server about everything."""
    said = server[0].told
    return {
        "LICET_ISSUER": said["issuer"],
        "LICET_AUDIENCE": AUDIENCE,
        "LICET_JWKS_MAX_AGE": "1",
        "LICET_VALIDATION_URL": f"{said['url']}/v1/licenses/validate",
        "LICET_VALIDATION_CREDENTIALS": said["validation_key"],
        "LICET_LICENSE_KEY_PATTERN": "lic_[A-Za-z0-9_-]{43}",
        "LICET_LEEWAY": "0",  # one machine has one clock
    }


@pytest.fixture(scope="module")
def apps(
    stack: ExitStack, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> list[Server]:
    """The applications, which are told what happens."""
    directory = tmp_path_factory.mktemp("apps")
    servers = stack.enter_context(Servers(directory, announce=lambda server: None))
    own = {
        "LICET_WEBHOOK_RECEIVE_SECRET": SECRET,
        "LICET_LICENSE_STATE": f"{directory}/state-{SERVER}",
    }
    return servers.start(*three(), **settings, **own)


@pytest.fixture(params=VENDORS)
def vendor(
    request: pytest.FixtureRequest,
    server: tuple[Served, Path],
    settings: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Vendor]:
    """Who does it all."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    vendor = VENDORS[request.param](server[0].told, server[1], tmp_path)
    yield vendor
    vendor.close()


def eventually(ask: Callable[[], object], expected: object) -> None:
    """Ask until that is the answer."""
    deadline = time.monotonic() + BOUND
    while (answer := ask()) != expected:
        assert time.monotonic() < deadline, f"{answer}, and not {expected} within {BOUND} s"
        time.sleep(0.02)


def everywhere(apps: list[Server], credential: str, expected: tuple[int, str | None]) -> None:
    """See a license answered so by each application, if not at once."""
    with client() as http:
        for app in apps:
            eventually(partial(told, http, app, credential), expected)


def installation(token: Path, state: Path, server: dict[str, str]) -> httpx.Client:
    """Return what asks an application that has one license for all its users."""
    settings = Settings(
        issuer=server["issuer"],
        audience=AUDIENCE,
        jwks_max_age=1,
        leeway=0,
        license=f"file:{token}",
        license_state=state,
        refresh_url=f"{server['url']}/v1/licenses/refresh",
    )

    def app(environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        return [environ["licet.entitlements"].license_id.encode()]

    transport = httpx.WSGITransport(app=LicenseMiddleware(app, settings))
    return httpx.Client(transport=transport, base_url="http://app.example")


def test_a_license_is_what_its_vendor_makes_of_it(
    vendor: Vendor, apps: list[Server], tmp_path: Path
) -> None:
    """Issued, delivered, validated, rotated, refreshed, suspended, resumed, revoked, recorded."""
    for app in apps:
        vendor.tell(f"{app.url}/licet/webhooks", SECRET)
    who = type(vendor).__name__

    # Issued: one that is listed and one that is pushed only, and one of an installation.
    listed = vendor.issue(f"{who}-listed", expires_in=YEAR, grace=0, listed=True)
    pushed = vendor.issue(f"{who}-pushed", expires_in=YEAR, grace=0, listed=False)
    whole = vendor.issue(f"{who}-whole", expires_in=LIFE, grace=HOUR, listed=False)

    # Delivered.
    (tmp_path / "license").write_text(whole.token)
    installed = installation(tmp_path / "license", tmp_path / "state", vendor.server)

    def served_as() -> str:
        return installed.get("/").text

    credentials = [listed.token, pushed.token, listed.key]
    for credential in credentials:
        everywhere(apps, credential, GOOD)
    eventually(served_as, whole.id)

    # Validated.
    assert [vendor.validate(each) for each in credentials] == ["valid"] * 3

    # Rotated: the new key's licenses are taken, and the old one's still.
    new = vendor.rotate()
    later = vendor.issue(f"{who}-later", expires_in=YEAR, grace=0, listed=False)
    assert later.kid == new != listed.kid == pushed.kid == whole.kid
    for credential in (later.token, *credentials):
        everywhere(apps, credential, GOOD)

    # Refreshed: by whoever holds them, and by the installation itself. Then the old key may go.
    renewed = [refreshed(vendor, each.token) for each in (listed, pushed)]
    assert {kid_of(each) for each in renewed} == {new}
    for credential in renewed:
        everywhere(apps, credential, GOOD)

    def is_refreshed() -> bool:
        done = record(vendor)
        since = done[done.index(("keys.rotated", new)) :]
        return served_as() == whole.id and ("license.refreshed", whole.id) in since

    eventually(is_refreshed, True)
    vendor.retire(listed.kid)
    everywhere(apps, listed.token, (401, "license_invalid"))
    everywhere(apps, pushed.token, (401, "license_invalid"))
    eventually(served_as, whole.id)

    # Suspended, resumed and revoked.
    alive = [*renewed, listed.key]
    for what, answer, word in (
        ("suspend", SUSPENDED, "suspended"),
        ("resume", GOOD, "valid"),
        ("revoke", REVOKED, "revoked"),
    ):
        for each in (listed, pushed):
            vendor.act(what, each.id, f"why to {what}")
        for credential in alive:
            everywhere(apps, credential, answer)
        # By the list where a command looks at it, which is told nothing and keeps a no for a while.
        eventually(partial(vendor.validate, renewed[0]), word)
    everywhere(apps, later.token, GOOD)

    # Recorded.
    done = record(vendor)
    for each in (listed, pushed):
        assert [action for action, name in done if name == each.id] == [
            "license.issued",
            "license.refreshed",
            "license.suspended",
            "license.resumed",
            "license.revoked",
        ]
    assert [action for action, name in done if name == listed.kid][-1] == "keys.retired"
    assert ("keys.rotated", new) in done


def refreshed(vendor: Vendor, token: str) -> str:
    """Refresh a license as its holder does."""
    url = f"{vendor.server['url']}/v1/licenses/refresh"
    answer = httpx.post(url, json={"token": token}, trust_env=False, timeout=BOUND)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def record(vendor: Vendor) -> list[tuple[str, str]]:
    """Return what was done to what."""
    return [(line["action"], line["subject"]) for line in vendor.audit()]
