"""When a license server is asked: only where nothing here can know.

An opaque license key is judged by its server alone. A license token is verified here, and asked
about only if the keys cannot be had; never because it was found bad. What holds here may be asked
about again behind the request, which is answered by what is known.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple, TypeVar, cast

from licet.core.clock import Clock
from licet.core.constraints.registry import Conditions, read_conditions
from licet.core.errors import (
    ConstraintViolated,
    KeysUnavailable,
    LicenseError,
    LicenseExpired,
    LicenseNotActive,
    LicenseRevoked,
    LicenseUnavailable,
)
from licet.core.flow import Flow
from licet.core.forks import Locked
from licet.core.grants import Grant
from licet.core.judge import Judge
from licet.core.lifecycle import AFTER_END
from licet.core.online.domain import Domain
from licet.core.online.memory import ANYWHERE, Place
from licet.core.online.presented import Presented
from licet.core.online.rests import AGAIN_AFTER
from licet.core.online.validator import Validator
from licet.core.revocation.standing import Standing
from licet.core.token.claims import Profile
from licet.core.token.compact import CompactToken

K = TypeVar("K")
V = TypeVar("V")

#: Characters of an opaque license key.
MAX_KEY = 256
#: Licenses that hold here of which it is remembered what their server said.
RECHECKED = 10_000


class _Recheck(NamedTuple):
    """When a license that holds here is asked about, in monotonic seconds, and what was said."""

    due_at: float
    refusal: LicenseError | None


class Arbiter(Locked):
    """Judges credentials, here or by their license server.

    Args:
        judge: verifies here.
        standing: knows what was withdrawn.
        validators: the license servers, by issuer.
        key_pattern: what opaque license keys look like; None for no such keys.
        revalidate_every: seconds after which a license that holds here is asked about again;
            None for never.
        timeout: seconds that a request waits, for keys and answers together.
        clock: monotonic time.
    """

    def __init__(
        self,
        judge: Judge,
        standing: Standing,
        validators: Mapping[str, Validator],
        *,
        key_pattern: str | None,
        revalidate_every: float | None,
        timeout: float,
        clock: Clock,
    ) -> None:
        super().__init__()
        self._judge = judge
        self._standing = standing
        self._validators = validators
        self._is_key = re.compile(key_pattern or "(?!)", re.ASCII).fullmatch
        self._every = revalidate_every
        self._timeout = timeout
        self._monotonic = clock.monotonic
        #: By credential and domain.
        self._rechecks: OrderedDict[tuple[bytes, Place], _Recheck] = OrderedDict()
        #: Refused for another reason than the domain: anywhere, lest each new one be served once
        #: more; and apart, lest new ones crowd them out.
        self._refused: OrderedDict[tuple[bytes, Place], _Recheck] = OrderedDict()
        #: Credentials refused at some domain, which the gate must not remember for all.
        self._misplaced: OrderedDict[bytes, None] = OrderedDict()

    def verify(self, credential: bytes, digest: bytes, domain: Domain) -> Flow[Grant]:
        """Return what `credential` grants.

        Args:
            credential: the license token or key, as it was presented.
            digest: its SHA-256.
            domain: where it is presented; called where somebody has to be asked.

        Raises:
            LicenseError: it does not hold, or that cannot be told.
        """
        deadline = self._monotonic() + self._timeout
        if self._is_opaque(credential):
            # There is one license server, or there would be no such keys.
            (asked,) = self._validators.values()
            place = domain() if asked.asks_domain else None
            presented = Presented(credential, digest, asked.audience, place)
            grant = yield from asked.verdict(presented, deadline)
            yield from self._standing.check(grant)
            return grant
        token, profile = self._judge.open(credential)
        server = self._validators.get(profile.issuer)
        if server is None:
            grant = yield from self._judge.check(token, profile)
            yield from self._standing.check(grant)
            return grant
        try:
            # Not for all of it, so that there is time left to ask.
            grant = yield from self._judge.check(token, profile, patience=self._timeout / 2)
        except KeysUnavailable as unavailable:
            try:
                self._judge.forecast(token, profile)
            except (LicenseExpired, LicenseNotActive):
                # It is not asked about, and unverified no more can be said of it.
                raise unavailable from None
            place = domain() if server.asks_domain else None
            presented = _presented(token, profile, credential, digest, place, verified=False)
            grant = yield from server.verdict(presented, deadline)
            if not _told(read_conditions(token.payload)) <= _told(grant.terms.conditions):
                # Unverified it can only be refused, and by that at least: else whoever keeps the
                # keys away takes from a token what binds it and its server does not repeat.
                raise LicenseUnavailable(
                    "online:constraints", retry_after=unavailable.retry_after
                ) from None
            yield from self._standing.check(grant)
            return grant
        # The host is needed only where somebody is asked about it.
        place = domain() if self._every is not None and server.asks_domain else None
        presented = _presented(token, profile, credential, digest, place, verified=True)
        try:
            yield from self._standing.check(grant)
        except LicenseRevoked:
            server.doubt(presented)
            raise
        if self._every is not None:
            try:
                again = self._recheck(server, presented, self._every)
            except LicenseExpired:
                # What follows the end of a license is settled here.
                if grant.stage.status not in AFTER_END:
                    raise
                again = AGAIN_AFTER
            grant.until = min(grant.until, grant.since + again)
        return grant

    def resumed(self, issuer: str, license_id: str) -> None:
        """Have the license server of an issuer asked about a license at its next request."""
        if (server := self._validators.get(issuer)) is not None:
            server.resumed(license_id)

    def _is_opaque(self, credential: bytes) -> bool:
        # Three parts are a token, whatever the pattern says.
        if len(credential) > MAX_KEY or credential.count(b".") == 2:
            return False
        return credential.isascii() and self._is_key(credential.decode("ascii")) is not None

    def _recheck(self, server: Validator, presented: Presented, every: float) -> float:
        """Have a license that holds here asked about where that is due.

        Returns:
            Seconds until that may be due again.

        Raises:
            LicenseError: what the server said of it the last time.
        """
        digest, domain = presented.digest, presented.domain
        now = self._monotonic()
        with self.lock:
            kept, place = self._rechecks, cast(Place, domain)
            if (digest, ANYWHERE) in self._refused:
                kept, place = self._refused, ANYWHERE
            last = kept.get((digest, place))
            refusal = last and last.refusal
            due = last is None or now >= last.due_at
            # Unless something is heard before.
            due_at = now + min(AGAIN_AFTER, every) if last is None or due else last.due_at
            if due:
                _keep(kept, (digest, place), _Recheck(due_at, refusal))
            misplaced = digest in self._misplaced
        if due:
            server.ask_behind(presented, lambda said: self._heard(digest, domain, said, every))
        if refusal is not None:
            raise refusal.again()
        return 0.0 if misplaced else due_at - now

    def _heard(
        self, digest: bytes, domain: str | None, refusal: LicenseError | None, every: float
    ) -> None:
        due_at = self._monotonic() + (AGAIN_AFTER if refusal else every)
        recheck = _Recheck(due_at, refusal)
        with self.lock:
            if refusal is not None and not isinstance(refusal, ConstraintViolated):
                _keep(self._refused, (digest, ANYWHERE), recheck)
                return
            if refusal is None:
                self._refused.pop((digest, ANYWHERE), None)
            else:
                _keep(self._misplaced, digest, None)
            _keep(self._rechecks, (digest, domain), recheck)


def _keep(kept: OrderedDict[K, V], name: K, value: V) -> None:
    kept[name] = value
    kept.move_to_end(name)
    if len(kept) > RECHECKED:
        kept.popitem(last=False)


def _told(conditions: Conditions | None) -> frozenset[str]:
    """Return the names of the claims by which a license is narrowed."""
    if conditions is None:
        return frozenset()
    bound = ("cnf",) if conditions.binding is not None else ()
    return frozenset((*(rule.claim for rule in conditions.rules), *bound))


def _presented(
    token: CompactToken,
    profile: Profile,
    credential: bytes,
    digest: bytes,
    domain: str | None,
    *,
    verified: bool,
) -> Presented:
    license_id = token.payload.get("sub")
    audiences = token.payload.get("aud")
    named = audiences if isinstance(audiences, list) else [audiences]
    return Presented(
        credential,
        digest,
        # Of ours the one that it names: it has one of them, or it would not have come this far.
        next(one for one in profile.audiences if one in named),
        domain,
        license_id if isinstance(license_id, str) else None,
        verified,
        last_resort=not verified,
    )
