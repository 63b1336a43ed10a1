"""Licenses outside any request: jobs, commands, consumers, scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from licet.core import flow
from licet.core.entitlements import Entitlements
from licet.core.errors import LicenseInvalid
from licet.core.settings import Settings

if TYPE_CHECKING:
    from licet.core.gate import Gate


def verify(credential: str | bytes, settings: Settings) -> Entitlements:
    """Judge a license and return what it entitles to.

    Args:
        credential: the license token.
        settings: what counts as a valid license; equal settings share keys and cache.

    Raises:
        LicenseError: it does not hold, or that cannot be told.
        TypeError: the credential is no text.
    """
    return flow.run(_gate(settings).verify(_bytes(credential)))


async def averify(credential: str | bytes, settings: Settings) -> Entitlements:
    """Judge a license without blocking the event loop (asyncio or trio); else as `verify`."""
    return await flow.arun(_gate(settings).verify(_bytes(credential)))


def _gate(settings: Settings) -> Gate:
    # Here and not above, so that `import licet` brings neither an HTTP client nor cryptography
    # into processes that only use its names: command lines, and every run of pytest.
    from licet.core.gate import gate_for

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
