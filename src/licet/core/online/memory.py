"""What license servers have answered, as far as it may still be relied on.

A yes is kept by credential and, where the license names no domains of its own, by domain: one
answer must not count for a place that was not asked about. A no and a failure are kept for a short
while, so that they are not asked for again with each request. What strangers can make us keep is
bounded and apart from what is known to be good.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from math import inf
from typing import Final, NamedTuple, TypeAlias

from cachetools import TTLCache

from licet.core.clock import Clock
from licet.core.documents.schedule import Instant
from licet.core.errors import LicenseError
from licet.core.forks import Reentrant
from licet.core.grants import Grant
from licet.core.lifecycle import Status
from licet.core.online.answers import NoAnswer

#: Seconds that a no is kept, a failure, and the mark of a credential with too many domains.
NO_FOR, FAILURE_FOR, CROWDED_FOR = 60.0, 30.0, 60.0
#: Domains of one credential that are asked about.
DOMAINS = 8
#: Credentials that something is kept of: answered with yes, and others.
GOOD, OTHERS = 10_000, 4_096
#: The part of its life after which a yes is asked for again, behind the requests it serves.
DUE = 0.8


class Anywhere:
    """In place of a domain: the answer counts for all of them."""


ANYWHERE: Final = Anywhere()
Place: TypeAlias = str | Anywhere | None


class Case(NamedTuple):
    """One credential at one place: what is asked about, and what is answered.

    Attributes:
        digest: SHA-256 of the credential.
        domain: as it is asked about.
    """

    digest: bytes
    domain: str | None


class Yes(NamedTuple):
    """A license that a server has vouched for.

    Attributes:
        grant: what it grants.
        answered: when.
        fresh_for: seconds for which that is enough.
        serves_for: seconds for which it serves while nobody answers.
        anywhere: whether it counts for all domains.
    """

    grant: Grant
    answered: Instant
    fresh_for: float
    serves_for: float
    anywhere: bool

    def age(self, now: Instant) -> float:
        """Return how many seconds ago it was said.

        By whichever clock says more: the monotonic one stands still while a machine sleeps. A
        wall clock that was set back ends it.
        """
        wall = now.wall - self.answered.wall
        return inf if wall < -60.0 else max(now.monotonic - self.answered.monotonic, wall)

    def past_end(self, now: Instant) -> Yes:
        """Return the same of a license that has reached the next stage of its life.

        Itself where none comes after. What is left of a license serves only where the server does
        not answer, who may know that it was renewed.
        """
        later = self.grant.stage.after(self.grant, now.wall)
        if isinstance(later, LicenseError):
            return self
        if later.stage.status is Status.DOWNGRADED:
            return self._replace(grant=later, fresh_for=0.0)
        return self._replace(grant=later)


class _Crowd(NamedTuple):
    """That a credential was presented at too many domains.

    Attributes:
        until: when the next of them is let in, in monotonic seconds.
        admitted: the one that was let in and is asked about; `ANYWHERE` for none yet.
    """

    until: float
    admitted: Place


class Memory(Reentrant):
    """The answers of one license server.

    Args:
        clock: monotonic time, for what ends by itself.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._yes: OrderedDict[bytes, OrderedDict[Place, Yes]] = OrderedDict()
        timer = clock.monotonic
        self._no: TTLCache[tuple[bytes, Place], LicenseError] = TTLCache(
            OTHERS, NO_FOR, timer=timer
        )
        self._failures: TTLCache[bytes, NoAnswer] = TTLCache(OTHERS, FAILURE_FOR, timer=timer)
        #: Where they were, of those that are kept.
        self._failed: TTLCache[Case, None] = TTLCache(OTHERS, FAILURE_FOR, timer=timer)
        #: Domains that were refused of late; they count as asked about.
        self._refused: TTLCache[bytes, tuple[str | None, ...]] = TTLCache(
            OTHERS, NO_FOR, timer=timer
        )
        self._crowded: TTLCache[bytes, _Crowd] = TTLCache(OTHERS, 2 * CROWDED_FOR, timer=timer)
        self._monotonic = timer

    def knows(self, digest: bytes) -> bool:
        """Return whether a server has vouched for this credential, anywhere."""
        with self.lock:
            return digest in self._yes

    def license_id(self, digest: bytes) -> str | None:
        """Return the license that a server has named for this credential."""
        with self.lock:
            kept = self._yes.get(digest)
            return next(iter(kept.values())).grant.license_id if kept else None

    def yes(self, case: Case, now: Instant) -> Yes | None:
        """Return the yes that still serves here, at least while nobody answers."""
        with self.lock:
            kept = self._yes.get(case.digest)
            if kept is None:
                return None
            domain: Place = ANYWHERE if ANYWHERE in kept else case.domain
            found = kept.get(domain)
            if found is None:
                return None
            if now.wall >= found.grant.ends_at:
                found = kept[domain] = found.past_end(now)
            if found.age(now) >= found.serves_for or now.wall >= found.grant.ends_at:
                self._drop(case.digest, domain)
                return None
            kept.move_to_end(domain)
            self._yes.move_to_end(case.digest)
            return found

    def no(self, case: Case) -> LicenseError | None:
        """Return the refusal that was answered a moment ago."""
        with self.lock:
            return self._no.get((case.digest, ANYWHERE)) or self._no.get((case.digest, case.domain))

    def failure(self, digest: bytes) -> NoAnswer | None:
        """Return what became of the latest question, where that was nothing, a moment ago."""
        with self.lock:
            return self._failures.get(digest)

    def failed(self, case: Case) -> bool:
        """Return whether a question came to nothing at this very domain, a moment ago."""
        with self.lock:
            return case.digest in self._failures and case in self._failed

    def keep_yes(self, case: Case, yes: Yes) -> None:
        """Keep a yes."""
        with self.lock:
            self._no.pop((case.digest, ANYWHERE), None)
            self._no.pop((case.digest, case.domain), None)
            self._failures.pop(case.digest, None)
            self._settle(case)
            kept = self._yes.setdefault(case.digest, OrderedDict())
            self._yes.move_to_end(case.digest)
            if yes.anywhere:
                kept.clear()
            else:
                kept.pop(ANYWHERE, None)
            kept[ANYWHERE if yes.anywhere else case.domain] = yes
            if len(kept) > DOMAINS:
                kept.popitem(last=False)
            if len(self._yes) > GOOD:
                self._yes.popitem(last=False)

    def keep_no(self, case: Case, error: LicenseError, *, anywhere: bool) -> None:
        """Keep a refusal for a while, for this domain or for all; what was a yes is none."""
        with self.lock:
            self._failures.pop(case.digest, None)
            self._settle(case)
            self._no[case.digest, ANYWHERE if anywhere else case.domain] = error.again()
            if anywhere:
                self._yes.pop(case.digest, None)
                return
            self._drop(case.digest, ANYWHERE)
            self._drop(case.digest, case.domain)
            others = [one for one in self._refused.get(case.digest, ()) if one != case.domain]
            self._refused[case.digest] = (*others, case.domain)[-DOMAINS:]

    def keep_failure(self, case: Case, nothing: NoAnswer) -> None:
        """Keep that a question came to nothing; until when is written on it."""
        with self.lock:
            nothing.until = self._monotonic() + FAILURE_FOR
            # Not the one that is raised, whose trace holds frames with the credential in them.
            self._failures[case.digest] = NoAnswer(
                nothing.reason, until=nothing.until, correlation_id=nothing.correlation_id
            )
            self._failed[case] = None

    def crowded(self, case: Case, under_way: Iterable[str | None] = ()) -> tuple[float, bool]:
        """Return the seconds that a domain too many has to wait, and whether that begins now.

        Whoever names ever new domains is kept waiting. Who comes back after that takes the place
        of the domain that was of no use for longest, once there is an answer.

        Args:
            case: what is to be asked about.
            under_way: the domains that its credential is being asked about.
        """
        digest = case.digest
        with self.lock:
            domains = {*self._yes.get(digest, ()), *self._refused.get(digest, ()), *under_way}
            if case.domain in domains or ANYWHERE in domains or len(domains) < DOMAINS:
                return 0.0, False
            now = self._monotonic()
            crowd = self._crowded.get(digest)
            if crowd is None:
                self._crowded[digest] = _Crowd(now + CROWDED_FOR, ANYWHERE)
                return CROWDED_FOR, True
            if crowd.admitted != case.domain:
                if now < crowd.until:
                    return crowd.until - now, False
                self._crowded[digest] = _Crowd(now + CROWDED_FOR, case.domain)
            return 0.0, False

    def _settle(self, case: Case) -> None:
        """Let the next domain too many begin anew: the one that was let in has its answer."""
        crowd = self._crowded.get(case.digest)
        if crowd is not None and crowd.admitted == case.domain:
            del self._crowded[case.digest]

    def _drop(self, digest: bytes, domain: Place) -> None:
        kept = self._yes.get(digest)
        if kept is not None and kept.pop(domain, None) is not None and not kept:
            del self._yes[digest]

    def forget(self, digest: bytes) -> None:
        """Forget every yes of a credential."""
        with self.lock:
            self._yes.pop(digest, None)
