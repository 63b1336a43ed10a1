"""System checks: mistakes are said at start-up, by an id that can be searched for.

licet.E001  the `LICET_` settings cannot work (what is wrong, and the remedy as hint)
licet.E002  `LicenseMiddleware` stands twice in `MIDDLEWARE`
licet.W001  the app is installed, and no `LicenseMiddleware` is in `MIDDLEWARE`
licet.W002  `LicenseMiddleware` stands before the security or the CORS middleware
licet.E006  `webhook_receiver` is in the URLs, and there is no `LICET_WEBHOOK_RECEIVE_SECRET`

Those of `check --deploy` are in `deployment`.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's own name
from django.urls import URLResolver, get_resolver
from django.utils.module_loading import import_string

from licet.core.errors import ConfigError
from licet.django.conf import licensing
from licet.django.middleware import LicenseMiddleware
from licet.django.webhooks import webhook_receiver

OWN = "licet.django.middleware.LicenseMiddleware"
BEFORE = ("django.middleware.security.SecurityMiddleware", "corsheaders.middleware.CorsMiddleware")


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Check that the settings can work: licet.E001."""
    try:
        licensing()
    except ConfigError as error:
        name = f"LICET_{error.setting.upper()}"
        return [Error(f"{name} {error.problem}.", hint=f"{error.remedy}.", id="licet.E001")]
    return []


def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """Check that the middleware is there, once, in its place: licet.E002, W001, W002."""
    middleware = list(django_settings.MIDDLEWARE)
    own = [place for place, path in enumerate(middleware) if _is_own(path)]
    if not own:
        return [
            Warning(
                "licet.django is installed, but no view is licensed.",
                hint=f"Add '{OWN}' to MIDDLEWARE.",
                id="licet.W001",
            )
        ]
    found: list[CheckMessage] = []
    if len(own) > 1:
        found.append(
            Error(
                "LicenseMiddleware stands twice in MIDDLEWARE.",
                hint="Remove one of the two.",
                id="licet.E002",
            )
        )
    late = [path for path in BEFORE if path in middleware[own[0] :]]
    if late:
        found.append(
            Warning(
                f"LicenseMiddleware stands before {' and '.join(late)}.",
                hint="Move it behind: they answer preflights and redirects without a license.",
                id="licet.W002",
            )
        )
    return found


def check_receiver(**kwargs: Any) -> list[CheckMessage]:
    """Check that pushed events can be told from forged ones: licet.E006."""
    try:
        settings = licensing().settings
    except ConfigError:
        return []  # licet.E001 says it
    if settings.webhook_receive_secret is not None or not _receives():
        return []
    return [
        Error(
            "webhook_receiver is in the URLs, and LICET_WEBHOOK_RECEIVE_SECRET is not set.",
            hint="Set the secret (whsec_…) that the license server signs its events with.",
            id="licet.E006",
        )
    ]


def _receives() -> bool:
    """Whether the receiver of pushed events is anywhere in the URLs."""
    waiting = list(get_resolver().url_patterns) if _has_urls() else []
    while waiting:
        pattern = waiting.pop()
        if isinstance(pattern, URLResolver):
            waiting.extend(pattern.url_patterns)
        elif pattern.callback is webhook_receiver:
            return True
    return False


def _has_urls() -> bool:
    return bool(getattr(django_settings, "ROOT_URLCONF", None))


def _is_own(path: str) -> bool:
    """Whether `path` is our middleware, or a subclass of it."""
    try:
        middleware = import_string(path)
    except ImportError:
        return False  # Django itself says so when the handler is built
    return isinstance(middleware, type) and issubclass(middleware, LicenseMiddleware)
