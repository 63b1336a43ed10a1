"""What templates of each framework see of the license."""

from __future__ import annotations

import pytest

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
