"""Has an installation's license refreshed before its token ends; no request waits for that.

An answer is a stranger's word until the token in it was judged like any license. It must renew the
very license that is held, and end later. Whatever else comes changes nothing: a refusal is signed
by nobody. Of all processes that share a state one asks at a time, and all rest when one has failed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from hmac import compare_digest
from math import inf
from typing import TYPE_CHECKING

from licet.core import flow
from licet.core.clock import Clock
from licet.core.errors import LicenseError, LicenseInvalid
from licet.core.events.bus import EventBus
from licet.core.events.event import Event, correlation_id
from licet.core.events.log import FailureLog, escape, host_of
from licet.core.flow import Flow
from licet.core.forks import Locked
from licet.core.installation.pace import FIRST_PAUSE, LAST_PAUSE, TURN, Pace, Turns
from licet.core.installation.renewals import Name, Renewals, Token, announcement, opened
from licet.core.installation.request import later_token
from licet.core.installation.state import State
from licet.core.online.answers import NoAnswer
from licet.core.online.background import Background
from licet.core.revocation.statements import Subject
from licet.core.revocation.sticky import Withdrawals
from licet.core.stores import StoreUnavailable
from licet.core.transport import Transport

if TYPE_CHECKING:
    from licet.core.judge import Judge

logger = logging.getLogger("licet")

#: Why a token is not taken that would hold no longer than the one that is held.
NOT_LATER = "not_later"


class Refresher(Locked):
    """Keeps one installation's license from ending.

    Args:
        url: who is asked; None for nobody, and what was refreshed before serves on.
        state: agrees with the other processes.
        renewals: knows what licenses were refreshed to.
        judge: verifies tokens.
        withdrawals: what was said of licenses.
        transport: sends.
        clock: both clocks.
        bus: hears of failures.

    Attributes:
        look_at: monotonic seconds from which on somebody should call `look`.
        take: puts a token into force that holds by itself; raises `LicenseError` where something
            else stands against it. Set by whoever keeps the license.
    """

    take: Callable[[bytes], Flow[None]]

    def __init__(
        self,
        url: str | None,
        state: State,
        renewals: Renewals,
        *,
        judge: Judge,
        withdrawals: Withdrawals,
        transport: Transport,
        clock: Clock,
        bus: EventBus,
    ) -> None:
        super().__init__()
        self.renewals = renewals
        self._url, self._judge, self._turns = url, judge, Turns(state, clock.wall, url)
        self._withdrawals, self._transport = withdrawals, transport
        self._clock, self._bus = clock, bus
        self._background = Background(threads=2)
        self._lost = FailureLog(clock, "the license is refreshed later")
        self._followed: tuple[bytes, bool] | None = None
        self._held: Token | None = None
        self._wanting = self._hastened = False
        self._unannounced: Token | None = None
        self._pace = Pace(clock)
        self.look_at = inf

    def after_fork(self) -> None:
        """Draw anew when a token is due: each process for itself."""
        super().after_fork()
        self._pace.draw()
        self._arm()

    # -- when ------------------------------------------------------------------------------------

    def follow(self, credential: bytes, *, wanting: bool = False) -> None:
        """Have the license refreshed whose token this is; what is no token is let be.

        Args:
            credential: whose signature holds.
            wanting: whether it does not serve as it is, and is due at once.
        """
        if self._followed == (credential, wanting):
            return
        with self.lock:
            if self._followed is None or not compare_digest(self._followed[0], credential):
                self._pace.begin()
                self._hastened = False
            self._followed, self._wanting = (credential, wanting), wanting
            try:
                self._held = opened(self._judge, credential)
            except LicenseInvalid:
                self._held = None
            self._arm()

    def hasten(self, issuer: str, license_id: str) -> None:
        """Have a license refreshed at once, if it is the one that is held."""
        with self.lock:
            if self._held is None or self._held.name != (issuer, license_id):
                return
            self._hastened = True
            self._pace.begin()
            self._arm()
        self.look()

    def look(self) -> None:
        """Have done in the background what is due; waits for nothing."""
        with self.lock:
            now = self._clock.monotonic()
            if now < self.look_at:
                return
            # By the same reading: a clock that goes on is always past the one before.
            self._arm(now)
            if now < self.look_at:
                return
            # Until it is known what came of it, no other thread of this process begins.
            self.look_at = now + TURN
        self._background.submit("refresh", self._refresh)

    def _arm(self, now: float | None = None) -> None:
        """Set when to look next; `now` is monotonic."""
        held = self._held
        if held is None or self._url is None:
            self.look_at = inf
            return
        urgent = self._wanting or self._hastened or self._unannounced is not None
        now = self._clock.monotonic() if now is None else now
        self.look_at = self._pace.look_at(held, now, urgent=urgent)

    def _rest(self, pause: float) -> None:
        with self.lock:
            self._hastened = False
            self._pace.rest(pause)
            self._arm()

    # -- what is done in the background ----------------------------------------------------------

    def _refresh(self) -> None:
        held, url = self._held, self._url
        if held is None or url is None:
            return
        try:
            flow.run(self._refreshed(held, url))
        except StoreUnavailable as error:
            self._lost(error)
            self._rest(FIRST_PAUSE)

    def _refreshed(self, held: Token, url: str) -> Flow[None]:
        if self._unannounced is not None:
            yield from self._announce(self._unannounced)
            return
        subject = Subject("license", *held.name)
        withdrawn = self._withdrawals.withdrawn(subject)
        if withdrawn is not None and withdrawn.word == "revoked":
            self._rest(LAST_PAUSE)
            return
        if not (yield from self._turns.take(held.name, hastened=self._hastened)):
            self._rest(FIRST_PAUSE)
            return
        came = yield from self._obtained(held, url)
        if isinstance(came, NoAnswer):
            pause = self._pace.pause_after(came)
            self._tell(came, pause, held.name[0], host_of(url))
        else:
            yield from self._announce(came)
            # Not again at once, should what was given be due as well; soon, where lives are short.
            pause = min(FIRST_PAUSE, (came.expires_at - came.issued_at) / 10)
        self._rest(pause)
        yield from self._turns.over(held.name, pause)

    def _obtained(self, held: Token, url: str) -> Flow[Token | NoAnswer]:
        """Ask for a later token, and return it once it is in force; or why it is not."""
        try:
            given = yield from later_token(url, held.credential, self._transport, self._clock)
            return (yield from self._accepted(given, held.name))
        except NoAnswer as nothing:
            return nothing
        except LicenseError as error:
            # Behind a colon may stand what the server has chosen, and it was sent a license.
            reason = error.reason.partition(":")[0]
            return NoAnswer(f"token:{reason}", harmless=reason == NOT_LATER)

    def _accepted(self, credential: bytes, name: Name) -> Flow[Token]:
        """Put a token in the place of the one that is held.

        Raises:
            LicenseError: it is not fit for that.
        """
        renewed, held = opened(self._judge, credential), self._held
        if held is None or not renewed.name == held.name == name:
            raise LicenseInvalid("another_license")
        if renewed.issued_at < held.issued_at or renewed.expires_at <= held.expires_at:
            raise LicenseInvalid(NOT_LATER)
        yield from self._judge.verify(credential)
        try:
            # A later signed statement than what may have been said of the license before.
            yield from self._withdrawals.lift(renewed.issued_at, Subject("license", *name))
        except StoreUnavailable as error:
            # Then what stands against it still does, below.
            self._withdrawals.unheard(error)
        yield from self.take(credential)
        self.renewals.remember(renewed, name)
        self.follow(credential)
        logger.info("the license is refreshed, license_id=%s", escape(name[1]))
        return renewed

    def _announce(self, renewed: Token) -> Flow[None]:
        self._unannounced = renewed
        yield from self.renewals.announce(renewed)
        with self.lock:
            self._unannounced = None
            self._arm()

    # -- what other processes tell ---------------------------------------------------------------

    def heard(self, value: bytes) -> None:
        """Take note of what another process announces, if it is a refreshed token; never waits."""
        told = announcement(value)
        if told is None:
            return
        (name, credential), held = told, self._held
        if held is None or name != held.name:
            self.renewals.forget(name)
        else:
            self._background.submit(("heard", credential), partial(self._hear, credential, name))

    def _hear(self, credential: bytes, name: Name) -> None:
        try:
            flow.run(self._accepted(credential, name))
        except LicenseError as error:
            if error.reason != NOT_LATER:
                # It may serve once nothing stands against it, and is looked for when it is needed.
                self.renewals.forget(name)
                told = {"code": error.code, "reason": error.reason}
                self._bus.emit(Event("license.denied", told))

    # -- failures --------------------------------------------------------------------------------

    def _tell(self, nothing: NoAnswer, pause: float, issuer: str, host: str) -> None:
        tied = {"correlation_id": correlation_id()}
        told: dict[str, object] = {"issuer": issuer, "host": host}
        if nothing.cause is not None and nothing.cause.tls is not None:
            self._bus.emit(Event("tls.failure", {**told, **asdict(nothing.cause.tls), **tied}))
        told |= {"reason": f"refresh:{nothing.reason}", "retry_after": pause}
        self._bus.emit(Event("online.unavailable", {**told, **tied}))
