"""Tells somebody's web server of events (Standard Webhooks 1.0.0), behind all requests.

Of each incident there is one message in an hour, among all workers that share a store. It is tried
until it is taken, seven times in an hour; so many wait at most. With a SQLite store what waits
outlives the process; without one what is not taken when the process ends is lost. Of an answer
nothing is believed but its status. What strangers bring about at will, denials, and what is no
incident are not told: they are counted and logged.
"""

from __future__ import annotations

import logging
import random as chance
import threading
from collections import deque
from collections.abc import Callable, Sequence

from licet.core import standard_webhooks
from licet.core.clock import SYSTEM_CLOCK, Clock, reading
from licet.core.documents.exchange import retry_after
from licet.core.documents.flight import start
from licet.core.events.event import Event
from licet.core.events.incidents import Incidents
from licet.core.events.log import Ration
from licet.core.events.messages import Message, new_id, written
from licet.core.events.outbox import CAPACITY, LONGEST_PAUSE, MemoryOutbox, Outbox
from licet.core.forks import Locked
from licet.core.shutdown import tell_of_end
from licet.core.transport import Request, Transport, TransportError

logger = logging.getLogger("licet")

#: What nobody is told of.
UNTOLD = frozenset(("license.verified", "license.denied"))
#: Seconds before each further attempt, give or take a fifth.
PAUSES = (1.0, 5.0, 30.0, 120.0, 600.0, 3000.0)
#: Seconds for an answer, and bytes of it that are read.
PATIENCE, MAX_ANSWER = 10.0, 64 * 1024
#: Seconds after which it goes on when something failed that nobody expected.
RECOVERY = 5.0
_GONE = 410


class Webhook(Locked):
    """A subscriber that tells one receiver.

    Args:
        url: where it listens.
        secret: `whsec_` and base64, known to both, or several with spaces between them while one
            takes the place of another; never shown.
        transport: sends.
        incidents: which events are news.
        outbox: where messages wait; the memory of this process by default.
        clock: wall time, for what is said; monotonic time, for what is due.
        pauses: seconds before each further attempt.
        random: returns a number in [0, 1).

    Attributes:
        dropped: how many messages there was no room for, or that were given up.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        transport: Transport,
        incidents: Incidents,
        outbox: Outbox | None = None,
        clock: Clock = SYSTEM_CLOCK,
        pauses: Sequence[float] = PAUSES,
        random: Callable[[], float] = chance.random,
    ) -> None:
        super().__init__()
        self.dropped = 0
        self._url, self._secret, self._transport = url, secret, transport
        self._incidents, self._clock = incidents, clock
        self._outbox: Outbox = MemoryOutbox(incidents, clock) if outbox is None else outbox
        self._pauses, self._random = tuple(pauses), random
        self._said, self._gone = Ration(clock), False
        self._begin()
        tell_of_end(self, waits=True)

    def _begin(self) -> None:
        self._changed = threading.Condition(self.lock)
        #: What happened, and when, and is not in the outbox yet.
        self._fresh: deque[tuple[Event, float]] = deque()
        #: The sign of the thread that delivers, and whether nothing is due.
        self._thread: object = None
        self._rests = True

    def after_fork(self) -> None:
        """Begin with nothing: what waits is the parent's to tell."""
        super().after_fork()
        self._begin()

    def __call__(self, event: Event) -> None:
        """Have `event` told, where it is news; waits for nothing."""
        if event.name in UNTOLD or self._gone or not self._incidents.is_news(event):
            return
        with self.lock:
            full = len(self._fresh) >= CAPACITY
            if not full:
                # By a clock that says nothing it is told all the same: perhaps of that very clock.
                self._fresh.append((event, reading(self._clock.wall) or 0.0))
                self._wake()
        if full:
            self._incidents.forget(event)
            self._drop("queue_full")

    def resume(self) -> None:
        """Deliver what processes have left that are no more."""
        with self.lock:
            self._wake()

    def finish(self, seconds: float) -> None:
        """Wait until nothing is due, `seconds` at most."""
        with self.lock:
            if self._fresh:
                self._wake()
            self._changed.wait_for(lambda: self._rests, seconds)

    def _wake(self) -> None:
        self._rests = False
        self._changed.notify_all()
        if self._thread is None:
            sign = self._thread = object()
            if not start(lambda: self._serve(sign), "licet-webhook"):
                # The next event tries again.
                self._thread, self._rests = None, True

    # -- in a thread of its own ------------------------------------------------------------------

    def _serve(self, sign: object) -> None:
        wait: float | None = 0.0
        while self._goes_on(sign, wait):
            try:
                wait = self._step()
            except Exception as error:
                self._drop(type(error).__name__)
                wait = RECOVERY

    def _goes_on(self, sign: object, wait: float | None) -> bool:
        """Wait as long as nothing is due.

        Args:
            sign: of this thread.
            wait: seconds until something may be due; None where nothing waits.
        """
        with self.lock:
            # The thread that forked goes on in the child, where it is none of these.
            if self._thread is not sign:
                return False
            if self._fresh or wait == 0:
                return True
            self._rests = True
            self._changed.notify_all()
            if wait is None:
                self._thread = None
                return False
            self._changed.wait(wait)
            if self._thread is not sign:
                return False
            # What is due now is waited for at the end, as what was never tried.
            self._rests = False
            return True

    def _step(self) -> float | None:
        """Do one thing; return in how many seconds there is another, None where nothing waits."""
        with self.lock:
            fresh = self._fresh.popleft() if self._fresh else None
        if fresh is not None:
            event, at = fresh
            if not self._outbox.add(event, Message(new_id(), written(event, at))):
                self._incidents.forget(event)
                self._drop("queue_full")
            return 0.0
        found = self._outbox.next()
        if not isinstance(found, Message):
            return found
        self._attempt(found)
        return 0.0

    def _attempt(self, message: Message) -> None:
        problem, wish = ("gone", 0.0) if self._gone else self._send(message)
        message.attempts += 1
        if not problem or self._gone or message.attempts > len(self._pauses):
            self._outbox.done(message)
            if problem:
                self._drop(problem)
            return
        if self._said.withheld(problem) is not None:
            logger.warning("webhook not taken: problem=%s attempt=%d", problem, message.attempts)
        pause = self._pauses[message.attempts - 1] * (0.8 + 0.4 * self._random())
        self._outbox.later(message, min(max(pause, wish), LONGEST_PAUSE))

    def _send(self, message: Message) -> tuple[str, float]:
        """Return why a message was not taken, empty where it was, and how long to wait."""
        now = reading(self._clock.wall)
        if now is None:
            # Nobody would believe what is signed at another time.
            return "clock", 0.0
        headers = standard_webhooks.fields(self._secret, message.id, int(now), message.body)
        request = Request("POST", self._url, headers, message.body)
        try:
            answer = self._transport.send(request, deadline=PATIENCE, max_bytes=MAX_ANSWER)
        except TransportError as error:
            return error.reason, 0.0
        except Exception as error:
            # Nothing that anybody expects; it is tried as often as any other.
            return type(error).__name__, 0.0
        if 200 <= answer.status < 300:
            return "", 0.0
        self._gone = self._gone or answer.status == _GONE
        return f"status_{answer.status}", retry_after(answer.headers, now) or 0.0

    def _drop(self, problem: str) -> None:
        self.dropped += 1
        if self._said.withheld(("dropped", problem)) is not None:
            logger.error("webhook given up: problem=%s dropped=%d", problem, self.dropped)
