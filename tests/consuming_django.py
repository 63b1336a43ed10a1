"""A Django project that uses its license, for servers of their own; else as `consuming_app`."""

from __future__ import annotations

import json
import os
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from licet import aconsume
from licet.django.asgi import with_lifespan

OPTIONS = json.loads(os.environ["LICENSED_APP"])


async def use(request: HttpRequest, amount: int) -> HttpResponse:
    """Use as much as the address says."""
    await aconsume("apiCalls", amount)
    return HttpResponse("licensed")


urlpatterns: list[Any] = [path("<int:amount>", use)]
settings.configure(
    SECRET_KEY="tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["licet.django"],
    MIDDLEWARE=["licet.django.middleware.LicenseMiddleware"],
    **{f"LICET_{name.upper()}": value for name, value in OPTIONS.items()},
)
asgi = with_lifespan(get_asgi_application())
