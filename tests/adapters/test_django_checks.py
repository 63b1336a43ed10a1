"""The system checks of Licet for Django, and the command `license_check`."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("django")

from django.core.checks import run_checks
from django.core.management import CommandError, call_command

from tests import licenses
from tests.adapters.django_project import (
    OURS,
    Project,
    Urls,
    _project,  # noqa: F401 - a fixture
    licet_options,
)
from tests.licenses import OPTIONS, license_token

SECURITY = "django.middleware.security.SecurityMiddleware"
CORS = "corsheaders.middleware.CorsMiddleware"
FINE = licet_options(**OPTIONS)
DPOP = {"LICET_EXTERNAL_URL": "https://reports.example"}
SHARED = "redis://127.0.0.1:9/0"
ASKING = {"LICET_VALIDATION_URL": "https://licenses.acme.example/v1/licenses/validate"}
PINS = [f"sha256/{base64.b64encode(bytes([number]) * 32).decode()}" for number in (1, 2)]
PROXIES = {"LICET_TRUSTED_PROXIES": ["10.0.0.0/8"]}
SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
WORKERS = ("WEB_CONCURRENCY", "GUNICORN_CMD_ARGS")


def fails(request: Any, error: Any) -> None:
    """Stand in for a project's own answer."""


async def afails(request: Any, error: Any) -> None:
    """Be no such function: it is never awaited."""


def found(*, deploy: bool = False) -> set[str]:
    """Return the ids of what Licet's checks find."""
    messages = run_checks(include_deployment_checks=deploy)
    ours = [message for message in messages if (message.id or "").startswith("licet.")]
    assert all(message.hint for message in ours)
    return {message.id for message in ours if message.id}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, set(), id="fine"),
        pytest.param({"LICET_ISSUER": None}, {"licet.E001"}, id="no-issuer"),
        pytest.param({"LICET_AUDIENCES": "x"}, {"licet.E001"}, id="misspelt"),
        pytest.param({"LICET_ALGORITHMS": ["HS256"]}, {"licet.E001"}, id="HS256"),
        pytest.param({"LICET_LEEWAY": float("nan")}, {"licet.E001"}, id="NaN"),
        pytest.param({"LICET_SOURCES": []}, {"licet.E001"}, id="no-source"),
        pytest.param({"LICET_JWKS_URL": "http://keys.example/"}, {"licet.E001"}, id="http"),
        pytest.param(
            {"LICET_LICENSE": "env:X", "LICET_SOURCES": ["authorization"]},
            {"licet.E001"},
            id="license-and-sources",
        ),
        pytest.param({"LICET_SETTINGS": "no.such.thing"}, {"licet.E001"}, id="no-such-settings"),
        pytest.param({"LICET_ERROR_RESPONSE": "no.such.thing"}, {"licet.E001"}, id="no-function"),
        pytest.param({"LICET_ERROR_RESPONSE": "nodots"}, {"licet.E001"}, id="no-path"),
        pytest.param(
            {"LICET_ERROR_RESPONSE": f"{__name__}.FINE"}, {"licet.E001"}, id="not-callable"
        ),
        pytest.param(
            {"LICET_ERROR_RESPONSE": f"{__name__}.afails"}, {"licet.E001"}, id="async-function"
        ),
        pytest.param({"LICET_ERROR_RESPONSE": f"{__name__}.fails"}, set(), id="function"),
        pytest.param({"MIDDLEWARE": []}, {"licet.W001"}, id="no-middleware"),
        pytest.param({"MIDDLEWARE": ["no.such.Middleware", OURS]}, set(), id="others-broken"),
        pytest.param({"MIDDLEWARE": [OURS, OURS]}, {"licet.E002"}, id="twice"),
        pytest.param({"MIDDLEWARE": [SECURITY, CORS, OURS]}, set(), id="in-order"),
        pytest.param({"MIDDLEWARE": [OURS, SECURITY]}, {"licet.W002"}, id="before-security"),
        pytest.param({"MIDDLEWARE": [SECURITY, OURS, CORS]}, {"licet.W002"}, id="before-cors"),
    ],
)
def test_mistakes_are_told_at_start_up(
    project: Project, changes: dict[str, Any], expected: set[str]
) -> None:
    """Each mistake has an id and a hint; what is right has neither."""
    project(Urls(), **{**FINE, **changes})
    assert found() == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, set(), id="fine"),
        pytest.param({"LICET_ISSUER": None}, {"licet.E001"}, id="broken"),
        pytest.param(
            {
                "LICET_JWKS_URL": "http://keys.internal/jwks.json",
                "LICET_INSECURE_HTTP_HOSTS": ["keys.internal"],
            },
            {"licet.E003"},
            id="insecure-hosts",
        ),
        pytest.param(
            {"LICET_JWKS_URL": "http://127.0.0.1:9/jwks.json"}, {"licet.W003"}, id="http-keys"
        ),
        pytest.param(
            {"LICET_VALIDATION_URL": "http://127.0.0.1:9/validate"},
            {"licet.W003"},
            id="http-answers",
        ),
        pytest.param(ASKING, set(), id="answers"),
        pytest.param(
            {**ASKING, "LICET_VALIDATION_UNSIGNED": True}, {"licet.W009"}, id="unsigned-answers"
        ),
        pytest.param(
            {**ASKING, "LICET_VALIDATION_UNSIGNED": True, "LICET_TLS_PINS": PINS},
            set(),
            id="unsigned-answers-of-a-pinned-server",
        ),
        pytest.param({"LICET_SOURCES": ["query:license"]}, {"licet.W004"}, id="query"),
        pytest.param({"LICET_MODE": "report"}, {"licet.W011"}, id="reporting"),
        pytest.param({"LICET_MODE": "off"}, {"licet.W012"}, id="off"),
        pytest.param({"LICET_RATE_LIMIT_HEADERS": True}, {"licet.W013"}, id="counts-in-memory"),
        pytest.param(
            {"LICET_RATE_LIMIT_HEADERS": True, "LICET_STORE": SHARED}, set(), id="counts-in-a-store"
        ),
        pytest.param({"LICET_LICENSE": "a.b.c"}, {"licet.W005"}, id="license-in-settings"),
        pytest.param({"LICET_LICENSE": "env:ACME_LICENSE"}, set(), id="license-in-environment"),
        pytest.param(DPOP, {"licet.W006"}, id="proofs-in-memory"),
        pytest.param(
            {"LICET_DPOP_NONCE_SECRET": "n" * 32, "ALLOWED_HOSTS": ["reports.example"]},
            {"licet.W006"},
            id="nonces-in-memory",
        ),
        pytest.param({**DPOP, "LICET_STORE": SHARED}, set(), id="proofs-in-a-store"),
        pytest.param(
            {"LICET_DPOP_NONCE_SECRET": "n" * 32, "LICET_STORE": SHARED, "ALLOWED_HOSTS": ["*"]},
            {"licet.E005"},
            id="proofs-for-any-host",
        ),
        pytest.param(
            {**DPOP, "LICET_STORE": SHARED, "ALLOWED_HOSTS": ["*"]}, set(), id="proofs-for-one-url"
        ),
        pytest.param({"ALLOWED_HOSTS": ["*"]}, set(), id="any-host"),
        pytest.param(PROXIES, {"licet.W007"}, id="proxies"),
        pytest.param({**PROXIES, "USE_X_FORWARDED_HOST": True}, set(), id="proxies-tell-the-host"),
        pytest.param(
            {**PROXIES, "SECURE_PROXY_SSL_HEADER": SSL_HEADER}, set(), id="proxies-tell-the-scheme"
        ),
        pytest.param({"LICET_TRUSTED_PROXIES": ["server"]}, set(), id="the-server-tells"),
        pytest.param({"LICET_REQUIRE_HTTPS": True}, set(), id="https-without-proxies"),
        pytest.param(
            {**PROXIES, "LICET_REQUIRE_HTTPS": True, "USE_X_FORWARDED_HOST": True},
            {"licet.W008"},
            id="https-behind-proxies",
        ),
        pytest.param(
            {**PROXIES, "LICET_REQUIRE_HTTPS": True, "SECURE_PROXY_SSL_HEADER": SSL_HEADER},
            set(),
            id="https-told-by-proxies",
        ),
    ],
)
def test_deployments_are_told_more(
    project: Project,
    changes: dict[str, Any],
    expected: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`check --deploy` finds what is fine at a desk, and plain `check` leaves it alone."""
    for name in WORKERS:
        monkeypatch.delenv(name, raising=False)
    project(Urls(), **{**FINE, **changes})
    assert found(deploy=True) == expected
    assert found() == expected & {"licet.E001"}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("WEB_CONCURRENCY", "4", {"licet.E004"}),
        ("WEB_CONCURRENCY", "1", set()),
        ("WEB_CONCURRENCY", "many", {"licet.W006"}),
        ("GUNICORN_CMD_ARGS", "--bind=[::]:80 --workers=3", {"licet.E004"}),
        ("GUNICORN_CMD_ARGS", "-w 2 --timeout 9", {"licet.E004"}),
        ("GUNICORN_CMD_ARGS", "--workers 2 --workers 1", set()),
        ("GUNICORN_CMD_ARGS", "--worker-class gthread --threads 8", {"licet.W006"}),
    ],
)
def test_several_workers_need_a_store_that_they_share(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: set[str]
) -> None:
    """Proofs remembered in memory are an error where the environment starts several workers."""
    for each in WORKERS:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, value)
    project(Urls(), **FINE, **DPOP)
    assert found(deploy=True) == expected
    project(Urls(), **FINE, **DPOP, LICET_STORE=SHARED)
    assert found(deploy=True) == set()
    project(Urls(), **FINE)
    assert found(deploy=True) == set()


def test_a_secret_is_in_no_message(project: Project) -> None:
    """What is wrong is told without the value of the setting."""
    project(Urls(), **FINE, LICET_LICENSE="canary-secret\r\nX: y")
    messages = [str(message) for message in run_checks()]
    assert any("LICET_LICENSE" in message for message in messages)
    assert not any("canary-secret" in message for message in messages)


def license_check(*arguments: str) -> tuple[int, str]:
    """Run `manage.py license_check` and return its exit status and output."""
    out = io.StringIO()
    try:
        call_command("license_check", *arguments, stdout=out)
    except CommandError as error:
        return error.returncode, out.getvalue() + str(error)
    return 0, out.getvalue()


def test_the_command_says_what_holds(project: Project, tmp_path: Path) -> None:
    """An installation license that holds is exit status 0, and is told in words and as JSON."""
    path = tmp_path / "license.jwt"
    path.write_text(license_token())
    project(Urls(), **FINE, LICET_LICENSE=f"file:{path}")
    status, text = license_check()
    assert status == 0
    assert all(word in text for word in ("lic_1", "professional", "ACTIVE", "seats 10"))
    status, text = license_check("--json")
    told = json.loads(text)
    assert (status, told["holds"], told["features"]) == (0, True, ["analytics"])
    assert told["limits"] == {"seats": 10}


def test_the_command_says_for_which_requests_a_license_holds(
    project: Project, tmp_path: Path
) -> None:
    """What narrows a license is told with it: nobody takes it for one that holds everywhere."""
    path = tmp_path / "license.jwt"
    office = [{"from": "07:00", "to": "19:00", "tz": "Europe/Berlin"}]
    narrow = {"domain": "reports.example", "ip_ranges": ["203.0.113.0/24"], "time_windows": office}
    path.write_text(license_token(**narrow))
    project(Urls(), **FINE, LICET_LICENSE=f"file:{path}")
    status, text = license_check()
    assert status == 0
    (line,) = (line for line in text.splitlines() if line.startswith("only_for:"))
    assert 'domain "reports.example", ip_ranges ["203.0.113.0/24"]' in line
    status, text = license_check("--json")
    assert (status, json.loads(text)["holds"], json.loads(text)["only_for"]) == (0, True, narrow)

    bound = license_token(cnf={"jkt": "A" * 43})
    status, text = license_check("--token", bound, "--json")
    assert (status, json.loads(text)["only_for"]) == (0, {"cnf": {"jkt": "A" * 43}})
    path.write_text(bound)
    project(Urls(), **FINE, LICET_LICENSE=f"file:{path}", LICET_LEEWAY=1)
    status, text = license_check()
    assert (status, "bound" in text) == (1, True), "nobody presents it, so nobody can prove it"

    status, text = license_check("--token", license_token(), "--json")
    assert json.loads(text)["only_for"] == {}


def test_the_command_says_what_does_not_hold(project: Project, tmp_path: Path) -> None:
    """A license that does not hold is exit status 1, with the reason for the operator."""
    path = tmp_path / "license.jwt"
    path.write_text(licenses.expired())
    project(Urls(), **FINE, LICET_LICENSE=f"file:{path}")
    status, text = license_check()
    assert (status, "expired" in text) == (1, True)
    token = license_token(aud="another-product")
    status, text = license_check("--token", token, "--json")
    told = json.loads(text.splitlines()[0])
    assert (status, told["holds"], told["code"]) == (1, False, "license_invalid")
    assert told["reason"] != told["code"], "the operator learns which of the many reasons it was"
    assert token not in text


def test_the_command_sums_up_what_would_be_refused(project: Project, tmp_path: Path) -> None:
    """In report mode, with a license that holds and with one that does not."""
    path = tmp_path / "license.jwt"
    for token, expected in ((license_token(), 0), (licenses.expired(), 1)):
        path.write_text(token)
        project(
            Urls(), **FINE, LICET_LICENSE=f"file:{path}", LICET_MODE="report", LICET_LEEWAY=expected
        )
        status, text = license_check()
        assert (status, "0 would have been refused" in text) == (expected, True)
        status, text = license_check("--json")
        assert json.loads(text.splitlines()[0])["would_refuse"] == {}


def license_install(*arguments: str) -> tuple[int, str]:
    """Run `manage.py license_install` and return its exit status and output."""
    out = io.StringIO()
    try:
        call_command("license_install", *arguments, stdout=out)
    except CommandError as error:
        return error.returncode, str(error)
    return 0, out.getvalue()


def test_the_command_installs_a_license(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A license that holds is put into place; anything else changes nothing and says why."""
    path, brought = tmp_path / "license.jwt", tmp_path / "brought.jwt"
    project(Urls(), **FINE, LICET_LICENSE=f"file:{path}", LICET_LEEWAY=13)
    monkeypatch.setattr("sys.stdin", io.StringIO("rubbish"))
    status, text = license_install("-")
    assert (status, "license_invalid" in text, path.exists()) == (1, True, False)
    brought.write_text(license_token())
    assert license_install(str(brought))[0] == 0
    assert path.read_text() == brought.read_text() + "\n"
    brought.write_text(license_token(features=[]))
    project(Urls(), **FINE, LICET_LICENSE=f"file:{path}", LICET_LEEWAY=14)
    status, text = license_install(str(brought))
    assert (status, "names fewer features" in text) == (1, True)
    assert license_install("--force", str(brought))[0] == 0
    project(Urls(), **{**FINE, "LICET_ISSUER": None})
    status, text = license_install(str(brought))
    assert (status, "LICET_ISSUER" in text) == (2, True)


def test_the_command_reads_a_license_from_standard_input(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--token -` keeps the license out of the list of processes."""
    project(Urls(), **FINE)
    monkeypatch.setattr("sys.stdin", io.StringIO(license_token(sub="lic_typed") + "\n"))
    status, text = license_check("--token", "-")
    assert (status, "lic_typed" in text) == (0, True)


def test_the_command_without_anything_to_judge(project: Project) -> None:
    """Where requests bring their licenses the settings alone are checked."""
    project(Urls(), **FINE)
    assert license_check()[0] == 0
    status, text = license_check("--json")
    assert (status, json.loads(text)) == (0, {"holds": None})


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"LICET_LEEWAY": -1}, id="settings"),
        pytest.param({"LICET_JWKS": None, "LICET_JWKS_URL": "http://127.0.0.1:9/"}, id="keys"),
    ],
)
def test_the_command_says_when_it_cannot_tell(project: Project, changes: dict[str, Any]) -> None:
    """Settings that cannot work, and keys out of reach, are exit status 2."""
    project(Urls(), **{**FINE, **changes})
    for arguments in ((), ("--json",)):
        status, text = license_check("--token", license_token(), *arguments)
        assert status == 2
        if arguments:
            assert json.loads(text.splitlines()[0])["holds"] is None
