"""Reports for whoever has a license for them, on Django."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse

from licet import requires_feature, requires_role
from licet.django.decorators import license_exempt


@license_exempt
def health(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def me(request: HttpRequest) -> JsonResponse:
    entitlements = request.entitlements
    return JsonResponse(
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
def reports(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"reports": ["revenue", "churn"]})


@requires_feature("export")
async def export(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"rows": [["month", "revenue"], ["2026-01", 1200]]})


@requires_role("admin")
def admin_report(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"reports": ["audit"]})
