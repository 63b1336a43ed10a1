"""What requests use of their licenses, through every adapter."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import anyio
import pytest

from licet import consumes
from tests.adapters.clients import AsgiClient, WsgiClient
from tests.attacks.usage import CancelledContract, UsageContract


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip where a framework is not installed."""
    missing = [module for module in modules if find_spec(module) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(modules)}")


class TestAsgi(CancelledContract):
    """Plain ASGI, whose applications are called with the scope."""

    adapter = "asgi"

    def client(self, **options: Any) -> AsgiClient:
        from licet.asgi import LicenseMiddleware

        calls: list[str] = []

        async def answer(scope: Any, receive: Any, send: Any, status: int = 200) -> Any:
            calls.append(scope["path"])
            if scope["path"] == "/boom":
                raise ZeroDivisionError
            if scope["path"] == "/hang":
                await anyio.sleep_forever()
            return json.dumps({}).encode()

        def header(scope: Any) -> str:
            return str(dict(scope["headers"])[b"x-user"].decode())

        views = {
            "/use": consumes("apiCalls")(answer),
            "/rows": consumes("apiCalls", cost=lambda s: int(s["query_string"][2:]))(answer),
            "/seat": consumes("seats", by=header)(answer),
            "/boom": consumes("apiCalls")(answer),
            "/hang": consumes("apiCalls")(answer),
            "/free": answer,
        }

        class Down:
            status_code = 503

        @consumes("apiCalls")
        async def down() -> Any:
            return Down

        async def app(scope: Any, receive: Any, send: Any) -> None:
            status = 200
            if scope["path"] == "/down":
                status = (await down()).status_code
                body = b"{}"
            else:
                body = await views[scope["path"]](scope, receive, send)
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": body})

        return AsgiClient(LicenseMiddleware(app, **options), calls, "trio")


class TestWsgi(UsageContract):
    """Plain WSGI, whose applications are called with the environ."""

    adapter = "wsgi"
    joins_fields = True

    def client(self, **options: Any) -> WsgiClient:
        from licet.wsgi import LicenseMiddleware

        calls: list[str] = []

        class Answer:
            status_code = 200

        class Down:
            status_code = 503

        def answer(environ: Any) -> Any:
            calls.append(environ["PATH_INFO"])
            if environ["PATH_INFO"] == "/boom":
                raise ZeroDivisionError
            return Down if environ["PATH_INFO"] == "/down" else Answer

        views = {
            "/use": consumes("apiCalls")(answer),
            "/rows": consumes("apiCalls", cost=lambda e: int(e["QUERY_STRING"][2:]))(answer),
            "/seat": consumes("seats", by=lambda e: e["HTTP_X_USER"])(answer),
            "/boom": consumes("apiCalls")(answer),
            "/down": consumes("apiCalls")(answer),
            "/free": answer,
        }

        def app(environ: Any, start_response: Any) -> Any:
            made = views[environ["PATH_INFO"]](environ)
            start_response(f"{made.status_code} Said", [])
            return [b"{}"]

        return WsgiClient(LicenseMiddleware(app, **options), calls)


@needs("flask")
class TestFlask(UsageContract):
    """Flask, whose views are called without their request."""

    adapter = "flask"
    joins_fields = True

    def client(self, **options: Any) -> WsgiClient:
        import flask

        from licet.flask import Licet

        calls: list[str] = []
        app = flask.Flask("used")
        app.config["PROPAGATE_EXCEPTIONS"] = True

        def route(path: str, demand: Any, answer: Any = dict) -> None:
            def view() -> Any:
                calls.append(path)
                return answer()

            app.add_url_rule(path, path, demand(view))

        route("/use", consumes("apiCalls"))
        route("/rows", consumes("apiCalls", cost=lambda request: int(request.args["n"])))
        route("/seat", consumes("seats", by=lambda request: request.headers["X-User"]))
        route("/boom", consumes("apiCalls"), lambda: 1 / 0)
        route("/down", consumes("apiCalls"), lambda: ({}, 503))
        route("/free", lambda view: view)
        Licet(app, **options)
        return WsgiClient(app.wsgi_app, calls)


@needs("starlette", "httpx2")
class TestStarlette(CancelledContract):
    """Starlette: endpoints that are functions, sync and async, and methods."""

    adapter = "starlette"

    def client(self, **options: Any) -> AsgiClient:
        from starlette.applications import Starlette
        from starlette.endpoints import HTTPEndpoint
        from starlette.middleware import Middleware
        from starlette.requests import Request
        from starlette.responses import JSONResponse
        from starlette.routing import Route

        from licet.starlette import LicenseMiddleware

        calls: list[str] = []

        @consumes("apiCalls")
        async def use(request: Request) -> Any:
            calls.append("/use")
            return JSONResponse({})

        class Rows(HTTPEndpoint):
            @consumes("apiCalls", cost=lambda request: int(request.query_params["n"]))
            async def get(self, request: Request) -> Any:
                calls.append("/rows")
                return JSONResponse({})

        @consumes("seats", by=lambda request: request.headers["x-user"])
        def seat(request: Request) -> Any:
            calls.append("/seat")
            return JSONResponse({})

        @consumes("apiCalls")
        def boom(request: Request) -> Any:
            raise ZeroDivisionError

        @consumes("apiCalls")
        async def down(request: Request) -> Any:
            return JSONResponse({}, 503)

        @consumes("apiCalls")
        async def hang(request: Request) -> Any:
            calls.append("/hang")
            await anyio.sleep_forever()

        async def free(request: Request) -> Any:
            return JSONResponse({})

        views = {"use": use, "rows": Rows, "seat": seat, "boom": boom, "down": down, "free": free}
        app = Starlette(
            routes=[Route(f"/{name}", view) for name, view in {**views, "hang": hang}.items()],
            middleware=[Middleware(LicenseMiddleware, **options)],
        )
        app.middleware_stack = app.build_middleware_stack()
        return AsgiClient(app, calls)


@needs("fastapi", "httpx2")
class TestFastAPI(CancelledContract):
    """FastAPI, whose path operations declare what they are called with."""

    adapter = "fastapi"

    def client(self, **options: Any) -> AsgiClient:
        from fastapi import FastAPI, Request, Response

        from licet.fastapi import LicenseMiddleware

        calls: list[str] = []
        app = FastAPI()

        @app.get("/use")
        @consumes("apiCalls")
        async def use(n: int = 1) -> Any:
            calls.append("/use")
            return {"n": n}

        async def rows(request: Request, n: int) -> Any:
            return {"n": n}

        def seat(http: Request) -> Any:
            return {}

        # As annotations that are no texts: these names are not the module's.
        rows.__annotations__["request"] = seat.__annotations__["http"] = Request
        app.get("/rows")(
            consumes("apiCalls", cost=lambda request: int(request.query_params["n"]))(rows)
        )
        app.get("/seat")(consumes("seats", by=lambda request: request.headers["x-user"])(seat))

        @app.get("/boom")
        @consumes("apiCalls")
        def boom() -> Any:
            raise ZeroDivisionError

        @app.get("/down")
        @consumes("apiCalls")
        def down() -> Any:
            return Response(status_code=503)

        @app.get("/hang")
        @consumes("apiCalls")
        async def hang() -> Any:
            calls.append("/hang")
            await anyio.sleep_forever()

        @app.get("/free")
        async def free() -> Any:
            return {}

        app.add_middleware(LicenseMiddleware, **options)
        app.middleware_stack = app.build_middleware_stack()
        return AsgiClient(app, calls)
