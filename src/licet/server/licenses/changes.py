"""Changes on their way to the disk, so that no statement claims to be later than what it knows.

Gates keep of several statements about a license the latest. A change is dated when it begins, and
what is read before it has reached the disk knows nothing of it: that must not be dated later, or
a license would hold again that was withdrawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from licet.core.clock import Clock


class Changes:
    """The changes of licenses that are being written. For one thread.

    Args:
        clock: wall time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._under_way: dict[object, tuple[str, float]] = {}

    @contextmanager
    def begin(self, license_id: str) -> Iterator[float]:
        """Hold a change for under way until this is left; gives its date.

        In whole milliseconds, rounded up, because it is told in RFC 3339 as well: what is said of a
        license before this is never dated later.
        """
        at = math.ceil(self._clock.wall() * 1000) / 1000
        change = object()
        self._under_way[change] = license_id, at
        try:
            yield at
        finally:
            del self._under_way[change]

    def as_of(self, license_id: str | None = None) -> float:
        """Return the date of a statement that is about to be read from the database.

        Args:
            license_id: whom it is about; None for all.
        """
        now = self._clock.wall()
        if not self._under_way:
            return now
        begun = [at for name, at in self._under_way.values() if license_id in (None, name)]
        return min([now, *begun])
