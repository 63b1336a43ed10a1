"""What the logger `licet` is told: events, one line each, and failures of this side.

Values are escaped and cut. What strangers can bring about at will, denials and failures, is
rationed.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from urllib.parse import urlsplit

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.events.event import Event
from licet.core.forks import Locked
from licet.core.stores.interface import StoreUnavailable

logger = logging.getLogger("licet")

LEVELS = {
    "license.verified": logging.DEBUG,
    "license.denied": logging.INFO,
    "license.expiring": logging.WARNING,
    "license.grace_entered": logging.WARNING,
    "license.revoked": logging.WARNING,
    "license.suspicious_activity": logging.WARNING,
    "keys.rotated": logging.INFO,
    "keys.stale": logging.WARNING,
    "keys.unavailable": logging.WARNING,
    "keys.refused": logging.WARNING,
    "keys.snapshot": logging.WARNING,
    "tls.failure": logging.WARNING,
    "online.unavailable": logging.WARNING,
    "usage.exceeded": logging.INFO,
    "clock.suspicious": logging.WARNING,
}
#: What strangers, or a server that is down, can bring about time and again.
RATIONED = (
    "license.denied",
    "license.suspicious_activity",
    "tls.failure",
    "online.unavailable",
    "usage.exceeded",
)
#: Of one kind of denial or failure, this many lines in so many seconds; the rest are counted.
DENIALS, WINDOW = 10, 60.0
#: Denials that are this side's trouble and not their caller's.
UNDECIDED = "license_unavailable"
#: Why a license server gives no answer where only whoever wrote the settings can mend it.
MISCONFIGURED = ("credentials", "unsigned")


def escape(value: object, limit: int = 64) -> str:
    """Return `value` as printable ASCII on one line, at most `limit` characters of it."""
    text = value if isinstance(value, str) else str(value)
    return text[:limit].encode("unicode_escape").decode("ascii")


def printable(text: str) -> str:
    """Return `text` with an escape in the place of whatever a terminal would not show as it is."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii")
        for sign in text
    )


def host_of(url: str) -> str:
    """Return the host of an address, fit for a log."""
    return escape(urlsplit(url).hostname)


def _quoted(text: str) -> str:
    """Return `text` so that it cannot pass for another field of the line."""
    if not text or any(sign in text for sign in ' ="'):
        return '"' + text.replace('"', '\\"') + '"'
    return text


def _told(value: object) -> object:
    """Return `value` as people read it: seconds to a tenth."""
    return round(value, 1) if isinstance(value, float) else value


class Ration(Locked):
    """Lets the first few lines of each kind through in a while, and counts the rest.

    Args:
        clock: monotonic time.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__()
        self._clock = clock
        self._written: dict[object, tuple[float, int]] = {}

    def withheld(self, kind: object) -> int | None:
        """Return how many lines went unwritten before this one, or None not to write it.

        Args:
            kind: of the line, out of a closed set, so that no stranger can make it grow.
        """
        now = self._clock.monotonic()
        with self.lock:
            since, count = self._written.get(kind, (now, 0))
            if now - since >= WINDOW:
                self._written[kind] = (now, 1)
                return max(0, count - DENIALS)
            self._written[kind] = (since, count + 1)
            return 0 if count < DENIALS else None


class LogSink:
    """Writes events to the logger `licet`."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._rations = Ration(clock)

    def __call__(self, event: Event) -> None:
        """Write `event`, unless too many of its kind were written just now."""
        level = LEVELS[event.name]
        data = dict(event.data)
        if data.get("code") == UNDECIDED:
            level = logging.WARNING
        if event.name == "online.unavailable" and data.get("reason") in MISCONFIGURED:
            level = logging.ERROR
        if not logger.isEnabledFor(level):
            return
        if event.name in RATIONED:
            withheld = self._rations.withheld((event.name, data.get("code") or data.get("kind")))
            if withheld is None:
                return
            if withheld:
                data["suppressed"] = withheld
        words = " ".join(f"{name}={_quoted(escape(_told(value)))}" for name, value in data.items())
        logger.log(level, "%s %s", event.name, words, extra={"licet_event": event.name})


class FailureLog:
    """Writes what failed behind the requests: what nobody expected with its trace.

    A store that gives no answer is no defect of this program, and needs none.

    Args:
        clock: monotonic time, for the ration.
        consequence: what becomes of what was under way.
    """

    def __init__(
        self, clock: Clock = SYSTEM_CLOCK, consequence: str = "the request is refused"
    ) -> None:
        self._failures = Ration(clock)
        self._consequence = consequence

    def __call__(self, error: Exception) -> None:
        """Write `error`, unless too many of its class were written just now."""
        # A log that fails, for want of stack or memory say, must not keep the refusal back.
        with suppress(Exception):
            if self._failures.withheld(type(error)) is None:
                return
            if isinstance(error, StoreUnavailable):
                logger.warning("no answer from the store (%s); %s", error, self._consequence)
            else:
                logger.error(
                    "unexpected error in the license check; %s", self._consequence, exc_info=error
                )


class SubscriberLog:
    """Writes what subscribers of events raise, with its trace, a few of each class a minute.

    Args:
        clock: monotonic time, for the ration.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._failures = Ration(clock)

    def __call__(self, event: Event, error: BaseException) -> None:
        """Write that a subscriber failed on `event`, unless too many did just now."""
        # A log that fails must keep neither the other subscribers from hearing nor a request.
        with suppress(Exception):
            if self._failures.withheld(type(error)) is not None:
                logger.error("an event subscriber failed on %s", event.name, exc_info=error)
