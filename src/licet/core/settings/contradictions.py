"""What settings may not say together.

Each function raises `ConfigError` with the name of one of the settings at fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from licet.core.errors import ConfigError
from licet.core.settings.options import url

if TYPE_CHECKING:
    from licet.core.settings.settings import Settings


def check_proxies(settings: Settings) -> None:
    """See to it that what a proxy tells is told by a proxy that is trusted, and once."""
    if settings.region_header is not None and settings.region_database is not None:
        raise ConfigError(
            "region_header", "is set together with region_database", "trust one of the two"
        )
    told_by_proxy = {
        "region_header": settings.region_header,
        "client_certificate": (settings.client_certificate or "").startswith("header:"),
    }
    for name, told in told_by_proxy.items():
        if told and not settings.trusted_proxies:
            raise ConfigError(
                name,
                "names a header field that no proxy is trusted with",
                "set trusted_proxies too; from anybody else the field counts for nothing",
            )


def check_tls(settings: Settings) -> None:
    """See to it that there are pins enough, and that a certificate comes with its key."""
    # Not at the top: most settings pin nothing, and pay for no cryptography.
    if settings.tls_pins is not None:
        from licet.core import tls

        tls.pins_of(settings.tls_pins, settings.tls_single_pin)
    elif settings.tls_single_pin:
        raise ConfigError("tls_single_pin", "is set and there is no pin", "set tls_pins too")
    if settings.tls_client_cert is not None or settings.tls_client_key is not None:
        from licet.core import tls

        tls.client_certificate(settings.tls_client_cert, settings.tls_client_key)


def check_questions(settings: Settings) -> None:
    """See to it that somebody can be asked, and that it is clear whom."""
    asked = [one for one in settings.by_issuer.values() if one.validation_url is not None]
    needed = {
        "license_key_pattern": settings.license_key_pattern,
        "revalidate_every": settings.revalidate_every,
    }
    for name, value in needed.items():
        if value is not None and not asked:
            raise ConfigError(name, "is set and nobody is asked", "set validation_url too")
    if settings.license_key_pattern is not None and len(asked) > 1:
        raise ConfigError(
            "license_key_pattern",
            "is set and several license servers could be meant",
            "set validation_url for one issuer alone",
        )


def check_addresses(settings: Settings) -> None:
    """See to it that plain http is spoken with the hosts alone that are named for it."""
    asked = [
        ("refresh_url", settings.refresh_url),
        ("usage_url", settings.usage_url),
        ("webhook_url", settings.webhook_url),
        *(("status_origins", one) for one in settings.status_origins),
    ]
    for name, address in asked:
        if address is not None:
            hosts = settings.insecure_http_hosts
            url(name, address, http_hosts=hosts, setting="insecure_http_hosts")


def check_refresh(settings: Settings) -> None:
    """See to it that there is a license to refresh, and somewhere to keep what comes of it."""
    if settings.refresh_url is None:
        return
    if settings.license is None:
        raise ConfigError(
            "refresh_url",
            "is set and there is no installation license",
            "set license too: what requests bring is their callers' to refresh",
        )
    if settings.license_state is None:
        raise ConfigError(
            "refresh_url",
            "is set and what it gives could not be kept",
            "set license_state to a directory",
        )


def check_usage(settings: Settings) -> None:
    """See to it that who reports what is used is known, and that credentials are for something."""
    for one in settings.by_issuer.values():
        if settings.usage_url is not None and one.validation_credentials is None:
            raise ConfigError(
                "usage_url",
                "is set and the server would not know who reports",
                "set validation_credentials too, for each issuer",
            )
        if one.validation_credentials is None or one.validation_url is not None:
            continue
        if settings.usage_url is None:
            raise ConfigError(
                "validation_credentials", "is set and nobody is asked", "set validation_url too"
            )


def check_webhook(settings: Settings) -> None:
    """See to it that events are sent with a signature, and that there is somewhere to send them."""
    if settings.webhook_url is not None and settings.webhook_secret is None:
        raise ConfigError(
            "webhook_url",
            "is set and nothing signs what is sent there",
            "set webhook_secret to whsec_… too",
        )
    if settings.webhook_secret is not None and settings.webhook_url is None:
        raise ConfigError("webhook_secret", "is set and nothing is sent", "set webhook_url too")
