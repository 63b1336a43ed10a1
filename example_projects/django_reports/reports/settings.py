"""Settings of the project.

Without LICET_… environment variables licenses are those of `licet serve --dev` on this
machine.
"""

from __future__ import annotations

import os
import secrets

from licet import Settings

SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(50)
DEBUG = False
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "127.0.0.1 localhost").split()
ROOT_URLCONF = "reports.urls"
WSGI_APPLICATION = "reports.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"

INSTALLED_APPS = ["licet.django", "reports"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "licet.django.middleware.LicenseMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

LICET_SETTINGS = Settings.from_env(
    {
        "LICET_ISSUER": "http://127.0.0.1:8000",
        "LICET_AUDIENCE": "acme-reports",
        **os.environ,
    }
)
