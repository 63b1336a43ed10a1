"""What the README shows works: every block of Python in it runs here."""

from __future__ import annotations

import json
import re
import shlex
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import licet
import licet.wsgi
from licet import (
    ConstraintViolated,
    Entitlements,
    LicenseInvalid,
    LicenseUnavailable,
    LimitExceeded,
    events,
    requires_feature,
)
from licet.cli import _parser
from licet.core.constraints import custom
from licet.core.events.bus import EVERY_GATE
from licet.core.keys.jwk import read_jwks
from licet.core.revocation.statuslist import read_list, read_reference
from licet.core.settings import Settings
from licet.core.stores import Store, StoreUnavailable
from licet.core.stores.memory import MemoryStore
from licet.core.token import compact
from licet.core.usage.rates import Rate, rate_fields
from licet.issuer import Issuer
from licet.testing import entitled, license_settings, make_license
from tests import commands, pushed
from tests.adapters.clients import AsgiClient, WsgiClient
from tests.adapters.contract import bearer
from tests.adapters.posting import AsgiPost, WsgiPost
from tests.core.license_server import CREDENTIALS, LicenseServer
from tests.core.test_keystore import Setup
from tests.licenses import OPTIONS
from tests.nginx import LOCATION

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = "https://licenses.acme.example"


def blocks(language: str = "python") -> list[str]:
    """Return the fenced blocks of one language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def block(mark: str) -> str:
    """Return the one block of Python that holds `mark`."""
    (found,) = [text for text in blocks() if mark in text]
    return found


class Published:
    """An issuer whose keys are served on loopback."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.issuer = Issuer.generate(url)

    def license(self, **claims: Any) -> str:
        """Return a license for the README's product."""
        return self.issuer.issue(
            audience="acme-reports", subject="lic_1", plan="professional", **claims
        )

    def run(self, text: str, **names: Any) -> dict[str, Any]:
        """Execute a block as its reader would, with this issuer in place of the one shown."""
        namespace = {"__name__": "shown", **names}
        exec(compile(text.replace(SHOWN, self.url), "README.md", "exec"), namespace)  # noqa: S102
        return namespace


@pytest.fixture(name="published", scope="module")
def _published() -> Iterator[Published]:
    made: list[Published] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(made[0].issuer.jwks()).encode()
            self.send_response(200 if self.path == "/.well-known/jwks.json" else 404)
            self.send_header("Content-Type", "application/jwk-set+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.append(Published(f"http://127.0.0.1:{server.server_port}"))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made[0]
        server.shutdown()
        thread.join()


def check(client: Any, published: Published, plan: Any) -> None:
    """A good license is served, a poorer one is refused, none is challenged."""
    good = published.license(features=["analytics"], limits={"seats": 10})
    answer = client.request("GET", "/reports", bearer(good))
    assert answer.status == 200
    assert plan(answer) == "professional"
    assert client.request("GET", "/reports").status == 401


def refuses_without_feature(client: Any, published: Published) -> None:
    """A license without the feature is told so."""
    answer = client.request("GET", "/reports", bearer(published.license()))
    assert answer.json["code"] == "feature_not_licensed"


def test_django(published: Published) -> None:
    """The Django blocks make a project that serves licensed requests."""
    pytest.importorskip("django")
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings
    from django.urls import path

    import tests.adapters.django_project  # noqa: F401 - configures Django

    settings = published.run(block("# settings.py"), INSTALLED_APPS=[], MIDDLEWARE=[])
    views = published.run(block("# views.py"))
    urls = type("urls", (), {"urlpatterns": [path("reports", views["report"])]})
    shown = {name: value for name, value in settings.items() if name.isupper()}
    with override_settings(**shown, ROOT_URLCONF=urls, ALLOWED_HOSTS=["testserver"]):
        client = WsgiClient(WSGIHandler(), [])
        check(client, published, lambda answer: answer.json["plan"])
        refuses_without_feature(client, published)


def test_flask(published: Published) -> None:
    """The Flask block is a whole application."""
    pytest.importorskip("flask")
    shown = published.run(block("Licet(app)"))
    client = WsgiClient(shown["app"].wsgi_app, [])
    check(client, published, lambda answer: answer.json["plan"])
    refuses_without_feature(client, published)
    assert client.request("GET", "/health").body == b"ok"


def test_starlette(published: Published) -> None:
    """The Starlette block is a whole application."""
    pytest.importorskip("starlette")
    client = AsgiClient(published.run(block("from licet.starlette"))["app"], [])
    check(client, published, lambda answer: answer.json["plan"])
    refuses_without_feature(client, published)


def test_fastapi(published: Published) -> None:
    """The FastAPI block is a whole application, with the lock in its OpenAPI page."""
    pytest.importorskip("fastapi")
    app = published.run(block("from licet.fastapi"))["app"]
    client = AsgiClient(app, [])
    check(client, published, lambda answer: answer.json["plan"])
    refuses_without_feature(client, published)
    assert app.openapi()["paths"]["/reports"]["get"]["security"]


def test_wsgi(published: Published) -> None:
    """The WSGI block is a whole application."""
    client = WsgiClient(published.run(block("from licet.wsgi"))["application"], [])
    check(client, published, lambda answer: answer.body.decode())


def test_outside_requests(published: Published) -> None:
    """A license judged by hand unlocks what a requirement guards."""
    done: list[str] = []
    export = requires_feature("analytics")(lambda: done.append("exported"))
    shown = published.run(block("def nightly"), export=export)
    shown["nightly"](published.license(features=["analytics"]))
    assert done == ["exported"]


def test_the_first_view(published: Published) -> None:
    """The view on the first screen is a view."""
    shown = published.run(
        blocks()[0], requires_feature=requires_feature, JsonResponse=lambda value: value
    )
    assert callable(shown["report"])


def test_signing(published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The issuer's block signs a license and keeps its key."""
    monkeypatch.chdir(tmp_path)
    shown = published.run(block('customer="Example GmbH"'))
    assert shown["token"].count(".") == 2
    assert Issuer.load("issuer.json").jwks() == shown["keys"]


def test_the_testing_block() -> None:
    """The block for users' own tests is valid, and `entitled` entitles."""
    seen: list[Entitlements] = []
    export = requires_feature("analytics")(lambda: seen.append(1))  # type: ignore[arg-type]
    namespace: dict[str, Any] = {"export": export}
    exec(compile(block("from licet.testing"), "README.md", "exec"), namespace)  # noqa: S102
    namespace["test_the_export_runs"]()
    namespace["test_in_grace_it_runs_too"]()
    assert len(seen) == 2


def test_the_testing_block_with_a_client() -> None:
    """Its tests of views pass with an example application, and with the names as functions."""
    pytest.importorskip("flask")
    from example_projects.flask_reports.app import create_app

    client = create_app({"LICET_SETTINGS": Settings(**license_settings())}).test_client()
    shown: dict[str, Any] = {"export": None}
    exec(compile(block("from licet.testing"), "README.md", "exec"), shown)  # noqa: S102
    shown["test_the_report_needs_analytics"](client, make_license)
    shown["test_the_second_export_is_too_many"](client, make_license)


def test_a_banner_as_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django renders it: nothing of a license that holds, and the days that are left in grace.

    The store that counts is not asked for that.
    """
    pytest.importorskip("django")
    from django.template import Context, Engine

    import tests.adapters.django_project  # noqa: F401 - configures Django

    def unreachable(*_: object) -> None:
        raise StoreUnavailable("unreachable")

    engine = Engine(libraries={"licet": "licet.django.templatetags.licet"})
    page = engine.from_string(blocks("html")[0])
    with entitled():
        assert page.render(Context()).strip() == ""
    with entitled(expires_in=-60, grace=86_400, limits={"exports": 10}):
        licet.consume("exports", 9)
        for operation in Store.__abstractmethods__:
            monkeypatch.setattr(MemoryStore, operation, unreachable)
        with pytest.raises(LicenseUnavailable):
            licet.consume("exports", 0)
        told = page.render(Context()).strip().splitlines()
    assert told == [
        "Your license has ended. Days that are left: 1.",
        "90 % of exports are used.",
    ]


def test_what_callers_are_told_as_shown() -> None:
    """The fields are those of a limit of 50,000 that is used up, and of the wait that is shown."""
    _, *lines = blocks("http")[0].splitlines()
    shown = dict(line.split(": ") for line in lines)
    rate = Rate("apiCalls", 50_000, 50_000, float(shown.pop("Retry-After")), 86_400.0)
    assert shown == dict(rate_fields([rate]))


def test_every_event_is_in_the_table() -> None:
    """The README's table of events is the closed list."""
    table = README.split("| event |")[1].split("\n\n")[0]
    shown = [
        name
        for row in table.splitlines()[2:]
        for name in re.findall(r"`([\w.]+)`", row.split("|")[1])
    ]
    assert sorted(shown) == sorted(events.NAMES)


def test_a_constraint_of_ones_own(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block's tenant is served under its own host and refused under another's."""
    monkeypatch.setattr(custom, "_judges", {})
    published.run(block("from licet import constraint"))
    token = published.license(tenant="acme", must_understand=["tenant"])
    settings = Settings(issuer=published.url, audience="acme-reports")
    assert licet.verify(token, settings, host="acme.reports.example")
    with pytest.raises(ConstraintViolated):
        licet.verify(token, settings, host="evil.reports.example")
    with pytest.raises(ConstraintViolated):
        licet.verify(token, settings)


def test_a_license_bound_to_its_holder(published: Published) -> None:
    """The block's request passes once, at the URL that the setting beside it names."""
    shown = published.run(block("from licet.possession"))
    served: list[str] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        served.append(environ["licet.entitlements"].license_id)
        start_response("200 OK", [])
        return []

    guarded = licet.wsgi.LicenseMiddleware(
        application,
        issuer=published.url,
        audience="acme-reports",
        jwks=shown["issuer"].jwks(),
        jwks_url=None,
        external_url="https://reports.example",
    )
    client = WsgiClient(guarded, served)
    headers = list(shown["headers"].items())
    assert [client.request("GET", "/reports", headers).status for _ in range(2)] == [200, 401]
    assert served == ["lic_1"]


def test_the_proxy_is_the_one_that_is_tested() -> None:
    """The block for nginx is the one that the suite runs a real nginx with."""
    assert LOCATION in README


def test_a_license_key_as_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is judged by the server that the settings name, with the credentials they give."""
    monkeypatch.setenv("LICENSE_SERVER_KEY", CREDENTIALS)
    shown: dict[str, Any] = {}
    exec(compile(block('license_key_pattern=r"lic_'), "README.md", "exec"), shown)  # noqa: S102
    with LicenseServer() as server:
        options = server.options()
        here = {name: options[name] for name in ("issuer", "jwks_url", "validation_url")}
        settings = replace(shown["settings"], **here)
        assert licet.verify(server.add("lic_" + "A1" * 16), settings).verified_by == "online"
        with pytest.raises(LicenseInvalid):
            licet.verify("lic_" + "B2" * 16, settings)
        with pytest.raises(LicenseInvalid):
            licet.verify("lic_short", settings)
    assert len(server.questions) == 2


def test_keygen_as_shown() -> None:
    """With the two facts of an account the settings stand."""
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    text = block("Keygen(").replace("<Ed25519 verify key, hex>", key)
    shown: dict[str, Any] = {}
    exec(compile(text, "README.md", "exec"), shown)  # noqa: S102
    assert key in repr(shown["settings"].validation_protocol)


def test_a_status_list_as_shown() -> None:
    """It says of the license beside it that it is revoked."""
    shown: dict[str, Any] = {}
    exec(compile(block("issuer.status_list("), "README.md", "exec"), shown)  # noqa: S102
    claims = compact.parse(
        shown["token"].encode(), max_size=4096, headers=compact.HeaderCache()
    ).payload
    keys = read_jwks(shown["issuer"].jwks(), ("EdDSA",)).keys
    listed = read_list(
        shown["status_list"].encode(),
        shown["uri"],
        SHOWN,
        lambda kid, alg: keys[kid, alg].verify,
        time.time(),
    )
    reference = read_reference(claims["status"])
    assert reference.uri == listed.uri
    assert listed.word(reference.idx) == "revoked"


def test_receivers_as_shown(published: Published) -> None:
    """Each takes an event at the address that it is shown at."""
    for framework in ("starlette", "flask", "django"):
        pytest.importorskip(framework)
    from flask import Flask
    from starlette.applications import Starlette

    import tests.adapters.django_project  # noqa: F401 - configures Django

    secret = pushed.new_secret()
    options = {**OPTIONS, "webhook_receive_secret": secret}
    body = pushed.event(license_id="lic_1")

    def taken(post: AsgiPost | WsgiPost) -> bool:
        return post("POST", "/licet/webhooks", pushed.lines(secret, body), body).status == 204

    shown = published.run(block("from licet.asgi import"), settings=Settings(**options))
    assert taken(AsgiPost(Starlette(routes=shown["routes"])))
    app = Flask("shown")
    app.config.update({f"LICET_{name.upper()}": value for name, value in options.items()})
    published.run(block("from licet.flask import webhook_blueprint"), app=app)
    assert taken(WsgiPost(app.wsgi_app))
    shown = published.run(block("from licet.django.views import webhook"))
    assert [str(one.pattern) for one in shown["urlpatterns"]] == ["licet/webhooks"]


def test_an_installation_as_shown(published: Published, tmp_path: Path) -> None:
    """Its license is served from the file, and what is to outlive a restart has its place."""
    (tmp_path / "license").write_text(published.license(), encoding="ascii")
    text = block("refresh_url=")
    for shown in ("/etc/acme-reports", "/var/lib/acme-reports"):
        text = text.replace(shown, str(tmp_path))
    settings = published.run(text)["settings"]
    served: list[str] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        served.append(environ["licet.entitlements"].license_id)
        start_response("200 OK", [])
        return []

    client = WsgiClient(licet.wsgi.LicenseMiddleware(application, settings), served)
    assert client.request("GET", "/reports").status == 200
    assert served == ["lic_1"]
    assert (tmp_path / "licet").is_dir()


def test_a_subscriber_as_shown() -> None:
    """The block's function hears what it names, and nothing else."""
    sent: list[str] = []
    shown: dict[str, Any] = {"pager": SimpleNamespace(send=sent.append)}
    text = block("from licet import events")
    exec(compile(text, "README.md", "exec"), shown)  # noqa: S102
    for name in ("keys.rotated", "license.revoked"):
        EVERY_GATE.emit(events.Event(name, {"license_id": "lic_1"}))  # type: ignore[arg-type]
    shown["page_somebody"]._relay.finish(10)
    shown["page_somebody"].cancel()
    assert sent == ["license.revoked lic_1"]


def test_use_as_shown() -> None:
    """Calls, rows, users and jobs use what they say, and a charge is given back."""
    shown: dict[str, Any] = {}
    exec(compile(block("def workspace"), "README.md", "exec"), shown)  # noqa: S102
    request = SimpleNamespace(GET={"rows": "3"}, user=SimpleNamespace(pk=1))
    with entitled(limits={"apiCalls": 41, "rows": 3, "seats": 1}):
        shown["rebuild"]()
        shown["report"](request)
        shown["export"](request)
        anyio.run(shown["workspace"], request)
        rates = [licet.consume(name, 0).rate for name in ("apiCalls", "rows")]
        assert [rate.used for rate in rates if rate is not None] == [1, 3]
        request.user.pk = 2
        with pytest.raises(LimitExceeded):
            anyio.run(shown["workspace"], request)
        with pytest.raises(LimitExceeded):
            shown["export"](request)


def test_every_block_is_run_here() -> None:
    """No block of Python stands in the README without a test of this file."""
    assert len(blocks()) == 21


def test_every_setting_is_in_the_table() -> None:
    """The README's table of settings is the one there is."""
    table = README.split("| setting |")[1].split("\n\n")[0]
    shown = {
        name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert shown == set(Settings.__dataclass_fields__)


def test_the_command_line_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The four commands make a key, a license, and say that it holds."""
    monkeypatch.chdir(tmp_path)
    said = []
    for line in blocks("console")[1].splitlines():
        command, _, target = line.partition(" > ")
        said.append(commands.licet(*command.split()[1:]))
        if target:
            Path(target).write_text(said[-1].out)
    assert [each.status for each in said] == [0, 0, 0, 0]
    assert said[-1].out.startswith("The license holds.")


def test_the_license_server_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed about a license server is understood, and its commands do what they say."""
    pytest.importorskip("starlette")
    from tests.server.processes import served
    from tests.server.test_first_minutes import LINES

    trial, production, shown = blocks("console")[4:7]
    assert trial.splitlines() == LINES
    parsed = _parser().parse_args(production.replace("\\\n", "").split()[1:])
    assert (parsed.port, parsed.tls_cert) == (443, Path("server.pem"))
    monkeypatch.chdir(tmp_path)
    license_id = ""
    with served(tmp_path / "licet-server", "--dev"):
        for line in shown.splitlines():
            command, _, target = line.removesuffix(" --follow").partition(" > ")
            said = commands.licet(*shlex.split(command.replace("lic_…", license_id))[1:])
            assert (said.status, said.err if said.status else "") == (0, "")
            if target:
                license_id = json.loads(commands.licet("inspect", "--json", said.out).out)[
                    "claims"
                ]["sub"]
    assert "license.suspended" in said.out
    assert "webhook.set" in said.out


def test_the_doctor_as_shown() -> None:
    """What is typed to it is understood."""
    asked = [
        _parser().parse_args(shlex.split(line, comments=True)[1:])
        for line in blocks("console")[2].splitlines()
    ]
    assert [each.url for each in asked] == [None, SHOWN, None]
    assert [each.token for each in asked] == [None, None, "@license.jwt"]


def test_the_two_commands() -> None:
    """The commands of the first minutes are one line each."""
    first, *_, last = blocks("console")
    assert [first, last] == [
        'python -m pip install ".[demo]" && python -m licet demo\n',
        "python -m pip install tox && python -m tox -e py\n",
    ]


def test_how_long_an_outage_is_borne() -> None:
    """Keys serve an outage to the very second that the README names."""
    (said,) = re.findall(r"after ([\d,]+) s, no second earlier", README)
    defaults = Settings(issuer=SHOWN, audience="acme-reports")
    setup = Setup("a", max_age=defaults.jwks_max_age, max_stale=defaults.jwks_max_stale)
    setup.find("a")
    setup.issuer.up = False
    setup.hands.advance(int(said.replace(",", "")) - 1)
    assert setup.find("a")
    setup.rest()
    setup.hands.advance(1)
    assert setup.refused("a").startswith("503")


@pytest.mark.parametrize("name", ["LICENSE", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_the_pages_linked_exist(name: str) -> None:
    """What a repository owes its readers is there."""
    assert (ROOT / name).read_text(encoding="utf-8").strip()
