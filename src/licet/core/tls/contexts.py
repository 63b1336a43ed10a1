"""The context that connections are made with now; a new one when the client's files changed."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from math import inf
from typing import NamedTuple

from licet.core.clock import SYSTEM_CLOCK
from licet.core.errors import ConfigError
from licet.core.tls.context import TlsOptions
from licet.core.tls.files import CERT, stamp

#: Seconds between two looks at the files.
LOOK_EVERY = 1.0


class _Held(NamedTuple):
    """What the last look found: swapped whole, because threads may look at the same time."""

    context: ssl.SSLContext
    stamp: tuple[int, ...] | None


class Contexts:
    """Makes a context from options, and anew when what it shows has changed.

    A replacement that cannot be used never displaces what works. A new context is a new object,
    so that connections made with an older one can be told by it.

    Args:
        options: how TLS is spoken.
        monotonic: returns seconds that never run backwards.
        refused: told once of every replacement that cannot be used.
    """

    def __init__(
        self,
        options: TlsOptions,
        *,
        monotonic: Callable[[], float] = SYSTEM_CLOCK.monotonic,
        refused: Callable[[ConfigError], None] = lambda error: None,
    ) -> None:
        self._options, self._monotonic, self._refused = options, monotonic, refused
        self._files = tuple(
            path for path in (options.client_cert, options.client_key) if path is not None
        )
        self._held: _Held | None = None
        self._look_at = inf
        self._trouble: str | None = None

    def due(self) -> bool:
        """Say whether it is time to look at the files; who is told so calls `look`."""
        if not self._files or self._held is None or self._monotonic() < self._look_at:
            return False
        # One looks and the others are served what is known.
        self._plan()
        return True

    def look(self) -> None:
        """Make a new context if the files have changed, which takes a while."""
        if self._held is not None:
            self._held = self._looked(self._held)

    def current(self) -> ssl.SSLContext:
        """Return the context for new connections; looks at no files but for the first one.

        Raises:
            OSError: there is none yet, and the authorities cannot be read.
            ConfigError: there is none yet, and another option cannot be used.
        """
        held = self._held
        if held is None:
            held = self._held = self._made()
            if self._files:
                self._plan()
        return held.context

    def _plan(self) -> None:
        self._look_at = self._monotonic() + LOOK_EVERY

    def _made(self) -> _Held:
        # Stamped before it is read: what changes in between is seen at the next look.
        before = stamp(*self._files)
        return _Held(self._options.context(), before)

    def _looked(self, held: _Held) -> _Held:
        if stamp(*self._files) == held.stamp:
            self._trouble = None
            return held
        try:
            found = self._made()
        except (ConfigError, OSError) as error:
            told = error if isinstance(error, ConfigError) else _unusable(error)
            if str(told) != self._trouble:
                self._trouble = str(told)
                self._refused(told)
            return held
        self._trouble = None
        return found


def _unusable(error: OSError) -> ConfigError:
    # The files were good when they were checked, and changed before they were loaded.
    return ConfigError(CERT, f"cannot be used ({type(error).__name__})", "replace both files")
