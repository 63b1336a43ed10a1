"""Whatever order several processes speak in, and whichever boards fail: the last no stands."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from licet.core.flow import Effect, Flow
from licet.core.revocation.statements import Subject, Withdrawal
from licet.core.revocation.sticky import Withdrawals
from licet.core.stores import Key, StoreUnavailable
from licet.core.stores.interface import News
from licet.core.stores.memory import MemoryStore
from tests.core.hands import Hands
from tests.licenses import ISSUER_NAME

LICENSE = Subject("license", ISSUER_NAME, "lic_1")
CREDENTIAL = Subject("credential", ISSUER_NAME, "00")


class Shaky:
    """A board of which some requests, and some answers, are lost."""

    def __init__(self, inner: MemoryStore, chance: Random, rate: float) -> None:
        self.inner, self.chance, self.rate = inner, chance, rate

    def get(self, name: Key) -> Effect[bytes | None]:
        return Lossy(self, self.inner.get(name))

    def put(self, name: Key, value: bytes, ttl: float) -> Effect[None]:
        return Lossy(self, self.inner.put(name, value, ttl))

    def announce(self, name: Key, value: bytes, ttl: float) -> Effect[int]:
        return Lossy(self, self.inner.announce(name, value, ttl))

    def announced(self, after: int) -> Effect[News]:
        return Lossy(self, self.inner.announced(after))


class Lossy:
    """An effect of the board behind."""

    def __init__(self, board: Shaky, effect: Effect[Any]) -> None:
        self.board, self.effect = board, effect

    def run(self) -> Any:
        self._lose()
        result = self.effect.run()
        self._lose()
        return result

    async def arun(self) -> Any:
        return self.run()

    def _lose(self) -> None:
        if self.board.chance.random() < self.board.rate:
            raise StoreUnavailable("unreachable")


class Process(Withdrawals):
    """What one process knows; its watch looks when a test says so."""

    def follow(self) -> bool:
        return True


def step(under_way: list[Any]) -> bool:
    """Take one step of a flow; return whether there are more."""
    flow, effect = under_way
    try:
        if effect is None:
            under_way[1] = next(flow)
            return True
        try:
            result = effect.run()
        except StoreUnavailable as error:
            under_way[1] = flow.throw(error)
        else:
            under_way[1] = flow.send(result)
    except (StopIteration, StoreUnavailable):
        return False
    return True


@pytest.mark.row("I06")
@pytest.mark.parametrize("rate", [0.0, 0.2], ids=["sound", "shaky"])
@pytest.mark.parametrize("count", [1, 2], ids=["one board", "two boards"])
def test_the_last_no_stands_whatever_the_order(count: int, rate: float) -> None:
    """In each process and in one that begins afterwards, once the boards answer again."""
    for seed in range(150):
        chance, hands = Random(seed), Hands()
        stores = [MemoryStore(hands.clock) for _ in range(count)]
        shaky = [[Shaky(store, chance, rate) for store in stores] for _ in range(3)]
        processes = [Process(boards, hands.clock) for boards in shaky]
        last = chance.randint(2, 6)
        words = [chance.choice(["revoked", "suspended", "valid"]) for _ in range(last - 1)]
        said = list(enumerate([*words, "revoked"], start=1))
        chance.shuffle(said)
        under_way: list[Any] = []
        while said or under_way:
            turn = chance.random()
            if said and (turn < 0.3 or not under_way):
                under_way.append([_spoken(chance, processes, *said.pop()), None])
            elif turn < 0.85:
                one = chance.choice(under_way)
                if not step(one):
                    under_way.remove(one)
            else:
                chance.choice(processes)._watch.look()
        for board in (board for boards in shaky for board in boards):
            board.rate = 0.0
        for _ in range(3):
            for process in processes:
                process._watch.look()
        fresh = Process(stores, hands.clock)
        fresh._watch.look()
        for process in (*processes, fresh):
            assert process.withdrawn(LICENSE) == Withdrawal("revoked", float(last)), seed


def _spoken(chance: Random, processes: list[Process], at: int, word: Any) -> Flow[Any]:
    subjects = chance.choice([(LICENSE,), (LICENSE, CREDENTIAL), (CREDENTIAL, LICENSE)])
    process = chance.choice(processes)
    if word == "valid":
        return process.lift(float(at), *subjects)
    return process.record(Withdrawal(word, float(at)), *subjects)
