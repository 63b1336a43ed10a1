"""Licet in a Flask application, and around its WSGI application."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

flask = pytest.importorskip("flask")

from flask import (  # noqa: E402
    Blueprint,
    Flask,
    Response,
    copy_current_request_context,
    g,
    jsonify,
    stream_with_context,
)
from flask.views import MethodView  # noqa: E402

import licet.wsgi  # noqa: E402
from licet import (  # noqa: E402
    ConfigError,
    Entitlements,
    LicenseError,
    LicenseRequired,
    LicenseUnavailable,
    RoleNotGranted,
    Settings,
    bind,
    consumes,
    current_entitlements,
    requires_feature,
    requires_role,
    requires_scope,
)
from licet.core.entitlements.context import find_entitlements  # noqa: E402
from licet.flask import Licet, render_errors  # noqa: E402
from licet.issuer import Issuer  # noqa: E402
from licet.testing import entitled  # noqa: E402
from tests.adapters.clients import WsgiClient, environ  # noqa: E402
from tests.adapters.contract import AdapterContract, Answer, Serving, bearer, me  # noqa: E402
from tests.core.loopback import until  # noqa: E402
from tests.licenses import (  # noqa: E402
    AUDIENCE,
    ISSUER_NAME,
    OPTIONS,
    expired,
    license_token,
)

METHODS = ["GET", "POST", "DELETE", "PROPFIND"]
CONFIG = {f"LICET_{name.upper()}": value for name, value in OPTIONS.items()}
BROWSER = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")


def contract_application(calls: list[str], entitlements: Callable[[], Entitlements]) -> Flask:
    """Return the contract's application in Flask; views get theirs from `entitlements`."""
    app = Flask(__name__)
    app.config["PROPAGATE_EXCEPTIONS"] = True

    def view(path: str) -> Callable[[Callable[[], Any]], Any]:
        def add(function: Callable[[], Any]) -> Any:
            return app.route(path, endpoint=path[1:], methods=METHODS)(function)

        return add

    def noted(function: Callable[[], Any]) -> Callable[[], Any]:
        def noting() -> Any:
            calls.append(flask.request.path)
            return function()

        return noting

    view("/health")(noted(lambda: "ok"))
    view("/me")(noted(lambda: me(entitlements())))
    view("/current")(noted(lambda: jsonify(current_entitlements().license_id)))
    view("/reports")(requires_feature("analytics")(noted(lambda: "ok")))
    view("/scoped")(requires_scope("reports:write")(noted(lambda: "ok")))
    view("/role")(requires_role("owner")(noted(lambda: "ok")))
    view("/used")(consumes("apiCalls")(noted(lambda: "ok")))
    view("/seated")(consumes("seats", by=lambda request: "bob")(noted(lambda: "ok")))
    view("/claims")(noted(lambda: jsonify(entitlements().claims["tenant"])))
    view("/private")(noted(lambda: ("{}", {"Cache-Control": "public"})))

    @view("/raise")
    @noted
    def refuse() -> Any:
        raise RoleNotGranted(members={"required": ["x"]})

    @view("/boom")
    @noted
    def fail() -> Any:
        raise ZeroDivisionError

    @view("/stream")
    @noted
    def stream() -> Any:
        def body() -> Iterator[str]:
            for _ in range(3):
                yield current_entitlements().license_id

        return Response(stream_with_context(body()))

    return app


class OnFlask(Serving):
    """How Flask serves it. Unknown URLs are 404 there, which the contract permits."""

    adapter = "flask"
    joins_fields = True

    def client(self, **options: Any) -> WsgiClient:
        calls: list[str] = []
        app = contract_application(calls, lambda: g.entitlements)
        Licet(app, **options)
        return WsgiClient(app.wsgi_app, calls)


class TestFlask(OnFlask, AdapterContract):
    """The contract in Flask."""


class TestAroundFlask(AdapterContract):
    """The contract with the plain WSGI middleware around a Flask application."""

    adapter = "wsgi"
    joins_fields = True

    def client(self, **options: Any) -> WsgiClient:
        calls: list[str] = []
        app = contract_application(calls, lambda: flask.request.environ["licet.entitlements"])
        settings = Settings(**options)
        render_errors(app, settings)
        return WsgiClient(licet.wsgi.LicenseMiddleware(app.wsgi_app, settings), calls)


def licensed(app: Flask | None = None, **options: Any) -> Flask:
    """Return a Flask application behind Licet, in production mode."""
    app = app or Flask(__name__)
    Licet(app, **{**OPTIONS, **options})
    return app


def ask(app: Flask, path: str, headers: Any = (), method: str = "GET", **changes: Any) -> Answer:
    """Send one request as a server would."""
    started: list[Any] = []

    def start_response(status: str, fields: Any, exc_info: Any = None) -> Any:
        started[:] = [(int(status[:3]), fields)]

    body = app.wsgi_app(environ(method, path, list(headers), **changes), start_response)
    try:
        whole = b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()
    return Answer(*started[0], whole)


# -- settings --------------------------------------------------------------------------------------


def test_settings_come_from_the_configuration() -> None:
    """`LICET_…` in `app.config` is enough, also with a factory and `init_app`."""
    licensing = Licet()

    def create_app() -> Flask:
        app = Flask(__name__)
        app.config.from_mapping(CONFIG)
        licensing.init_app(app)
        app.add_url_rule("/", view_func=lambda: me(g.entitlements), endpoint="me")
        return app

    for app in (create_app(), create_app()):
        assert ask(app, "/").status == 401
        assert ask(app, "/", bearer(license_token(sub="lic_f"))).json["license_id"] == "lic_f"


def test_settings_that_cannot_work_fail_at_start_up() -> None:
    """A misspelt name, a missing issuer, settings twice and an app twice are `ConfigError`s."""
    app = Flask(__name__)
    with pytest.raises(ConfigError, match="issuer"):
        Licet(app)
    app.config.from_mapping(CONFIG, LICET_AUDIENSE="x")
    with pytest.raises(ConfigError, match="LICET_AUDIENCE"):
        Licet(app)
    with pytest.raises(ConfigError):
        Licet(app, Settings(**OPTIONS), leeway=3)
    Licet(app, Settings(**OPTIONS))
    with pytest.raises(ConfigError, match="already"):
        Licet(app, Settings(**OPTIONS))


def test_two_applications_in_one_process_know_their_own_issuer() -> None:
    """A license of one application's issuer opens only that application."""
    other = Issuer.generate("https://other.example")
    options = {"issuer": other.name, "audience": AUDIENCE, "jwks": other.jwks(), "jwks_url": None}
    one, two = licensed(), licensed(**options)
    for app in (one, two):
        app.add_url_rule("/", view_func=lambda: current_entitlements().license_id, endpoint="me")
    tokens = [license_token(), license_token(other, iss=other.name, sub="lic_other")]
    for _ in range(2):
        statuses = [[ask(app, "/", bearer(token)).status for token in tokens] for app in (one, two)]
        assert statuses == [[200, 401], [401, 200]]
    assert one.extensions["licet"] is not two.extensions["licet"]


# -- what needs a license --------------------------------------------------------------------------


def test_unknown_urls_stay_what_they_are() -> None:
    """404, 405 and a redirect to the trailing slash are Flask's; their pages may tell the plan."""
    app = licensed()
    app.add_url_rule("/known/", view_func=lambda: "known", endpoint="known")

    @app.errorhandler(404)
    def missing(error: Exception) -> Any:
        return f"no such page, {current_entitlements().status.name}", 404

    assert ask(app, "/unknown").body == b"no such page, UNLICENSED"
    assert ask(app, "/unknown", bearer(license_token())).body == b"no such page, ACTIVE"
    assert ask(app, "/known/", method="POST").status == 405
    assert ask(app, "/known").status == 308
    assert ask(app, "/known/").status == 401


@pytest.mark.parametrize("mode", ["report", "off"])
def test_what_an_application_demands_of_all_requests_passes_too(tmp_path: Path, mode: str) -> None:
    """Also of those that need no license: files, preflights and what nobody knows."""
    (tmp_path / "style.css").write_text("x")
    app = Flask(__name__, static_folder=str(tmp_path), static_url_path="/static")
    app.add_url_rule("/view", view_func=lambda: "ok")
    app.before_request(lambda: current_entitlements().require("analytics"))
    Licet(app, **OPTIONS, mode=mode, leeway=14)
    preflight = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")]
    client = WsgiClient(app, [])
    assert client.request("GET", "/static/style.css").status == 200
    assert client.request("OPTIONS", "/view", preflight).status == 200
    assert client.request("GET", "/view").status == 200
    assert client.request("GET", "/unknown").status == 404


def test_static_files_need_no_license_but_views_called_static_do(tmp_path: Path) -> None:
    """Only what Flask itself serves is free: a view is enforced whatever its name."""
    (tmp_path / "style.css").write_text("a{}")
    app = Flask(__name__, static_folder=str(tmp_path), static_url_path="/static")
    bundle = Blueprint("bundle", __name__, static_folder=str(tmp_path), static_url_path="/s")
    named = Blueprint("named", __name__)
    named.add_url_rule("/named", view_func=lambda: "secret", endpoint="static")
    app.register_blueprint(bundle, url_prefix="/bundle")
    app.register_blueprint(named)
    licensed(app)
    header = [("X-License-Token", license_token())]
    for path in ("/static/style.css", "/bundle/s/style.css"):
        answer = ask(app, path, header)
        assert (answer.status, answer.body) == (200, b"a{}")
        assert "X-License-Token" not in (answer.header("Vary") or "")
        assert ask(app, path).status == 200
    assert ask(app, "/named").status == 401
    app.view_functions["static"] = lambda filename: f"mine: {filename}"
    assert ask(app, "/static/style.css").status == 401
    assert ask(app, "/static/style.css", header).body == b"mine: style.css"

    bare = Flask(__name__, static_folder=None)
    bare.add_url_rule("/own", view_func=lambda: "secret", endpoint="static")
    bare.add_url_rule("/like", view_func=lambda: "secret", endpoint="like_static")
    licensed(bare)
    assert [ask(bare, path).status for path in ("/own", "/like")] == [401, 401]


def test_only_a_true_preflight_needs_no_license() -> None:
    """CORS: `OPTIONS` is free where Flask answers it and the browser asks what it may do."""
    app = licensed()
    app.add_url_rule("/auto", view_func=lambda: "auto", endpoint="auto")
    app.add_url_rule("/own", view_func=lambda: "own", endpoint="own", methods=["GET", "OPTIONS"])
    origin = ("Origin", "https://spa.example")
    preflight = [origin, ("Access-Control-Request-Method", "GET")]
    answer = ask(app, "/auto", preflight, "OPTIONS")
    assert answer.status == 200
    assert "GET" in (answer.header("Allow") or "")
    assert ask(app, "/auto", preflight, "GET").status == 401
    for headers in ([], [origin], [preflight[1]]):
        assert ask(app, "/auto", headers, "OPTIONS").status == 401
    assert ask(app, "/own", preflight, "OPTIONS").status == 401


def test_it_is_asked_before_the_applications_own_functions() -> None:
    """Refused requests reach no `before_request` of the application, even an earlier one."""
    app, seen = Flask(__name__), []
    book = Blueprint("book", __name__)
    book.before_request(lambda: seen.append("book"))
    book.add_url_rule("/book", view_func=lambda: "book", endpoint="book")
    app.register_blueprint(book)

    @app.before_request
    def first() -> None:
        seen.append(current_entitlements().license_id)

    licensed(app)
    assert ask(app, "/book").status == 401
    assert seen == []
    assert ask(app, "/book", bearer(license_token())).status == 200
    assert seen == ["lic_1", "book"]


# -- exemption -------------------------------------------------------------------------------------


def test_exempt_views_and_blueprints() -> None:
    """A mark on a view, below other decorators too, or on a blueprint and all within it."""
    app, licensing = Flask(__name__), Licet(**OPTIONS)

    def status() -> str:
        return current_entitlements().status.name

    class Shown(MethodView):
        def get(self) -> str:
            return status()

    def decorated(function: Any) -> Any:
        import functools

        return functools.wraps(function)(lambda: function())

    public = licensing.exempt(Blueprint("public", __name__, url_prefix="/public"))
    inner = Blueprint("inner", __name__, url_prefix="/inner")
    private = Blueprint("private", __name__, url_prefix="/private")
    for blueprint in (public, inner, private):
        blueprint.add_url_rule("/", view_func=lambda: status(), endpoint="index")
    public.register_blueprint(inner)
    app.register_blueprint(public)
    app.register_blueprint(private)
    app.add_url_rule(
        "/marked", view_func=decorated(licensing.exempt(lambda: status())), endpoint="m"
    )
    app.add_url_rule("/class", view_func=licensing.exempt(Shown.as_view("shown")))
    app.add_url_rule("/unmarked", view_func=decorated(lambda: status()), endpoint="u")
    licensing.init_app(app)
    for path in ("/public/", "/public/inner/", "/marked", "/class"):
        assert ask(app, path).body == b"UNLICENSED", path
        assert ask(app, path, bearer("rubbish")).body == b"UNLICENSED", path
        assert ask(app, path, bearer(license_token())).body == b"ACTIVE", path
    for path in ("/private/", "/unmarked"):
        assert ask(app, path).status == 401, path


def test_an_unlicensed_installation_is_reachable_where_it_is_marked(tmp_path: Path) -> None:
    """The page on which a license is entered is served without one; then all others are."""
    license_file, token = tmp_path / "license.jwt", license_token()
    app = Flask(__name__)
    licensing = Licet(app, **OPTIONS, license=f"file:{license_file}", exempt_paths=["/health"])

    @app.get("/enter")
    @licensing.exempt
    def enter() -> str:
        status = current_entitlements().status.name
        runner = app.test_cli_runner()
        result = runner.invoke(args=["license", "install", "-"], input=token)
        return f"{status} {result.exit_code}"

    app.add_url_rule("/health", view_func=lambda: "ok", endpoint="health")
    app.add_url_rule("/closed", view_func=lambda: "ok", endpoint="closed")
    assert ask(app, "/closed").status == 402
    assert ask(app, "/health").status == 200
    assert ask(app, "/enter").body == b"UNLICENSED 0"
    until(lambda: ask(app, "/closed").status == 200)


def test_marks_elsewhere_do_not_trouble_unusual_views() -> None:
    """Endpoints with a dot and no blueprint, and views without a hash, are judged like others."""

    @dataclass
    class View:
        answer: str

        def __call__(self) -> str:
            return self.answer

    app, licensing = Flask(__name__), Licet(**OPTIONS)
    licensing.init_app(app)
    app.add_url_rule("/marked", "marked", licensing.exempt(lambda: "ok"))
    app.add_url_rule("/dotted", "old.name", lambda: "ok")
    app.add_url_rule("/unhashable", "unhashable", View("ok"))  # type: ignore[arg-type]
    assert ask(app, "/marked").body == b"ok"
    for path in ("/dotted", "/unhashable"):
        assert ask(app, path).status == 401, path
        assert ask(app, path, bearer(license_token())).body == b"ok", path


@pytest.mark.parametrize("what", ["public", MethodView, 3], ids=["name", "class", "number"])
def test_only_views_and_blueprints_can_be_exempt(what: Any) -> None:
    """A name, or a class, which is never what Flask calls, is a mistake and said so."""
    with pytest.raises(TypeError, match="blueprint"):
        Licet().exempt(what)


# -- where entitlements are ------------------------------------------------------------------------


def test_a_stream_with_context_keeps_its_entitlements_and_claims() -> None:
    """T1: Flask tears down before such a body streams; the license is still there, then gone."""
    app, kept = licensed(), []

    @app.get("/")
    def stream() -> Any:
        def body() -> Iterator[str]:
            kept.append(g.entitlements)
            yield current_entitlements().license_id
            yield str(current_entitlements().claims["tenant"])

        return Response(stream_with_context(body()))

    @app.get("/unread")
    def stream_of_no_claims() -> Any:
        kept.append(g.entitlements)
        return Response(stream_with_context(iter(["ok"])))

    token = license_token(sub="lic_s", tenant="example")
    assert ask(app, "/", bearer(token)).body == b"lic_sexample"
    assert find_entitlements() is None
    assert ask(app, "/", bearer(license_token(sub="lic_t", tenant="t"))).body == b"lic_tt"
    unread = ask(app, "/unread", bearer(license_token()))
    assert (unread.status, len(kept)) == (200, 3)
    with pytest.raises(RuntimeError, match="while its request lasts"):
        kept[2].claims["tenant"]


def test_a_stream_without_context_has_none() -> None:
    """A bare generator runs outside the request, as Flask has it: what it needs, it is given."""
    app, seen = licensed(), []

    @app.get("/")
    def stream() -> Any:
        mine = g.entitlements

        def body() -> Iterator[str]:
            seen.append(find_entitlements())
            yield mine.license_id + str(mine.claims["tenant"])

        return Response(body())

    assert ask(app, "/", bearer(license_token(tenant="t"))).body == b"lic_1t"
    assert seen == [None]


def stepping(wsgi_app: Any, license_id: str) -> Iterator[bytes]:
    """Begin a request and return its body, unread."""
    request = environ("GET", "/", bearer(license_token(sub=license_id)))
    return iter(wsgi_app(request, lambda *arguments: None))


def streaming(app: Flask) -> Flask:
    """Give `app` a view whose body says three times whose license it sees."""

    @app.get("/")
    def stream() -> Any:
        def body() -> Iterator[str]:
            for _ in range(3):
                yield current_entitlements().license_id

        return Response(stream_with_context(body()))

    return app


def test_streams_begun_together_keep_their_own() -> None:
    """Two bodies that are begun before either is read each see their own license."""
    app = streaming(licensed())
    one, two = stepping(app.wsgi_app, "lic_one"), stepping(app.wsgi_app, "lic_two")
    assert (b"".join(two), b"".join(one)) == (b"lic_two" * 3, b"lic_one" * 3)


def test_around_flask_bodies_may_even_be_interleaved() -> None:
    """Stepped in turns on one thread, where Flask's own contexts mix, `licet.wsgi` parts them."""
    guarded = licet.wsgi.LicenseMiddleware(streaming(Flask(__name__)).wsgi_app, **OPTIONS)
    one, two = stepping(guarded, "lic_one"), stepping(guarded, "lic_two")
    for _ in range(3):
        assert (next(one), next(two)) == (b"lic_one", b"lic_two")
    assert (list(one), list(two)) == ([], [])


def test_async_views() -> None:
    """An async view and its requirements see the entitlements of the request."""
    pytest.importorskip("asgiref")
    app = licensed()

    @app.get("/")
    @requires_feature("analytics")
    async def view() -> Any:
        return {"ids": [g.entitlements.license_id, current_entitlements().license_id]}

    for _ in range(2):
        answer = ask(app, "/", bearer(license_token(sub="lic_a")))
        assert answer.json == {"ids": ["lic_a", "lic_a"]}
    assert ask(app, "/", bearer(license_token(features=[]))).json["code"] == "feature_not_licensed"


def test_a_copied_request_context_brings_them_to_a_thread() -> None:
    """`copy_current_request_context` has its own `g`, and the request's entitlements."""
    app, seen = licensed(), []

    @app.get("/")
    def view() -> Any:
        @copy_current_request_context
        def work() -> None:
            seen.append(current_entitlements().license_id)

        thread = Thread(target=work)
        thread.start()
        thread.join(10)
        return "ok"

    assert ask(app, "/", bearer(license_token())).status == 200
    assert seen == ["lic_1"]


def test_an_application_context_held_open_keeps_nothing() -> None:
    """Tests push one around many requests, which then share `g`; none sees another's license."""
    app = licensed()
    app.add_url_rule("/", view_func=lambda: "ok", endpoint="index")
    seen: list[Any] = []

    @app.errorhandler(LicenseError)
    def refused(error: LicenseError) -> Any:
        seen.append((g.entitlements, find_entitlements()))
        return "refused", 401

    with app.app_context():
        assert ask(app, "/", bearer(license_token())).status == 200
        assert ask(app, "/").status == 401
        assert find_entitlements() is None
    assert seen == [(None, None)]


@pytest.mark.parametrize("around", [bind(Entitlements.unlicensed()), entitled(["gold"])])
def test_the_requests_own_win_over_those_bound_around_it(
    around: AbstractContextManager[Entitlements],
) -> None:
    """A job that calls the application in-process is served by the request's license."""
    app = licensed()
    app.add_url_rule("/", view_func=requires_feature("gold")(lambda: "gold"), endpoint="gold")
    app.add_url_rule("/me", view_func=lambda: current_entitlements().license_id, endpoint="me")
    with around as bound:
        assert ask(app, "/me", bearer(license_token())).body == b"lic_1"
        assert ask(app, "/", bearer(license_token())).status == 403
        assert current_entitlements() is bound
    assert find_entitlements() is None


def test_what_was_bound_around_comes_back_last() -> None:
    """Teardown functions of the application, called often, still see the request's license."""
    app, seen = licensed(), []
    app.add_url_rule("/", view_func=lambda: "ok", endpoint="index")

    @app.teardown_request
    def after_all(error: BaseException | None) -> None:
        seen.append(current_entitlements().license_id)

    token = bearer(license_token())
    assert ask(app, "/", token).status == 200
    with bind(Entitlements.unlicensed()) as bound:
        for _ in range(2):
            assert ask(app, "/", token).status == 200
            assert current_entitlements() is bound
    assert seen == ["lic_1"] * 3
    assert len(app.teardown_request_funcs[None]) == 2


def test_a_request_inside_a_request_has_its_own() -> None:
    """A view that calls its own application gets its own entitlements back afterwards."""
    app = licensed()
    app.add_url_rule("/in", view_func=lambda: current_entitlements().license_id, endpoint="in")

    @app.get("/out")
    def outer() -> Any:
        inner = ask(app, "/in", bearer(license_token(sub="lic_in"))).body.decode()
        return [inner, current_entitlements().license_id]

    assert ask(app, "/out", bearer(license_token(sub="lic_out"))).json == ["lic_in", "lic_out"]


def test_templates_see_entitlements() -> None:
    """The global `entitlements` works in templates and imported macros, and outside requests."""
    app = licensed()
    text = "{{ entitlements.plan }}{% if entitlements.allows('analytics') %} yes{% endif %}"
    app.add_url_rule("/", view_func=lambda: flask.render_template_string(text), endpoint="page")
    assert ask(app, "/", bearer(license_token())).body == b"professional yes"
    with app.app_context():
        assert flask.render_template_string("{{ 1 if entitlements else 0 }}") == "0"


def test_caches_are_told_beside_what_the_view_said() -> None:
    """Our `Vary` joins the view's own, and its `Cache-Control` stands."""
    app = licensed(sources=["cookie:license"])
    fields = {"Vary": "Accept-Language", "Cache-Control": "no-store"}
    app.add_url_rule("/", view_func=lambda: ("ok", fields), endpoint="index")
    answer = ask(app, "/", [("Cookie", f"license={license_token()}")])
    assert answer.header("Vary") == "Accept-Language, Cookie"
    assert answer.header("Cache-Control") == "no-store"


# -- refusals --------------------------------------------------------------------------------------


def handled(kind: Any, *, before: bool) -> Answer:
    """Ask an application that handles `kind` itself, registered before or after Licet."""
    app = Flask(__name__)

    def handle(error: Exception) -> Any:
        return f"own {type(error).__name__}", 418

    for step in ("own", "licet") if before else ("licet", "own"):
        if step == "own":
            app.register_error_handler(kind, handle)
        else:
            licensed(app)
    app.add_url_rule("/", view_func=lambda: "ok", endpoint="index")
    return ask(app, "/")


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("kind", [LicenseError, LicenseRequired])
def test_a_handler_for_license_errors_wins(kind: Any, before: bool) -> None:
    """The application's own handler for the error answers, whichever was registered first."""
    assert handled(kind, before=before).body == b"own LicenseRequired"


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("kind", [401, Exception])
def test_handlers_for_other_errors_do_not_hide_ours(kind: Any, before: bool) -> None:
    """T14: a catch-all and a handler for Werkzeug's 401 leave our answer alone."""
    answer = handled(kind, before=before)
    assert (answer.status, answer.json["code"]) == (401, "license_required")


def test_a_blueprints_own_catch_all_is_nearer() -> None:
    """Flask asks a blueprint's handlers first, whatever they are for; the view stays unseen."""
    book, seen = Blueprint("book", __name__), []
    book.register_error_handler(Exception, lambda error: (type(error).__name__, 418))
    book.add_url_rule("/book", view_func=lambda: seen.append("book") or "ok", endpoint="book")
    app = Flask(__name__)
    app.register_blueprint(book)
    assert ask(licensed(app), "/book").body == b"LicenseRequired"
    assert seen == []


def test_settings_that_fail_in_a_view_are_never_rendered() -> None:
    """`ConfigError` is a mistake of the program, not an answer: Flask makes it a 500."""
    app = licensed()

    @app.get("/")
    def view() -> Any:
        Settings(issuer="https://x.example", audience=AUDIENCE, leeway=-1)

    app.logger.disabled = True
    answer = ask(app, "/", bearer(license_token()))
    assert answer.status == 500
    assert b"leeway" not in answer.body


def test_a_402_is_rendered(tmp_path: Path) -> None:
    """Werkzeug knows no 402; an installation without a license is answered all the same."""
    app = licensed(license=f"file:{tmp_path / 'none'}")
    app.add_url_rule("/", view_func=lambda: "ok", endpoint="index")
    answer = ask(app, "/")
    assert (answer.status, answer.json["code"]) == (402, "installation_unlicensed")


def test_browsers_get_a_page() -> None:
    """HTML where it is preferred, escaped, with the headers of the refusal; JSON otherwise."""
    app = licensed(upgrade_url="https://acme.example/?a=1&b=2")
    app.add_url_rule("/", view_func=requires_feature("<b>")(lambda: "ok"), endpoint="index")
    answer = ask(app, "/", [BROWSER, *bearer(license_token())])
    assert answer.status == 403
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    assert answer.header("Content-Length") == str(len(answer.body))
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("Vary") == "Authorization, X-License-Token, Accept"
    assert b"<h1>Feature not licensed</h1>" in answer.body
    assert b'href="https://acme.example/?a=1&amp;b=2"' in answer.body
    assert ask(app, "/", [BROWSER]).header("WWW-Authenticate") == 'Bearer realm="licet"'
    for accept in ("*/*", "application/json, text/html", "application/json", "text/plain"):
        answer = ask(app, "/", [("Accept", accept)])
        assert answer.header("Content-Type") == "application/problem+json", accept


def test_a_page_names_what_the_log_has_too() -> None:
    """Who reads a 503 in a browser can tell its operator which line of the log it comes of."""

    def unavailable() -> str:
        raise LicenseUnavailable(correlation_id="0123456789abcdef")

    app = licensed()
    app.add_url_rule("/", view_func=unavailable, endpoint="index")
    answer = ask(app, "/", [BROWSER, *bearer(license_token())])
    assert answer.status == 503
    assert b"503 license_unavailable 0123456789abcdef" in answer.body


@pytest.mark.parametrize("broken", [False, True])
def test_the_page_is_the_applications_to_replace(
    broken: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`licet/refused.html` among its templates is used; one that fails gives way to JSON."""
    (tmp_path / "licet").mkdir()
    text = "{{ 1 / 0 }}" if broken else "Own {{ problem.code }} {{ shop }}"
    (tmp_path / "licet" / "refused.html").write_text(text)
    app = licensed(Flask(__name__, template_folder=str(tmp_path)))
    app.context_processor(lambda: {"shop": "Acme"})
    app.add_url_rule("/", view_func=lambda: "ok", endpoint="index")
    answer = ask(app, "/", [BROWSER])
    assert answer.status == 401
    if broken:
        assert answer.json["code"] == "license_required"
        assert "could not be made" in caplog.text
    else:
        assert answer.body == b"Own license_required Acme"


@pytest.mark.parametrize(
    ("debug", "peer", "told"),
    [
        (True, "127.0.0.1", True),
        (True, "::1", True),
        (True, "203.0.113.9", False),
        (True, "", False),
        (False, "127.0.0.1", False),
    ],
)
def test_the_reason_is_told_in_debug_mode_to_loopback_only(
    debug: bool, peer: str, told: bool
) -> None:
    """`X-Licet-Reason` is for the developer in front of this machine."""
    app = licensed()
    app.debug = debug
    app.add_url_rule("/", view_func=lambda: "ok", endpoint="index")
    answer = ask(app, "/", bearer(license_token(aud="other")), REMOTE_ADDR=peer)
    assert (answer.header("X-Licet-Reason") is not None) is told


def test_around_flask_errors_of_views_are_rendered_in_production() -> None:
    """Behind `licet.wsgi`, Flask would make a 500 of a refusal in a view: `render_errors`."""
    app, settings = Flask(__name__), Settings(**OPTIONS)
    app.add_url_rule("/", view_func=requires_feature("gold")(lambda: "ok"), endpoint="index")
    app.wsgi_app = licet.wsgi.LicenseMiddleware(app.wsgi_app, settings)  # type: ignore[method-assign]
    render_errors(app, settings)
    answer = ask(app, "/", bearer(license_token()))
    assert (answer.status, answer.json["code"]) == (403, "feature_not_licensed")
    assert ask(app, "/").status == 401


def test_both_layers_may_stand_together() -> None:
    """Inside `licet.wsgi` of another issuer a view sees what its own application's Licet found."""
    outer = Issuer.generate("https://outer.example")
    app = licensed(sources=["x-license-token"])
    app.add_url_rule("/", view_func=lambda: current_entitlements().license_id, endpoint="index")
    app.wsgi_app = licet.wsgi.LicenseMiddleware(  # type: ignore[method-assign]
        app.wsgi_app,
        issuer=outer.name,
        audience="o",
        jwks=outer.jwks(),
        jwks_url=None,
        sources=["authorization"],
    )
    token = license_token(outer, iss=outer.name, aud="o", sub="lic_outer")
    both = [*bearer(token), ("X-License-Token", license_token(sub="lic_inner"))]
    assert ask(app, "/", both).body == b"lic_inner"
    assert ask(app, "/", both[:1]).status == 401
    assert ask(app, "/", both[1:]).status == 401


# -- the command -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status", "word"),
    [
        (license_token(sub="lic_cli"), 0, "lic_cli"),
        (expired(), 1, "expired"),
        (None, 1, "missing"),
    ],
    ids=["good", "expired", "missing"],
)
def test_the_command_checks_the_installation(
    text: str | None, status: int, word: str, tmp_path: Path
) -> None:
    """`flask license check` says with its exit status whether the license holds."""
    path = tmp_path / "license.jwt"
    if text:
        path.write_text(text)
    runner = licensed(license=f"file:{path}").test_cli_runner()
    result = runner.invoke(args=["license", "check"])
    assert (result.exit_code, word in result.output) == (status, True)
    result = runner.invoke(args=["license", "check", "--json"])
    assert result.exit_code == status
    assert json.loads(result.stdout)["holds"] is (status == 0)


def test_the_command_judges_a_given_license() -> None:
    """A token from the arguments or from standard input; undecided is its own exit status."""
    runner = licensed().test_cli_runner()
    result = runner.invoke(args=["license", "check"])
    assert (result.exit_code, "--token" in result.output) == (0, True)
    result = runner.invoke(args=["license", "check", "--json"])
    assert json.loads(result.stdout) == {"holds": None}
    result = runner.invoke(args=["license", "check", "--token", "-"], input=license_token() + "\n")
    assert (result.exit_code, "analytics" in result.output) == (0, True)
    narrow = license_token(domains=["reports.example"], cnf={"jkt": "A" * 43})
    result = runner.invoke(args=["license", "check", "--token", narrow])
    assert (result.exit_code, 'domains ["reports.example"]' in result.output) == (0, True)
    result = runner.invoke(args=["license", "check", "--token", "rubbish", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["code"]) == (1, "license_invalid")

    app = Flask(__name__)
    Licet(app, issuer=ISSUER_NAME, audience=AUDIENCE, jwks_url="http://127.0.0.1:9/jwks.json")
    result = app.test_cli_runner().invoke(
        args=["license", "check", "--json", "--token", license_token()]
    )
    assert (result.exit_code, json.loads(result.stdout)["holds"]) == (2, None)


def test_the_command_installs_a_license(tmp_path: Path) -> None:
    """`flask license install` puts a license into place that holds, and says what else came."""
    path = tmp_path / "license.jwt"
    runner = licensed(license=f"file:{path}", leeway=11).test_cli_runner()
    result = runner.invoke(args=["license", "install", "-"], input="rubbish")
    assert (result.exit_code, "license_invalid" in result.output) == (1, True)
    assert not path.exists()
    token = license_token()
    result = runner.invoke(args=["license", "install", "-"], input=token + "\n")
    assert (result.exit_code, path.read_text()) == (0, token + "\n")
    brought = tmp_path / "brought.jwt"
    brought.write_text(license_token(limits={}))
    runner = licensed(license=f"file:{path}", leeway=12).test_cli_runner()
    result = runner.invoke(args=["license", "install", str(brought)])
    assert (result.exit_code, "has lower limits" in result.output) == (1, True)
    result = runner.invoke(args=["license", "install", "--force", str(brought)])
    assert (result.exit_code, path.read_text()) == (0, brought.read_text() + "\n")
