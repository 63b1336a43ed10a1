"""How the limits of licenses stood when this process last counted; for people, who see no store.

Nothing is decided by it: other processes count too. Memory is bounded: what was not counted for
longest is forgotten first.
"""

from __future__ import annotations

from contextlib import suppress

from licet.core.clock import Clock
from licet.core.usage.account import Account
from licet.core.usage.rates import Rate

#: Limits of licenses that are remembered.
MOST = 10_000


class Latest:
    """What was last seen of each limit, until it begins anew.

    Each step is one of a dictionary's own, so that there is no lock: every charge comes by here.

    Args:
        clock: monotonic time.
    """

    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        #: By issuer, license id and name: how much was used, and until when that is so at most.
        self._seen: dict[tuple[str, str, str], tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, account: Account, rate: Rate) -> None:
        """Remember how a limit stands."""
        place = (account.issuer, account.license_id, rate.limit)
        seen = self._seen
        # Taken out first: the oldest give way.
        seen.pop(place, None)
        seen[place] = rate.used, self._monotonic() + rate.resets_in
        if len(seen) > MOST:
            # Another thread may do the same.
            with suppress(KeyError, RuntimeError, StopIteration):
                del seen[next(iter(seen))]

    def give_back(self, account: Account, name: str, amount: int) -> None:
        """Remember that `amount` of a limit was given back."""
        place = (account.issuer, account.license_id, name)
        seen = self._seen.get(place)
        if seen is not None:
            self._seen[place] = max(0, seen[0] - amount), seen[1]

    def forget(self) -> None:
        """Forget all of it, as before a test."""
        self._seen.clear()

    def used(self, issuer: str, license_id: str, name: str) -> int | None:
        """Return how much of a limit was used; None where that is not known, or over."""
        seen = self._seen.get((issuer, license_id, name))
        return None if seen is None or self._monotonic() >= seen[1] else seen[0]
