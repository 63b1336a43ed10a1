"""Tells somebody's web server of events (Standard Webhooks 1.0.0), behind all requests.

Of each incident there is one message in an hour, among all workers that share a store. It is tried
until it is taken, or for an hour; so many wait at most. What is not taken when the process ends is
lost. Of an answer nothing is believed but its status. What strangers bring about at will, denials,
and what is no incident are not told: they are counted and logged.
"""

from __future__ import annotations

import json
import logging
import random as chance
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import isfinite
from time import monotonic

from licet.core import standard_webhooks
from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.documents.exchange import retry_after
from licet.core.documents.flight import start
from licet.core.events.event import Event
from licet.core.events.incidents import Incidents
from licet.core.events.log import Ration
from licet.core.forks import Locked
from licet.core.moments import rfc3339
from licet.core.shutdown import tell_of_end
from licet.core.transport import Request, Transport, TransportError

logger = logging.getLogger("licet")

#: What nobody is told of.
UNTOLD = frozenset(("license.verified", "license.denied"))
#: Messages that may wait.
CAPACITY = 1000
#: Seconds before each further attempt, give or take a fifth.
PAUSES = (1.0, 5.0, 30.0, 120.0, 600.0, 3000.0)
#: Seconds for an answer, and bytes of it that are read.
PATIENCE, MAX_ANSWER = 10.0, 64 * 1024
#: The longest that `Retry-After` is honoured, seconds.
LONGEST_WISH = 3600.0
#: Characters of a text that are told.
LONGEST = 1024
_GONE = 410


@dataclass(order=True, slots=True)
class _Message:
    """One message; those that are due first come first."""

    due_at: float
    number: int
    event: Event | None = field(compare=False)
    id: str = field(compare=False)
    body: bytes = field(compare=False, repr=False)
    attempts: int = field(default=0, compare=False)


class Webhook(Locked):
    """A subscriber that tells one receiver.

    Args:
        url: where it listens.
        secret: `whsec_` and base64, known to both; never shown.
        transport: sends.
        incidents: which events are news.
        clock: wall time, for what is said; waiting goes by the system's own clock.
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
        clock: Clock = SYSTEM_CLOCK,
        pauses: Sequence[float] = PAUSES,
        random: Callable[[], float] = chance.random,
    ) -> None:
        super().__init__()
        self.dropped = 0
        self._url, self._secret, self._transport = url, secret, transport
        self._incidents, self._clock = incidents, clock
        self._pauses, self._random = tuple(pauses), random
        self._said, self._number, self._gone = Ration(clock), 0, False
        self._begin()
        tell_of_end(self)

    def _begin(self) -> None:
        self._changed = threading.Condition(self.lock)
        self._waiting: list[_Message] = []
        #: The sign of the thread that delivers, and the message that it is at.
        self._thread: object = None
        self._sending: _Message | None = None

    def after_fork(self) -> None:
        """Begin with nothing: what waits is the parent's to tell."""
        super().after_fork()
        self._begin()

    def __call__(self, event: Event) -> None:
        """Have `event` told, where it is news; waits for nothing."""
        if event.name in UNTOLD or self._gone or not self._incidents.is_news(event):
            return
        body = written(event, self._clock.wall())
        with self.lock:
            full = len(self._waiting) >= CAPACITY
            if not full:
                self._number += 1
                name = f"msg_{secrets.token_hex(12)}"
                self._wait(_Message(monotonic(), self._number, event, name, body))
        if full:
            self._drop("queue_full")

    def finish(self, seconds: float) -> None:
        """Wait until all that was never tried has been, `seconds` at most."""
        with self.lock:
            self._changed.wait_for(
                lambda: (
                    self._sending is None and all(message.attempts for message in self._waiting)
                ),
                seconds,
            )

    # -- in a thread of its own ------------------------------------------------------------------

    def _wait(self, message: _Message) -> None:
        heappush(self._waiting, message)
        self._changed.notify_all()
        if self._thread is None:
            sign = self._thread = object()
            if not start(lambda: self._serve(sign), "licet-webhook"):
                # The next event tries again.
                self._thread = None

    def _serve(self, sign: object) -> None:
        while (message := self._next(sign)) is not None:
            again = None
            try:
                again = self._attempt(message)
            except Exception as error:
                self._drop(type(error).__name__)
            with self.lock:
                # The thread that forked goes on in the child, where it is none of these.
                if self._thread is not sign:
                    return
                self._sending = None
                if again is not None:
                    message.due_at = again
                    self._wait(message)
                self._changed.notify_all()

    def _next(self, sign: object) -> _Message | None:
        """Return the next message, once it is due; None where this thread is to end."""
        with self.lock:
            while self._thread is sign:
                if not self._waiting:
                    self._thread = None
                    break
                left = self._waiting[0].due_at - monotonic()
                if left <= 0:
                    self._sending = heappop(self._waiting)
                    return self._sending
                self._changed.wait(left)
            return None

    def _attempt(self, message: _Message) -> float | None:
        """Send a message; return when to do it again, None for never."""
        if self._gone or (message.event and not self._incidents.claim(message.event)):
            return None
        message.event = None
        problem, wish = self._send(message)
        message.attempts += 1
        if not problem:
            return None
        if self._gone or message.attempts > len(self._pauses):
            self._drop(problem)
            return None
        if self._said.withheld(problem) is not None:
            logger.warning("webhook not taken: problem=%s attempt=%d", problem, message.attempts)
        pause = self._pauses[message.attempts - 1] * (0.8 + 0.4 * self._random())
        return monotonic() + max(pause, wish)

    def _send(self, message: _Message) -> tuple[str, float]:
        """Return why a message was not taken, empty where it was, and how long to wait."""
        now = self._clock.wall()
        headers = standard_webhooks.fields(self._secret, message.id, int(now), message.body)
        request = Request("POST", self._url, headers, message.body)
        try:
            answer = self._transport.send(request, deadline=PATIENCE, max_bytes=MAX_ANSWER)
        except TransportError as error:
            return error.reason, 0.0
        if 200 <= answer.status < 300:
            return "", 0.0
        self._gone = self._gone or answer.status == _GONE
        wish = retry_after(answer.headers, now) or 0.0
        return f"status_{answer.status}", min(wish, LONGEST_WISH)

    def _drop(self, problem: str) -> None:
        self.dropped += 1
        if self._said.withheld(("dropped", problem)) is not None:
            logger.error("webhook given up: problem=%s dropped=%d", problem, self.dropped)


def written(event: Event, at: float) -> bytes:
    """Return what is said of `event`: `type`, `timestamp` (RFC 3339, UTC) and `data`, as JSON.

    Args:
        event: what happened.
        at: when, seconds since the epoch.
    """
    data = {name: _plain(value) for name, value in event.data.items() if value is not None}
    told = {"type": event.name, "timestamp": rfc3339(at), "data": data}
    return json.dumps(told).encode()


def _plain(value: object) -> object:
    if isinstance(value, float) and not isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return str(value)[:LONGEST]
