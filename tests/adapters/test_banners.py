"""What templates of each framework see of the license."""

from __future__ import annotations

import pytest

from licet.core.entitlements.banner import Banner, Used
from licet.testing import entitled


def test_django_has_a_tag_and_a_context_processor() -> None:
    """`{% license_banner as banner %}`, and `license_banner` where the processor is named."""
    pytest.importorskip("django")
    from django.http import HttpRequest
    from django.template import Context, Engine

    import tests.adapters.django_project  # noqa: F401 - settings
    from licet.django.context_processors import license_banner

    engine = Engine(libraries={"licet": "licet.django.templatetags.licet"})
    page = engine.from_string(
        "{% load licet %}{% license_banner as it %}{{ it.status }} {{ it.days_left }}"
    )
    assert page.render(Context()) == "unlicensed None"
    with entitled(features=["a"]) as entitlements:
        assert page.render(Context()).startswith("active ")
        request = HttpRequest()
        assert license_banner(request)["license_banner"].status == "unlicensed"
        request.entitlements = entitlements  # type: ignore[attr-defined]
        assert license_banner(request)["license_banner"].status == "active"


def test_flask_has_a_global() -> None:
    """`license_banner()` in every template."""
    flask = pytest.importorskip("flask")
    from licet.flask import Licet
    from tests.licenses import OPTIONS, license_token

    app = flask.Flask(__name__)
    Licet(app, **OPTIONS)
    text = "{% set it = license_banner() %}{{ it.status }} {{ it.days_left is none }}"
    app.add_url_rule("/", view_func=lambda: flask.render_template_string(text), endpoint="page")
    answer = app.test_client().get("/", headers={"Authorization": f"Bearer {license_token()}"})
    assert answer.text == "active False"
    with app.app_context():
        assert flask.render_template_string(text) == "unlicensed True"


def test_a_page_that_charges_nothing_tells_of_what_others_have_charged() -> None:
    """To who has the license, and no shared cache keeps the page for others."""
    flask = pytest.importorskip("flask")
    from licet import consume
    from licet.flask import Licet
    from tests.licenses import OPTIONS, license_token

    app = flask.Flask(__name__)
    Licet(app, **OPTIONS)
    text = "{% for one in license_banner().nearly_used %}{{ one.limit }} {{ one.percent }}%"
    text += "{% endfor %}"

    def use() -> str:
        consume("calls", 9)
        return "used"

    app.add_url_rule("/use", view_func=use)
    app.add_url_rule("/", view_func=lambda: flask.render_template_string(text), endpoint="page")
    client = app.test_client()
    mine, other = (
        {"X-License-Token": license_token(sub=name, limits={"calls": 10})}
        for name in ("lic_banner", "lic_banner_of_another")
    )
    assert client.get("/", headers=mine).text == ""
    assert client.get("/use", headers=mine).text == "used"
    answer = client.get("/", headers=mine)
    assert answer.text == "calls 90%"
    assert answer.headers["Cache-Control"] == "private"
    assert "X-License-Token" in answer.headers["Vary"]
    assert client.get("/", headers=other).text == ""


def test_django_escapes_what_a_license_says() -> None:
    """Like anything else in a template."""
    pytest.importorskip("django")
    from django.template import Context, Engine

    import tests.adapters.django_project  # noqa: F401 - settings

    page = Engine().from_string("{% for one in it.nearly_used %}{{ one.limit }}{% endfor %}")
    told = Banner("active", 3, (Used("<b>calls", 90),))
    assert page.render(Context({"it": told})) == "&lt;b&gt;calls"


def test_starlette_has_a_context_processor() -> None:
    """`entitlements` and `license_banner`, of the request at hand."""
    pytest.importorskip("starlette")
    from starlette.requests import Request

    from licet.starlette import license_context

    scope = {"type": "http", "headers": []}
    told = license_context(Request(scope))
    assert told["license_banner"].status == "unlicensed"
    assert not told["entitlements"]
    with entitled(features=["a"]) as entitlements:
        pass
    told = license_context(Request({**scope, "state": {"entitlements": entitlements}}))
    assert told["entitlements"] is entitlements
    assert told["license_banner"].status == "active"


def test_a_template_of_starlette_tells_of_a_grace() -> None:
    """How many days are left of it, in a page that a request with the license gets."""
    pytest.importorskip("starlette")
    jinja2 = pytest.importorskip("jinja2")
    import time

    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Route
    from starlette.templating import Jinja2Templates
    from starlette.testclient import TestClient

    from licet.starlette import LicenseMiddleware, license_context
    from tests.licenses import OPTIONS, license_token

    text = "{% if license_banner.in_grace %}{{ license_banner.days_left }} days{% endif %}"
    loader = jinja2.DictLoader({"page.html": text})
    templates = Jinja2Templates(
        env=jinja2.Environment(loader=loader, autoescape=True), context_processors=[license_context]
    )
    app = Starlette(
        routes=[Route("/", lambda request: templates.TemplateResponse(request, "page.html"))],
        middleware=[Middleware(LicenseMiddleware, **OPTIONS)],
    )
    now, day = int(time.time()), 86_400
    token = license_token(iat=now - 20 * day, exp=now - day, grace=4 * day)
    with TestClient(app) as client:
        answer = client.get("/", headers={"Authorization": f"Bearer {token}"})
    assert answer.text == "3 days"
    assert answer.headers["License-Status"].startswith("grace; until=")
