"""What licenses use: counted, and refused where it is used up.

Every charge is one decision in the store, so that of many at the limit exactly as many pass as
there is room for. What a license does not limit is not counted there at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from licet.core.clock import Clock
from licet.core.errors import LicenseError, LimitExceeded
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.flow import Flow
from licet.core.grants import UNLIMITED, enforced
from licet.core.stores import MAX_COUNT
from licet.core.usage import quota, seats
from licet.core.usage.account import Account
from licet.core.usage.charge import Charge
from licet.core.usage.counting import Counting
from licet.core.usage.latest import Latest
from licet.core.usage.metering.meter import Meter
from licet.core.usage.period import ROLLING, present


def _as_it_is(error: Exception) -> Exception:
    return error


class Ledger:
    """Counts for the licenses of one gate.

    Args:
        counting: where.
        clock: wall time.
        bus: hears of limits that are used up.
        period: what a bare number counts over.
        refuse: what becomes of a limit that is used up; raises it, unless nothing is enforced.
        is_enforced: whether what is used up is counted no further.
        as_refusal: from whatever went wrong in here to what is raised of it; itself by default.
        meter: what tells the vendor, if anything does.

    Attributes:
        latest: how the limits stood when this process last counted.
    """

    def __init__(
        self,
        counting: Counting,
        clock: Clock,
        bus: EventBus,
        *,
        period: str = "month",
        refuse: Callable[[LicenseError], None] = enforced,
        is_enforced: bool = True,
        as_refusal: Callable[[Exception], Exception] = _as_it_is,
        meter: Meter | None = None,
    ) -> None:
        self._counting = counting
        self._wall = clock.wall
        self._bus = bus
        self._period = period
        self._refuse = refuse
        self._is_enforced, self._as_refusal = is_enforced, as_refusal
        self.meter = meter
        self.latest = Latest(clock)

    def charged(
        self, charging: Callable[[Ledger, Account], Flow[Charge]], account: Account
    ) -> Flow[Charge]:
        """Have `charging` charge an account here.

        Raises:
            LicenseError: it is refused, or that cannot be told: also for anything unexpected.
        """
        try:
            return (yield from charging(self, account))
        except Exception as error:
            raise self._as_refusal(error) from None

    def charge(self, account: Account, name: str, amount: int) -> Flow[Charge]:
        """Count `amount` of a limit.

        Args:
            account: whose.
            name: of the limit.
            amount: how much, not negative; 0 only asks whether the license has any of it.

        Raises:
            LimitExceeded: it is used up.
            FeatureNotLicensed: the license does not name it.
            LicenseUnavailable: that cannot be told.
        """
        maximum = account.maximum(name)
        if maximum == UNLIMITED:
            made = Charge(name, amount, None, _nothing)
        else:
            per = account.periods.get(name, self._period)
            period = present(per, self._wall(), account.ends_at)
            allowed, made = yield from quota.charge(
                self._counting, account, name, amount, period, self._ceiling(maximum)
            )
            self._check(allowed, made, account, "limit_exceeded", per)
            made.on_refund(partial(self.latest.give_back, account, name, amount))
        return made if self.meter is None else self.meter.metered(made, account)

    def seat(self, account: Account, name: str, user: str) -> Flow[Charge]:
        """Give a user a seat.

        Args:
            account: whose seats.
            name: of the limit.
            user: who.

        Raises:
            LimitExceeded: others have them all.
            FeatureNotLicensed: the license does not name it.
            LicenseUnavailable: that cannot be told.
        """
        maximum = account.maximum(name)
        if maximum == UNLIMITED:
            return Charge(name, 0, None)
        per = account.periods.get(name, seats.USUAL)
        allowed, made = yield from seats.seat(
            self._counting, account, name, user, ROLLING[per], self._ceiling(maximum)
        )
        self._check(allowed, made, account, "seat_limit_exceeded", per)
        return made

    def _ceiling(self, maximum: int) -> int:
        return maximum if self._is_enforced else MAX_COUNT

    def _check(self, allowed: bool, made: Charge, account: Account, code: str, per: str) -> None:
        rate = made.rate
        if rate is not None:
            self.latest.note(account, rate)
        # What was lowered since leaves more used than there is: who has a seat keeps it.
        if rate is None or (allowed and (self._is_enforced or rate.used <= rate.maximum)):
            return
        told = {
            "license_id": account.license_id,
            "issuer": account.issuer,
            "limit": made.limit,
            "code": code,
            "maximum": rate.maximum,
            "per": per,
        }
        self._bus.emit(Event("usage.exceeded", told))
        error = LimitExceeded(code=code, rate=rate)
        if not allowed:
            raise error
        self._refuse(error)


def _nothing() -> Flow[None]:
    """Give nothing back: nothing was counted."""
    yield from ()
