"""What an application with these settings would say of a license, its license server asked.

Only of one in which nothing wrong was found before; what depends on a request is left open.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from licet.cli.doctor import server
from licet.cli.doctor.finding import Finding, Kind
from licet.cli.remedies import explain
from licet.core.errors import (
    ConfigError,
    ConstraintViolated,
    LicenseError,
    LicenseUnavailable,
    PossessionInvalid,
    PossessionRequired,
)
from licet.core.settings import Settings
from licet.core.verify import verify

HOLDS = Kind("license_holds", "ok")
HOLDS_SOMEWHERE = Kind("license_holds_somewhere", "ok")
REFUSED = Kind("license_refused", "fault")
UNDECIDED = Kind("license_undecided", "unchecked")
UNGATED = Kind("settings_no_gate", "fault")

#: Seconds.
ANSWERED_WITHIN = 3.0

_NARROW = (ConstraintViolated, PossessionRequired, PossessionInvalid)


def judge(credential: bytes, settings: Settings) -> Finding:
    """Return what the gate of an application says.

    Args:
        credential: the license; it is sent to the license server of the settings if that has to
            be asked, and nowhere else.
        settings: of the application.
    """
    try:
        with _silence():
            verify(credential, _without_traces(settings))
    except _NARROW:
        return HOLDS_SOMEWHERE("it holds where and for whom it says; `licet verify` tries a place")
    except LicenseError as refusal:
        if refusal.reason == "online:credentials":
            return server.REFUSED("the license server does not take the key of this application")
        problem, remedy = explain(refusal.reason, refusal.code)
        kind = UNDECIDED if isinstance(refusal, LicenseUnavailable) else REFUSED
        return kind(f"{refusal.code} ({refusal.reason}): {problem}", remedy)
    except ConfigError as error:
        return UNGATED(f"{error.setting} {error.problem}", error.remedy)
    return HOLDS("an application with these settings would take it")


def _without_traces(settings: Settings) -> Settings:
    """Return settings that judge alike, whatever passes; and write, renew and tell nothing."""
    issuers = None
    if settings.issuers is not None:
        issuers = {
            name: replace(one, jwks_snapshot=None) for name, one in settings.by_issuer.items()
        }
    return replace(
        settings,
        issuers=issuers,
        jwks_snapshot=None,
        license_state=None,
        refresh_url=None,
        sources=settings.sources or None,
        store="memory://",
        mode="enforce",
        usage_url=None,
        webhook_url=None,
        webhook_secret=None,
        online_timeout=min(settings.online_timeout, ANSWERED_WITHIN),
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Let nothing be logged beside the findings, which say the same."""
    logger, handler = logging.getLogger("licet"), logging.NullHandler()
    before = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = before
        logger.removeHandler(handler)
