"""Rows of the attack table about the core alone: settings, the interpreter, secrets at rest."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import textwrap
import traceback
from contextlib import suppress
from dataclasses import FrozenInstanceError, fields
from importlib import import_module
from typing import Any

import anyio
import pytest

import licet.asgi
import licet.wsgi
from licet import ConfigError, LicenseError, LicenseInvalid, Settings, verify
from licet.core.flow import run
from licet.core.gate import Gate
from licet.core.gates import gate_for
from licet.core.request import Credential, Sources, find_credential
from licet.core.request.paths import ExemptPaths
from licet.core.token import signature
from tests.adapters.clients import AsgiClient, WsgiClient, call, http_scope
from tests.adapters.contract import bearer
from tests.licenses import AUDIENCE, INVALID, ISSUER, ISSUER_NAME, OPTIONS, expired, license_token

INFINITY = float("inf")


async def silent(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing: an ASGI application that must not be called."""
    raise AssertionError("called without a license")


def plain(environ: Any, start_response: Any) -> list[bytes]:
    """Answer 200: a WSGI application."""
    start_response("200 OK", [])
    return [b"served"]


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.row("E10")
@pytest.mark.parametrize(
    "leeway", [float("nan"), INFINITY, -INFINITY, -1, 301, 10**400, "5", True, False, None, [5]]
)
def test_a_leeway_that_is_no_span_of_time_is_refused(leeway: Any) -> None:
    """NaN and infinity would make every comparison with the end of a license true or false."""
    with pytest.raises(ConfigError, match="leeway"):
        Settings(**OPTIONS, leeway=leeway)


@pytest.mark.row("E12")
def test_issuer_and_audience_are_compared_whole() -> None:
    """One text is one value, never letters or parts of it; an empty one is refused."""
    for changes in (
        {"issuer": [ISSUER_NAME]},
        {"issuer": ""},
        {"issuer": " "},
        {"issuer": True},
        {"audience": ""},
        {"audience": []},
        {"audience": [""]},
        {"audience": {AUDIENCE: 1}},
        {"audience": [[AUDIENCE]]},
        {"audience": 1},
        {"audience": None},
        {"algorithms": "EdDSA"},
        {"sources": "authorization"},
        {"exempt_paths": "/health"},
    ):
        with pytest.raises(ConfigError, match=next(iter(changes))):
            Settings(**{**OPTIONS, **changes})
    for audience in (AUDIENCE, [AUDIENCE], (AUDIENCE, "another")):
        settings = Settings(**{**OPTIONS, "audience": audience})
        assert verify(license_token(), settings)
        for part in (AUDIENCE[:4], AUDIENCE[0], AUDIENCE + "x"):
            with pytest.raises(LicenseInvalid):
                verify(license_token(aud=part), settings)


@pytest.mark.row("S13")
def test_no_option_is_silently_unknown_or_off() -> None:
    """A misspelt name names the right one, and None switches no check off."""
    for name in ("verify_exp", "verify_signature", "leway", "Leeway", "options", "strict_aud"):
        with pytest.raises(ConfigError, match=name):
            Settings(**OPTIONS, **{name: None})
        with pytest.raises(ConfigError):
            licet.wsgi.LicenseMiddleware(plain, **OPTIONS, **{name: True})
    with pytest.raises(ConfigError, match="did you mean leeway"):
        Settings(**OPTIONS, leway=1)
    for name in ("leeway", "max_lifetime", "algorithms", "max_token_size", "required"):
        with pytest.raises(ConfigError, match=name):
            Settings(**OPTIONS, **{name: None})
    with pytest.raises(ConfigError, match="algorithms"):
        Settings(**OPTIONS, algorithms=["none"])


@pytest.mark.row("S14")
def test_settings_do_not_change_after_the_start() -> None:
    """Neither the settings nor what they were made of changes what a gate accepts."""
    given = copy.deepcopy(OPTIONS)
    audience = [AUDIENCE]
    settings = Settings(**{**given, "audience": audience})
    for each in fields(settings):
        with pytest.raises(FrozenInstanceError):
            setattr(settings, each.name, None)
    audience.append("another")
    given["jwks"]["keys"].clear()
    assert settings.audience == (AUDIENCE,)
    gate = gate_for(settings)
    assert run(gate.verify(license_token().encode()))
    with pytest.raises(LicenseInvalid):
        run(gate.verify(license_token(aud="another").encode()))
    with pytest.raises(TypeError):
        settings.by_issuer["https://evil.example"] = None  # type: ignore[index]


# -- requests --------------------------------------------------------------------------------------


@pytest.mark.row("K03")
def test_an_underscore_twin_is_one_field_under_wsgi_and_none_under_asgi() -> None:
    """`X_License_Token` is invisible to a WSGI application: what a server lets through is judged.

    PEP 3333 maps both spellings to one variable. A server that keeps both joins them, which is
    ambiguous; one that keeps the last has chosen before Licet. Documented; common servers drop
    fields with underscores. Under ASGI the twin is another field, and not listed.
    """
    token = license_token()
    client = WsgiClient(licet.wsgi.LicenseMiddleware(plain, **OPTIONS), [])
    answer = client.request("GET", "/", [("X-License-Token", token), ("X_License_Token", token)])
    assert answer.json["code"] == "license_ambiguous"
    assert client.request("GET", "/", [("X_License_Token", token)]).status == 200
    asgi = AsgiClient(licet.asgi.LicenseMiddleware(silent, **OPTIONS), [])
    answer = asgi.request("GET", "/", [("X_License_Token", token)])
    assert answer.json["code"] == "license_required"


@pytest.mark.parametrize("extension", [False, True])
@pytest.mark.parametrize(
    "adapter",
    [
        pytest.param(name, marks=pytest.mark.row("K14", adapter=name))
        for name in ("asgi", "starlette", "fastapi")
    ],
)
def test_every_kind_of_connection_is_judged_or_refused(adapter: str, extension: bool) -> None:
    """A websocket is refused before it is accepted, an unknown scope raises, lifespan passes."""
    if adapter != "asgi":
        pytest.importorskip(adapter)
    middleware = import_module(f"licet.{adapter}").LicenseMiddleware
    app = middleware(silent, **OPTIONS)
    for headers in ([], bearer("rubbish"), bearer(expired())):
        sent: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        extensions = {"websocket.http.response": {}} if extension else {}
        scope = http_scope("GET", "/", headers, type="websocket", scheme="ws")
        anyio.run(app, {**scope, "extensions": extensions}, None, send)
        if extension:
            assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", 401)
        else:
            assert [(each["type"], each["code"]) for each in sent] == [("websocket.close", 1008)]
    for kind in ("webtransport", "http2", "HTTP", "", None, "push"):
        with pytest.raises(RuntimeError, match="scope"):
            anyio.run(
                app, {**http_scope("GET", "/", bearer(license_token())), "type": kind}, None, None
            )
    seen: list[str] = []

    async def lifespan(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    anyio.run(middleware(lifespan, **OPTIONS), {"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]


@pytest.mark.row("K15", adapter="flask")
def test_flask_runs_none_of_its_own_before_the_license() -> None:
    """Hooks, blueprints and error handlers of the application see no refused request."""
    flask = pytest.importorskip("flask")
    from licet.flask import Licet

    calls: list[str] = []
    app = flask.Flask(__name__)
    blueprint = flask.Blueprint("inner", __name__, url_prefix="/inner")
    blueprint.before_request(lambda: calls.append("blueprint hook"))
    blueprint.route("/")(lambda: calls.append("view") or "served")
    app.register_blueprint(blueprint)
    Licet(app, **OPTIONS)
    app.before_request(lambda: calls.append("hook"))
    app.register_error_handler(ZeroDivisionError, lambda error: calls.append("handler"))
    client = WsgiClient(app.wsgi_app, [])
    for headers in ([], bearer("rubbish"), bearer(expired())):
        assert client.request("GET", "/inner/", headers).status == 401
    assert calls == []
    assert client.request("GET", "/inner/", bearer(license_token())).status == 200
    assert calls == ["hook", "blueprint hook", "view"]


@pytest.mark.parametrize(
    "adapter",
    [
        pytest.param(name, marks=pytest.mark.row("K15", adapter=name))
        for name in ("starlette", "fastapi")
    ],
)
def test_starlette_and_fastapi_run_none_of_their_own_before_the_license(adapter: str) -> None:
    """Mounts, dependencies, streaming and background tasks see no refused request."""
    framework = pytest.importorskip(adapter)
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Mount, Route

    calls: list[str] = []

    def view(request: Request) -> StreamingResponse:
        calls.append("view")
        task = BackgroundTask(calls.append, "task")
        return StreamingResponse(iter([b"served"]), background=task)

    # FastAPI would look the text of the annotation up in this module.
    view.__annotations__ = {"request": Request}
    app: Any = Starlette(routes=[Mount("/inner", routes=[Route("/", view)])])
    before: list[str] = []
    if adapter == "fastapi":
        before = ["dependency"]
        app = framework.FastAPI(dependencies=[framework.Depends(lambda: calls.append(*before))])
        inner = framework.APIRouter(prefix="/inner")
        inner.add_api_route("/", view, response_model=None)
        app.include_router(inner)
    app.add_middleware(import_module(f"licet.{adapter}").LicenseMiddleware, **OPTIONS)
    for headers in ([], bearer("rubbish"), bearer(expired())):
        answer = anyio.run(call, app, http_scope("GET", "/inner/", headers))
        assert answer.status == 401
    assert calls == []
    good = anyio.run(call, app, http_scope("GET", "/inner/", bearer(license_token())))
    assert (good.status, good.body) == (200, b"served")
    assert calls == [*before, "view", "task"]


@pytest.mark.row("K18")
def test_the_framing_of_a_message_is_the_servers() -> None:
    """Fields about framing change nothing, and nothing a server split is put together again."""
    token = license_token()
    framing = [
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "5"),
        ("Connection", "close, Authorization, X-License-Token"),
    ]
    client = WsgiClient(licet.wsgi.LicenseMiddleware(plain, **OPTIONS), [])
    assert client.request("GET", "/", [*framing, *bearer(token)]).status == 200
    odd = [
        ("Authorization ", f"Bearer {token}"),
        (" Authorization", f"Bearer {token}"),
        ("X", f"y\r\nAuthorization: Bearer {token}"),
        ("Transfer-Encoding", f"chunked\r\nX-License-Token: {token}"),
    ]
    for line in odd:
        assert client.request("GET", "/", [*framing, line]).json["code"] == "license_required"
    folded = [("Authorization", f"Bearer {token[:9]}\r\n {token[9:]}")]
    assert client.request("GET", "/", folded).json["code"] == "license_invalid"
    asgi = AsgiClient(licet.asgi.LicenseMiddleware(silent, **OPTIONS), [])
    for line in odd:
        assert asgi.request("GET", "/", [*framing, line]).json["code"] == "license_required"
    assert asgi.request("GET", "/", folded).json["code"] == "license_invalid"


# -- secrets ---------------------------------------------------------------------------------------


def refusal(token: str, **options: Any) -> LicenseError:
    """Return the error of a token that does not hold."""
    with pytest.raises(LicenseError) as caught:
        verify(token, Settings(**{**OPTIONS, **options}))
    return caught.value


@pytest.mark.row("R01")
def test_no_error_and_no_object_shows_a_credential() -> None:
    """`str`, `repr` and the traceback of what Licet makes hold no part of a token."""
    token = license_token()
    shown = [
        repr(Credential(token.encode(), "authorization")),
        repr(verify(token, Settings(**OPTIONS))),
    ]
    tokens = [token]
    for make in INVALID.values():
        bad = make()
        tokens.append(bad)
        error = refusal(bad)
        shown += [str(error), repr(error), repr(error.__dict__)]
        shown += traceback.format_exception(error)
    shown += [
        repr(Settings(license=token, **OPTIONS)),
        repr(Gate(Settings(license=token, **OPTIONS))),
    ]
    parts = [part for each in tokens for part in each.split(".")]
    assert not [part for part in parts for text in shown if part in text]


@pytest.mark.row("R06")
def test_no_chain_of_errors_leads_to_a_credential() -> None:
    """What is raised has no cause and no context that a debug page could show."""
    for make in INVALID.values():
        error = refusal(make())
        assert error.__cause__ is None
        assert error.__context__ is None or error.__suppress_context__
        assert "During handling" not in "".join(traceback.format_exception(error))


@pytest.mark.row("R07")
def test_secrets_are_not_pickled() -> None:
    """Whatever holds a secret refuses `pickle`; the issuer refuses copies too."""
    token = license_token()
    entitlements = verify(token, Settings(**OPTIONS))
    for secret in (entitlements, Settings(license=token, **OPTIONS), ISSUER, ISSUER._keys[0]):
        with pytest.raises(TypeError):
            pickle.dumps(secret)
    for secret in (entitlements, ISSUER):
        with pytest.raises(TypeError):
            copy.copy(secret)
        with pytest.raises(TypeError):
            copy.deepcopy(secret)
    gate = Gate(Settings(license=token, **OPTIONS))
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(gate)
    error = refusal(INVALID["forged"]())
    assert pickle.loads(pickle.dumps(error)).code == error.code  # noqa: S301 - our own


class _Lines:
    """Facts with one value in every field."""

    method, is_handshake = "POST", False

    def __init__(self, value: str) -> None:
        self.value = self.query_string = value

    def fields(self, name: str) -> list[str]:
        return [self.value]

    def origin(self) -> None:
        return None


@pytest.mark.row("R09")
def test_no_text_makes_a_pattern_slow() -> None:
    """64 KiB of what the patterns look for are judged, wherever a stranger can put them.

    Nothing is timed: a pattern that needed the square of this length would not end before the
    suite's own alarm.
    """
    exempt = ExemptPaths(["/health", "/static/*"])
    sources = Sources.of(["authorization", "cookie:license", "query:license"])
    gate = gate_for(Settings(**OPTIONS, max_token_size=65_536))
    exempted = set()
    for piece in (
        "/",
        "/.",
        "//",
        ",",
        ", bearer",
        ", \t",
        ";",
        "=",
        "a=",
        "&",
        '"',
        '\\"',
        "[",
        ".",
    ):
        for text in (piece * (65_536 // len(piece)), "x" + piece * (65_536 // len(piece)) + "\0"):
            exempted.add("/static/" + text in exempt)
            for prefix in ("", "Basic ", "Bearer ", "license="):
                with suppress(LicenseError):
                    find_credential(_Lines(prefix + text), sources)
            with pytest.raises(LicenseInvalid):
                run(gate.judge(text.encode()))
    assert exempted == {True, False}


# -- the interpreter -------------------------------------------------------------------------------

CHECK = textwrap.dedent(
    """
    import asyncio, json, sys
    from licet import LicenseError, Settings, verify, averify
    from licet.core.token import base64url
    tokens, options = json.load(sys.stdin)
    settings = Settings(**options)
    answers = []
    for token in tokens:
        try:
            answers.append(bool(verify(token, settings)))
        except LicenseError as error:
            answers.append(error.code)
    answers.append(bool(asyncio.run(averify(tokens[0], settings))))
    print(json.dumps(answers))
    """
)


def answers_of(*flags: str) -> list[Any]:
    """Return what an interpreter with `flags` says to a good license and to every bad one."""
    tokens = [license_token(), expired(), *(make() for make in INVALID.values())]
    done = subprocess.run(
        [sys.executable, *flags, "-c", CHECK],
        input=json.dumps([tokens, OPTIONS]),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answers: list[Any] = json.loads(done.stdout)
    return answers


EXPECTED_ANSWERS = [True, "license_expired", *["license_invalid"] * len(INVALID), True]


@pytest.mark.row("S08")
def test_no_check_warns() -> None:
    """With every warning an error, each license gets the same answer."""
    assert answers_of("-W", "error") == EXPECTED_ANSWERS


@pytest.mark.row("S09")
@pytest.mark.parametrize("flag", ["-O", "-OO"])
def test_no_check_is_an_assertion(flag: str) -> None:
    """An interpreter that drops assertions refuses all the same."""
    assert answers_of(flag) == EXPECTED_ANSWERS


@pytest.mark.row("S12")
def test_libraries_with_known_holes_are_refused_at_the_start() -> None:
    """An older PyJWT or cryptography is an error at import, with the line that mends it."""
    fine = {"PyJWT": "2.15.1", "cryptography": "42.0.0"}
    signature.check_versions(fine)
    signature.check_versions({"PyJWT": "3.0.0.dev1", "cryptography": "100.1"})
    for name, version in (
        ("PyJWT", "2.14.0"),
        ("PyJWT", "2.12.0"),
        ("PyJWT", "2.9"),
        ("PyJWT", "1.7.1"),
        ("cryptography", "41.0.7"),
        ("cryptography", "3.4.8"),
    ):
        with pytest.raises(ImportError, match=f"{name} .* or newer, and {version} is installed"):
            signature.check_versions({**fine, name: version})
    code = "import jwt; jwt.__version__ = '2.10.1'; import licet.wsgi"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "ImportError: Licet needs PyJWT 2.15 or newer" in done.stderr
