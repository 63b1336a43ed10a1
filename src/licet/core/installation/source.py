"""Where the license of an installation stands: text, a file or a variable of the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from math import inf

from licet.core.clock import Clock

#: Seconds between two looks.
LOOK_EVERY = 1.0
#: Far above any license; a wrong path must not be read into memory whole.
MAX_FILE = 128 * 1024


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look found: swapped whole, because threads may look at the same time."""

    text: bytes | None = field(default=None, repr=False)
    stamp: tuple[int, ...] | None = None
    trouble: str | None = None


class LicenseSource:
    """Where the credential stands: text, `file:PATH` or `env:NAME`.

    Args:
        setting: the value of the setting `license`.
        clock: for looking at a file at most once a second.
    """

    def __init__(self, setting: str, clock: Clock) -> None:
        self._kind, _, self._place = setting.partition(":")
        self._clock = clock
        self._seen = _Seen()
        #: Monotonic seconds of the next look; also at what never changes, because whoever asks
        #: here looks at the clock as well.
        self.look_at = -inf
        if self._kind not in ("file", "env"):
            self._kind, self._seen = "text", _Seen(_stripped(setting.encode()))

    @property
    def trouble(self) -> str | None:
        """What kept the file from being read at the last look, for the log."""
        return self._seen.trouble

    def read(self) -> bytes | None:
        """Return the credential as it stands now, None where there is none."""
        now = self._clock.monotonic()
        if now >= self.look_at:
            if self.look_at > -inf:
                # One thread looks and the others serve what is known; at first nothing is.
                self.look_at = now + LOOK_EVERY
            self._seen = self._look()
            self.look_at = now + LOOK_EVERY
        return self._seen.text

    def _look(self) -> _Seen:
        if self._kind == "text":
            return self._seen
        return self._look_at_file() if self._kind == "file" else self._look_at_variable()

    def _look_at_variable(self) -> _Seen:
        return _Seen(_stripped(os.fsencode(os.environ.get(self._place, ""))))

    def _look_at_file(self) -> _Seen:
        try:
            # Follows links: mounted secrets are swapped by replacing one.
            status = os.stat(self._place)
            stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp == self._seen.stamp:
                return self._seen
            with open(self._place, "rb") as file:
                return _Seen(_stripped(file.read(MAX_FILE)), stamp)
        except OSError as error:
            return _Seen(trouble=type(error).__name__)


def _stripped(text: bytes) -> bytes | None:
    return text.strip() or None
