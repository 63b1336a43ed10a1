"""Where use is counted: in the store, or here while the store is silent, if that is wanted.

Nothing here passes what was not counted: a store that gives no answer makes a charge undecided,
and so does a process that has no room left to count in.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TypeAlias

from licet.core.clock import Clock
from licet.core.errors import LicenseUnavailable
from licet.core.events.log import FailureLog
from licet.core.flow import Effect, Flow
from licet.core.stores import Count, Store, StoreUnavailable
from licet.core.stores.effects import Immediate
from licet.core.stores.memory import MemoryStore

#: Counters and seats that are kept while the store is silent; and seconds for which it is then
#: let alone, so that not each request waits for it.
ROOM, REST = 10_000, 1.0

#: What is asked of whichever store counts.
Question: TypeAlias = Callable[[Store], Effect[Count]]


class Counting:
    """Asks the store, or what stands in for it.

    Args:
        store: what all processes count in.
        clock: both clocks.
        locally: whether this process counts by itself while the store is silent.
    """

    def __init__(self, store: Store, clock: Clock, *, locally: bool = False) -> None:
        self._store = store
        self._local = MemoryStore(clock, ROOM) if locally else None
        self._monotonic = clock.monotonic
        self._ask_at = -inf
        self._lost = FailureLog(clock, "this process counts by itself meanwhile")
        self._kept = FailureLog(clock, "what was charged stays charged")

    def ask(self, question: Question) -> Flow[tuple[Count, Store]]:
        """Return the answer, and who gave it.

        Raises:
            LicenseUnavailable: nobody did.
        """
        local, store = self._local, self._store
        if local is not None and self._monotonic() < self._ask_at:
            store = local
        try:
            effect = question(store)
            if isinstance(effect, Immediate):
                # Here, so that a charge which waits for nothing costs no waiting.
                return effect.run(), store
            return (yield effect), store
        except StoreUnavailable as error:
            if local is None or store is local:
                raise LicenseUnavailable(f"store:{error.reason}") from None
            self._lost(error)
            self._ask_at = self._monotonic() + REST
        return (yield from self.ask(question))

    def give_back(self, question: Question, store: Store) -> Flow[None]:
        """Have the store that has counted take it back; where it is silent, it stays charged."""
        try:
            yield question(store)
        except StoreUnavailable as error:
            self._kept(error)
