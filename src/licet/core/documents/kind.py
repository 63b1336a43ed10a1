"""What one kind of remote document says for itself: how it is read, and for how long it is good.

When it is fetched, and by whom, is no affair of its kind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf
from typing import Generic, Protocol, TypeVar

from licet.core.documents.exchange import Failed
from licet.core.documents.health import Health, Trouble
from licet.core.transport import Response


class Dated(Protocol):
    """A copy of a document."""

    @property
    def stale_until(self) -> float:
        """Wall time, in seconds since the epoch, from which on it serves nobody."""
        ...


T = TypeVar("T", bound=Dated)


class Kind(ABC, Generic[T]):
    """What `RemoteDocument` asks of its subclasses.

    `renewed`, `good_for` and `ends` are called with its lock held, and decide by their arguments.
    """

    @abstractmethod
    def parse(self, response: Response, before: T | None) -> T:
        """Return what a 200 says; `before` is the copy at hand. Runs outside the lock.

        Raises:
            ValueError: nothing that can be used; the fetch has failed.
        """

    @abstractmethod
    def renewed(self, value: T, stale_until: float) -> T:
        """Return `value` with the wall time, in seconds, until which it may be served."""

    def good_for(self, value: T, said: float | None, wall: float) -> float | None:
        """Return for how many seconds a copy is good that has just been fetched or confirmed.

        Args:
            value: the copy.
            said: what the header fields of the answer say; None for nothing.
            wall: when it was asked for, in seconds since the epoch.
        """
        return said

    def ends(self, value: T) -> float:
        """Return the wall time from which on it may not be used, whatever else holds."""
        return inf

    @abstractmethod
    def replaced(self, before: T | None, after: T) -> None:
        """Hear of a new copy, just fetched and in place. Runs outside the lock."""

    @abstractmethod
    def troubled(self, trouble: Trouble, health: Health) -> None:
        """Hear of something that has become worse. Runs outside the lock."""

    def failed(self, failure: Failed, correlation_id: str | None) -> None:
        """Hear of every fetch that failed. Runs outside the lock."""

    def landed(self) -> None:
        """Do what has time until a flight is over; runs in its thread, when nobody waits."""
