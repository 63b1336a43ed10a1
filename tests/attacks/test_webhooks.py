"""Rows Q through every adapter's receiver."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

import licet.asgi
import licet.wsgi
from tests.adapters.posting import AsgiPost, WsgiPost
from tests.attacks.webhooks import WebhookContract
from tests.pushed import PATH


class OnAsgi(WebhookContract):
    """Beside a plain ASGI application."""

    adapter = "asgi"
    backend = "asyncio"

    def serve(self, settings: dict[str, Any], calls: list[str]) -> AsgiPost:
        """Serve both by a router of a few lines."""
        receiver = licet.asgi.WebhookReceiver(**settings)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == PATH:
                await receiver(scope, receive, send)
                return
            calls.append(scope["path"])
            status = 200 if scope["path"] == "/me" else 404
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        return AsgiPost(licet.asgi.LicenseMiddleware(app, **settings), self.backend)


class TestAsyncio(OnAsgi):
    """… under asyncio."""


class TestTrio(OnAsgi):
    """… under trio."""

    backend = "trio"


class TestWsgi(WebhookContract):
    """Beside a plain WSGI application."""

    adapter = "wsgi"

    def serve(self, settings: dict[str, Any], calls: list[str]) -> WsgiPost:
        """Serve both by a router of a few lines."""
        receiver = licet.wsgi.WebhookReceiver(**settings)

        def app(environ: Any, start_response: Any) -> Any:
            if environ["PATH_INFO"] == PATH:
                return receiver(environ, start_response)
            calls.append(environ["PATH_INFO"])
            found = environ["PATH_INFO"] == "/me"
            start_response("200 OK" if found else "404 Not Found", [])
            return [b""]

        return WsgiPost(licet.wsgi.LicenseMiddleware(app, **settings))


if find_spec("flask"):
    from flask import Flask

    from licet.flask import Licet, webhook_blueprint

    class TestFlask(WebhookContract):
        """As a blueprint, which needs no exempt path."""

        adapter = "flask"
        same = (f"/{PATH}",)

        def site(self, **options: Any) -> Any:
            """Serve it without exempt paths."""
            return super().site(exempt_paths=(), **options)

        def serve(self, settings: dict[str, Any], calls: list[str]) -> WsgiPost:
            """Serve both."""
            app = Flask(__name__)
            Licet(app, **settings)
            app.register_blueprint(webhook_blueprint())

            @app.route("/me", methods=["GET", "POST"])
            def me() -> str:
                calls.append("/me")
                return "served"

            return WsgiPost(app.wsgi_app)


if find_spec("django"):
    from tests.adapters.django_project import (
        CALLS,
        Handler,
        Project,
        Urls,
        WSGIHandler,
        _project,  # noqa: F401 - a fixture
        anoted,
        fine,
        licet_options,
        noted,
        path,
    )

    class OnDjango(WebhookContract):
        """As a view, which needs no exempt path, beside the CSRF middleware."""

        project: Project

        @pytest.fixture(autouse=True)
        def _laid(self, project: Project) -> None:
            self.project = project

        def site(self, **options: Any) -> Any:
            """Serve it without exempt paths."""
            return super().site(exempt_paths=(), **options)

        def lay(self, settings: dict[str, Any], me: Any) -> None:
            """Lay out the project."""
            from licet.django.views import webhook_receiver

            urls = Urls(path(PATH[1:], webhook_receiver), path("me", me))
            self.project(
                urls,
                **licet_options(**settings),
                MIDDLEWARE=[
                    "licet.django.middleware.LicenseMiddleware",
                    "django.middleware.csrf.CsrfViewMiddleware",
                ],
            )

    class TestDjango(OnDjango):
        """… under WSGI."""

        adapter = "django"
        unmeasured = "ignored"

        def serve(self, settings: dict[str, Any], calls: list[str]) -> WsgiPost:
            """Serve both."""
            self.lay(settings, noted(fine))
            CALLS.clear()
            return WsgiPost(WSGIHandler())

    class TestDjangoAsync(OnDjango):
        """… under ASGI, where Django itself receives a body before any view."""

        adapter = "django-async"
        unmeasured = "collected"

        def serve(self, settings: dict[str, Any], calls: list[str]) -> AsgiPost:
            """Serve both."""
            self.lay(settings, anoted(fine))
            CALLS.clear()
            return AsgiPost(Handler())


if find_spec("starlette"):
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    class TestStarlette(WebhookContract):
        """As a route, with the whole application licensed."""

        adapter = "starlette"

        def serve(self, settings: dict[str, Any], calls: list[str]) -> AsgiPost:
            """Serve both."""
            from licet.starlette import LicenseMiddleware

            async def me(request: Any) -> Any:
                calls.append("/me")
                return PlainTextResponse("served")

            receiver = licet.asgi.WebhookReceiver(**settings)
            return AsgiPost(
                Starlette(
                    routes=[Route(PATH, receiver), Route("/me", me, methods=["GET", "POST"])],
                    middleware=[Middleware(LicenseMiddleware, **settings)],
                )
            )


if find_spec("fastapi"):
    from fastapi import FastAPI

    class TestFastAPI(WebhookContract):
        """As a route of a FastAPI application."""

        adapter = "fastapi"

        def serve(self, settings: dict[str, Any], calls: list[str]) -> AsgiPost:
            """Serve both."""
            from licet.fastapi import LicenseMiddleware

            app = FastAPI()
            app.add_middleware(LicenseMiddleware, **settings)
            app.add_route(PATH, licet.asgi.WebhookReceiver(**settings))  # type: ignore[arg-type]

            @app.api_route("/me", methods=["GET", "POST"])
            def me() -> str:
                calls.append("/me")
                return "served"

            return AsgiPost(app)
