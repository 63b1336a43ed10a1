"""System checks of `check --deploy`: what is fine at a desk and not in production.

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
licet.W013  each worker counts by itself what licenses use
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's own name

from licet.core.errors import ConfigError
from licet.core.settings import Settings
from licet.django.conf import licensing

#: What several workers need in common.
_SHARE = "Set LICET_STORE to sqlite:///path (one machine) or redis://… (several)."


def check_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Check what is fine at a desk and not in production: licet.E003 to E005, W003 to W013."""
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
    return [*found, *_possession(settings), *_proxies(settings), *_shared(settings)]


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
    workers = _workers()
    if workers is None:
        yield Warning(
            "Each worker remembers by itself which proofs of possession it has seen: with several "
            "workers a proof can be used once in each.",
            hint=_SHARE,
            id="licet.W006",
        )
    elif workers > 1:
        yield Error(
            f"Each of {workers} workers remembers by itself which proofs of possession it has "
            "seen: a proof can be used once in each.",
            hint=_SHARE,
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


def _shared(settings: Settings) -> Iterator[CheckMessage]:
    """Check that workers share what one is told and what each counts: licet.W010, W013."""
    if settings.store != "memory://" or _workers() == 1:
        return
    if settings.webhook_receive_secret is not None and settings.license_state is None:
        yield Warning(
            "A pushed revocation is known only to the worker that received it.",
            hint=_SHARE,
            id="licet.W010",
        )
    # Only licenses say for certain whether they limit; these settings serve nothing else.
    if settings.usage_url is not None or settings.rate_limit_headers:
        yield Warning(
            "Each worker counts by itself what licenses use: with several workers a limit passes "
            "once in each.",
            hint=_SHARE,
            id="licet.W013",
        )


def _workers() -> int | None:
    """Return how many workers the environment tells servers to start, None where it does not."""
    arguments = os.environ.get("GUNICORN_CMD_ARGS", "")
    options = re.findall(r"(?<!\S)(?:--workers[ =]|-w ?)(\d+)", arguments)
    told = options[-1] if options else os.environ.get("WEB_CONCURRENCY", "")
    return int(told) if told.isdecimal() else None


def _http_issuers(settings: Settings) -> list[str]:
    return [
        name
        for name, one in settings.by_issuer.items()
        if any((url or "").startswith("http:") for url in (one.jwks_url, one.validation_url))
    ]
