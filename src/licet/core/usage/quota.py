"""Counts how much of a limit is used in a period."""

from __future__ import annotations

from functools import lru_cache, partial

from licet.core.flow import Flow
from licet.core.stores import Key, Store, key
from licet.core.usage.account import Account
from licet.core.usage.charge import Charge
from licet.core.usage.counting import Counting
from licet.core.usage.period import Period
from licet.core.usage.rates import Rate

#: Longest time that a caller is told to wait, seconds: a month, since a term may be years.
PATIENCE = 31 * 86_400.0


def charge(
    counting: Counting, account: Account, name: str, amount: int, period: Period, ceiling: int
) -> Flow[tuple[bool, Charge]]:
    """Count `amount` if `ceiling` permits it.

    Args:
        counting: where.
        account: whose.
        name: of the limit.
        amount: how much; 0 only asks.
        period: which is under way.
        ceiling: the most that may be counted.

    Returns:
        Whether it was counted, and what there is to give back then.

    Raises:
        LicenseUnavailable: that cannot be told.
    """
    maximum = account.maximum(name)
    left = min(period.left, PATIENCE)
    if ceiling == 0:
        return False, Charge(name, amount, Rate(name, maximum, 0, left, period.length))
    place = _place(account.issuer, account.license_id, name, period.name)
    count, store = yield from counting.ask(
        lambda store: store.increment(place, amount, ceiling, period.window)
    )
    rate = Rate(name, maximum, count.used, left, period.length)
    refunding = partial(_refund, counting, store, place, amount, period)
    return count.allowed, Charge(name, amount, rate, refunding if amount else None)


@lru_cache(maxsize=4_096)
def _place(issuer: str, license_id: str, name: str, period: str) -> Key:
    return key("quota", issuer, license_id, name, period)


def _refund(
    counting: Counting, store: Store, place: Key, amount: int, period: Period
) -> Flow[None]:
    # Without a limit: what is given back is given back, however little was permitted since.
    yield from counting.give_back(
        lambda store: store.increment(place, -amount, None, period.window), store
    )
