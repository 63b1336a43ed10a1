"""Licenses that are counted, by a clock that a test moves."""

from __future__ import annotations

from typing import Any

from licet.core.clock import Clock
from licet.core.entitlements import Entitlements
from licet.core.events.bus import EventBus
from licet.core.events.event import Event
from licet.core.revocation.standing import Standing
from licet.core.stores import Store
from licet.core.stores.memory import MemoryStore
from licet.core.usage.counting import Counting
from licet.core.usage.ledger import Ledger
from tests.core.hands import Hands
from tests.core.test_entitlements import view


class Counted:
    """One ledger, and licenses that are counted in it.

    Args:
        hands: time.
        store: where is counted; in memory by default.
        locally: whether this process goes on by itself while the store is silent.
        options: of the ledger.
    """

    def __init__(
        self,
        hands: Hands,
        store: Store | None = None,
        *,
        locally: bool = False,
        clock: Clock | None = None,
        **options: Any,
    ) -> None:
        self.hands = hands
        self.store = store or MemoryStore(hands.clock)
        self.events: list[Event] = []
        clock = clock or hands.clock
        bus = EventBus(self.events.append)
        counting = Counting(self.store, clock, locally=locally)
        self.ledger = Ledger(counting, clock, bus, **options)
        self._standing = Standing(clock, bus, lambda digest: None, usage=self.ledger)

    def license(self, limits: dict[str, Any], **claims: Any) -> Entitlements:
        """Return what a request with a license may do."""
        entitlements = view(self.hands, limits=limits, **claims)
        entitlements._grant.standing = self._standing
        entitlements._grant.revision = self._standing.revision
        return entitlements
