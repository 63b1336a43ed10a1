"""Licet for any ASGI application.

    application = LicenseMiddleware(application, issuer="…", audience="…")

Entitlements are at `scope["state"]["entitlements"]`, which Starlette calls
`request.state.entitlements`, and from `licet.current_entitlements()`.
"""

from licet.asgi.connections import POLICY_VIOLATION
from licet.asgi.facts import ASGIApp, AsgiFacts, Message, Receive, Scope, Send
from licet.asgi.middleware import LicenseMiddleware
from licet.asgi.webhooks import WebhookReceiver

__all__ = [
    "POLICY_VIOLATION",
    "ASGIApp",
    "AsgiFacts",
    "LicenseMiddleware",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "WebhookReceiver",
]
