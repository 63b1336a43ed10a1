"""Reports for whoever has a license for them, on Django."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render

from licet import consumes, requires_feature, requires_role
from licet.django.decorators import license_exempt

#: Seconds between two events of /events.
TICK = 0.5
EVENT = 'data: {"visitors": 17}\n\n'


@license_exempt
def health(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def overview(request: HttpRequest) -> HttpResponse:
    return render(request, "overview.html")


def me(request: HttpRequest) -> JsonResponse:
    entitlements = request.entitlements
    return JsonResponse(
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
def reports(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"reports": ["revenue", "churn"]})


@requires_feature("export")
@consumes("exports")
async def export(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"rows": [["month", "revenue"], ["2026-01", 1200]]})


def user_of(request: HttpRequest) -> str:
    """Return who asks: in your application whoever is logged in, `request.user.pk`."""
    return request.headers.get("X-User", "somebody")


@consumes("seats", by=user_of)
def workspace(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": user_of(request)})


@requires_role("admin")
def admin_report(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"reports": ["audit"]})


@requires_feature("analytics")
def events(request: HttpRequest) -> StreamingHttpResponse:
    body = aticks() if isinstance(request, ASGIRequest) else ticks()
    return StreamingHttpResponse(body, content_type="text/event-stream")


def ticks() -> Iterator[str]:
    """Say what there is to say, for ever: `LICET_RECHECK_EVERY` ends it with its license."""
    while True:
        yield EVENT
        time.sleep(TICK)


async def aticks() -> AsyncIterator[str]:
    """The same under ASGI, where a thread that waits would be a thread too many."""
    while True:
        yield EVENT
        await asyncio.sleep(TICK)
