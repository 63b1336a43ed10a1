"""Licet in Django under ASGI: the contract, and what the event loop adds. Django is asyncio's."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

pytest.importorskip("django")

import anyio
from asgiref.sync import iscoroutinefunction
from django.core.handlers.asgi import ASGIHandler
from django.http import JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, AsyncRequestFactory
from django.urls import path

from licet import current_entitlements
from licet.core.entitlements.context import current as current_context
from licet.core.entitlements.context import find_entitlements
from licet.django.middleware import LicenseMiddleware
from tests.adapters.clients import call, http_scope
from tests.adapters.contract import bearer
from tests.adapters.django_project import (
    OURS,
    DjangoContract,
    Project,
    Urls,
    _project,  # noqa: F401 - a fixture
    anoted,
    apieces,
    astream,
    contract_urls,
    current,
    fine,
    licet_options,
    noted,
)
from tests.licenses import OPTIONS, license_token


class TestAsync(DjangoContract):
    """The contract with asynchronous views."""

    adapter = "django-async"
    server = "asgi"
    urls = contract_urls(anoted, astream)


class TestSyncViewsUnderAsgi(DjangoContract):
    """The contract with synchronous views, which Django runs in a thread."""

    adapter = "django-async"
    server = "asgi"
    urls = contract_urls(noted, astream)


class PassingOn:
    """A middleware that knows no event loop, so that Django runs all above it in a thread."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        return self.get_response(request)


class TestAboveASyncMiddleware(DjangoContract):
    """The contract where a middleware inside has only a synchronous form, and so must ours."""

    adapter = "django-async"
    server = "asgi"
    urls = contract_urls(anoted, astream)
    middleware = (OURS, f"{__name__}.PassingOn")


class TestBelowASyncMiddleware(DjangoContract):
    """The contract where that middleware stands outside."""

    adapter = "django-async"
    server = "asgi"
    urls = contract_urls(anoted, astream)
    middleware = (f"{__name__}.PassingOn", OURS)


async def on(request: Any) -> Any:
    """Say whose license this is, after others had their turn."""
    await asyncio.sleep(0)
    return current(request)


def test_200_requests_at_once_see_only_their_own(project: Project) -> None:
    """Concurrent tasks of one loop, and their streaming bodies, never see each other's."""

    async def streaming(request: Any) -> Any:
        await asyncio.sleep(0)
        return StreamingHttpResponse(apieces())

    project(Urls(path("on", on), path("stream", streaming)), **licet_options(**OPTIONS))
    app = ASGIHandler()
    tokens = {f"lic_{n}": license_token(sub=f"lic_{n}") for n in range(50)}
    seen: list[tuple[str, str]] = []

    async def ask(number: int) -> None:
        license_id = f"lic_{number % 50}"
        way = "/on" if number % 2 else "/stream"
        answer = await call(app, http_scope("GET", way, bearer(tokens[license_id])))
        seen.append((license_id, answer.body.decode()))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(ask, number)
        assert find_entitlements() is None

    anyio.run(main)
    assert len(seen) == 200
    assert all(body in (f'"{name}"', name * 3) for name, body in seen)


def test_a_hit_is_judged_in_the_event_loop(project: Project) -> None:
    """Under ASGI a request that is remembered costs no thread, and no turn of the loop."""
    project(Urls(path("", on)), **licet_options(**OPTIONS))

    async def get_response(request: Any) -> Any:
        raise AssertionError("not reached")

    middleware = LicenseMiddleware(get_response)
    assert iscoroutinefunction(middleware)
    assert iscoroutinefunction(middleware.process_view)
    request: Any = AsyncRequestFactory().get("/", headers=dict(bearer(license_token())))
    for _ in range(2):
        step = middleware.process_view(request, on, (), {})
        with pytest.raises(StopIteration) as ended:
            step.send(None)  # the first step is the last: nothing was awaited
        assert ended.value.value is None
        assert request.entitlements.license_id == "lic_1"
    current_context.set(None)


def test_synchronous_views_see_their_own_in_their_thread(project: Project) -> None:
    """Django runs them elsewhere; what they see is the request's, and nothing stays there."""
    threads: set[int] = set()

    def view(request: Any) -> Any:
        threads.add(threading.get_ident())
        assert current_entitlements() is request.entitlements
        return current(request)

    def bare(request: Any) -> Any:
        return JsonResponse(str(find_entitlements()), safe=False)

    project(Urls(path("", view)), **licet_options(**OPTIONS))

    async def main() -> None:
        client = AsyncClient()
        for name in ("lic_one", "lic_two"):
            headers = dict(bearer(license_token(sub=name)))
            assert (await client.get("/", headers=headers)).json() == name
        project.change(MIDDLEWARE=[], ROOT_URLCONF=Urls(path("", bare)))
        assert (await AsyncClient().get("/")).json() == "None"

    asyncio.run(main())
    assert threading.get_ident() not in threads


def test_a_body_that_is_left_keeps_nothing(project: Project) -> None:
    """A client that goes away in mid-stream ends the request like any other end."""
    kept: list[Any] = []

    async def endless() -> Any:
        while True:
            await asyncio.sleep(0)
            yield current_entitlements().license_id.encode()

    async def view(request: Any) -> Any:
        kept.append(request.entitlements)
        return StreamingHttpResponse(endless())

    project(Urls(path("", view)), **licet_options(**OPTIONS))

    async def main() -> None:
        sent: list[Any] = []
        gone = asyncio.Event()
        messages = iter([{"type": "http.request", "body": b""}])

        async def receive() -> Any:
            for message in messages:
                return message
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            await asyncio.sleep(0)
            if len(sent) == 4:
                gone.set()

        scope = http_scope("GET", "/", bearer(license_token()))
        async with asyncio.timeout(30):
            await ASGIHandler()(scope, receive, send)
        assert {message["body"] for message in sent[1:]} == {b"lic_1"}
        assert find_entitlements() is None

    asyncio.run(main())
    assert kept[0]._credential is None


def test_under_wsgi_nothing_is_a_coroutine(project: Project) -> None:
    """The same class is a plain middleware there."""
    project(Urls(path("", fine)), **licet_options(**OPTIONS))
    middleware = LicenseMiddleware(lambda request: None)
    assert not iscoroutinefunction(middleware)
    assert not iscoroutinefunction(middleware.process_view)
    assert not iscoroutinefunction(middleware.process_exception)
