"""Settings of the project.

Without LICET_… environment variables licenses are those of the example license server on this
machine.
"""

from __future__ import annotations

import os
import secrets

SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(50)
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "reports.urls"
WSGI_APPLICATION = "reports.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"

INSTALLED_APPS = ["licet.django"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "licet.django.middleware.LicenseMiddleware",
]

LICET_ISSUER = os.environ.get("LICET_ISSUER", "http://127.0.0.1:8000")
LICET_AUDIENCE = os.environ.get("LICET_AUDIENCE", "acme-reports")
LICET_JWKS_URL = os.environ.get("LICET_JWKS_URL", f"{LICET_ISSUER}/.well-known/jwks.json")
LICET_JWKS_MAX_AGE = float(os.environ.get("LICET_JWKS_MAX_AGE", "600"))
LICET_LEEWAY = float(os.environ.get("LICET_LEEWAY", "30"))
