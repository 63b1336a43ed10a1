"""The attack table through Django, under WSGI and under ASGI."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attacks.conduct import ConductContract
from tests.attacks.contract import AttackContract

pytest.importorskip("django")

from django.core.handlers.wsgi import WSGIHandler
from django.http import StreamingHttpResponse
from django.urls import path
from django.views import View

from tests.adapters import test_django_async, test_django_sync
from tests.adapters.clients import AsgiClient, WsgiClient
from tests.adapters.contract import bearer
from tests.adapters.django_project import (
    Handler,
    OnDjango,
    Urls,
    _project,  # noqa: F401 - a fixture
    licet_options,
)
from tests.licenses import OPTIONS, expired, license_token


class OwnCode(OnDjango):
    """What runs of a project's own before a license is known."""

    @pytest.mark.row("K15")
    def test_no_view_or_what_is_around_it_runs_before_the_license(self) -> None:
        """Decorators, class-based dispatch and streamed bodies see no refused request."""
        calls: list[str] = []
        streaming = self.server == "asgi"

        def pieces() -> Any:
            calls.append("body")
            yield b"served"

        async def apieces() -> Any:
            calls.append("body")
            yield b"served"

        class Page(View):
            def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
                calls.append("dispatch")
                return StreamingHttpResponse(apieces() if streaming else pieces())

        def around(request: Any) -> Any:
            calls.append("decorator")
            return page(request)

        page = Page.as_view()
        self.project(Urls(path("page", around)), **licet_options(**OPTIONS))
        app: Any = Handler() if streaming else WSGIHandler()
        client: Any = AsgiClient(app, []) if streaming else WsgiClient(app, [])
        for headers in ([], bearer("rubbish"), bearer(expired())):
            assert client.request("GET", "/page", headers).status == 401
        assert calls == []
        answer = client.request("GET", "/page", bearer(license_token()))
        assert (answer.status, answer.body) == (200, b"served")
        assert calls == ["decorator", "dispatch", "body"]


class TestSync(OwnCode, AttackContract, ConductContract):
    """Every row, with synchronous views."""

    adapter = "django"
    server = "wsgi"
    urls = test_django_sync.TestSync.urls


class TestAsync(OwnCode, AttackContract, ConductContract):
    """Every row, with asynchronous views."""

    adapter = "django-async"
    server = "asgi"
    urls = test_django_async.TestAsync.urls
