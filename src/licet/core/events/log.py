"""Events as log lines: one line each, values escaped and cut, denials rate-limited."""

from __future__ import annotations

import logging

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.events.event import Event
from licet.core.forks import Locked

logger = logging.getLogger("licet")

LEVELS = {
    "license.verified": logging.DEBUG,
    "license.denied": logging.INFO,
    "keys.rotated": logging.INFO,
    "keys.stale": logging.WARNING,
    "keys.unavailable": logging.WARNING,
    "keys.refused": logging.WARNING,
    "keys.snapshot": logging.WARNING,
}
#: Of one kind of denial, this many lines in so many seconds; the rest are counted.
DENIALS, WINDOW = 10, 60.0


def escape(value: object, limit: int = 64) -> str:
    """Return `value` as printable ASCII on one line, at most `limit` characters of it."""
    text = value if isinstance(value, str) else str(value)
    return text[:limit].encode("unicode_escape").decode("ascii")


def _quoted(text: str) -> str:
    """Return `text` so that it cannot pass for another field of the line."""
    if not text or any(sign in text for sign in ' ="'):
        return '"' + text.replace('"', '\\"') + '"'
    return text


class LogSink(Locked):
    """Writes events to the logger `licet`."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__()
        self._clock = clock
        # Keyed by code only, a closed set, so that no stranger can make it grow.
        self._denials: dict[object, tuple[float, int]] = {}

    def __call__(self, event: Event) -> None:
        """Write `event`, unless too many of its kind were written just now."""
        level = LEVELS[event.name]
        if not logger.isEnabledFor(level):
            return
        data = dict(event.data)
        if event.name == "license.denied":
            suppressed = self._suppressed(data.get("code"))
            if suppressed is None:
                return
            if suppressed:
                data["suppressed"] = suppressed
        words = " ".join(f"{name}={_quoted(escape(value))}" for name, value in data.items())
        logger.log(level, "%s %s", event.name, words, extra={"licet_event": event.name})

    def _suppressed(self, code: object) -> int | None:
        """Return how many denials went unwritten before this one, or None not to write it."""
        now = self._clock.monotonic()
        with self.lock:
            since, count = self._denials.get(code, (now, 0))
            if now - since >= WINDOW:
                self._denials[code] = (now, 1)
                return max(0, count - DENIALS)
            self._denials[code] = (since, count + 1)
            return 0 if count < DENIALS else None
