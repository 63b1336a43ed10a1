"""Requests to one limit whose every step a test takes, and what should come of them.

A step asks the store, or hears its answer. In between it may be anybody's turn, the answer may be
lost on its way, the store may never have heard the question, the period may end, and the request
may be cancelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from licet.core.entitlements import Entitlements
from licet.core.errors import LicenseUnavailable, LimitExceeded
from licet.core.flow import Effect
from licet.core.stores import Count, Key, StoreUnavailable
from licet.core.stores.memory import MemoryStore
from licet.core.usage.charge import Charge
from licet.core.usage.consumption import charging

LIMIT, MINUTE = 7, 60.0
#: What becomes of a question: it is answered, its answer is lost, or nobody has heard it.
ANSWERED, LOST, UNHEARD = range(3)


class Asked:
    """A question to the store, which happens when the test says so."""

    def __init__(self, happen: Callable[[], Count]) -> None:
        self.happen = happen

    def run(self) -> Any:
        raise AssertionError

    async def arun(self) -> Any:
        raise AssertionError


class SteppedStore(MemoryStore):
    """A store that is asked step by step."""

    def _increment(self, key: Key, amount: int, limit: int, window: float) -> Effect[Count]:
        return Asked(super()._increment(key, amount, limit, window).run)


class Model:
    """What the limit should say: as much is used of each minute as was charged and not given back.

    Attributes:
        outcomes: how requests have ended.
    """

    def __init__(self) -> None:
        self.used: Counter[float] = Counter()
        self.outcomes: Counter[str] = Counter()

    def charge(self, minute: float, amount: int) -> bool:
        """Count `amount` if there is room; return whether there was."""
        allowed = self.used[minute] + amount <= LIMIT
        self.used[minute] += amount if allowed else 0
        return allowed


class Request:
    """One request to the limit.

    Args:
        held: under which license.
        dice: what happens to it.
        model: what should.
        now: the wall's time.
    """

    def __init__(
        self, held: Entitlements, dice: Random, model: Model, now: Callable[[], float]
    ) -> None:
        self.amount = dice.randint(0, 4)
        self._dice, self._model, self._now = dice, model, now
        self._flow: Any = charging(held, "apiCalls", self.amount)
        self._minute = 0.0
        self._asked: Asked | None = None
        self._charge: Charge | None = None
        self._answer: Count | StoreUnavailable | None = None
        self._allowed = False

    def go(self) -> bool:
        """Take one step; return whether it was the last."""
        if self._dice.random() < 0.05:
            # Cancelled, wherever it is: what the store has heard stays.
            self._flow.close()
            return self._end("cancelled")
        if self._asked is not None:
            self._happen(self._asked)
            self._asked = None
            return False
        if self._answer is None and self._charge is None:
            self._minute = self._now() // MINUTE
        try:
            self._asked = self._resume()
        except LimitExceeded:
            assert not self._allowed
            return self._end("refused")
        except LicenseUnavailable:
            assert isinstance(self._answer, StoreUnavailable)
            return self._end("undecided")
        except StopIteration as stop:
            return self._passed(stop.value)
        return False

    def _resume(self) -> Asked:
        answer, self._answer = self._answer, self._answer
        if isinstance(answer, StoreUnavailable):
            return self._flow.throw(answer)  # type: ignore[no-any-return]
        return self._flow.send(answer)  # type: ignore[no-any-return]

    def _happen(self, asked: Asked) -> None:
        fate = self._dice.choices((ANSWERED, LOST, UNHEARD), (90, 5, 5))[0]
        if fate == UNHEARD:
            self._answer = StoreUnavailable("unreachable")
            return
        count = asked.happen()
        if self._charge is None:
            self._allowed = self._model.charge(self._minute, self.amount)
            assert count.allowed == self._allowed
        else:
            self._model.used[self._minute] -= self.amount
        assert count.used == self._model.used[self._minute] <= LIMIT
        self._answer = StoreUnavailable("timeout") if fate == LOST else count

    def _passed(self, charge: Charge | None) -> bool:
        if self._charge is not None:
            return self._end("given back")
        assert self._allowed
        assert charge is not None
        if self._dice.random() < 0.5:
            return self._end("passed")
        self._charge, self._answer = charge, None
        self._flow = charge.refunding()
        return False

    def _end(self, outcome: str) -> bool:
        self._model.outcomes[outcome] += 1
        return True
