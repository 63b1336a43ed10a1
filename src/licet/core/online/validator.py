"""What a license server's answers, and its silence, mean for a license.

The flow once for both worlds. What was answered serves for as long as the answer says; what is no
answer is undecided: the last signed yes serves, for a while, or the request is refused as such.
One question at a time is under way for a credential at a domain, however many wait for it; each
waits for its own time only, and who goes away hands over to whoever still waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from cachetools import TTLCache

from licet.core import flow
from licet.core.clock import Clock
from licet.core.documents.schedule import Instant
from licet.core.errors import LicenseError, LicenseUnavailable
from licet.core.flow import Flow
from licet.core.forks import tell_of_forks
from licet.core.grants import Grant
from licet.core.latch import Wait
from licet.core.online.answers import NoAnswer, withdrawn
from licet.core.online.asker import Asker
from licet.core.online.background import Background
from licet.core.online.memory import DUE, Case
from licet.core.online.presented import Limits, Presented
from licet.core.online.rulings import Rulings
from licet.core.online.turns import Crowded, Turn, Turns
from licet.core.stores import StoreUnavailable

#: Seconds that a question may take which nobody waits for.
BEHIND = 10.0
#: The part of the time that a question has, which the server has to be given before its silence
#: counts against it.
FAIR = 0.9
#: Seconds: the least between two questions behind the requests of one credential that is refused,
#: and between two about one token that cannot be verified here.
AGAIN_AFTER = 60.0
#: Credentials of which it is remembered when they were asked about.
ASKED = 10_000


class Validator:
    """The license server of one issuer, as one gate knows it.

    Args:
        asker: asks it.
        rulings: puts its answers into force.
        audience: what the license behind an opaque key must be for.
        asks_domain: whether its answers are about one domain.
        limits: how long what may last.
        clock: both clocks.
    """

    def __init__(
        self,
        asker: Asker,
        rulings: Rulings,
        *,
        audience: str,
        asks_domain: bool,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self.audience, self.asks_domain = audience, asks_domain
        self._asker, self._rulings = asker, rulings
        self._memory, self._withdrawals = rulings.memory, rulings.withdrawals
        self._limits, self._clock = limits, clock
        self._turns = Turns(self._memory, clock)
        self._background = Background()
        #: Credentials that were asked about, and until when they are left alone.
        self._asked: TTLCache[bytes, float] = TTLCache(ASKED, AGAIN_AFTER, timer=clock.monotonic)
        self.after_fork()
        tell_of_forks(self)

    def after_fork(self) -> None:
        """Begin in this process with a lock of its own."""
        # Reentrant: a task of a dead loop is closed when it is collected as garbage, which may
        # be in the middle of what is done under this lock.
        self._lock = threading.RLock()

    def verdict(self, presented: Presented, deadline: float) -> Flow[Grant]:
        """Return what the license server grants a credential; ask where that is not known.

        Args:
            presented: the credential, and where.
            deadline: monotonic seconds after which nothing is waited for.

        Raises:
            LicenseError: it says no.
            LicenseUnavailable: it says nothing, and nothing that it has said serves.
        """
        case = self._case(presented)
        known = self._withdrawals.known(*self._rulings.subjects(presented))
        grant = self._fresh(presented, case) if known is None else None
        if grant is not None:
            return grant
        patience = FAIR * (deadline - self._clock.monotonic())
        while True:
            # Each time: what was waited for may have been the end of the license.
            yield from self.refuse_withdrawn(presented)
            grant = self._known(presented, case)
            if grant is not None:
                return grant
            turn, mine = self._take_turn(presented, case, deadline)
            if mine:
                break
            if not (yield Wait(turn.over, deadline - self._clock.monotonic())):
                return self._undecided(
                    presented,
                    case,
                    NoAnswer("timeout", asked=False, correlation_id=self._asker.failing),
                )
        try:
            return (yield from self._ask(presented, case, deadline, patience))
        except NoAnswer as nothing:
            return self._undecided(presented, case, nothing)
        finally:
            self._turns.end(case, turn)

    def refuse_withdrawn(self, presented: Presented) -> Flow[None]:
        """Refuse what the issuer has withdrawn, and ask behind the request whether that is so.

        Raises:
            LicenseRevoked: it has.
            LicenseUnavailable: that cannot be told.
        """
        try:
            found = yield from self._withdrawals.look(*self._rulings.subjects(presented))
        except StoreUnavailable as error:
            raise LicenseUnavailable(f"store:{error.reason}") from None
        if found is not None:
            if self._resting(presented) is None:
                self._rest(presented)
                self.ask_behind(presented)
            raise withdrawn(found.word)

    def ask_behind(
        self, presented: Presented, heard: Callable[[LicenseError | None], None] | None = None
    ) -> None:
        """Ask in the background, unless that is being asked already or nobody would answer.

        Args:
            presented: what about.
            heard: told of the refusal that was answered, or None for a yes.
        """
        if self._asker.resting:
            return
        case = self._case(presented)
        self._background.submit(case, partial(self._run_behind, presented, case, heard))

    # -- what is known ----------------------------------------------------------------------------

    def _case(self, presented: Presented) -> Case:
        return Case(presented.digest, presented.domain if self.asks_domain else None)

    def _now(self) -> Instant:
        return Instant(self._clock.monotonic(), self._clock.wall())

    def _fresh(self, presented: Presented, case: Case) -> Grant | None:
        """Return what was answered, as long as the answer says; ask anew behind it in time."""
        now = self._now()
        yes = self._memory.yes(case, now)
        if yes is None:
            return None
        failed = self._memory.failure(case.digest) is not None
        age = yes.age(now)
        if age >= yes.fresh_for and not failed:
            return None
        if age >= DUE * yes.fresh_for and not failed:
            self.ask_behind(presented)
        if yes.anywhere:
            # The gate remembers it until it is to be asked for anew.
            until = now.wall + min(max(0.0, DUE * yes.fresh_for - age), self._limits.grant)
            yes.grant.until = min(until, yes.grant.ends_at)
        return yes.grant

    def _known(self, presented: Presented, case: Case) -> Grant | None:
        """Return or refuse what can be told without asking; None where it has to be asked.

        Raises:
            LicenseError: what was answered, or that nothing was.
        """
        grant = self._fresh(presented, case)
        if grant is not None:
            return grant
        no = self._memory.no(case)
        if no is not None:
            raise no.again()
        if (failure := self._memory.failure(case.digest)) is not None:
            return self._undecided(presented, case, failure)
        if presented.last_resort and (until := self._resting(presented)) is not None:
            return self._undecided(
                presented,
                case,
                NoAnswer("asked_already", until=until, correlation_id=self._asker.failing),
            )
        return None

    def _undecided(self, presented: Presented, case: Case, nothing: NoAnswer) -> Grant:
        """Return the last signed yes, if it still serves.

        Raises:
            LicenseUnavailable: it does not.
        """
        now = self._now()
        yes = self._memory.yes(case, now)
        if yes is not None:
            return yes.grant
        raise LicenseUnavailable(
            f"online:{nothing.reason}",
            retry_after=max(self._asker.retry_after(), nothing.until - now.monotonic),
            correlation_id=nothing.correlation_id,
        )

    def _resting(self, presented: Presented) -> float | None:
        """Return until when a credential is left alone, in monotonic seconds."""
        with self._lock:
            return self._asked.get(presented.digest)

    def _rest(self, presented: Presented) -> None:
        with self._lock:
            self._asked[presented.digest] = self._clock.monotonic() + AGAIN_AFTER

    # -- one question -----------------------------------------------------------------------------

    def _take_turn(self, presented: Presented, case: Case, deadline: float) -> tuple[Turn, bool]:
        try:
            return self._turns.take(case, deadline)
        except Crowded as crowded:
            if crowded.begins:
                self._rulings.suspect(presented)
            wait = crowded.wait
        raise LicenseUnavailable("online:too_many_domains", retry_after=wait)

    def _ask(
        self, presented: Presented, case: Case, deadline: float, patience: float
    ) -> Flow[Grant]:
        """Ask, and return what the answer grants.

        Raises:
            LicenseError: it grants nothing.
            NoAnswer: there is none; the next in a while will not be told otherwise.
        """
        stranger = not presented.verified and not self._memory.knows(case.digest)
        asked_at = self._clock.wall()
        try:
            answer = yield from self._asker.ask(
                presented, case.domain, deadline, stranger=stranger, patience=patience
            )
        except NoAnswer as nothing:
            if nothing.asked:
                self._rest(presented)
                if not nothing.hasty:
                    self._memory.keep_failure(case.digest, nothing)
            raise
        self._rest(presented)
        grant = yield from self._rulings.put_into_force(answer, presented, case, asked_at)
        return self._fresh(presented, case) or grant

    def _run_behind(
        self,
        presented: Presented,
        case: Case,
        heard: Callable[[LicenseError | None], None] | None,
    ) -> None:
        deadline = self._clock.monotonic() + BEHIND
        try:
            turn, mine = self._take_turn(presented, case, deadline)
        except LicenseUnavailable:
            # It is told of where it is refused.
            return
        if not mine:
            return
        refused: LicenseError | None = None
        try:
            flow.run(self._ask(presented, case, deadline, FAIR * BEHIND))
        except NoAnswer:
            # It is told of where it is asked.
            return
        except LicenseError as error:
            refused = error.again()
        finally:
            self._turns.end(case, turn)
        if heard is None:
            return
        # What was withdrawn is kept as that, until it is given back.
        standing = self._withdrawals.known(*self._rulings.subjects(presented))
        heard(refused if standing is None else None)
        if refused is not None:
            # Once more: who was judged meanwhile did not know of it.
            self._rulings.forget(presented)
