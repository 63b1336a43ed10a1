"""Licenses outside any request: jobs, commands, consumers, scripts."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from licet.core import flow
from licet.core.entitlements import Entitlements
from licet.core.errors import LicenseInvalid
from licet.core.settings import Settings
from licet.core.token.claims import LATEST

if TYPE_CHECKING:
    from licet.core.gate import Gate


def verify(
    credential: str | bytes, settings: Settings, *, at: datetime | float | None = None
) -> Entitlements:
    """Judge a license and return what it entitles to.

    Args:
        credential: the license token.
        settings: what counts as a valid license; equal settings share keys and cache.
        at: the moment to judge by, in place of now: a datetime that knows its zone, or seconds
            since the epoch. The keys are those of now. The entitlements stand still at it.

    Raises:
        LicenseError: it does not hold, or that cannot be told.
        TypeError: the credential is no text, or `at` is no time.
        ValueError: `at` has no zone, or is no moment.
    """
    return flow.run(_gate(settings).verify(_bytes(credential), _seconds(at)))


async def averify(
    credential: str | bytes, settings: Settings, *, at: datetime | float | None = None
) -> Entitlements:
    """Judge a license without blocking the event loop (asyncio or trio); else as `verify`."""
    return await flow.arun(_gate(settings).verify(_bytes(credential), _seconds(at)))


def _gate(settings: Settings) -> Gate:
    # Here and not above, so that `import licet` brings neither an HTTP client nor cryptography
    # into processes that only use its names: command lines, and every run of pytest.
    from licet.core.gates import gate_for

    return gate_for(settings)


def _bytes(credential: str | bytes) -> bytes:
    if isinstance(credential, bytes):
        return credential
    if not isinstance(credential, str):
        raise TypeError(f"a credential is str or bytes, not {type(credential).__name__}")
    try:
        return credential.encode("ascii")
    except UnicodeEncodeError:
        raise LicenseInvalid("malformed") from None


def _seconds(at: datetime | float | None) -> float | None:
    if at is None:
        return None
    if isinstance(at, datetime):
        if at.utcoffset() is None:
            raise ValueError("at has no time zone: write datetime(…, tzinfo=UTC)")
        at = at.timestamp()
    if isinstance(at, bool) or not isinstance(at, (int, float)):
        raise TypeError(f"at is a datetime or seconds since the epoch, not {type(at).__name__}")
    # NaN too: no comparison with it is true, the one with the license's end included.
    if not 0 <= at <= LATEST:
        raise ValueError("at lies outside the years 1970 to 9999: write seconds since the epoch")
    return float(at)
