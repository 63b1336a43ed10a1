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
    from licet.core.request.circumstances import Where


def verify(
    credential: str | bytes,
    settings: Settings,
    *,
    host: str | None = None,
    ip: str | None = None,
    origin: str | None = None,
    region: str | None = None,
    at: datetime | float | None = None,
) -> Entitlements:
    """Judge a license and return what it entitles to.

    A license that holds only somewhere or sometimes is held against what is said here; what is
    not said is unknown. One that is bound to its holder's key can only be presented by a request.

    Args:
        credential: the license token, or an opaque license key.
        settings: what counts as a valid license; equal settings share keys and cache.
        host: the host this deployment is reached by, perhaps with a port.
        ip: the address of the client.
        origin: the origin of the calling page, `https://app.example`.
        region: of the client, ISO 3166-1 or -2.
        at: the moment to judge by, in place of now: a datetime that knows its zone, or seconds
            since the epoch. The keys are those of now. The entitlements stand still at it. For
            license tokens only: no server is asked what an opaque key was worth then.

    Raises:
        LicenseError: it does not hold, or that cannot be told.
        TypeError: the credential or a circumstance is no text, or `at` is no time.
        ValueError: a circumstance cannot be read; `at` has no zone, or is no moment.
    """
    where = _where(host, ip, origin, region)
    return flow.run(_gate(settings).verify(_bytes(credential), _seconds(at), where))


async def averify(
    credential: str | bytes,
    settings: Settings,
    *,
    host: str | None = None,
    ip: str | None = None,
    origin: str | None = None,
    region: str | None = None,
    at: datetime | float | None = None,
) -> Entitlements:
    """Judge a license without blocking the event loop (asyncio or trio); else as `verify`."""
    where = _where(host, ip, origin, region)
    return await flow.arun(_gate(settings).verify(_bytes(credential), _seconds(at), where))


def _gate(settings: Settings) -> Gate:
    # Here and not above, so that `import licet` brings neither an HTTP client nor cryptography
    # into processes that only use its names: command lines, and every run of pytest.
    from licet.core.gates import gate_for

    return gate_for(settings)


def _where(host: str | None, ip: str | None, origin: str | None, region: str | None) -> Where:
    from licet.core.request.circumstances import Where

    where = Where(host, origin, ip, region)
    where.check()
    return where


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
