"""Charges in coroutines, which may be cancelled wherever they wait.

A charge that has begun is finished before a cancellation goes on, so that it is known whether it
was made. It is given back if what it pays for fails before any of that has reached the caller.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from licet.core import flow
from licet.core.entitlements import Entitlements
from licet.core.flow import Flow
from licet.core.usage.charge import Charge
from licet.core.usage.charges import Charges


async def paid(entitlements: Entitlements, charging: Flow[Charge]) -> Paid:
    """Have something charged, to be given back if what follows inside of `Paid` fails.

    Args:
        entitlements: under which license.
        charging: charges it.

    Raises:
        LicenseError: it is refused, or undecided.
    """
    return Paid(entitlements.charged_so_far(), await charged(charging))


async def charged(charging: Flow[Charge]) -> Charge:
    """Have something charged; whoever is cancelled meanwhile is not charged.

    Args:
        charging: charges it.

    Raises:
        LicenseError: it is refused, or undecided.
    """
    try:
        asked = next(charging)
    except StopIteration as stop:
        # Nobody had to be waited for.
        return stop.value  # type: ignore[no-any-return]
    # Here, because whoever imports `licet` need not have an event loop.
    from licet.core.stores.effects import wholly

    return await wholly(flow.arun(charging, asked), Charge.arefund)


class Paid:
    """The time in which what was charged is used: `async with` it.

    Args:
        charges: of the request.
        charge: what is given back if this ends with an error or a 5xx.

    Attributes:
        charge: what was charged.
        failed: to be set where it has failed without an error.
    """

    __slots__ = ("_charges", "charge", "failed")

    def __init__(self, charges: Charges, charge: Charge) -> None:
        self._charges = charges
        self.charge = charge
        self.failed = False
        charges.hold(charge)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._charges.let_go(self.charge):
            return
        if kind is GeneratorExit:
            # A coroutine that nobody awaits any more is closed wherever it is, and cannot wait.
            self.charge.refund()
        elif kind is not None or self.failed or self._charges.failed:
            await self.charge.arefund()
