"""What Licet adds to Django: marks, requirements on every kind of view, templates, pages."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("django")

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import Context, Template, TemplateSyntaxError
from django.test import Client
from django.urls import path, re_path
from django.utils.decorators import method_decorator
from django.views import View

import licet
from licet import LicenseError, LicenseUnavailable, requires_feature
from licet.django.decorators import license_exempt
from licet.django.views import LicenseRequiredMixin
from licet.possession import ProofKey
from licet.testing import entitled
from tests.adapters.clients import AsgiClient, WsgiClient
from tests.adapters.contract import Answer, bearer
from tests.adapters.django_project import (
    PROJECT,
    Handler,
    Project,
    Urls,
    _project,  # noqa: F401 - a fixture
    licet_options,
)
from tests.licenses import OPTIONS, expired, license_token

SERVERS = ("wsgi", "asgi")
BROWSER = [("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")]

serves = pytest.mark.parametrize("server", SERVERS)


def client_of(server: str) -> Any:
    """Return a client of the project as it is laid now."""
    return WsgiClient(WSGIHandler(), []) if server == "wsgi" else AsgiClient(Handler(), [])


def ask(server: str, target: str = "/", headers: Any = None, method: str = "GET") -> Answer:
    """Send one request to the project as it is laid now."""
    return client_of(server).request(method, target, headers)


# -- requirements ----------------------------------------------------------------------------


@requires_feature("analytics")
def function(request: Any) -> Any:
    """Be a function."""
    return JsonResponse({"plan": request.entitlements.plan})


@requires_feature("analytics")
async def afunction(request: Any) -> Any:
    """Be an asynchronous one."""
    return JsonResponse({"plan": request.entitlements.plan})


class Plain(View):
    """A class-based view."""

    def get(self, request: Any) -> Any:
        """Answer."""
        return JsonResponse({"plan": request.entitlements.plan})


class APlain(View):
    """An asynchronous one."""

    async def get(self, request: Any) -> Any:
        """Answer."""
        return JsonResponse({"plan": request.entitlements.plan})


class OnMethod(View):
    """A requirement on a method, as any function has it."""

    @requires_feature("analytics")
    def get(self, request: Any) -> Any:
        """Answer."""
        return JsonResponse({"plan": request.entitlements.plan})


class AOnMethod(View):
    """The same on an asynchronous method."""

    @requires_feature("analytics")
    async def get(self, request: Any) -> Any:
        """Answer."""
        return JsonResponse({"plan": request.entitlements.plan})


@method_decorator(requires_feature("analytics"), name="dispatch")
class OnDispatch(Plain):
    """A requirement on all methods of a class."""


@method_decorator(requires_feature("analytics"), name="dispatch")
class AOnDispatch(APlain):
    """The same on asynchronous methods."""


@method_decorator(requires_feature("analytics"), name="get")
class OnGet(Plain):
    """A requirement on one method of a class."""


@method_decorator(requires_feature("analytics"), name="get")
class AOnGet(APlain):
    """The same on an asynchronous method."""


class Mixed(LicenseRequiredMixin, Plain):
    """A requirement by attribute."""

    required_features = ("analytics",)


class AMixed(LicenseRequiredMixin, APlain):
    """The same with asynchronous methods."""

    required_features = "analytics"


VIEWS = {
    "function": function,
    "async-function": afunction,
    "method": OnMethod.as_view(),
    "async-method": AOnMethod.as_view(),
    "dispatch": OnDispatch.as_view(),
    "async-dispatch": AOnDispatch.as_view(),
    "get": OnGet.as_view(),
    "async-get": AOnGet.as_view(),
    "as-view": requires_feature("analytics")(Plain.as_view()),
    "async-as-view": requires_feature("analytics")(APlain.as_view()),
    "mixin": Mixed.as_view(),
    "async-mixin": AMixed.as_view(),
    "mixin-by-argument": Mixed.as_view(required_features=("analytics",)),
}


@serves
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_requirements_go_on_every_kind_of_view(
    project: Project, view: Callable[..., Any], server: str
) -> None:
    """A license with the feature opens the view, one without is told what is missing."""
    project(Urls(path("", view)), **licet_options(**OPTIONS))
    answer = ask(server, headers=bearer(license_token()))
    assert (answer.status, answer.json) == (200, {"plan": "professional"})
    answer = ask(server, headers=bearer(license_token(features=["other"])))
    assert (answer.status, answer.json["code"]) == (403, "feature_not_licensed")
    assert answer.json["required"] == ["analytics"]


@serves
@pytest.mark.parametrize("mode", ["report", "off"])
def test_where_nothing_is_enforced_they_all_pass(project: Project, server: str, mode: str) -> None:
    """Without a license, and with one that names nothing; the mixin demands nothing either."""
    views = {**VIEWS, "strict": Strict.as_view()}
    urls = Urls(*(path(name, view) for name, view in views.items()))
    project(urls, **licet_options(**OPTIONS, mode=mode))
    for name in views:
        for headers in (None, bearer(license_token(features=[], scope="", roles=[]))):
            assert ask(server, f"/{name}", headers).status == 200, name


class Strict(LicenseRequiredMixin, Plain):
    """All kinds of requirements at once."""

    required_features = ("analytics", "export")
    required_scopes = "reports:read"
    required_roles = ("admin",)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"features": ["analytics", "export"]}, None, id="all"),
        pytest.param({}, "feature_not_licensed", id="feature"),
        pytest.param(
            {"features": ["analytics", "export"], "scope": ""}, "scope_not_granted", id="scope"
        ),
        pytest.param(
            {"features": ["analytics", "export"], "roles": []}, "role_not_granted", id="role"
        ),
    ],
)
def test_the_mixin_demands_all_it_names(
    project: Project, changes: dict[str, Any], code: str | None
) -> None:
    """Features, scopes and roles are demanded together."""
    project(Urls(path("", Strict.as_view())), **licet_options(**OPTIONS))
    answer = ask("wsgi", headers=bearer(license_token(**changes)))
    assert answer.json.get("code") == code


def test_the_mixin_alone_demands_a_license(project: Project) -> None:
    """Where licenses are optional, a view may still need one."""

    class Licensed(LicenseRequiredMixin, Plain):
        pass

    project(Urls(path("", Licensed.as_view())), **licet_options(**OPTIONS, required=False))
    assert ask("wsgi").json["code"] == "license_required"
    assert ask("wsgi", headers=bearer(license_token())).status == 200


def test_a_mixin_that_would_not_be_asked_fails_at_import() -> None:
    """Behind the view in the order of bases it would demand nothing."""
    with pytest.raises(TypeError, match="before the view"):
        type("Wrong", (Plain, LicenseRequiredMixin), {})


# -- marks -----------------------------------------------------------------------------------


def shown(request: Any) -> Any:
    """Say what the request may do."""
    return JsonResponse(request.entitlements.status.name, safe=False)


async def ashown(request: Any) -> Any:
    """Say it asynchronously."""
    return shown(request)


class Shown(View):
    """Say it from a class."""

    def get(self, request: Any) -> Any:
        """Answer."""
        return shown(request)


class AShown(View):
    """Say it from an asynchronous one."""

    async def get(self, request: Any) -> Any:
        """Answer."""
        return shown(request)


@method_decorator(license_exempt, name="dispatch")
class Marked(Shown):
    """A class that is exempt."""


@method_decorator(license_exempt, name="dispatch")
class AMarked(AShown):
    """An asynchronous one."""


def passing(view: Any) -> Any:
    """Be a decorator of somebody else's around a marked view."""
    import functools

    @functools.wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return wrapper


EXEMPT = {
    "function": license_exempt(shown),
    "async-function": license_exempt(ashown),
    "as-view": license_exempt(Shown.as_view()),
    "async-as-view": license_exempt(AShown.as_view()),
    "dispatch": Marked.as_view(),
    "async-dispatch": AMarked.as_view(),
    "decorated": passing(license_exempt(shown)),
}


@serves
@pytest.mark.parametrize("view", EXEMPT.values(), ids=EXEMPT.keys())
def test_marked_views_need_no_license(
    project: Project, view: Callable[..., Any], server: str
) -> None:
    """They are served without one, with a bad one, and know a good one."""
    project(Urls(path("", view)), **licet_options(**OPTIONS))
    assert ask(server).json == "UNLICENSED"
    assert ask(server, headers=bearer("nonsense")).json == "UNLICENSED"
    assert ask(server, headers=bearer(license_token())).json == "ACTIVE"


@serves
def test_an_unlicensed_installation_is_reachable_where_it_is_marked(
    project: Project, server: str, tmp_path: Path
) -> None:
    """The page on which a license is entered is served without one, and knows it."""
    license_file = tmp_path / "license.jwt"
    project(
        Urls(path("license", license_exempt(shown)), path("health", shown), path("closed", shown)),
        **licet_options(**OPTIONS, license=f"file:{license_file}", exempt_paths=["/health"]),
    )
    client = client_of(server)
    for content in ("", expired(), "rubbish"):
        license_file.write_text(content)
        for name in ("license", "health"):
            answer = client.request("GET", f"/{name}")
            assert (answer.status, answer.json) == (200, "UNLICENSED")
        assert client.request("GET", "/closed").status == 402


@serves
def test_a_mark_leaves_the_view_itself_alone(project: Project, server: str) -> None:
    """What was marked for one URL still needs a license at another."""
    view = Shown.as_view()
    project(
        Urls(
            path("open", license_exempt(shown)),
            path("closed", shown),
            path("open-class", license_exempt(view)),
            path("closed-class", view),
            path("closed-async", ashown),
        ),
        **licet_options(**OPTIONS),
    )
    client = client_of(server)
    for name in ("open", "open-class"):
        assert client.request("GET", f"/{name}").status == 200
    for name in ("closed", "closed-class", "closed-async"):
        assert client.request("GET", f"/{name}").status == 401


def test_a_mark_on_a_class_fails_at_import() -> None:
    """It would mark nothing, and be believed."""
    with pytest.raises(TypeError, match="method_decorator"):
        license_exempt(Shown)


def test_a_marked_view_may_demand_things(project: Project) -> None:
    """Exempt from the gate is not exempt from what the view itself requires."""
    project(
        Urls(path("", license_exempt(function))),
        **licet_options(**OPTIONS),
    )
    assert ask("wsgi").json["code"] == "license_required"
    assert ask("wsgi", headers=bearer(license_token())).status == 200


# -- templates -------------------------------------------------------------------------------

TEMPLATE = (
    "{% load licet %}{% if_feature 'analytics' %}yes{% else %}no{% end_if_feature %}"
    "{% if_feature 'analytics' name %} both{% end_if_feature %}"
)


@pytest.mark.parametrize(
    ("features", "name", "expected"),
    [
        pytest.param([], "export", "no", id="none"),
        pytest.param(["analytics"], "export", "yes", id="one"),
        pytest.param(["analytics", "export"], "export", "yes both", id="all"),
        pytest.param(["analytics", "export"], None, "yes", id="no-name"),
        pytest.param(["analytics", "export"], ["export"], "yes", id="no-text"),
    ],
)
def test_templates_ask_for_features(
    project: Project, features: list[str], name: object, expected: str
) -> None:
    """`{% if_feature %}` shows its part where all names are licensed; names may be variables."""
    project(Urls())
    template = Template(TEMPLATE)
    with entitled(features):
        assert template.render(Context({"name": name})) == expected


def test_outside_of_requests_templates_are_unlicensed(project: Project) -> None:
    """An e-mail rendered by a job shows what needs no license."""
    project(Urls())
    assert Template(TEMPLATE).render(Context()) == "no"


@pytest.mark.parametrize(
    "source", ["{% if_feature %}x{% end_if_feature %}", "{% if_feature 'a' %}"]
)
def test_a_tag_that_asks_for_nothing_is_a_mistake(project: Project, source: str) -> None:
    """A name is needed, and an end."""
    project(Urls())
    with pytest.raises(TemplateSyntaxError):
        Template("{% load licet %}" + source)


def located(templates: dict[str, str]) -> dict[str, Any]:
    """Return the setting `TEMPLATES` for templates given as text, before the apps' own."""
    return {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "context_processors": ["licet.django.context_processors.entitlements"],
            "loaders": [
                ("django.template.loaders.locmem.Loader", templates),
                "django.template.loaders.app_directories.Loader",
            ],
        },
    }


@serves
def test_templates_see_the_entitlements(project: Project, server: str) -> None:
    """The context processor hands them on, and pages without any still render."""
    from django.shortcuts import render

    page = (
        "{% load licet %}[{{ entitlements.plan }}]{% if_feature 'analytics' %}+{% end_if_feature %}"
    )
    project(
        Urls(path("", lambda request: render(request, "page.html"))),
        **licet_options(**OPTIONS),
        TEMPLATES=[located({"page.html": page, "404.html": "lost " + page})],
    )
    assert ask(server, headers=bearer(license_token())).body == b"[professional]+"
    lost = ask(server, "/nowhere", bearer(license_token()))
    assert (lost.status, lost.body) == (404, b"lost [None]")


def test_a_template_may_demand_a_feature(project: Project) -> None:
    """A refusal raised while a response renders itself is answered too."""
    from django.template.response import TemplateResponse

    project(
        Urls(path("", lambda request: TemplateResponse(request, "page.html"))),
        **licet_options(**OPTIONS, required=False),
        TEMPLATES=[located({"page.html": "{{ entitlements.require }}"})],
    )
    assert ask("wsgi").json["code"] == "license_required"


# -- answers ---------------------------------------------------------------------------------


@serves
def test_browsers_get_a_page(project: Project, server: str) -> None:
    """Whoever prefers HTML gets it, with the same status and header fields, all escaped."""
    project(
        Urls(path("", function)),
        **licet_options(**OPTIONS, upgrade_url="https://acme.example/?a=1&b=<2>"),
    )
    answer = ask(server, headers=BROWSER)
    assert answer.status == 401
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    assert answer.header("WWW-Authenticate") == 'Bearer realm="licet"'
    assert answer.header("Cache-Control") == "no-store"
    assert int(answer.header("Content-Length") or 0) == len(answer.body)
    assert b"Present a license" in answer.body
    assert b"acme.example" not in answer.body, "there is nothing to upgrade"
    answer = ask(server, headers=BROWSER + bearer(license_token(features=[])))
    assert answer.status == 403
    assert b'href="https://acme.example/?a=1&amp;b=&lt;2&gt;"' in answer.body


@serves
def test_a_page_names_what_the_log_has_too(project: Project, server: str) -> None:
    """Who reads a 503 in a browser can tell its operator which line of the log it comes of."""

    def unavailable(request: HttpRequest) -> HttpResponse:
        raise LicenseUnavailable(correlation_id="0123456789abcdef")

    project(Urls(path("", unavailable)), **licet_options(**OPTIONS))
    answer = ask(server, headers=BROWSER + bearer(license_token()))
    assert answer.status == 503
    assert b"503 license_unavailable 0123456789abcdef" in answer.body


@pytest.mark.parametrize(
    "accept",
    [None, "*/*", "application/json", "application/json, text/html", "text/html;q=0.5, */*", "x;;"],
)
def test_programs_get_problem_details(project: Project, accept: str | None) -> None:
    """Whoever does not prefer HTML gets RFC 9457."""
    project(Urls(path("", function)), **licet_options(**OPTIONS))
    answer = ask("wsgi", headers=[("Accept", accept)] if accept else None)
    assert answer.header("Content-Type") == "application/problem+json"
    assert answer.json["code"] == "license_required"


def test_an_odd_preference_is_no_error(project: Project) -> None:
    """What Django cannot read is refused all the same; not every version fails to read it."""
    project(Urls(path("", function)), **licet_options(**OPTIONS))
    assert ask("wsgi", headers=[("Accept", "text/html; a*=nonsense'en'x")]).status == 401


@serves
def test_the_page_may_be_overridden(project: Project, server: str) -> None:
    """A project's own `licet/refused.html` wins."""
    page = "ours: {{ problem.code }} {{ problem.status }} {{ entitlements.status.name }}"
    project(
        Urls(path("", function)),
        **licet_options(**OPTIONS),
        TEMPLATES=[located({"licet/refused.html": page})],
    )
    assert ask(server, headers=BROWSER).body == b"ours: license_required 401 UNLICENSED"


@pytest.mark.parametrize(
    "changes", [{"INSTALLED_APPS": []}, {"TEMPLATES": []}], ids=["no-app", "no-templates"]
)
def test_the_page_needs_neither_app_nor_templates(
    project: Project, changes: dict[str, Any]
) -> None:
    """Licet brings the page along."""
    project(Urls(path("", function)), **licet_options(**OPTIONS), **changes)
    answer = ask("wsgi", headers=BROWSER)
    assert (answer.status, b"<h1>License required</h1>" in answer.body) == (401, True)


def own_answer(request: Any, error: LicenseError) -> HttpResponse:
    """Answer in the project's own words."""
    return HttpResponse(f"{error.code} at {request.path}", status=418)


def thread_answer(request: Any, error: LicenseError) -> HttpResponse:
    """Say whether this thread belongs to an event loop, where no database may be asked."""
    return HttpResponse(str(asyncio._get_running_loop() is not None))


def failing_answer(request: Any, error: LicenseError) -> HttpResponse:
    """Fail to."""
    raise ZeroDivisionError


def no_answer(request: Any, error: LicenseError) -> None:
    """Return nothing."""


@serves
def test_a_project_may_answer_itself(project: Project, server: str) -> None:
    """`LICET_ERROR_RESPONSE` decides, for the gate's refusals and those of views."""
    project(
        Urls(path("x", function)),
        **licet_options(**OPTIONS, error_response=f"{__name__}.own_answer"),
    )
    answer = ask(server, "/x", BROWSER)
    assert (answer.status, answer.body) == (418, b"license_required at /x")
    assert answer.header("Cache-Control") == "no-store"
    answer = ask(server, "/x", bearer(license_token(features=[])))
    assert (answer.status, answer.body) == (418, b"feature_not_licensed at /x")


@serves
def test_a_projects_answer_may_ask_the_database(project: Project, server: str) -> None:
    """It runs outside of the event loop, as views that are synchronous do."""
    project(
        Urls(path("", function)),
        **licet_options(**OPTIONS, error_response=f"{__name__}.thread_answer"),
    )
    assert ask(server).body == b"False"
    assert ask(server, headers=bearer(license_token(features=[]))).body == b"False"


@serves
@pytest.mark.parametrize("name", ["failing_answer", "no_answer"])
def test_an_answer_that_fails_is_still_a_refusal(
    project: Project, name: str, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The plain answer is given, and the log says why."""
    project(
        Urls(path("", function)), **licet_options(**OPTIONS, error_response=f"{__name__}.{name}")
    )
    answer = ask(server)
    assert (answer.status, answer.json["code"]) == (401, "license_required")
    assert "could not be made" in caplog.text


@serves
@pytest.mark.parametrize(
    ("debug", "address", "told"),
    [
        (True, "127.0.0.1", True),
        (True, "203.0.113.9", False),
        (True, "", False),
        (False, "127.0.0.1", False),
    ],
)
def test_the_reason_is_told_to_the_developer_only(
    project: Project, debug: bool, address: str, told: bool, server: str
) -> None:
    """`X-Licet-Reason` is there in debug mode, and for this machine alone."""
    from tests.adapters.clients import call, environ, http_scope

    project(Urls(path("", function)), **licet_options(**OPTIONS), DEBUG=debug)
    headers = bearer("nonsense")
    if server == "asgi":
        import anyio

        scope = http_scope("GET", "/", headers, client=(address, 1))
        answer = anyio.run(call, ASGIHandler(), scope)
    else:
        answer = WsgiClient(
            lambda _, start: WSGIHandler()(
                environ("GET", "/", headers, REMOTE_ADDR=address), start
            ),
            [],
        ).request("GET", "/")
    assert answer.status == 401
    assert (answer.header("X-Licet-Reason") is not None) == told


@serves
def test_a_host_that_django_does_not_serve_is_400(project: Project, server: str) -> None:
    """Where the host decides something, Django's own word on it counts."""
    project(
        Urls(path("", shown)),
        **licet_options(**{**OPTIONS, "sources": ["cookie:license"]}),
        ALLOWED_HOSTS=["app.example"],
    )
    headers = [
        ("Cookie", f"license={license_token()}"),
        ("Host", "evil.example"),
        ("Origin", "http://evil.example"),
    ]
    answer = ask(server, headers=headers, method="POST")
    assert (answer.status, answer.json["code"]) == (400, "bad_host")


def test_the_scheme_is_what_django_says(project: Project) -> None:
    """Behind a proxy that ends TLS, `SECURE_PROXY_SSL_HEADER` decides what the origin is."""
    project(
        Urls(path("", shown)),
        **licet_options(**{**OPTIONS, "sources": ["cookie:license"]}),
        SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    )
    headers = [("Cookie", f"license={license_token()}"), ("Origin", "https://testserver")]
    assert ask("wsgi", headers=headers, method="POST").status == 401
    secure = [*headers, ("X-Forwarded-Proto", "https")]
    assert ask("wsgi", headers=secure, method="POST").json == "ACTIVE"


# -- without the app, without Django ---------------------------------------------------------

WITHOUT_APP = """
import json, sys
from django.conf import settings
options = json.loads(sys.stdin.read())
settings.configure(
    SECRET_KEY="x", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["licet.django.middleware.LicenseMiddleware"], **options["settings"],
)
import django
django.setup()
from django.http import JsonResponse
from django.test import Client
from django.urls import path, re_path
urlpatterns = [path("", lambda request: JsonResponse({"plan": request.entitlements.plan}))]
client = Client()
print(client.get("/").json()["code"])
print(client.get("/", headers={"Accept": "text/html"}).headers["Content-Type"])
print(client.get("/", headers={"Authorization": "Bearer " + options["token"]}).json()["plan"])
"""


def python(source: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run `source` in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_middleware_works_without_the_app() -> None:
    """One line in `MIDDLEWARE` and the settings are enough."""
    import json

    told = {"settings": licet_options(**OPTIONS), "token": license_token()}
    done = python(WITHOUT_APP, json.dumps(told))
    assert done.stderr == ""
    assert done.stdout.split("\n")[:3] == [
        "license_required",
        "text/html; charset=utf-8",
        "professional",
    ]


def test_a_missing_django_is_named() -> None:
    """Without Django the import says so, and with which line it comes."""
    hidden = "import sys; sys.modules['django'] = None\n"
    done = python(hidden + "import licet.django")
    assert done.returncode == 1
    assert 'licet.django needs Django: pip install "licet[django]"' in done.stderr
    assert python(hidden + "import licet").returncode == 0


def test_the_app_has_its_label(project: Project) -> None:
    """Its label is `licet`; its name is where it stands."""
    from django.apps import apps

    project(Urls())
    assert apps.get_app_config("licet").name == "licet.django"
    assert PROJECT["INSTALLED_APPS"] == ["licet.django"]


def test_djangos_own_client_sees_what_a_server_does(project: Project) -> None:
    """`django.test.Client` works as ever."""
    project(Urls(path("", function)), **licet_options(**OPTIONS))
    assert Client().get("/").status_code == 401
    token = license_token()
    response = Client().get("/", headers={"X-License-Token": token})
    assert response.json() == {"plan": "professional"}
    assert response["Vary"] == "X-License-Token"
    assert licet.core.entitlements.context.find_entitlements() is None


@pytest.mark.row("N11")
@serves
@pytest.mark.parametrize("below", ["", "/api"])
@pytest.mark.parametrize("target", ["/plain", "/users/@me", "/%C3%A9", "/%E6%97%A5", "/a%20b"])
def test_a_proof_is_for_the_path_that_its_client_sent(
    project: Project, server: str, below: str, target: str
) -> None:
    """As most clients spell it, in any script, and below a root that a proxy took off."""
    options = licet_options(**OPTIONS)
    project(Urls(re_path("", function)), **options, ALLOWED_HOSTS=["reports.example"])
    project.change(FORCE_SCRIPT_NAME=below or None)
    key = ProofKey.generate("Ed25519")
    token = license_token(cnf={"jkt": key.jkt})
    proof = key.proof("GET", f"http://reports.example{below}{target}", token)
    headers = [("Host", "reports.example"), ("Authorization", f"DPoP {token}"), ("DPoP", proof)]
    assert client_of(server).request("GET", target, headers).status == 200
