"""What one request was charged: how its limits stand, and what its failure gives back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from licet.core.errors import LicenseError
from licet.core.flow import Flow
from licet.core.usage.account import Account
from licet.core.usage.charge import Charge
from licet.core.usage.rates import Rate

if TYPE_CHECKING:
    from licet.core.grants import Grant
    from licet.core.usage.ledger import Ledger

#: Begins to charge an account in a ledger.
Charging: TypeAlias = "Callable[[Ledger, Account], Flow[Charge]]"


class Charges:
    """The charges of one request. Bounded by the limits of its license, whatever it consumes.

    Attributes:
        failed: whether the answer that has begun is a 5xx.
    """

    __slots__ = ("_held", "_latest", "failed")

    def __init__(self) -> None:
        self.failed = False
        #: By limit.
        self._latest: dict[str, Charge] = {}
        #: What is given back if what it was charged for fails.
        self._held: list[Charge] = []

    def charge(self, grant: Grant, charging: Charging) -> Flow[Charge | None]:
        """Have something charged to a license, and remember that it was.

        Args:
            grant: the license, at its present stage.
            charging: charges it.

        Returns:
            None where nothing was charged, because nothing is enforced.

        Raises:
            LicenseError: the license does not hold, or not for so much.
            RuntimeError: nothing counts for it.
        """
        try:
            objection = grant.objection()
            if objection is not None:
                raise objection
            made = yield from _ledger(grant).charged(charging, _account(grant))
        except LicenseError as error:
            grant.standing.refuse(error)
            return None
        self._latest[made.limit] = made
        return made

    def rates(self) -> tuple[Rate, ...]:
        """Return how the limits stand, but for what was given back."""
        return tuple(one.rate for one in list(self._latest.values()) if one.rate is not None)

    def hold(self, charge: Charge) -> None:
        """Have a failure give `charge` back."""
        self._held.append(charge)

    def let_go(self, charge: Charge) -> bool:
        """Hold `charge` no longer; return whether it was held still.

        It is not where an answer has begun, and with it what was paid for.
        """
        try:
            self._held.remove(charge)
        except ValueError:
            return False
        return True

    def answered(self, status: int) -> None:
        """Take note that an answer has begun: what was paid for is had, unless it is a 5xx.

        Args:
            status: of the answer; 101 where a websocket was accepted.
        """
        if status >= 500:
            self.failed = True
        else:
            self._held.clear()


def _ledger(grant: Grant) -> Ledger:
    ledger = grant.standing.usage
    if ledger is None:
        raise RuntimeError(
            "nothing counts what these entitlements use: they were judged by another time, "
            "or made without a gate"
        )
    return ledger


def _account(grant: Grant) -> Account:
    terms = grant.terms
    return Account(
        grant.issuer,
        grant.license_id,
        terms.plan,
        terms.limits,
        terms.periods,
        grant.expires_at,
    )
