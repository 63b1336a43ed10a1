"""The project as an ASGI application."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from licet.django.asgi import with_lifespan

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reports.settings")

application = with_lifespan(get_asgi_application())
