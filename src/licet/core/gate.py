"""The gate: credential and facts in, entitlements out, or a `LicenseError`.

The order of events, once. Everything that comes in is a stranger's word until a signature under
one of the issuer's keys holds; until then it can only be refused. What cannot be decided is
refused as undecided (503), and so is whatever goes wrong in here.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from hashlib import sha256
from typing import NoReturn

from licet.core import flow
from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.entitlements import Entitlements
from licet.core.errors import (
    InstallationUnlicensed,
    LicenseError,
    LicenseInvalid,
    LicenseRequired,
    LicenseUnavailable,
    PossessionInvalid,
)
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.events.log import LogSink
from licet.core.facts import RequestFacts
from licet.core.flow import Flow
from licet.core.grants import Grant, GrantCache, GrantStats
from licet.core.installation.license import Installation, LicenseSource
from licet.core.keys.keystore import Health, KeyStore
from licet.core.lifecycle import check_times
from licet.core.paths import ExemptPaths
from licet.core.request import Sources, find_credential
from licet.core.settings import IssuerSettings, Settings
from licet.core.terms import TermsTable
from licet.core.tls import client_context
from licet.core.token.claims import Profile, read, screen
from licet.core.token.compact import HeaderCache, parse
from licet.core.token.signature import names_of
from licet.core.transport import Transport

logger = logging.getLogger("licet")


class Gate:
    """Judges licenses by one `Settings`. Share one per process: `gates.gate_for`.

    Args:
        settings: what counts as a valid license.
        clock: wall and monotonic time.
        transport: what fetches key sets; one of its own by default.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock = SYSTEM_CLOCK,
        transport: Transport | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.events = EventBus(LogSink(clock))
        self.sources = Sources.of(settings.sources or ())
        self.exempt_paths = ExemptPaths(settings.exempt_paths)
        transport = transport or Transport(
            client_context(settings.tls_minimum, settings.tls_ca_file)
        )
        issuers = settings.by_issuer
        self._profiles = {issuer: _profile(issuer, one) for issuer, one in issuers.items()}
        self.keys = {
            issuer: KeyStore(
                issuer,
                jwks_url=one.jwks_url,
                jwks=one.keys,
                algorithms=one.algorithms,
                max_age=settings.jwks_max_age,
                max_stale=settings.jwks_max_stale,
                cooldown=settings.jwks_cooldown,
                transport=transport,
                clock=clock,
                bus=self.events,
                path=one.snapshot_path,
            )
            for issuer, one in issuers.items()
        }
        self._headers = HeaderCache()
        self._terms = TermsTable()
        self._grants = GrantCache(settings.grant_cache_size if settings.grant_max_age else 0)
        self._max_size = settings.max_token_size
        self._wall = clock.wall
        self._monotonic = clock.monotonic
        #: What a view raises once its license has ended, where that is not `LicenseExpired`.
        self._ended = (
            None if settings.license is None else InstallationUnlicensed.because("expired")
        )
        self.installation = (
            Installation(
                LicenseSource(settings.license, clock),
                recall=self.recall,
                judge=self.judge,
                clock=clock,
                refused=self._denied,
            )
            if settings.license is not None
            else None
        )

    # -- a request, in the order of events ------------------------------------------------------

    def recall(self, credential: bytes) -> Grant | None:
        """Return what is remembered of `credential` and still holds: no lock, no waiting."""
        if len(credential) > self._max_size:
            return None
        grant = self._grants.get(sha256(credential).digest())
        if grant is None or not grant.since <= self._wall() < grant.until:
            return None
        keys = grant.keys
        if keys is not None:
            # Before the snapshot is read: a dead one must not pass under the time of its successor.
            if self._monotonic() >= keys.look_at and not keys.look():
                return None
            snapshot = keys.snapshot
            if snapshot is None:
                return None
            if snapshot.generation != grant.generation:
                if grant.thumbprint not in snapshot.thumbprints:
                    return None
                grant.generation = snapshot.generation
        self._grants.hits += 1
        return grant

    def admit(self, grant: Grant, credential: bytes | None, source: str = "") -> Entitlements:
        """Return what `grant` entitles this request to."""
        return Entitlements(grant, self._wall, credential, source, self._ended)

    def decide(self, facts: RequestFacts) -> Flow[Entitlements]:
        """Judge a request.

        Returns:
            Its entitlements; `UNLICENSED` ones where a license is not required and absent.

        Raises:
            LicenseError: it is refused, or undecided.
        """
        try:
            return (yield from self._decide(facts))
        except Exception as error:
            self.refuse(error)

    def peek(self, facts: RequestFacts) -> Entitlements:
        """Return the entitlements of an exempt request, from what is already known.

        Waits for nothing and refuses nothing: what cannot be known is `UNLICENSED`.
        """
        try:
            return flow.peek(self._decide(facts))
        except flow.WouldWait:
            return Entitlements.unlicensed(LicenseUnavailable("not_known_yet"))
        except Exception as error:
            return Entitlements.unlicensed(self.as_refusal(error))

    def verify(self, credential: bytes, at: float | None = None) -> Flow[Entitlements]:
        """Judge a credential outside any request; else as `decide`.

        Args:
            credential: what was presented.
            at: wall time to judge by, at which the entitlements then stand still, in place of
                the clock; what comes of it is remembered nowhere.
        """
        try:
            if at is not None:
                grant = yield from self.judge(credential, at)
                return Entitlements(grant, lambda: at, credential)
            grant = self.recall(credential) or (yield from self.judge(credential))
            return self.admit(grant, credential)
        except Exception as error:
            self.refuse(error)

    def refuse(self, error: Exception) -> NoReturn:
        """Refuse a request: the one place where that is done.

        Raises:
            LicenseError: `error` itself; `LicenseUnavailable` for anything unexpected.
        """
        refusal = self.as_refusal(error)
        self._denied(refusal)
        raise refusal from None

    # -- its steps -------------------------------------------------------------------------------

    def _decide(self, facts: RequestFacts) -> Flow[Entitlements]:
        if self.installation is not None:
            held = yield from self.installation.held()
            if held is None:
                return self._absent(self.installation.missing())
            return self.admit(*held)
        credential = find_credential(facts, self.sources)
        if credential is None:
            return self._absent(LicenseRequired())
        grant = self.recall(credential.value) or (yield from self.judge(credential.value))
        if credential.scheme == "dpop":
            # No license here is bound to a key, so no proof can be what it says (RFC 9449, 7.1).
            raise PossessionInvalid("not_bound")
        return self.admit(grant, credential.value, credential.source)

    def _absent(self, error: LicenseError) -> Entitlements:
        """Return what a request without a license may do; raise `error` where it needs one."""
        if self.settings.required:
            raise error
        return Entitlements.unlicensed(error)

    def judge(self, credential: bytes, at: float | None = None) -> Flow[Grant]:
        """Verify `credential` in full and remember what came of it, if it holds.

        Args:
            credential: what was presented.
            at: wall time to judge by in place of the clock; then nothing is remembered.

        Raises:
            LicenseError: it does not hold, or that cannot be told.
        """
        if at is None:
            self._grants.misses += 1
        token = parse(credential, max_size=self._max_size, headers=self._headers)
        profile = screen(token, self._profiles)
        keys = self.keys[profile.issuer]
        # The snapshot that is judged by is the one the grant remembers: a rotation in between
        # must not mark an old key's grant as new.
        snapshot, key = yield from keys.find(token.header.kid, token.header.alg)
        if not key.verify(token.signing_input, token.signature):
            raise LicenseInvalid("bad_signature")
        self._headers.remember(token)
        claims = read(token.payload, profile)
        terms = self._terms.intern(claims.payload)
        now = self._wall() if at is None else at
        check_times(claims, now, self.settings.leeway)
        grant = Grant(
            claims,
            terms,
            leeway=self.settings.leeway,
            since=now,
            until=min(now + self.settings.grant_max_age, snapshot.stale_until),
            keys=keys,
            thumbprint=key.thumbprint,
            generation=snapshot.generation,
        )
        if at is None:
            self._grants.put(sha256(credential).digest(), grant)
        return grant

    # -- around it -------------------------------------------------------------------------------

    def warm(self) -> None:
        """Begin to fetch the keys that are not there yet, in the background."""
        for keys in self.keys.values():
            keys.warm()

    def health(self) -> dict[str, Health]:
        """Return the state of each issuer's keys; reads only, fetches nothing."""
        return {issuer: keys.health() for issuer, keys in self.keys.items()}

    def grant_stats(self) -> GrantStats:
        """Return how many licenses were answered from memory, and how many were not."""
        return self._grants.stats

    def as_refusal(self, error: Exception) -> LicenseError:
        """Return the refusal that `error` is, or that anything unexpected becomes."""
        if isinstance(error, LicenseError):
            return error
        # A log that fails, for want of stack or memory say, must not keep the refusal back.
        with suppress(Exception):
            logger.error(
                "unexpected error in the license check; the request is refused", exc_info=error
            )
        return LicenseUnavailable(f"internal_error:{type(error).__name__}")

    def _denied(self, error: LicenseError) -> None:
        self.events.emit(Event("license.denied", {"code": error.code, "reason": error.reason}))


def _profile(issuer: str, settings: IssuerSettings) -> Profile:
    types: set[str | None] = {settings.token_type}
    if settings.token_type is None:
        types |= {"license+jwt", "jwt"}
    return Profile(
        issuer=issuer,
        audiences=frozenset(settings.audiences),
        algorithms=names_of(settings.algorithms),
        types=frozenset(types),
        max_lifetime=settings.max_lifetime,
    )
