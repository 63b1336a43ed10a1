"""What a license server's answers, and its silence, mean for a license.

The flow once for both worlds. What was answered serves for as long as the answer says; what is no
answer is undecided: the last signed yes serves, for a while, or the request is refused as such.
One question at a time is under way for a credential at a domain, however many wait for it; each
waits for its own time only, and who goes away hands over to whoever still waits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from licet.core import flow
from licet.core.clock import Clock
from licet.core.documents.schedule import Instant
from licet.core.errors import LicenseError, LicenseUnavailable
from licet.core.flow import Flow
from licet.core.grants import Grant
from licet.core.latch import Wait
from licet.core.online.answers import NoAnswer
from licet.core.online.asker import Asker
from licet.core.online.background import Background
from licet.core.online.memory import DUE, Case
from licet.core.online.presented import Presented
from licet.core.online.rests import Rests
from licet.core.online.rulings import Rulings
from licet.core.online.turns import Crowded, Turn, Turns
from licet.core.revocation.standing import withdrawn
from licet.core.stores import StoreUnavailable

#: Seconds that a question may take which nobody waits for.
BEHIND = 10.0
#: The part of the time that a question has, which the server has to be given before its silence
#: counts against it.
FAIR = 0.9


class Validator:
    """The license server of one issuer, as one gate knows it.

    Args:
        asker: asks it.
        rulings: puts its answers into force.
        audience: what the license behind an opaque key must be for.
        clock: both clocks.
    """

    def __init__(self, asker: Asker, rulings: Rulings, *, audience: str, clock: Clock) -> None:
        self.audience, self.asks_domain = audience, rulings.asks_domain
        self._asker, self._rulings = asker, rulings
        self._memory, self._withdrawals = rulings.memory, rulings.withdrawals
        self._limits, self._clock = rulings.limits, clock
        self._turns = Turns(self._memory, clock)
        self._background = Background()
        self._rests = Rests(clock)

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
        subjects = self._rulings.subjects(presented)
        grant = self._fresh(presented, case)
        if grant is not None and self._withdrawals.due(*subjects):
            # Another worker may have heard of its end.
            try:
                yield from self._withdrawals.look(*subjects)
            except StoreUnavailable as error:
                # That changes nothing of what was answered.
                self._withdrawals.unheard(error)
        if grant is not None and self._withdrawals.withdrawn(*subjects) is None:
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
            self.doubt(presented)
            raise withdrawn(found.word)

    def doubt(self, presented: Presented) -> None:
        """Ask behind the request whether what was withdrawn still is, once in a while."""
        if self._rests.over(presented.digest, self._rulings.stood_for(presented)):
            self._rests.begin(presented.digest)
            self.ask_behind(presented)

    def resumed(self, license_id: str) -> None:
        """Have the next request with a license ask at once: it is said to have been given back."""
        self._rests.resume(license_id)

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
        age = yes.age(now)
        if age >= DUE * yes.fresh_for and not self._memory.failed(case):
            if age >= yes.fresh_for:
                return None
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
        lapsed = self._memory.yes(case, self._now()) is not None
        if lapsed and not self._asked_here(presented, case):
            # What came of questions at other domains, which whoever presents it may choose, does
            # not make an old yes last.
            return None
        if (failure := self._memory.failure(case.digest)) is not None:
            return self._undecided(presented, case, failure)
        if presented.last_resort and (until := self._rests.until(case.digest)) is not None:
            return self._undecided(
                presented,
                case,
                NoAnswer("asked_already", until=until, correlation_id=self._asker.failing),
            )
        return None

    def _undecided(self, presented: Presented, case: Case, nothing: NoAnswer) -> Grant:
        """Return the last signed yes, if it still serves.

        Raises:
            LicenseRevoked: it was withdrawn while this was waited for.
            LicenseUnavailable: it does not.
        """
        now = self._now()
        yes = self._memory.yes(case, now)
        if yes is not None:
            standing = self._withdrawals.withdrawn(*self._rulings.subjects(presented))
            if standing is not None:
                raise withdrawn(standing.word)
            return yes.grant
        raise LicenseUnavailable(
            f"online:{nothing.reason}",
            retry_after=max(self._asker.retry_after(), nothing.until - now.monotonic),
            correlation_id=nothing.correlation_id,
        )

    def _asked_here(self, presented: Presented, case: Case) -> bool:
        """Whether a question of just now, at this very domain, is not to be repeated."""
        rests = presented.last_resort and self._rests.until(case) is not None
        return rests or self._memory.failed(case)

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
                self._rests.begin(case.digest, case)
                if not nothing.hasty:
                    self._memory.keep_failure(case, nothing)
            raise
        self._rests.begin(case.digest, case)
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
        except (NoAnswer, LicenseUnavailable):
            # It is told of where it is asked.
            return
        except LicenseError as error:
            refused = error.again()
        finally:
            self._turns.end(case, turn)
        if heard is None:
            return
        # What was withdrawn is kept as that, until it is given back.
        standing = self._withdrawals.withdrawn(*self._rulings.subjects(presented))
        heard(refused if standing is None else None)
        if refused is not None:
            # Once more: who was judged meanwhile did not know of it.
            self._rulings.forget(presented)
