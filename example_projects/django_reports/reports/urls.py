"""Where the views are."""

from __future__ import annotations

from django.urls import path

from reports import views

urlpatterns = [
    path("health", views.health),
    path("me", views.me),
    path("reports", views.reports),
    path("export", views.export),
    path("admin-report", views.admin_report),
]
