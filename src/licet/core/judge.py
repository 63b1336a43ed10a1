"""The verification of one license in full: everything that is true of it at any request.

Until the signature under one of the issuer's keys holds, a token can only be refused. Of a license
for which the license server vouches the claims are held to the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from licet.core.clock import Clock
from licet.core.errors import LicenseInvalid
from licet.core.flow import Flow
from licet.core.grants import Grant, Terms
from licet.core.grants.reading import TermsTable, read_terms
from licet.core.keys.keystore import KeyStore
from licet.core.lifecycle import Course, Standpoint, Status, check_times
from licet.core.revocation.standing import Standing
from licet.core.settings import Settings
from licet.core.token.claims import Claims, Profile, read, read_answered, screen
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
        profiles: what the licenses of each issuer have to look like.
        course: the lives that licenses have here.
        sighted: which licenses were seen to hold before they ended, as `course` is told; None
            where that is not kept.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        keys: Mapping[str, KeyStore],
        standing: Standing,
        *,
        profiles: Mapping[str, Profile],
        course: Course,
        sighted: Sighted | None = None,
    ) -> None:
        self._profiles = profiles
        self._keys = keys
        self._follow = standing.follow
        self._headers = HeaderCache()
        self._terms = TermsTable()
        self._max_size = settings.max_token_size
        self._max_age = settings.grant_max_age
        self._leeway = settings.leeway
        self._https_only = settings.require_https
        self._wall, self._now = clock.wall, clock.now
        self._course, self.sighted = course, sighted

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
        now = self._now() if at is None else at
        if self.sighted is not None:
            yield from self._remember(self.sighted, claims, terms, now)
        return self._grant(
            claims,
            self._course.at(claims, terms, now),
            since=now,
            until=min(now + self._max_age, snapshot.stale_until),
            keys=keys,
            thumbprint=key.thumbprint,
            generation=snapshot.generation,
            wall=self._wall if at is None else partial(float, at),
        )

    def _remember(self, sighted: Sighted, claims: Claims, terms: Terms, now: float) -> Flow[None]:
        """Have the course know whether a license in grace has earned that."""
        if 0 <= now - claims.expires_at < self._course.grace(claims, terms):
            yield from sighted.recall(claims.issuer, claims.license_id)

    def _grant(
        self,
        claims: Claims,
        stands: Standpoint,
        *,
        since: float,
        until: float,
        wall: Callable[[], float],
        keys: KeyStore | None = None,
        thumbprint: str = "",
        generation: int = 0,
    ) -> Grant:
        """Return what a license grants where it stands, for as long as nobody withdraws it."""
        stage, terms, lasts = stands
        # The caller is told of a grace.
        told = stage.status is Status.GRACE
        free = terms.conditions is None and not told and not self._https_only
        grant = Grant(
            claims,
            terms,
            leeway=lasts,
            since=since,
            until=until,
            keys=keys,
            thumbprint=thumbprint,
            generation=generation,
            verified_by="online" if keys is None else "local",
            wall=wall,
            stage=stage,
            free=free,
        )
        self._follow(grant, claims.payload)
        return grant

    def forecast(self, token: CompactToken, profile: Profile) -> None:
        """Refuse a token that would be refused even if its signature held.

        Raises:
            LicenseError: it would be.
        """
        claims = read(token.payload, profile)
        read_terms(claims.payload)
        check_times(claims, self._now(), self._leeway)

    def answered(
        self, issuer: str, payload: Mapping[str, Any], *, ended: bool = False
    ) -> Flow[Grant]:
        """Return what a license grants for which the license server has just vouched.

        It is remembered by whoever asked, and not by the credential alone.

        Args:
            issuer: whose license server that is.
            payload: the claims of the license.
            ended: whether it has ended, as the server says, so that only grace and what is left
                of a license may come of it.

        Raises:
            LicenseError: it does not hold all the same.
        """
        claims = read_answered(payload, self._profiles[issuer])
        terms = self._terms.intern(claims.payload)
        now = self._now()
        if self.sighted is not None:
            yield from self._remember(self.sighted, claims, terms, now)
        stands = (self._course.past if ended else self._course.at)(claims, terms, now)
        return self._grant(claims, stands, since=now, until=-inf, wall=self._wall)
