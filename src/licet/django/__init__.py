"""Licet for Django, sync and async.

    MIDDLEWARE = [..., "licet.django.middleware.LicenseMiddleware"]

Entitlements are at `request.entitlements`, and from `licet.current_entitlements()`. As an
installed app (`"licet.django"` in `INSTALLED_APPS`) it adds system checks, the template tags
`{% load licet %}` and the command `license_check`; the middleware works without.
"""

from licet._requires import extra

with extra("django", "django"):
    import django  # noqa: F401 - asked for by name, so that its absence is told in plain words
