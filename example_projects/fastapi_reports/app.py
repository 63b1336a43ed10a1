"""Reports for whoever has a license for them, on FastAPI.

    python -m uvicorn --factory app:create_app --port 8001

Settings come from LICET_… environment variables; without them licenses are those of the example
license server on this machine. Its /docs page shows which path asks for what.
"""

from __future__ import annotations

import os
from typing import Any

from fastapi import APIRouter, FastAPI

from licet import Settings, requires_role
from licet.fastapi import CurrentEntitlements, LicenseMiddleware, RequiresFeature

DEFAULTS = {
    "LICET_ISSUER": "http://127.0.0.1:8000",
    "LICET_AUDIENCE": "acme-reports",
    "LICET_EXEMPT_PATHS": "/health, /docs, /openapi.json",
}

router = APIRouter()


@router.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/me")
async def me(entitlements: CurrentEntitlements) -> dict[str, Any]:
    return {
        "license": entitlements.license_id,
        "customer": entitlements.customer,
        "plan": entitlements.plan,
        "features": sorted(entitlements.features),
        "roles": sorted(entitlements.roles),
        "seats": entitlements.limit("seats"),
    }


@router.get("/reports", dependencies=[RequiresFeature("analytics")])
async def reports() -> dict[str, list[str]]:
    return {"reports": ["revenue", "churn"]}


@router.get("/export", dependencies=[RequiresFeature("export")])
def export() -> dict[str, list[list[str | int]]]:
    return {"rows": [["month", "revenue"], ["2026-01", 1200]]}


@router.get("/admin-report")
@requires_role("admin")
async def admin_report() -> dict[str, list[str]]:
    return {"reports": ["audit"]}


def create_app(settings: Settings | None = None) -> FastAPI:
    app = FastAPI(title="Reports")
    app.add_middleware(LicenseMiddleware, settings or Settings.from_env(DEFAULTS | os.environ))
    app.include_router(router)
    return app
