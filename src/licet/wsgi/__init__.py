"""Licet for any WSGI application (PEP 3333).

    application = LicenseMiddleware(application, issuer="…", audience="…")

Entitlements are at `environ["licet.entitlements"]`, and from `licet.current_entitlements()`.
"""

from licet.wsgi.connections import ENTITLEMENTS
from licet.wsgi.middleware import LicenseMiddleware
from licet.wsgi.webhooks import WebhookReceiver

__all__ = ["ENTITLEMENTS", "LicenseMiddleware", "WebhookReceiver"]
