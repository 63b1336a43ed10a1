"""What was charged to a license, and can be given back once."""

from __future__ import annotations

from collections.abc import Callable

from licet.core import flow
from licet.core.flow import Flow
from licet.core.usage.rates import Rate


class Charge:
    """What one view, or one piece of work, has used.

    Args:
        limit: the name of the limit.
        amount: how much was counted; 0 for a seat.
        rate: how the limit stood then; None where the license sets none.
        refunding: begins to give the amount back; None where nothing can be.

    Attributes:
        limit: the name of the limit.
        amount: how much was counted; 0 for a seat.
        rate: how the limit stood then; None where the license sets none.
    """

    __slots__ = ("_back", "_on_refund", "amount", "limit", "rate")

    def __init__(
        self,
        limit: str,
        amount: int,
        rate: Rate | None,
        refunding: Callable[[], Flow[None]] | None = None,
    ) -> None:
        self.limit = limit
        self.amount = amount
        self.rate: Rate | None = rate
        # A list, because to pop from one is atomic: two who refund at once give back once.
        self._back = [] if refunding is None else [refunding]
        self._on_refund: tuple[Callable[[], None], ...] = ()

    def refund(self) -> None:
        """Give back what was charged; the second time, and after `keep`, there is nothing to.

        Where the store is down it stays counted. Blocks this thread; in coroutines there is
        `arefund`.
        """
        flow.run(self.refunding())

    async def arefund(self) -> None:
        """Do what `refund` does, also in a task that is being cancelled."""
        # Here, because whoever imports `licet` need not have an event loop.
        import anyio

        with anyio.CancelScope(shield=True):
            await flow.arun(self.refunding())

    def refunding(self) -> Flow[None]:
        """Give back what was charged."""
        try:
            begin = self._back.pop()
        except IndexError:
            return
        self.rate = None
        for act in self._on_refund:
            act()
        yield from begin()

    def on_refund(self, act: Callable[[], None]) -> None:
        """Have `act` called too when it is given back."""
        self._on_refund = (*self._on_refund, act)

    def keep(self) -> None:
        """Let it stay charged whatever comes: what was charged for has been had."""
        self._back.clear()

    def __repr__(self) -> str:
        return f"<Charge {self.amount} {self.limit}>"
