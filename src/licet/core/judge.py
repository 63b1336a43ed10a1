"""The verification of one license in full: everything that is true of it at any request.

Until the signature under one of the issuer's keys holds, a token can only be refused. Of a license
for which the license server vouches the claims are held to the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from licet.core import assembly
from licet.core.clock import Clock
from licet.core.errors import LicenseInvalid
from licet.core.flow import Flow
from licet.core.grants import Grant, Terms
from licet.core.keys.keystore import KeyStore
from licet.core.lifecycle import Stage, Status, check_times
from licet.core.revocation.standing import Standing
from licet.core.settings import Settings
from licet.core.terms import TermsTable, read_terms
from licet.core.token.claims import Profile, read, read_answered, screen
from licet.core.token.compact import CompactToken, HeaderCache, parse

if TYPE_CHECKING:
    from licet.core.installation.sightings import Sighted


class Judge:
    """Verifies license tokens by one `Settings`; remembers no verdict.

    Args:
        settings: what counts as a valid license.
        clock: wall time.
        keys: of each issuer.
        standing: follows what becomes of the licenses.
        sighted: which licenses were seen to hold before they ended; None where that is not kept.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        keys: Mapping[str, KeyStore],
        standing: Standing,
        sighted: Sighted | None = None,
    ) -> None:
        self._profiles = assembly.profiles(settings)
        self._keys = keys
        self._follow = standing.follow
        self._headers = HeaderCache()
        self._terms = TermsTable()
        self._max_size = settings.max_token_size
        self._max_age = settings.grant_max_age
        self._leeway = settings.leeway
        self._https_only = settings.require_https
        self._wall = clock.wall
        #: The lives that licenses have here.
        self.course = assembly.course(settings)
        self.course.sightings = self.sighted = sighted

    def verify(self, credential: bytes, at: float | None = None) -> Flow[Grant]:
        """Return what the license token `credential` grants.

        Args:
            credential: what was presented.
            at: wall time to judge by, in seconds since the epoch, in place of the clock.

        Raises:
            LicenseError: it does not hold, or that cannot be told.
        """
        return self.check(*self.open(credential), at)

    def open(self, credential: bytes) -> tuple[CompactToken, Profile]:
        """Return the token that `credential` is, and the profile it claims to follow.

        Raises:
            LicenseInvalid: no signature could make it a license.
        """
        token = parse(credential, max_size=self._max_size, headers=self._headers)
        return token, screen(token, self._profiles)

    def check(
        self,
        token: CompactToken,
        profile: Profile,
        at: float | None = None,
        patience: float | None = None,
    ) -> Flow[Grant]:
        """Return what a token that was opened grants.

        Args:
            token: the token.
            profile: what it has to follow.
            at: as for `verify`.
            patience: seconds to wait for keys at most, where something else could be done.

        Raises:
            LicenseError: it does not hold, or that cannot be told.
        """
        keys = self._keys[profile.issuer]
        # The snapshot that is judged by is the one the grant remembers: a rotation in between
        # must not mark an old key's grant as new.
        kid, alg = token.header.kid, token.header.alg
        snapshot, key = keys.at_hand(kid, alg) or (yield from keys.find(kid, alg, patience))
        if not key.verify(token.signing_input, token.signature):
            raise LicenseInvalid("bad_signature")
        self._headers.remember(token)
        claims = read(token.payload, profile)
        terms = self._terms.intern(claims.payload)
        now = self._wall() if at is None else at
        sighted = self.sighted
        if sighted is not None and 0 <= now - claims.expires_at < self.course.grace(claims, terms):
            yield from sighted.recall(claims.issuer, claims.license_id)
        stage, terms, lasts = self.course.at(claims, terms, now)
        grant = Grant(
            claims,
            terms,
            leeway=lasts,
            stage=stage,
            free=self._is_free(terms, stage),
            since=now,
            until=min(now + self._max_age, snapshot.stale_until),
            keys=keys,
            thumbprint=key.thumbprint,
            generation=snapshot.generation,
            wall=self._wall if at is None else partial(float, at),
        )
        self._follow(grant, claims.payload)
        return grant

    def _is_free(self, terms: Terms, stage: Stage) -> bool:
        # The caller is told of a grace.
        return (
            terms.conditions is None and stage.status is not Status.GRACE and not self._https_only
        )

    def forecast(self, token: CompactToken, profile: Profile) -> None:
        """Refuse a token that would be refused even if its signature held.

        Raises:
            LicenseError: it would be.
        """
        claims = read(token.payload, profile)
        read_terms(claims.payload)
        check_times(claims, self._wall(), self._leeway)

    def answered(self, issuer: str, payload: Mapping[str, Any]) -> Grant:
        """Return what a license grants for which the license server has just vouched.

        It is remembered by whoever asked, and not by the credential alone.

        Args:
            issuer: whose license server that is.
            payload: the claims of the license.

        Raises:
            LicenseError: it does not hold all the same.
        """
        claims = read_answered(payload, self._profiles[issuer])
        terms = self._terms.intern(claims.payload)
        now = self._wall()
        stage, terms, lasts = self.course.at(claims, terms, now)
        grant = Grant(
            claims,
            terms,
            leeway=lasts,
            stage=stage,
            free=self._is_free(terms, stage),
            since=now,
            until=-inf,
            wall=self._wall,
            verified_by="online",
        )
        self._follow(grant, claims.payload)
        return grant
