"""Which credentials were asked about a moment ago, and are left alone for a while."""

from __future__ import annotations

from cachetools import TTLCache

from licet.core.clock import Clock
from licet.core.forks import Reentrant
from licet.core.online.memory import Case

#: Seconds: the least between two questions behind the requests of one credential that is refused,
#: and between two about one token that cannot be verified here.
AGAIN_AFTER = 60.0
#: Credentials of which it is remembered when they were asked about, alone and with a domain.
ASKED = 20_000


class Rests(Reentrant):
    """The credentials that one license server was asked about.

    Args:
        clock: monotonic time.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._monotonic = clock.monotonic
        self._until: TTLCache[bytes | Case, float] = TTLCache(
            ASKED, AGAIN_AFTER, timer=clock.monotonic
        )

        #: When licenses were last said to be given back.
        self._resumed: TTLCache[str, float] = TTLCache(ASKED, AGAIN_AFTER, timer=clock.monotonic)

    def begin(self, *subjects: bytes | Case) -> None:
        """Leave credentials, by their digests, alone from now on, or at one domain."""
        until = self._monotonic() + AGAIN_AFTER
        with self.lock:
            for subject in subjects:
                self._until[subject] = until

    def resume(self, license_id: str) -> None:
        """Let the credentials of a license, which is said to be given back, be asked about."""
        with self.lock:
            self._resumed[license_id] = self._monotonic()

    def over(self, digest: bytes, license_id: str | None) -> bool:
        """Return whether a credential may be asked about again, or its license was given back."""
        with self.lock:
            until = self._until.get(digest)
            resumed = None if license_id is None else self._resumed.get(license_id)
            return until is None or (resumed is not None and until - AGAIN_AFTER <= resumed)

    def until(self, subject: bytes | Case) -> float | None:
        """Return until when one is left alone, in monotonic seconds; None where it is not."""
        with self.lock:
            return self._until.get(subject)
