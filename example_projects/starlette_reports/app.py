"""Reports for whoever has a license for them, on Starlette.

    python -m uvicorn --factory app:create_app --port 8001

Settings come from LICET_… environment variables; without them licenses are those of
`licet serve --dev` on this machine.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.templating import Jinja2Templates
from starlette.websockets import WebSocket

from licet import Settings, consumes, requires_feature, requires_role
from licet.asgi import WebhookReceiver
from licet.starlette import LicenseMiddleware, license_context

DEFAULTS = {
    "LICET_ISSUER": "http://127.0.0.1:8000",
    "LICET_AUDIENCE": "acme-reports",
    "LICET_EXEMPT_PATHS": "/health, /licet/webhooks",
}
#: Seconds between two events of /events.
TICK = 0.5

templates = Jinja2Templates(
    Path(__file__).parent / "templates", context_processors=[license_context]
)


async def health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def overview(request: Request) -> Response:
    return templates.TemplateResponse(request, "overview.html")


async def me(request: Request) -> JSONResponse:
    entitlements = request.state.entitlements
    return JSONResponse(
        {
            "license": entitlements.license_id,
            "customer": entitlements.customer,
            "plan": entitlements.plan,
            "status": entitlements.status.value,
            "features": sorted(entitlements.features),
            "roles": sorted(entitlements.roles),
            "seats": entitlements.limit("seats"),
        }
    )


@requires_feature("analytics")
async def reports(request: Request) -> JSONResponse:
    return JSONResponse({"reports": ["revenue", "churn"]})


@requires_feature("export")
@consumes("exports")
async def export(request: Request) -> JSONResponse:
    return JSONResponse({"rows": [["month", "revenue"], ["2026-01", 1200]]})


def user_of(request: Request) -> str:
    """Return who asks: in your application whoever is logged in."""
    return request.headers.get("X-User", "somebody")


@consumes("seats", by=user_of)
async def workspace(request: Request) -> JSONResponse:
    return JSONResponse({"user": user_of(request)})


@requires_role("admin")
async def admin_report(request: Request) -> JSONResponse:
    return JSONResponse({"reports": ["audit"]})


@requires_feature("analytics")
async def events(request: Request) -> StreamingResponse:
    return StreamingResponse(ticks(), media_type="text/event-stream")


async def ticks() -> AsyncIterator[str]:
    """Say what there is to say, for ever: `LICET_RECHECK_EVERY` ends it with its license."""
    while True:
        yield 'data: {"visitors": 17}\n\n'
        await anyio.sleep(TICK)


@requires_feature("analytics")
async def live(websocket: WebSocket) -> None:
    """Answer for as long as somebody asks; that, too, ends with its license."""
    await websocket.accept()
    async for _ in websocket.iter_text():
        await websocket.send_json({"visitors": 17})


def create_app(settings: Settings | None = None) -> Starlette:
    settings = settings or Settings.from_env(DEFAULTS | os.environ)
    routes: list[BaseRoute] = [
        Route("/health", health),
        Route("/", overview),
        Route("/me", me),
        Route("/reports", reports),
        Route("/export", export),
        Route("/workspace", workspace),
        Route("/admin-report", admin_report),
        Route("/events", events),
        WebSocketRoute("/live", live),
    ]
    if settings.webhook_receive_secret:
        routes.append(Route("/licet/webhooks", WebhookReceiver(settings)))
    return Starlette(routes=routes, middleware=[Middleware(LicenseMiddleware, settings)])
