"""What requests use of their licenses, through Django, under WSGI and under ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("django")

from django.http import JsonResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View

from licet import consumes
from tests.adapters.django_project import (
    CALLS,
    OnDjango,
    Urls,
    _project,  # noqa: F401 - a fixture
)
from tests.attacks.usage import CancelledContract, UsageContract


def urls(as_view: Callable[[Callable[[Any], Any]], Callable[[Any], Any]]) -> Urls:
    """Return the routes, with views of one kind."""

    def noted(answer: Callable[[Any], Any] = lambda request: JsonResponse({})) -> Any:
        def view(request: Any) -> Any:
            CALLS.append(request.path_info)
            return answer(request)

        return as_view(view)

    def boom(request: Any) -> Any:
        raise ZeroDivisionError

    async def hang(request: Any) -> Any:
        CALLS.append(request.path_info)
        await asyncio.Event().wait()

    class Seat(View):
        @consumes("seats", by=lambda request: request.headers["X-User"])
        def get(self, request: Any) -> Any:
            CALLS.append(request.path_info)
            return JsonResponse({})

    @method_decorator(
        consumes("apiCalls", cost=lambda request: int(request.GET["n"])), name="dispatch"
    )
    class Rows(View):
        def get(self, request: Any) -> Any:
            return JsonResponse({})

    views = {
        "use": consumes("apiCalls")(noted()),
        "rows": Rows.as_view(),
        "seat": Seat.as_view(),
        "boom": consumes("apiCalls")(noted(boom)),
        "down": consumes("apiCalls")(noted(lambda request: JsonResponse({}, status=503))),
        "hang": consumes("apiCalls")(hang),
        "free": noted(),
    }
    return Urls(*(path(name, view) for name, view in views.items()))


def sync(view: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `view` as it is."""
    return view


def coroutine(view: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `view` as a coroutine function."""

    async def awaited(request: Any) -> Any:
        await asyncio.sleep(0)
        return view(request)

    return awaited


class TestSync(OnDjango, UsageContract):
    """Synchronous views under WSGI."""

    adapter = "django"
    server = "wsgi"
    urls = urls(sync)


class TestAsync(OnDjango, CancelledContract):
    """Asynchronous views under ASGI."""

    adapter = "django-async"
    server = "asgi"
    urls = urls(coroutine)
