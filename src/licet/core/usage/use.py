"""What a view uses of a license: so much of a limit, or a seat for whoever calls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from licet.core.entitlements import Entitlements
from licet.core.flow import Flow
from licet.core.usage.charge import Charge
from licet.core.usage.consumption import SEATS, charging

_NOTHING: Any = object()


class Use:
    """What each call of one view uses.

    Args:
        word: what declares it, for errors.
        limit: the name of the limit.
        cost: how much a call uses, or what tells that of its request.
        by: what tells of a request who calls; then it uses a seat.

    Raises:
        TypeError: it cannot be counted.
    """

    def __init__(self, word: str, limit: str, cost: Any, by: Any) -> None:
        if not isinstance(limit, str) or not limit:
            raise TypeError(f"write {word}('name'), with parentheses and the name of a limit")
        if by is None:
            if limit == SEATS:
                raise TypeError(
                    f"write {word}('seats', by=…): seats are counted by who sits on them"
                )
            if not callable(cost) and (type(cost) is not int or cost < 1):
                raise TypeError("cost is a whole number of 1 or more, or tells it of a request")
        elif callable(cost) or type(cost) is not int or cost != 1:
            raise TypeError("a user takes one seat: write by= or cost=, not both")
        elif not callable(by):
            raise TypeError("by= is a function, which tells of a request who the user is")
        self._limit = limit
        self._told, self._is_seat = (cost, False) if by is None else (by, True)

    def tell(self, entitlements: Entitlements, request: Callable[[], Any]) -> Any:
        """Return how much a call uses, or who calls; perhaps as something to be awaited.

        Args:
            entitlements: under which license.
            request: tells the framework's request; asked where it is needed.

        Raises:
            LicenseError: there is no license that holds now: what made it so.
        """
        if not callable(self._told):
            return self._told
        # First of all: nobody without a license has anything looked up.
        entitlements.require_license()
        return self._told(request()) if entitlements else _NOTHING

    def charging(self, entitlements: Entitlements, told: Any) -> Flow[Charge]:
        """Charge what `tell` has told."""
        if told is _NOTHING:
            # Nothing is enforced, and there is no license that could be charged.
            return Charge(self._limit, 0, None)
        if self._is_seat:
            return (yield from charging(entitlements, self._limit, key=told))
        return (yield from charging(entitlements, self._limit, told))
