"""What an answer of a license server changes: what is kept, forgotten, withdrawn and told.

A yes is kept for as long as it says, and a no for a minute. A signed withdrawal is kept until a
later signed yes, and what the gate remembers of the license goes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol

from cachetools import LRUCache

from licet.core.clock import Clock
from licet.core.documents.schedule import Instant
from licet.core.errors import LicenseError, LicenseUnavailable
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.flow import Flow
from licet.core.grants import Grant
from licet.core.online.answers import WITHDRAWING, refusal
from licet.core.online.memory import NO_FOR, OTHERS, Case, Memory, Yes
from licet.core.online.presented import Limits, Presented
from licet.core.online.question import Answer, Denied, Granted
from licet.core.revocation.standing import withdrawn
from licet.core.revocation.statements import Subject, Withdrawal
from licet.core.revocation.sticky import Withdrawals
from licet.core.stores import StoreUnavailable

#: Seconds that an answer serves which does not say for how long it may.
CACHE_FOR = 300.0
#: Seconds that any yes serves: of those who wait for one answer together, each would ask anew.
AT_LEAST = 1.0


class Vouched(Protocol):
    """Holds the claims of a license in an answer to the rules for every license."""

    def __call__(self, payload: Mapping[str, Any], *, ended: bool = False) -> Flow[Grant]:
        """Return what the license grants; raise LicenseError where that is nothing."""
        ...


class Rulings:
    """Puts the answers of one license server into force.

    Args:
        issuer: whose licenses it judges.
        asks_domain: whether its answers are about one domain.
        limits: how long what may last.
        vouched: what a license grants that it vouches for, or says to have ended.
        withdrawals: what was withdrawn.
        forget: has the gate forget what it granted to a credential, by its digest.
        clock: both clocks.
        bus: hears of withdrawals, and of domains that do not belong to their license.

    Attributes:
        asks_domain: as it was given.
        limits: as they were given.
        memory: what was answered.
        withdrawals: what was withdrawn.
    """

    def __init__(
        self,
        issuer: str,
        *,
        asks_domain: bool,
        limits: Limits,
        vouched: Vouched,
        withdrawals: Withdrawals,
        forget: Callable[[bytes], None],
        clock: Clock,
        bus: EventBus,
    ) -> None:
        self._issuer, self.asks_domain, self.limits = issuer, asks_domain, limits
        self._vouched, self._forget = vouched, forget
        self._clock, self._bus = clock, bus
        self.withdrawals = withdrawals
        self.memory = Memory(clock)
        #: The licenses of credentials that were withdrawn, which nothing is kept of any more.
        self._withdrawn: LRUCache[bytes, str] = LRUCache(OTHERS)

    def subjects(self, presented: Presented) -> list[Subject]:
        """Return by what names `presented` may have been withdrawn."""
        subjects = [self._credential(presented)]
        license_id = self.license_id(presented)
        if license_id is not None:
            subjects.append(Subject("license", self._issuer, license_id))
        return subjects

    def license_id(self, presented: Presented) -> str | None:
        """Return the license that `presented` stands for, as far as somebody vouches for that."""
        if presented.verified:
            return presented.license_id
        return self.memory.license_id(presented.digest)

    def stood_for(self, presented: Presented) -> str | None:
        """Return the license that `presented` stands for, or stood for when it was withdrawn."""
        with self.memory.lock:
            return self.license_id(presented) or self._withdrawn.get(presented.digest)

    def _credential(self, presented: Presented) -> Subject:
        return Subject("credential", self._issuer, presented.digest.hex())

    def put_into_force(
        self, answer: Answer, presented: Presented, case: Case, asked_at: float
    ) -> Flow[Grant]:
        """Return what an answer grants.

        Args:
            answer: what was said.
            presented: of what.
            case: where.
            asked_at: wall time of the question, in seconds since the epoch.

        Raises:
            LicenseError: it grants nothing.
        """
        said_at = asked_at if answer.issued_at is None else answer.issued_at
        if isinstance(answer, Granted):
            return (yield from self._granted(answer, presented, case, said_at))
        return (yield from self._denied(answer, presented, case, said_at))

    def suspect(self, presented: Presented) -> None:
        """Tell of a domain that its license may not belong to."""
        self._emit(
            "license.suspicious_activity",
            kind="domain_mismatch",
            license_id=presented.license_id or self.memory.license_id(presented.digest),
            requested_domain=presented.domain,
        )

    def forget(self, presented: Presented) -> None:
        """Have the gate forget what it granted to a credential."""
        self._forget(presented.digest)

    def _granted(
        self, answer: Granted, presented: Presented, case: Case, said_at: float
    ) -> Flow[Grant]:
        try:
            grant = yield from self._vouched(answer.license)
        except LicenseUnavailable:
            raise
        except LicenseError as error:
            self._refuse(case, error, anywhere=True)
        # Not of the license that this credential stood for before, of which nothing is said.
        subjects = [
            self._credential(presented),
            Subject("license", self._issuer, grant.license_id),
        ]
        if answer.signed:
            try:
                yield from self.withdrawals.lift(said_at, *subjects)
            except StoreUnavailable as lost:
                # This is fresher than whatever it could tell.
                self.withdrawals.unheard(lost)
        standing = self.withdrawals.withdrawn(*subjects)
        if standing is not None:
            raise withdrawn(standing.word)
        cache_for = CACHE_FOR if answer.cache_for is None else answer.cache_for
        self._keep(case, grant, answer.license, cache_for, signed=answer.signed)
        return grant

    def _keep(
        self,
        case: Case,
        grant: Grant,
        claims: Mapping[str, Any],
        cache_for: float,
        *,
        signed: bool,
    ) -> None:
        fresh_for = max(AT_LEAST, min(cache_for, self.limits.outage))
        yes = Yes(
            grant,
            Instant(self._clock.monotonic(), self._clock.wall()),
            fresh_for=fresh_for,
            # Without a signature it is nothing to fall back on.
            serves_for=max(fresh_for, self.limits.outage) if signed else fresh_for,
            anywhere=not self.asks_domain or not _DOMAINS.isdisjoint(claims),
        )
        self.memory.keep_yes(case, yes)

    def _denied(
        self, answer: Denied, presented: Presented, case: Case, said_at: float
    ) -> Flow[Grant]:
        word = WITHDRAWING.get(answer.error)
        if word is not None and answer.signed:
            subjects = self.subjects(presented)
            if answer.license_id is not None:
                subjects.append(Subject("license", self._issuer, answer.license_id))
            withdrawal = Withdrawal(word, said_at)
            # In this process at once: who waits for the store may be cancelled there.
            self.withdrawals.keep(withdrawal, *subjects)
            self.memory.forget(case.digest)
            ids = {one.name for one in subjects if one.kind == "license"}
            if ids:
                with self.memory.lock:
                    self._withdrawn[case.digest] = answer.license_id or next(iter(ids))
            for license_id in ids or (None,):
                self._emit("license.revoked", word=word, license_id=license_id)
            try:
                yield from self.withdrawals.record(withdrawal, *subjects)
            except StoreUnavailable as lost:
                self.withdrawals.unheard(lost)
            raise withdrawn(word)
        error = refusal(answer.error)
        if answer.error == "domain_mismatch":
            self.suspect(presented)
            self._refuse(case, error, anywhere=not self.asks_domain)
        # What follows the end of a license that was verified here is settled here.
        if answer.license is not None and answer.signed and not presented.verified:
            return (yield from self._ended(answer.license, presented, case, error))
        self._refuse(case, error, anywhere=True)

    def _ended(
        self, claims: Mapping[str, Any], presented: Presented, case: Case, error: LicenseError
    ) -> Flow[Grant]:
        """Return what a license still grants of which its server says that it has ended.

        Asked about anew as often as a no would be: it may be renewed.
        """
        try:
            grant = yield from self._vouched(claims, ended=True)
        except LicenseUnavailable:
            raise
        except LicenseError:
            self._refuse(case, error, anywhere=True)
        # That it has ended takes back nothing that was withdrawn.
        license_ = Subject("license", self._issuer, grant.license_id)
        standing = self.withdrawals.withdrawn(self._credential(presented), license_)
        if standing is not None:
            raise withdrawn(standing.word)
        self._forget(case.digest)
        self._keep(case, grant, claims, NO_FOR, signed=True)
        return grant

    def _refuse(self, case: Case, error: LicenseError, *, anywhere: bool) -> NoReturn:
        self.memory.keep_no(case, error, anywhere=anywhere)
        self._forget(case.digest)
        raise error

    def _emit(self, name: Any, **data: object) -> None:
        self._bus.emit(Event(name, {"issuer": self._issuer, **data}))


#: Claims by which a license says itself where it holds, to be checked here on each request.
_DOMAINS = frozenset({"domain", "domains"})
