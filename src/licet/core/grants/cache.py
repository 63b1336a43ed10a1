"""The grant cache: what was verified, by the digest of its credential.

Only what was verified enters, so strangers cannot fill it; and it is keyed by SHA-256 of the
credential, so that no bearer secret stays in memory.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from licet.core.forks import Locked
from licet.core.grants.grant import Grant


class GrantStats(NamedTuple):
    """What became of the questions to a grant cache since its process began.

    Counted without a lock, so that a hit pays next to nothing: under several threads a count may
    be a little low. They are this process's own; a forked child goes on from its parent's.

    Args:
        hits: licenses answered from memory.
        misses: credentials, good or bad, that had to be judged in full.
        evictions: verdicts that gave way to younger ones because the cache was full.
        size: verdicts kept now.
        capacity: how many may be; 0 where the cache is off.
    """

    hits: int
    misses: int
    evictions: int
    size: int
    capacity: int


class GrantCache(Locked):
    """Grants by the digest of their credential; the oldest gives way when it is full.

    Readers take no lock. Insertion and eviction are of constant price, whatever the size.

    Args:
        capacity: how many are kept; 0 keeps none.

    Attributes:
        hits: counted by who reads, once what was found still holds.
        misses: counted by who judges.
        evictions: counted here.
        forgotten: how often something was to be forgotten.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity
        self.hits = self.misses = self.evictions = self.forgotten = 0
        # Not a plain dict: finding its oldest key walks over all that were deleted before it.
        self._grants: OrderedDict[bytes, Grant] = OrderedDict()
        #: `get(digest)`, bound once: this is the hot path.
        self.get = self._grants.get

    def __len__(self) -> int:
        return len(self._grants)

    def put(self, digest: bytes, grant: Grant, forgotten: int | None = None) -> None:
        """Keep `grant` under `digest`, in place of an older one.

        Args:
            digest: of its credential.
            grant: what was found.
            forgotten: what the attribute said when that began: what was found may be what was
                forgotten since, and is not kept.
        """
        if not self._capacity:
            return
        with self.lock:
            if forgotten is not None and forgotten != self.forgotten:
                return
            self._grants.pop(digest, None)
            self._grants[digest] = grant
            if len(self._grants) > self._capacity:
                self._grants.popitem(last=False)
                self.evictions += 1

    def forget(self, digest: bytes) -> None:
        """Forget what is kept of one credential."""
        with self.lock:
            self.forgotten += 1
            self._grants.pop(digest, None)

    @property
    def stats(self) -> GrantStats:
        """What became of the questions so far."""
        return GrantStats(self.hits, self.misses, self.evictions, len(self), self._capacity)
