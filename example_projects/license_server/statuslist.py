"""A Token Status List: what became of many licenses, signed once for all who ask.

Which place is whose is known in memory only, so that each process has a list of its own, under a
number of its own: a server that has forgotten who is revoked signs nothing about old licenses.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.issuer import Issuer

#: Licenses on the list. Their places are drawn, so that a place tells nothing about its license.
SIZE = 2**17
#: Seconds for which the list may serve where no newer one can be had.
LIFETIME = 7 * 86_400


class StatusListFull(Exception):
    """Every place on the list is taken."""


class StatusList:
    """The list of this process.

    Args:
        ttl: seconds for which a copy of it is fresh.
        clock: by which it ages here.
    """

    def __init__(self, ttl: int, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.ttl = ttl
        self.number = str(secrets.randbelow(10**9))
        #: Where it is; None before the first license is on it.
        self.uri: str | None = None
        self._clock = clock
        self._taken: set[int] = set()
        self._statuses: dict[int, int] = {}
        # What was signed last, by which key and when; nothing of it outlives a change.
        self._signed: tuple[str, str, float] | None = None

    def place(self, uri: str) -> dict[str, object]:
        """Return the `status` claim of one more license.

        Args:
            uri: where the list is; what the first license was told stays true for all.

        Raises:
            StatusListFull: there is no place for it.
        """
        if len(self._taken) >= SIZE // 2:
            raise StatusListFull
        self.uri = self.uri or uri
        while (index := secrets.randbelow(SIZE)) in self._taken:
            pass
        self._taken.add(index)
        return {"status_list": {"idx": index, "uri": self.uri}}

    def mark(self, claim: Mapping[str, object], status: int) -> None:
        """Have the license with this `status` claim read as `status`, 0 for valid."""
        listed = claim["status_list"]
        self._statuses[listed["idx"]] = status  # type: ignore[index]  # `place` made it
        self._signed = None

    def signed_by(self, issuer: Issuer) -> str | None:
        """Return the list as it is now, None before the first license is on it."""
        if self.uri is None:
            return None
        now = self._clock.monotonic()
        if self._signed is not None:
            text, kid, at = self._signed
            # Young enough to be fresh for a while wherever it is read.
            if kid == issuer.kid and now < at + self.ttl / 2:
                return text
        text = issuer.status_list(
            self.uri, self._statuses, size=SIZE, ttl=self.ttl, expires_in=LIFETIME
        )
        self._signed = text, issuer.kid, now
        return text
