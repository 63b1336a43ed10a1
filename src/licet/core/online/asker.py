"""Asks a license server one question, whichever way that goes: an answer, or no answer.

Everything that a question costs is bounded here: how many are under way, how often one is tried,
how long all of it takes, and whether a server that fails time and again is asked at all. Nothing
is believed that the dialect does not believe.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict
from random import uniform
from typing import TypeVar

from licet.core.clock import Clock
from licet.core.events.bus import EventBus
from licet.core.events.event import Event, correlation_id
from licet.core.events.log import FailureLog, host_of
from licet.core.flow import Flow
from licet.core.forks import Reentrant
from licet.core.latch import Latch, Wait
from licet.core.online.answers import NoAnswer, check_status, lost, unquoted
from licet.core.online.breaker import Breaker
from licet.core.online.memory import FAILURE_FOR
from licet.core.online.presented import Presented
from licet.core.online.question import (
    Answer,
    Denied,
    Dialect,
    Granted,
    KeyMissing,
    Question,
    Undecided,
)
from licet.core.online.server import Server
from licet.core.online.slots import PROCESS_SLOTS, Slots
from licet.core.transport import Request, Response, Send, Transport, TransportError

T = TypeVar("T")

#: Bytes of an answer.
MAX_BYTES = 64 * 1024
#: Seconds without which nobody who had to wait is asked: there would be no time for an answer, and
#: a connection that is cut short while it is made is left to the garbage collector.
LEAST = 0.05
#: Attempts for one question, and seconds between the first two; doubled, and drawn at random.
ATTEMPTS, PAUSE = 3, 0.1
#: Seconds that the server's clock and ours may differ before that is worth telling.
SKEW = 300.0


class Asker(Reentrant):
    """Asks one license server.

    Args:
        server: which.
        dialect: how it is spoken to.
        transport: sends.
        clock: both clocks.
        bus: hears of failures, of answers in the wrong place and of clocks that differ.
        confirm: told of moments that the server has signed, in wall seconds.
        slots: how many questions this process asks at a time.

    Attributes:
        failing: the correlation id of the latest failure, None since the last answer.
    """

    def __init__(
        self,
        server: Server,
        dialect: Dialect,
        transport: Transport,
        clock: Clock,
        bus: EventBus,
        confirm: Callable[[float], None] = lambda signed: None,
        slots: Slots = PROCESS_SLOTS,
    ) -> None:
        super().__init__()
        self._server, self._dialect = server, dialect
        self._transport, self._clock, self._bus, self._slots = transport, clock, bus, slots
        self._confirm = confirm
        self._broken = FailureLog(clock, "what came is no answer")
        self.failing: str | None = None
        self._breaker = Breaker()

    def after_fork(self) -> None:
        """Begin in this process, where a parent's probe will never report."""
        super().after_fork()
        self._breaker = Breaker()

    @property
    def resting(self) -> bool:
        """Whether nobody is asked at the moment, because nobody answers."""
        with self.lock:
            now = self._clock.monotonic()
            return self._breaker.open and self._breaker.retry_after(now) > 1.0

    def retry_after(self) -> float:
        """Return the seconds, at least one, after which asking again is permitted."""
        with self.lock:
            return self._breaker.retry_after(self._clock.monotonic())

    def ask(
        self,
        presented: Presented,
        domain: str | None,
        deadline: float,
        *,
        stranger: bool,
        patience: float = 0.0,
    ) -> Flow[Answer]:
        """Ask, and return the answer.

        Args:
            presented: what about.
            domain: where, as in `Question`.
            deadline: monotonic seconds at which nobody waits any longer.
            stranger: whether nothing vouches yet for what is presented.
            patience: seconds that the server has to be given before its silence counts against
                it: a crowd that waits here must not pass for an outage there.

        Raises:
            NoAnswer: none that decides has come.
        """
        ticket = self._slots.take(stranger)
        try:
            if not ticket.held:
                yield Wait(ticket.latch, deadline - LEAST - self._clock.monotonic())
            if not ticket.held:
                raise NoAnswer("busy", asked=False, correlation_id=self.failing)
            # Not before there is a slot: who waited in line asks by what is known at its end.
            begun = self._clock.monotonic()
            with self.lock:
                if not self._breaker.permits(begun):
                    raise NoAnswer("circuit_open", asked=False, correlation_id=self.failing)
                # The probe is one attempt.
                attempts = 1 if self._breaker.open else ATTEMPTS
            asking = self._attempts(presented, domain, deadline, attempts)
            return (yield from self._reported(asking, begun, hasty=deadline - begun < patience))
        finally:
            self._slots.give_back(ticket)

    def _reported(self, asking: Flow[Answer], begun: float, *, hasty: bool) -> Flow[Answer]:
        """Ask, and tell the breaker what came of it, also if whoever asks goes away."""
        reported = False
        try:
            answer = yield from asking
            reported = True
            with self.lock:
                self._breaker.succeeded(begun)
                self.failing = None
            return answer
        except NoAnswer as nothing:
            if hasty and nothing.reason == "timeout":
                raise NoAnswer("timeout", hasty=True, correlation_id=self.failing) from None
            reported = True
            self._failed(nothing, begun)
            raise
        finally:
            if not reported:
                with self.lock:
                    self._breaker.abandoned(begun)

    def _attempts(
        self, presented: Presented, domain: str | None, deadline: float, attempts: int
    ) -> Flow[Answer]:
        # They are wanted in a moment, and come meanwhile.
        self._server.keys.warm()
        pause = PAUSE
        while True:
            attempts -= 1
            try:
                return (yield from self._attempt(presented, domain, deadline))
            except NoAnswer as nothing:
                drawn = uniform(0.5, 1.5) * pause  # noqa: S311 - nothing to guess
                left = deadline - self._clock.monotonic()
                if not nothing.retry or not attempts or drawn + LEAST >= left:
                    raise
            yield Wait(Latch(), drawn)
            pause *= 2

    def _attempt(self, presented: Presented, domain: str | None, deadline: float) -> Flow[Answer]:
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise NoAnswer("timeout")
        question = Question(
            credential=presented.credential.decode("ascii"),
            issuer=self._server.issuer,
            audience=presented.audience,
            domain=domain,
            nonce=secrets.token_urlsafe(32),
            asked_at=self._clock.wall(),
            license_id=presented.license_id,
        )

        def written() -> Request:
            request = self._dialect.request(question, self._server)
            if not isinstance(request, Request):
                raise TypeError("a dialect returns a Request")
            return request

        try:
            request = self._heard(written)
        except (KeyMissing, Undecided):
            raise NoAnswer("dialect_failed") from None
        try:
            response = yield Send(self._transport, request, left, MAX_BYTES)
        except TransportError as error:
            raise lost(error) from None
        check_status(response, self._clock.wall())
        try:
            answer = yield from self._read(question, response, deadline)
        except Undecided as undecided:
            if undecided.suspicion is not None:
                self._emit(
                    "license.suspicious_activity",
                    kind=undecided.suspicion,
                    reason=undecided.reason,
                )
            raise NoAnswer(undecided.reason) from None
        self._compare_clocks(answer, question)
        return unquoted(answer, question.credential, question.nonce, self._server.credentials)

    def _read(self, question: Question, response: Response, deadline: float) -> Flow[Answer]:
        def read() -> Answer:
            answer = self._dialect.read(question, response, self._server)
            if not isinstance(answer, Granted | Denied):
                raise TypeError("a dialect returns Granted or Denied")
            return answer

        try:
            return self._heard(read)
        except KeyMissing as missing:
            kid, alg = missing.kid, missing.alg
        yield from self._server.keys.look_for(kid, alg, deadline - self._clock.monotonic())
        try:
            return self._heard(read)
        except KeyMissing:
            raise Undecided("unknown_key") from None

    def _heard(self, dialect: Callable[[], T]) -> T:
        """Return what a dialect says; what it raises beside its own words is its failure."""
        try:
            return dialect()
        except (KeyMissing, Undecided):
            raise
        except Exception as error:
            self._broken(error)
            raise Undecided("dialect_failed") from None

    def _failed(self, nothing: NoAnswer, begun: float) -> None:
        """Take note of a question that came to nothing, and tell of it."""
        nothing.correlation_id = self.failing = correlation_id()
        now, host = self._clock.monotonic(), host_of(self._server.url)
        with self.lock:
            if nothing.harmless:
                self._breaker.succeeded(begun)
            else:
                self._breaker.failed(now, nothing.retry_after, begun)
        if nothing.cause is not None and nothing.cause.tls is not None:
            told = {"host": host, **asdict(nothing.cause.tls)}
            self._emit("tls.failure", **told, correlation_id=nothing.correlation_id)
        self._emit(
            "online.unavailable",
            host=host,
            reason=nothing.reason,
            retry_after=max(self.retry_after(), FAILURE_FOR),
            correlation_id=nothing.correlation_id,
        )

    def _compare_clocks(self, answer: Answer, question: Question) -> None:
        if answer.signed and answer.issued_at is not None:
            difference = answer.issued_at - question.asked_at
            if abs(difference) > SKEW:
                self._emit("clock.suspicious", difference=round(difference))
            self._confirm(answer.issued_at)

    def _emit(self, name: str, **data: object) -> None:
        event: Event = Event(name, {"issuer": self._server.issuer, **data})  # type: ignore[arg-type]
        self._bus.emit(event)
