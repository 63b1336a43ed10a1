"""System checks: mistakes are said at start-up, by an id that can be searched for.

licet.E001  the `LICET_` settings cannot work (what is wrong, and the remedy as hint)
licet.E002  `LicenseMiddleware` stands twice in `MIDDLEWARE`
licet.W001  the app is installed, and no `LicenseMiddleware` is in `MIDDLEWARE`
licet.W002  `LicenseMiddleware` stands before the security or the CORS middleware
licet.E006  `webhook_receiver` is in the URLs, and there is no `LICET_WEBHOOK_RECEIVE_SECRET`

With `--deploy`:

licet.E003  `LICET_INSECURE_HTTP_HOSTS` lets keys come over plain http
licet.E004  several workers, and proofs of possession are remembered in each one alone
licet.E005  proofs of possession are wanted, and nobody vouches for the host they are made for
licet.W003  keys or answers come over plain http from this machine
licet.W004  licenses may come in query parameters, which logs and referrers keep
licet.W005  the installation license is written out in the settings
licet.W006  as licet.E004, where the number of workers cannot be seen from here
licet.W007  proxies are trusted, and Django reads neither host nor scheme from them
licet.W008  `LICET_REQUIRE_HTTPS` behind proxies from which Django does not read the scheme
licet.W009  answers without a signature are believed, and no key is pinned
licet.W010  pushed events reach the one process that receives them
licet.W011  `LICET_MODE` is report: licenses are judged, and everything passes
licet.W012  `LICET_MODE` is off: no license is looked at
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's own name
from django.urls import URLResolver, get_resolver
from django.utils.module_loading import import_string

from licet.core.errors import ConfigError
from licet.core.settings import Settings
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


def check_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Check what is fine at a desk and not in production: licet.E003 to E005, W003 to W012."""
    try:
        settings = licensing().settings
    except ConfigError:
        return []  # licet.E001 says it
    found: list[CheckMessage] = [*_mode(settings)]
    if settings.insecure_http_hosts:
        found.append(
            Error(
                "LICET_INSECURE_HTTP_HOSTS lets keys and answers come over plain http: whoever is "
                "on the way can replace them, and sign licenses.",
                hint="Serve them over https and remove the setting.",
                id="licet.E003",
            )
        )
    elif _http_issuers(settings):
        found.append(
            Warning(
                f"Keys or answers come over plain http for {', '.join(_http_issuers(settings))}.",
                hint="Set LICET_JWKS_URL and LICET_VALIDATION_URL to https addresses.",
                id="licet.W003",
            )
        )
    if any(source.startswith("query:") for source in settings.sources or ()):
        found.append(
            Warning(
                "LICET_SOURCES reads licenses from query parameters, which logs and referrers "
                "keep.",
                hint="Use a header or a cookie where you can.",
                id="licet.W004",
            )
        )
    if settings.license is not None and not settings.license.startswith(("file:", "env:")):
        found.append(
            Warning(
                "LICET_LICENSE is written out in the settings, which error reports show.",
                hint="Write file:PATH or env:NAME.",
                id="licet.W005",
            )
        )
    unsigned = any(one.validation_unsigned for one in settings.by_issuer.values())
    if unsigned and settings.tls_pins is None:
        found.append(
            Warning(
                "LICET_VALIDATION_UNSIGNED believes whoever a certificate authority vouches for: "
                "answers have no signature, and no key is pinned.",
                hint="Set LICET_TLS_PINS to the public keys of the license server.",
                id="licet.W009",
            )
        )
    return [*found, *_possession(settings), *_proxies(settings), *_pushed(settings)]


def _mode(settings: Settings) -> Iterator[CheckMessage]:
    """Check that licenses are enforced: licet.W011, W012."""
    if settings.mode == "report":
        yield Warning(
            "LICET_MODE is report: licenses are judged, and everything passes.",
            hint="Look at what license_check counts; then remove the setting.",
            id="licet.W011",
        )
    elif settings.mode == "off":
        yield Warning(
            "LICET_MODE is off: no license is looked at, and everything passes.",
            hint="Remove the setting.",
            id="licet.W012",
        )


def _possession(settings: Settings) -> Iterator[CheckMessage]:
    """Check what proofs of possession need: licet.E004, E005, W006."""
    # Only licenses say for certain whether they are bound; these settings serve nothing else.
    if settings.external_url is None and settings.dpop_nonce_secret is None:
        return
    if settings.external_url is None and "*" in django_settings.ALLOWED_HOSTS:
        yield Error(
            "Licenses that are bound to a key cannot be used: ALLOWED_HOSTS allows every host, so "
            "nobody vouches for the one a proof is made for.",
            hint="Set LICET_EXTERNAL_URL to the address that clients know, or name the hosts.",
            id="licet.E005",
        )
    if settings.store != "memory://":
        return
    hint = "Set LICET_STORE to sqlite:///path (one machine) or redis://… (several)."
    workers = _workers()
    if workers is None:
        yield Warning(
            "Each worker remembers by itself which proofs of possession it has seen: with several "
            "workers a proof can be used once in each.",
            hint=hint,
            id="licet.W006",
        )
    elif workers > 1:
        yield Error(
            f"Each of {workers} workers remembers by itself which proofs of possession it has "
            "seen: a proof can be used once in each.",
            hint=hint,
            id="licet.E004",
        )


def _proxies(settings: Settings) -> Iterator[CheckMessage]:
    """Check that Django reads from proxies what Licet takes from Django: licet.W007, W008."""
    # With `server` the server has put it right before Django sees the request.
    if not settings.trusted_proxies or settings.trusted_proxies == ("server",):
        return
    if django_settings.SECURE_PROXY_SSL_HEADER is not None:
        return
    if settings.require_https:
        yield Warning(
            "LICET_REQUIRE_HTTPS refuses every license that comes through a proxy which ends TLS: "
            "Django does not read the scheme from it.",
            hint="Set SECURE_PROXY_SSL_HEADER, unless your server reads the scheme itself.",
            id="licet.W008",
        )
    elif not django_settings.USE_X_FORWARDED_HOST:
        yield Warning(
            "LICET_TRUSTED_PROXIES names proxies, and Django reads neither host nor scheme from "
            "them; Licet takes both from Django.",
            hint="Set SECURE_PROXY_SSL_HEADER, and USE_X_FORWARDED_HOST if Host is not passed on.",
            id="licet.W007",
        )


def _pushed(settings: Settings) -> Iterator[CheckMessage]:
    """Check that every process hears of what is pushed to one: licet.W010."""
    if settings.webhook_receive_secret is None or settings.license_state is not None:
        return
    if settings.store == "memory://" and _workers() != 1:
        yield Warning(
            "A pushed revocation is known only to the worker that received it.",
            hint="Set LICET_STORE to sqlite:///path (one machine) or redis://… (several).",
            id="licet.W010",
        )


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


def _workers() -> int | None:
    """Return how many workers the environment tells servers to start, None where it does not."""
    arguments = os.environ.get("GUNICORN_CMD_ARGS", "")
    options = re.findall(r"(?<!\S)(?:--workers[ =]|-w ?)(\d+)", arguments)
    told = options[-1] if options else os.environ.get("WEB_CONCURRENCY", "")
    return int(told) if told.isdecimal() else None


def _is_own(path: str) -> bool:
    """Whether `path` is our middleware, or a subclass of it."""
    try:
        middleware = import_string(path)
    except ImportError:
        return False  # Django itself says so when the handler is built
    return isinstance(middleware, type) and issubclass(middleware, LicenseMiddleware)


def _http_issuers(settings: Settings) -> list[str]:
    return [
        name
        for name, one in settings.by_issuer.items()
        if any((url or "").startswith("http:") for url in (one.jwks_url, one.validation_url))
    ]
