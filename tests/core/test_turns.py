"""Turns: who asks, and who waits for that."""

from __future__ import annotations

from licet.core.online.memory import Case, Memory
from licet.core.online.turns import LOST_AFTER, Turns
from tests.core.hands import Hands

CASE = Case(b"d" * 32, "customer.example")


def test_a_turn_that_was_given_up_ends_no_other() -> None:
    """Who comes back after all wakes those who waited for it, and the next one's goes on."""
    hands = Hands()
    turns = Turns(Memory(hands.clock), hands.clock)
    lost, mine = turns.take(CASE, hands.monotonic + 5)
    assert mine
    hands.advance(5 + LOST_AFTER)
    taken, mine = turns.take(CASE, hands.monotonic + 5)
    assert mine
    turns.end(CASE, lost)
    assert lost.over.is_set
    assert not taken.over.is_set
    assert turns.take(CASE, hands.monotonic + 5) == (taken, False)
    turns.end(CASE, taken)
    assert taken.over.is_set
    assert turns.under_way == []
