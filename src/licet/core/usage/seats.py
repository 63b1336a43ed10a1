"""Counts different users within a rolling length of time: each of them has a seat.

A seat is its user's, and is not given back by a view that fails: whoever comes again has it
already. Users stand in the store as digests, which cannot be read back.
"""

from __future__ import annotations

from functools import lru_cache

from licet.core.flow import Flow
from licet.core.stores import Key, key
from licet.core.usage.account import Account
from licet.core.usage.charge import Charge
from licet.core.usage.counting import Counting
from licet.core.usage.quota import PATIENCE
from licet.core.usage.rates import Rate

#: The period of seats whose license says none.
USUAL = "month"


def seat(
    counting: Counting, account: Account, name: str, user: str, window: float, ceiling: int
) -> Flow[tuple[bool, Charge]]:
    """Give `user` a seat if `ceiling` permits it.

    Args:
        counting: where.
        account: whose seats.
        name: of the limit.
        user: who, as the application tells its users from one another.
        window: seconds for which a seat is kept for who does not come again.
        ceiling: how many may be seated.

    Returns:
        Whether the user is seated, and how the limit stands.

    Raises:
        LicenseUnavailable: that cannot be told.
    """
    maximum = account.maximum(name)
    if ceiling == 0:
        return False, Charge(name, 0, Rate(name, maximum, 0, min(window, PATIENCE), window))
    issuer, license_id = account.issuer, account.license_id
    seats = _seats(issuer, license_id, name)
    member = key("seat", issuer, license_id, user)
    count, _ = yield from counting.ask(lambda store: store.admit(seats, member, ceiling, window))
    left = min(count.resets_in, PATIENCE)
    return count.allowed, Charge(name, 0, Rate(name, maximum, count.used, left, window))


@lru_cache(maxsize=4_096)
def _seats(issuer: str, license_id: str, name: str) -> Key:
    return key("seats", issuer, license_id, name)
