"""Event streams end with their license in each framework, as far as its protocol lets them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest

from licet import current_entitlements
from licet.core.flow import Flow
from licet.core.gate import Gate
from licet.wsgi import LicenseMiddleware
from tests.adapters.clients import environ
from tests.adapters.contract import bearer
from tests.adapters.wire import Wire, World

EVENTS = "text/event-stream; charset=utf-8"


@pytest.fixture(name="world")
def _world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


class Source:
    """Two events while the license holds, and then as many as are taken.

    Attributes:
        taken: how many were.
        closed: how often it was told that no more will be.
    """

    def __init__(self, world: World) -> None:
        self.taken = self.closed = 0
        self._world = world

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        assert current_entitlements().license_id == "lic_1"
        self.taken += 1
        assert self.taken < 1000, "nothing ends it"
        if self.taken == 3:
            self._world.end()
        return b"data: %d\n\n" % self.taken

    def close(self) -> None:
        """Be closed."""
        self.closed += 1


def served(app: Any, token: str | None, path: str = "/") -> bytes:
    """Take the whole body of a WSGI application's answer, as a server does."""
    headers = [] if token is None else bearer(token)
    body = app(environ("GET", path, headers), lambda *started: None)
    try:
        return b"".join(body)
    finally:
        body.close()


def plain(source: Source, content_type: str = EVENTS) -> Any:
    """Return a WSGI application that streams."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", content_type)])
        return source

    return app


def flask(source: Source, content_type: str = EVENTS) -> Any:
    """Return a Flask application that streams, unguarded."""
    module = pytest.importorskip("flask")
    app = module.Flask(__name__)

    def page() -> Any:
        return module.Response(module.stream_with_context(source), content_type=content_type)

    app.add_url_rule("/", view_func=page)
    return app


def guarded_flask(world: World, app: Any) -> Any:
    """Return the application with Licet on it."""
    pytest.importorskip("flask")
    from licet.flask import Licet

    Licet(app, **world.options)
    return app.wsgi_app


WSGI: dict[str, tuple[Callable[..., Any], Callable[[World, Any], Any]]] = {
    "wsgi": (plain, lambda world, app: LicenseMiddleware(app, **world.options)),
    "flask": (flask, guarded_flask),
    "wsgi around flask": (
        flask,
        lambda world, app: LicenseMiddleware(app.wsgi_app, **world.options),
    ),
}
ON_WSGI = pytest.mark.parametrize(("make", "guard"), WSGI.values(), ids=WSGI)


@ON_WSGI
def test_a_wsgi_stream_ends_at_the_first_event_after_its_license(
    make: Any, guard: Any, world: World
) -> None:
    """That event is not sent, and the application's iterator is closed."""
    source = Source(world)
    body = served(guard(world, make(source)), world.token())
    assert body == b"data: 1\n\ndata: 2\n\n"
    assert source.taken == 3
    assert source.closed


@ON_WSGI
def test_other_bodies_are_finished(make: Any, guard: Any, world: World) -> None:
    """A download that began with a license is, however long it takes."""
    source = Source(world)
    app = guard(world, make(source, "application/octet-stream"))
    with pytest.raises(AssertionError, match="nothing ends it"):
        served(app, world.token())


@ON_WSGI
@pytest.mark.parametrize(
    "changes", [{"recheck_every": None}, {"exempt_paths": ["/"]}], ids=["not asked for", "exempt"]
)
def test_a_stream_that_needs_no_license_does_not_end_with_one(
    make: Any, guard: Any, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does one where nobody asked for it."""
    world = World(monkeypatch, **changes)
    with pytest.raises(AssertionError, match="nothing ends it"):
        served(guard(world, make(Source(world))), world.token())


def test_a_license_is_looked_at_when_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not for each event; a stream whose license holds comes to the end of its own."""
    looks = 0

    class Counting(Gate):
        def recheck(self, *args: Any) -> Flow[None]:
            nonlocal looks
            looks += 1
            return super().recheck(*args)

    world = World(monkeypatch, Counting, recheck_every=10.0)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("content-type", EVENTS)])
        for _ in range(100):
            world.hands.advance(1.0)
            yield b"."

    assert served(LicenseMiddleware(app, **world.options), world.token()) == b"." * 100
    assert 9 <= looks <= 13


def test_a_body_that_is_there_at_once_is_not_touched(world: World) -> None:
    """A list is handed on as it is, whatever its media type."""
    whole = [b"data: 1\n\n"]

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", EVENTS)])
        return whole

    guarded: Any = LicenseMiddleware(app, **world.options)
    assert guarded(environ("GET", "/", bearer(world.token())), lambda *started: None) is whole


def test_a_wsgi_generator_that_starts_late_is_an_event_stream(world: World) -> None:
    """PEP 3333 lets an application start its response with its first piece."""
    source = Source(world)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", EVENTS)])
        yield from source

    body = served(LicenseMiddleware(app, **world.options), world.token())
    assert body == b"data: 1\n\ndata: 2\n\n"


# -- Django ----------------------------------------------------------------------------------------


@pytest.fixture(name="django")
def _django(world: World) -> Iterator[Callable[[Any], None]]:
    pytest.importorskip("django")
    from django.urls import path

    from tests.adapters.django_project import Project, Urls, licet_options

    project = Project()

    def serve(view: Any) -> None:
        project(Urls(path("", view)), **licet_options(**world.options))

    yield serve
    project.close()


def streaming(source: Any) -> Any:
    """Return a synchronous view that streams."""
    from django.http import StreamingHttpResponse

    return lambda request: StreamingHttpResponse(source, content_type=EVENTS)


def test_django_under_wsgi(django: Any, world: World) -> None:
    """A stream ends at the first event after its license."""
    from django.core.handlers.wsgi import WSGIHandler

    source = Source(world)
    django(streaming(source))
    assert served(WSGIHandler(), world.token()) == b"data: 1\n\ndata: 2\n\n"
    assert (source.taken, source.closed) == (3, 1)


def test_a_marked_view_of_django(django: Any, world: World) -> None:
    """One that needs no license streams on when a license ends."""
    from django.core.handlers.wsgi import WSGIHandler

    from licet.django.decorators import license_exempt

    django(license_exempt(streaming(Source(world))))
    with pytest.raises(AssertionError, match="nothing ends it"):
        served(WSGIHandler(), world.token())


@pytest.mark.parametrize("swallows", [False, True])
def test_django_under_asgi(swallows: bool, django: Any, world: World) -> None:
    """An idle stream is interrupted where it waits, cleans up there, and ends properly."""
    from tests.adapters.django_project import Handler

    ended: list[str] = []

    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        world.end()
        task = asyncio.current_task()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(current_entitlements().license_id)
            assert asyncio.current_task() is task
            if not swallows:
                raise
        yield b"data: 2\n\n"

    async def view(request: Any) -> Any:
        return streaming(events())(request)

    django(view)
    assert of_django(Handler(), world.token()) == ["data: 1", ""]
    assert ended == ["lic_1"]


def test_a_stream_of_django_comes_to_its_own_end(django: Any, world: World) -> None:
    """One whose license holds is handed on whole, and what looked at it ends."""
    from tests.adapters.django_project import Handler

    async def events() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield b"data: 1\n\n"

    async def view(request: Any) -> Any:
        return streaming(events())(request)

    django(view)
    assert of_django(Handler(), world.token()) == [*["data: 1"] * 3, ""]


def test_a_synchronous_stream_of_django_under_asgi(django: Any, world: World) -> None:
    """Django takes all of it before it sends any; it ends, which it otherwise would not."""
    from tests.adapters.django_project import Handler

    source = Source(world)
    django(streaming(source))
    with pytest.warns(Warning, match="must consume synchronous iterators"):
        sent = of_django(Handler(), world.token())
    assert sent == ["data: 1", "data: 2", ""]
    assert source.closed == 1


def test_a_client_that_leaves_a_stream_of_django(django: Any, world: World) -> None:
    """What looks at its license goes with it."""
    from tests.adapters.django_project import Handler

    running: list[set[str]] = []

    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        running.append(tasks())
        wires[0].say({"type": "http.disconnect"})
        await asyncio.sleep(60)

    async def view(request: Any) -> Any:
        return streaming(events())(request)

    async def main() -> None:
        wires.append(Wire("http", world.token()))
        await wires[0].serve(Handler())
        running.append(tasks())

    wires: list[Wire] = []
    django(view)
    anyio.run(main)
    assert ["_Watch.keep" in names for names in running] == [True, False]


def tasks() -> set[str]:
    """Return the names of what runs in this event loop."""
    return {getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}


def of_django(handler: Any, token: str) -> list[str]:
    """Return the pieces of a body that Django sent, the last of which is empty."""
    pieces: list[str] = []

    async def main() -> None:
        wire = Wire("http", token)

        async def send(message: Any) -> None:
            await wire.send(message)
            if message["type"] == "http.response.body":
                pieces.append(message.get("body", b"").decode().strip())

        with anyio.fail_after(10):
            await handler(wire.scope, wire.receive, send)
        assert wire.over.is_set()

    anyio.run(main)
    return pieces


# -- Starlette -------------------------------------------------------------------------------------


@pytest.fixture
def leftovers() -> Iterator[None]:
    """Let the garbage of a test be its own: not every Starlette closes the body it has read."""
    yield
    gc.collect()


# Of Starlette's own: trio tells of a generator that nobody has closed.
@pytest.mark.filterwarnings("ignore:Async generator 'starlette:ResourceWarning")
@pytest.mark.usefixtures("leftovers")
@pytest.mark.anyio
@pytest.mark.parametrize("base", ["none", "inside", "outside"])
@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_an_idle_stream_of_starlette(spec_version: str, base: str, world: World) -> None:
    """It ends properly, its generator cleans up, and no error is logged for it."""
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    from licet.asgi import connections
    from licet.starlette import LicenseMiddleware

    cleaned = False

    async def events() -> AsyncIterator[bytes]:
        nonlocal cleaned
        yield b"data: 1\n\n"
        try:
            await anyio.sleep(60)
        finally:
            cleaned = True

    async def page(request: Any) -> Any:
        return StreamingResponse(events(), media_type="text/event-stream")

    async def passing(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    ours = Middleware(LicenseMiddleware, **world.options)
    other = Middleware(BaseHTTPMiddleware, dispatch=passing)
    layers = {"none": [ours], "inside": [ours, other], "outside": [other, ours]}
    app = Starlette(routes=[Route("/", page)], middleware=layers[base])
    wire = Wire("http", world.token(), asgi={"version": "3.0", "spec_version": spec_version})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "MOMENT", 0.2)
        await wire.serve(app, world.end)
    assert wire.over.is_set()
    assert cleaned


@pytest.mark.anyio
async def test_a_websocket_endpoint_of_starlette(world: World) -> None:
    """Its `on_disconnect` is told the code; one that only pushes is, too."""
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.endpoints import WebSocketEndpoint
    from starlette.middleware import Middleware
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocketDisconnect

    from licet.starlette import LicenseMiddleware

    told: list[Any] = []

    class Listening(WebSocketEndpoint):
        async def on_disconnect(self, websocket: Any, close_code: int) -> None:
            told.append(close_code)

    async def pushing(websocket: Any) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text("tick")
                await anyio.sleep(0.01)
        except WebSocketDisconnect as gone:
            told.append(gone.code)

    app = Starlette(
        routes=[WebSocketRoute("/", Listening), WebSocketRoute("/push", pushing)],
        middleware=[Middleware(LicenseMiddleware, **world.options)],
    )
    token = world.token()
    wires = [Wire("websocket", token, path, subprotocols=[]) for path in ("/", "/push")]
    async with anyio.create_task_group() as group:
        for wire in wires:
            group.start_soon(wire.serve, app)
            await wire.opened.wait()
        world.end()
    assert [wire.last["code"] for wire in wires] == [1008, 1008]
    assert sorted(told) == [1006, 1008]
