"""What is strange about the use of one license, in constant memory; by counting alone.

A burst is ten times the usual number of requests of a minute. Many addresses are many networks in
an hour: /24 of IPv4, /48 of IPv6, counted by how many places of a fixed number they fill (linear
counting). Both are estimates: whoever counts may see one request for many.
"""

from __future__ import annotations

import secrets
from math import log

from licet.core.request.addresses import Address

MINUTE, HOUR = 60.0, 3600.0
#: A burst is so many times the usual.
BURST = 10
#: Requests in a minute that are taken for usual at least, and of a license that is new.
LEAST, UNKNOWN = 60.0, 600.0
#: How much a minute changes what is usual.
WEIGHT = 0.25
#: Networks in an hour beyond which there are many, and places to count them by.
MANY, PLACES = 100, 1024
#: The places that so many networks fill on average.
_FILLED = PLACES * (1 - (1 - 1 / PLACES) ** MANY)

# Nobody who chooses addresses is to know which of them share a place.
_SALT = secrets.randbits(62)


class Habits:
    """How one license is used.

    Attributes:
        count: requests in this minute.
        usual: requests in a minute, of late; None in the first.
    """

    __slots__ = ("_hour_ends", "_minute_ends", "_networks", "count", "usual")

    def __init__(self) -> None:
        self.count = 0
        self.usual: float | None = None
        self._networks = 0
        self._minute_ends = self._hour_ends = 0.0

    @property
    def is_bursting(self) -> bool:
        """Whether there are far more requests in this minute than usual."""
        usual = UNKNOWN if self.usual is None else max(self.usual, LEAST)
        return self.count > BURST * usual

    @property
    def is_everywhere(self) -> bool:
        """Whether requests come from many networks in this hour."""
        return self._networks.bit_count() > _FILLED

    @property
    def networks(self) -> int:
        """About how many networks there are in this hour."""
        empty = max(PLACES - self._networks.bit_count(), 1)
        return round(-PLACES * log(empty / PLACES))

    def add(self, now: float, times: int, address: Address | None) -> bool:
        """Take note of requests.

        Args:
            now: monotonic time, seconds.
            times: how many.
            address: where one of them came from; None where that is unknown.

        Returns:
            Whether a minute began with them.
        """
        begins = now >= self._minute_ends
        if begins:
            self._begin_minute(now)
        self.count += times
        if address is not None:
            if now >= self._hour_ends:
                self._networks, self._hour_ends = 0, now + HOUR
            self._networks |= 1 << _place(address)
        return begins

    def _begin_minute(self, now: float) -> None:
        if self._minute_ends:
            idle = (now - self._minute_ends) // MINUTE
            before = self.count if self.usual is None else self.usual
            self.usual = (before + WEIGHT * (self.count - before)) * (1 - WEIGHT) ** idle
        self.count, self._minute_ends = 0, now + MINUTE


def _place(address: Address) -> int:
    network = int(address) >> (8 if address.version == 4 else 80)
    return hash((_SALT, address.version, network)) % PLACES
