"""The verification of one license token in full: everything that is true of it at any request.

Until the signature under one of the issuer's keys holds, it can only be refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from licet.core import assembly
from licet.core.clock import Clock
from licet.core.errors import InstallationUnlicensed, LicenseInvalid
from licet.core.flow import Flow
from licet.core.grants import Grant
from licet.core.keys.keystore import KeyStore
from licet.core.lifecycle import check_times
from licet.core.settings import Settings
from licet.core.terms import TermsTable
from licet.core.token.claims import read, screen
from licet.core.token.compact import HeaderCache, parse


class Judge:
    """Verifies license tokens by one `Settings`; remembers no verdict.

    Args:
        settings: what counts as a valid license.
        clock: wall time.
        keys: of each issuer.
    """

    def __init__(self, settings: Settings, clock: Clock, keys: Mapping[str, KeyStore]) -> None:
        self._profiles = assembly.profiles(settings)
        self._keys = keys
        self._headers = HeaderCache()
        self._terms = TermsTable()
        self._max_size = settings.max_token_size
        self._max_age = settings.grant_max_age
        self._leeway = settings.leeway
        self._https_only = settings.require_https
        self._wall = clock.wall
        installed = settings.license is not None
        self._ended = InstallationUnlicensed.because("expired") if installed else None

    def verify(self, credential: bytes, at: float | None = None) -> Flow[Grant]:
        """Return what the license token `credential` grants.

        Args:
            credential: what was presented.
            at: wall time to judge by, in seconds since the epoch, in place of the clock.

        Raises:
            LicenseError: it does not hold, or that cannot be told.
        """
        token = parse(credential, max_size=self._max_size, headers=self._headers)
        profile = screen(token, self._profiles)
        keys = self._keys[profile.issuer]
        # The snapshot that is judged by is the one the grant remembers: a rotation in between
        # must not mark an old key's grant as new.
        kid, alg = token.header.kid, token.header.alg
        snapshot, key = keys.at_hand(kid, alg) or (yield from keys.find(kid, alg))
        if not key.verify(token.signing_input, token.signature):
            raise LicenseInvalid("bad_signature")
        self._headers.remember(token)
        claims = read(token.payload, profile)
        terms = self._terms.intern(claims.payload)
        now = self._wall() if at is None else at
        check_times(claims, now, self._leeway)
        return Grant(
            claims,
            terms,
            leeway=self._leeway,
            since=now,
            until=min(now + self._max_age, snapshot.stale_until),
            keys=keys,
            thumbprint=key.thumbprint,
            generation=snapshot.generation,
            wall=self._wall if at is None else partial(float, at),
            ended=self._ended,
            free=terms.conditions is None and not self._https_only,
        )
