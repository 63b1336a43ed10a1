"""What a piece of work uses of its license: in a view, or in a job."""

from __future__ import annotations

from typing import Any, overload
from uuid import UUID

from licet.core import flow
from licet.core.entitlements import Entitlements
from licet.core.entitlements.context import current_entitlements
from licet.core.flow import Flow
from licet.core.usage.charge import Charge
from licet.core.usage.paid import charged

#: What a user is known by.
User = str | int | UUID

#: The limit that counts users by its very name.
SEATS = "seats"
#: No key was given. None is one: that of nobody, who takes no seat.
_ABSENT: Any = object()


def charging(
    entitlements: Entitlements, limit: str, amount: int = 1, *, key: object = _ABSENT
) -> Flow[Charge]:
    """Charge a license, as `consume` has it.

    Args:
        entitlements: under which license.
        limit: the name of the limit.
        amount: how much.
        key: which user, in place of an amount.
    """
    if key is _ABSENT and limit != SEATS:
        if type(amount) is not int or amount < 0:
            raise TypeError(f"what is used of {limit!r} is a whole number of 0 or more")
        making = entitlements.charged(lambda book, account: book.charge(account, limit, amount))
    else:
        user = _user(limit, key)
        making = entitlements.charged(lambda book, account: book.seat(account, limit, user))
    return (yield from making) or Charge(limit, 0, None)


def _user(limit: str, key: object) -> str:
    """Return what a user is known by, as text."""
    if isinstance(key, bool) or not isinstance(key, User) or key == "":
        raise TypeError(
            f"who takes one of {limit!r} is told by a text, a number or a UUID: whoever is not "
            "logged in has none"
        )
    return str(key)


@overload
def consume(limit: str, amount: int = 1) -> Charge: ...
@overload
def consume(limit: str, *, key: User) -> Charge: ...
def consume(limit: str, amount: int = 1, *, key: User = _ABSENT) -> Charge:
    """Charge a limit of the current license: in views, and in jobs inside of `licet.bind`.

    Blocks this thread while the store decides; in coroutines there is `aconsume`. What is charged
    stays charged unless you give it back: `consume("exports", 3).refund()`.

    Args:
        limit: its name in the license.
        amount: how much of it, 0 or more; 0 only asks whether the license has any.
        key: the user who takes a seat, in place of an amount: the limit counts different users.

    Raises:
        LimitExceeded: the limit is used up.
        FeatureNotLicensed: the license does not name it.
        LicenseUnavailable: that cannot be told, because the store gives no answer.
        LicenseError: there is no license that holds now: what made it so.
        RuntimeError: no middleware of Licet saw this request.
        TypeError: no amount, or nobody who could take a seat.
    """
    return flow.run(charging(current_entitlements(), limit, amount, key=key))


@overload
async def aconsume(limit: str, amount: int = 1) -> Charge: ...
@overload
async def aconsume(limit: str, *, key: User) -> Charge: ...
async def aconsume(limit: str, amount: int = 1, *, key: User = _ABSENT) -> Charge:
    """Charge a limit of the current license, in a coroutine; else as `consume`.

    A task that is cancelled meanwhile is not charged; give back with `await charge.arefund()`.
    """
    return await charged(charging(current_entitlements(), limit, amount, key=key))
