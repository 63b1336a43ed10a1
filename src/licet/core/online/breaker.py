"""Whether a license server is asked at all, after it has failed time and again.

A state machine without a clock or a lock: the caller tells the time and holds a lock around each
call. Closed, it lets every question through. A run of failures, or a server that says when to
come back, opens it for a pause. When that is over, one question, the probe, finds out for all.

Questions that began before it opened report afterwards. They are told from the probe by when they
began, the time given to `permits`: a failure of theirs does not lengthen the pause, a success
does not close it, and one that went away leaves the probe alone; nor do they count once a later
probe has closed it. A report that does not say when its question began is taken for the probe's
while one is out, and for late otherwise. A `retry_after` is the server's own word of just now and
is heeded whoever brings it, but never shortens a pause that another question had led to.
"""

from __future__ import annotations

from collections import deque

#: Seconds after which a probe that does not report is given up and another is sent.
PROBE_LIMIT = 60.0


class Breaker:
    """The breaker of one license server. All times are monotonic seconds.

    Args:
        failures: how many of them open it.
        within: seconds; a failure older than that no longer counts.
        first_pause: seconds until the first probe; doubled each time that one fails.
        last_pause: the longest pause, in seconds.
    """

    def __init__(
        self,
        failures: int = 5,
        within: float = 10.0,
        first_pause: float = 30.0,
        last_pause: float = 600.0,
    ) -> None:
        self._within = within
        self._first_pause = first_pause
        self._last_pause = last_pause
        #: When the last few failures were, while it is closed.
        self._failures: deque[float] = deque(maxlen=failures)
        #: When the pause is over; None while it is closed.
        self._until: float | None = None
        #: The last pause of our own making, 0 since the last success.
        self._pause = 0.0
        #: When the last probe was permitted; what began before counts for nothing any more.
        self._probed = float("-inf")
        #: Whether that probe is still to report.
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether the server counts as failing; also while a probe is out."""
        return self._until is not None

    def permits(self, now: float) -> bool:
        """Return whether a question may be asked; whoever hears True asks it and reports.

        When a pause is over one caller hears it, whose question is the probe, and nobody else
        until that reports or is `PROBE_LIMIT` old.
        """
        if self._until is None:
            return True
        if now < self._until or (self._probing and now - self._probed < PROBE_LIMIT):
            return False
        self._probed, self._probing = now, True
        return True

    def failed(
        self, now: float, retry_after: float | None = None, begun: float | None = None
    ) -> None:
        """Report a question that led to no answer.

        Args:
            now: when it failed.
            retry_after: seconds after which the server wants to be asked again, clamped by the
                caller; opens the breaker for that long at once, and takes the place of one pause.
            begun: what `permits` was given for that question.
        """
        if self._until is not None:
            opens = self._is_probe(begun)
            self._probing = self._probing and not opens
        else:
            opens = self._is_current(begun) and self._is_too_much(now)
        if retry_after is not None:
            self._open(now + retry_after)
        elif opens:
            self._pause = min(self._last_pause, max(self._first_pause, 2 * self._pause))
            self._open(now + self._pause)

    def succeeded(self, begun: float | None = None) -> None:
        """Report a question that was answered, whatever the answer: the probe closes it.

        While it is closed nothing changes: failures count by their time, not by their run.
        """
        if self._is_probe(begun):
            self._until, self._probing = None, False
            self._pause = 0.0

    def abandoned(self, begun: float | None = None) -> None:
        """Report a question whose asker went away: if it was the probe, the next caller's is."""
        if self._is_probe(begun):
            self._probing = False

    def retry_after(self, now: float) -> float:
        """Return in how many seconds to come back, never less than 1.

        The rest of the pause; 1 where there is none, because it is closed, because the next
        caller is the probe, or because the probe is out and may report any moment. Never 0, which
        would invite whoever obeys it to ask without end.
        """
        return max(1.0, 0.0 if self._until is None else self._until - now)

    def _is_current(self, begun: float | None) -> bool:
        return begun is None or begun >= self._probed

    def _is_probe(self, begun: float | None) -> bool:
        return self._probing and self._is_current(begun)

    def _is_too_much(self, now: float) -> bool:
        """Enter a failure, and return whether there are enough of them now."""
        self._failures.append(now)
        full = len(self._failures) == self._failures.maxlen
        return full and now - self._failures[0] <= self._within

    def _open(self, until: float) -> None:
        self._until = until if self._until is None else max(self._until, until)
        self._failures.clear()
