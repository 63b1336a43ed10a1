"""What the rest of the core may ask of a store, whichever it is.

A store remembers what a license has used up, who holds its seats, which proofs were seen, and
what was last said of it: things that several threads, processes or machines must agree on. Each
operation is one atomic decision and comes as an effect. Limits and spans are made harmless
here, so that every store counts with the same numbers. What is announced can be followed: who
asks again and again what is new misses nothing. A store is trusted by whoever reads it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from hashlib import sha256
from math import inf
from typing import NamedTuple, NewType

from licet.core.errors import LicetError
from licet.core.flow import Effect

#: Seconds that one thread or task waits for a store before it goes without an answer.
PATIENCE = 2.0
#: The most that is ever counted: beyond it JSON, Lua and SQLite would not agree on a number.
MAX_COUNT = 2**53 - 1
#: The longest that anything is kept, in seconds: a hundred years.
MAX_WINDOW = 100 * 366 * 86_400.0
#: The most announcements that are reported at once.
PAGE = 1_000

Key = NewType("Key", str)


class StoreUnavailable(LicetError):
    """The store gave no answer that can be used; what was asked may or may not have happened.

    Args:
        reason: a fixed word, or one with the class of the underlying error behind a colon:
            `unreachable`, `timeout`, `busy`, `full`, `refused`, `garbage` or `inherited`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Count(NamedTuple):
    """What came of counting.

    Args:
        allowed: whether it was within the limit; if not, nothing was counted.
        used: how much is used up now.
        resets_in: seconds until the count begins anew, or until the next seat is free.
    """

    allowed: bool
    used: int
    resets_in: float


class News(NamedTuple):
    """What was announced since somebody last asked.

    Args:
        generation: what to go on from. It is that of the last announcement in `values`; without
            any, that of the latest announcement there was.
        values: what was announced, the oldest first; at most `PAGE`, so that whoever was given
            any asks again.
    """

    generation: int
    values: tuple[bytes, ...]


def key(*parts: str) -> Key:
    """Return the key made of `parts`: two lists that differ in any way have different keys.

    Args:
        parts: any text; by convention what the key is for comes first, then issuer and license
            id, then what a caller chose. None of it can be read back from the key.
    """
    digest = sha256()
    for part in parts:
        # Lone surrogates can stand in JSON text, hence in claims.
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8))
        digest.update(encoded)
    return Key(digest.hexdigest())


def charge(count: int, amount: int, limit: int) -> tuple[bool, int]:
    """Return whether `amount` may be added to `count`, and the count that comes of it."""
    if amount < 0:
        return True, max(count + amount, 0)
    allowed = count + amount <= limit
    return allowed, count + amount if allowed else count


def next_generation(latest: int, now: float) -> int:
    """Return the generation after `latest`; `now` is in seconds since the epoch.

    It grows whatever the clock does. It counts microseconds, so that a store that was made anew
    goes on after those who followed the one before it.
    """
    return max(latest + 1, int(now * 1e6))


class Store(ABC):
    """Counters, seats and values that end by themselves. Safe to share between threads.

    A key means something else to each of these uses: its counter, its seats, what is put and what
    is announced know nothing of each other.

    Every effect raises `StoreUnavailable` where there is no answer, within a few seconds.
    """

    def increment(self, key: Key, amount: int, limit: int | None, window: float) -> Effect[Count]:
        """Count `amount` if the limit permits it, and not at all if not.

        Args:
            key: whose count. For calendar periods the period's beginning belongs into the key.
            amount: how much; 0 only asks, and what is negative is given back, never below 0.
            limit: the most that may be counted, None for no limit.
            window: seconds that the count lives from when it is first made; a later call does
                not prolong it. With a period in the key, let it end well after the period.
        """
        amount = max(-MAX_COUNT, min(amount, MAX_COUNT + 1))
        return self._increment(key, amount, _ceiling(limit), _span(window))

    def admit(self, key: Key, member: Key, limit: int | None, window: float) -> Effect[Count]:
        """Give `member` a seat, for `window` seconds from now.

        Whoever holds a seat keeps it by coming again. If more are seated than the limit permits,
        because it was lowered, those who were here last keep their seats, and the others cannot
        prolong theirs. No seat is kept beyond `window` from now: what would be, because it was
        taken for longer or by a clock that was ahead, ends then.

        Args:
            key: whose seats.
            member: who, as a `key` of its own.
            limit: how many distinct members may be seated, None for no limit.
            window: seconds that a seat is kept for who does not come again.
        """
        return self._admit(key, member, _ceiling(limit), _span(window))

    def set_if_absent(self, key: Key, ttl: float) -> Effect[bool]:
        """Return True to exactly one caller in `ttl` seconds, unless the key is deleted."""
        return self._set_if_absent(key, _span(ttl))

    def put(self, key: Key, value: bytes, ttl: float) -> Effect[None]:
        """Keep `value` for `ttl` seconds, in place of what was there."""
        return self._put(key, value, _span(ttl))

    @abstractmethod
    def get(self, key: Key) -> Effect[bytes | None]:
        """Return what was announced, or else what was put; None for neither, or if it has ended."""

    @abstractmethod
    def delete(self, key: Key) -> Effect[None]:
        """Forget what was put or set, if anything; what was announced stays."""

    def announce(self, key: Key, value: bytes, ttl: float) -> Effect[int]:
        """Keep `value` for `ttl` seconds, and have everybody hear of it who follows `announced`.

        It takes the place of what was announced under this key before: who has not heard of that
        yet, hears of this alone. Nothing else takes an announcement back.

        Returns:
            Its generation, greater than any before it.
        """
        return self._announce(key, value, _span(ttl))

    @abstractmethod
    def announced(self, after: int) -> Effect[News]:
        """Return what was announced after generation `after` and has not ended.

        One reader's way is to begin with 0, to ask on from each answer's `generation` while there
        are `values`, and then once in a while: it hears of each announcement, in their order, and
        of none twice. Only where the store knows of no generation as late as `after`, because it
        was emptied or has lost the last moments, it tells everything anew.
        """

    @abstractmethod
    def generation(self) -> Effect[int]:
        """Return the generation of the latest announcement, 0 before the first."""

    @abstractmethod
    def close(self) -> None:
        """Give up connections; a store that is used again opens new ones."""

    @abstractmethod
    def _increment(self, key: Key, amount: int, limit: int, window: float) -> Effect[Count]: ...

    @abstractmethod
    def _admit(self, key: Key, member: Key, limit: int, window: float) -> Effect[Count]: ...

    @abstractmethod
    def _set_if_absent(self, key: Key, ttl: float) -> Effect[bool]: ...

    @abstractmethod
    def _put(self, key: Key, value: bytes, ttl: float) -> Effect[None]: ...

    @abstractmethod
    def _announce(self, key: Key, value: bytes, ttl: float) -> Effect[int]: ...


def _ceiling(limit: int | None) -> int:
    return MAX_COUNT if limit is None else max(0, min(limit, MAX_COUNT))


def _span(seconds: float) -> float:
    if not 0 < seconds < inf:
        raise ValueError(
            "what is kept in a store is kept for more than 0 seconds, and not for ever"
        )
    return min(float(seconds), MAX_WINDOW)
