"""The smallest Django project that carries the contract: settings, URLs and views.

Django's settings are configured once for a process, and other tests may do so first: what this
project needs is therefore laid over them (`project`), and taken off again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from typing import Any, ClassVar

import django
import pytest
from django.conf import settings

if not settings.configured:
    settings.configure(SECRET_KEY="tests", USE_TZ=True)

from django.apps import apps

if not apps.ready:
    django.setup()

from asgiref.sync import iscoroutinefunction
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from licet import (
    RoleNotGranted,
    consumes,
    current_entitlements,
    requires_feature,
    requires_role,
    requires_scope,
)
from tests.adapters.clients import AsgiClient, WsgiClient
from tests.adapters.contract import AdapterContract, Client, Serving, me

OURS = "licet.django.middleware.LicenseMiddleware"
#: Names of the views called, in order.
CALLS: list[str] = []

PROJECT: dict[str, Any] = {
    "ALLOWED_HOSTS": ["*"],
    "DEBUG": False,
    "DEBUG_PROPAGATE_EXCEPTIONS": True,
    "INSTALLED_APPS": ["licet.django"],
    "MIDDLEWARE": [OURS],
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": ["licet.django.context_processors.entitlements"],
            },
        }
    ],
    "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
}


def licet_options(**options: Any) -> dict[str, Any]:
    """Return the fields of `Settings` as Django settings."""
    return {f"LICET_{name.upper()}": value for name, value in options.items()}


class Project:
    """Lays Django settings over the process's own, layer by layer, and takes them off."""

    def __init__(self) -> None:
        self._layers: list[Any] = []

    def __call__(self, urls: Any = None, **changes: Any) -> None:
        """Lay `PROJECT`, `urls` and `changes` over the settings."""
        self.close()
        self.change(ROOT_URLCONF=urls, **{**PROJECT, **changes})

    def change(self, **changes: Any) -> None:
        """Lay one more layer over them."""
        layer = override_settings(**changes)
        layer.enable()
        self._layers.append(layer)

    def close(self) -> None:
        """Take all layers off."""
        while self._layers:
            self._layers.pop().disable()


@pytest.fixture(name="project")
def _project() -> Iterator[Project]:
    project = Project()
    yield project
    project.close()


class Urls:
    """A URLconf made in a test."""

    def __init__(self, *patterns: Any) -> None:
        self.urlpatterns = list(patterns)


def noted(view: Callable[..., Any]) -> Callable[..., Any]:
    """Note calls of a synchronous view."""

    def wrapper(request: Any) -> Any:
        CALLS.append(request.path_info)
        return view(request)

    return wrapper


def anoted(view: Callable[..., Any]) -> Callable[..., Any]:
    """Make an asynchronous view that notes its calls."""

    async def wrapper(request: Any) -> Any:
        CALLS.append(request.path_info)
        await asyncio.sleep(0)
        return view(request)

    return wrapper


def fine(request: Any) -> Any:
    """Answer that all is well."""
    return JsonResponse({"ok": True})


def show_me(request: Any) -> Any:
    """Show the entitlements on the request."""
    return JsonResponse(me(request.entitlements))


def current(request: Any) -> Any:
    """Show the license that code far from the request sees."""
    return JsonResponse(current_entitlements().license_id, safe=False)


def tenant(request: Any) -> Any:
    """Show a claim."""
    return JsonResponse(request.entitlements.claims["tenant"], safe=False)


def refusing(request: Any) -> Any:
    """Raise a refusal of the application's own."""
    raise RoleNotGranted(members={"required": ["x"]})


def boom(request: Any) -> Any:
    """Raise something that is no refusal."""
    raise ZeroDivisionError


def private(request: Any) -> Any:
    """Answer with a word of its own to caches."""
    return HttpResponse(b"{}", headers={"Cache-Control": "public"})


class Handler(ASGIHandler):
    """Django's, but for the file it leaves open where an error passes through to the server."""

    async def read_body(self, receive: Any) -> Any:
        """Return the body of a request, in memory."""
        with await super().read_body(receive) as file:
            return BytesIO(file.read())


def pieces() -> Iterator[bytes]:
    """Say three times whose license streams here."""
    for _ in range(3):
        yield current_entitlements().license_id.encode()


async def apieces() -> AsyncIterator[bytes]:
    """Say it in an event loop."""
    for _ in range(3):
        await asyncio.sleep(0)
        yield current_entitlements().license_id.encode()


def stream(request: Any) -> Any:
    """Stream under WSGI."""
    return StreamingHttpResponse(pieces())


def astream(request: Any) -> Any:
    """Stream under ASGI."""
    return StreamingHttpResponse(apieces())


def contract_urls(note: Callable[..., Any], streaming: Callable[..., Any]) -> Urls:
    """Return the contract's routes with views of one kind."""
    views = {
        "health": note(fine),
        "me": note(show_me),
        "current": note(current),
        "reports": requires_feature("analytics")(note(fine)),
        "scoped": requires_scope("reports:write")(note(fine)),
        "role": requires_role("owner")(note(fine)),
        "used": consumes("apiCalls")(note(fine)),
        "seated": consumes("seats", by=lambda request: "bob")(note(fine)),
        "raise": note(refusing),
        "boom": note(boom),
        "stream": note(streaming),
        "claims": note(tenant),
        "private": note(private),
    }
    assert {iscoroutinefunction(view) for view in views.values()} == {note is anoted}
    return Urls(*(path(name, view) for name, view in views.items()))


class OnDjango(Serving):
    """How Django serves it.

    Unknown URLs stay 404, which the contract permits where it asks for paths that only look
    exempt: Django routes before it enforces.
    """

    joins_fields = True
    server: ClassVar[str]
    middleware: ClassVar[tuple[str, ...]] = (OURS,)
    urls: ClassVar[Urls]
    project: Project

    @pytest.fixture(autouse=True)
    def _laid(self, project: Project) -> None:
        self.project = project

    def client(self, **options: Any) -> Client:
        """Serve the contract's views."""
        self.project(self.urls, **licet_options(**options), MIDDLEWARE=list(self.middleware))
        CALLS.clear()
        if self.server == "wsgi":
            return WsgiClient(WSGIHandler(), CALLS)
        return AsgiClient(Handler(), CALLS)


class DjangoContract(OnDjango, AdapterContract):
    """The contract in Django: no promise is overridden."""
