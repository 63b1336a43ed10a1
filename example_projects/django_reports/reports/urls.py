"""Where the views are."""

from __future__ import annotations

from django.conf import settings
from django.urls import path

from licet.django.views import webhook_receiver
from reports import views

urlpatterns = [
    path("health", views.health),
    path("", views.overview),
    path("me", views.me),
    path("reports", views.reports),
    path("export", views.export),
    path("workspace", views.workspace),
    path("admin-report", views.admin_report),
    path("events", views.events),
]
if settings.LICET_SETTINGS.webhook_receive_secret:
    urlpatterns.append(path("licet/webhooks", webhook_receiver))
