"""Reports for whoever has a license for them, on FastAPI.

    python -m uvicorn --factory app:create_app --port 8001

Settings come from LICET_… environment variables; without them licenses are those of
`licet serve --dev` on this machine. Its /docs page shows which path asks for what.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from fastapi.templating import Jinja2Templates
from starlette.routing import Route

from licet import Settings, requires_feature, requires_role
from licet.asgi import WebhookReceiver
from licet.fastapi import Consumes, CurrentEntitlements, LicenseMiddleware, RequiresFeature
from licet.starlette import license_context

DEFAULTS = {
    "LICET_ISSUER": "http://127.0.0.1:8000",
    "LICET_AUDIENCE": "acme-reports",
    "LICET_EXEMPT_PATHS": "/health, /docs, /openapi.json, /licet/webhooks",
}
#: Seconds between two events of /events.
TICK = 0.5

templates = Jinja2Templates(
    Path(__file__).parent / "templates", context_processors=[license_context]
)
router = APIRouter()


@router.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/", response_class=HTMLResponse)
async def overview(request: Request) -> Response:
    return templates.TemplateResponse(request, "overview.html")


@router.get("/me")
async def me(entitlements: CurrentEntitlements) -> dict[str, Any]:
    return {
        "license": entitlements.license_id,
        "customer": entitlements.customer,
        "plan": entitlements.plan,
        "status": entitlements.status.value,
        "features": sorted(entitlements.features),
        "roles": sorted(entitlements.roles),
        "seats": entitlements.limit("seats"),
    }


@router.get("/reports", dependencies=[RequiresFeature("analytics")])
async def reports() -> dict[str, list[str]]:
    return {"reports": ["revenue", "churn"]}


@router.get("/export", dependencies=[RequiresFeature("export"), Consumes("exports")])
def export() -> dict[str, list[list[str | int]]]:
    return {"rows": [["month", "revenue"], ["2026-01", 1200]]}


def user_of(request: Request) -> str:
    """Return who asks: in your application whoever is logged in."""
    return request.headers.get("X-User", "somebody")


@router.get("/workspace", dependencies=[Consumes("seats", by=user_of)])
async def workspace(request: Request) -> dict[str, str]:
    return {"user": user_of(request)}


@router.get("/admin-report")
@requires_role("admin")
async def admin_report() -> dict[str, list[str]]:
    return {"reports": ["audit"]}


@router.get("/events", dependencies=[RequiresFeature("analytics")])
async def events() -> StreamingResponse:
    return StreamingResponse(ticks(), media_type="text/event-stream")


async def ticks() -> AsyncIterator[str]:
    """Say what there is to say, for ever: `LICET_RECHECK_EVERY` ends it with its license."""
    while True:
        yield 'data: {"visitors": 17}\n\n'
        await anyio.sleep(TICK)


@router.websocket("/live")
@requires_feature("analytics")
async def live(websocket: WebSocket) -> None:
    """Answer for as long as somebody asks; that, too, ends with its license."""
    await websocket.accept()
    async for _ in websocket.iter_text():
        await websocket.send_json({"visitors": 17})


def create_app(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings.from_env(DEFAULTS | os.environ)
    app = FastAPI(title="Reports")
    app.add_middleware(LicenseMiddleware, settings)
    app.include_router(router)
    if settings.webhook_receive_secret:
        app.router.routes.append(Route("/licet/webhooks", WebhookReceiver(settings)))
    return app
