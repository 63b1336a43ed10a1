"""Reports for whoever has a license for them, on Starlette.

    python -m uvicorn --factory app:create_app --port 8001

Settings come from LICET_… environment variables; without them licenses are those of the example
license server on this machine.
"""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from licet import Settings, requires_feature, requires_role
from licet.starlette import LicenseMiddleware

DEFAULTS = {
    "LICET_ISSUER": "http://127.0.0.1:8000",
    "LICET_AUDIENCE": "acme-reports",
    "LICET_EXEMPT_PATHS": "/health",
}


async def health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def me(request: Request) -> JSONResponse:
    entitlements = request.state.entitlements
    return JSONResponse(
        {
            "license": entitlements.license_id,
            "customer": entitlements.customer,
            "plan": entitlements.plan,
            "features": sorted(entitlements.features),
            "roles": sorted(entitlements.roles),
            "seats": entitlements.limit("seats"),
        }
    )


@requires_feature("analytics")
async def reports(request: Request) -> JSONResponse:
    return JSONResponse({"reports": ["revenue", "churn"]})


@requires_feature("export")
async def export(request: Request) -> JSONResponse:
    return JSONResponse({"rows": [["month", "revenue"], ["2026-01", 1200]]})


@requires_role("admin")
async def admin_report(request: Request) -> JSONResponse:
    return JSONResponse({"reports": ["audit"]})


def create_app(settings: Settings | None = None) -> Starlette:
    return Starlette(
        routes=[
            Route("/health", health),
            Route("/me", me),
            Route("/reports", reports),
            Route("/export", export),
            Route("/admin-report", admin_report),
        ],
        middleware=[
            Middleware(LicenseMiddleware, settings or Settings.from_env(DEFAULTS | os.environ))
        ],
    )
