"""The pace: who asks too fast waits, a little longer each time."""

from __future__ import annotations

import pytest

from licet.server.access.pace import MOST_NAMES, Pace, TooFastError
from tests.core.hands import Hands


@pytest.fixture
def hands() -> Hands:
    return Hands()


def test_a_seconds_worth_waits_for_nothing_and_each_one_more_a_little_longer(hands: Hands) -> None:
    """Of 12 at once at 10 a second, 10 wait for nothing, the 11th for 0.1 s, the 12th for 0.2 s."""
    pace = Pace(10, clock=hands.clock)
    delays = [pace.delay("a") for _ in range(12)]
    assert delays[:10] == [0.0] * 10
    assert delays[10:] == [pytest.approx(0.1), pytest.approx(0.2)]


def test_who_would_wait_longer_than_five_seconds_is_told_when_to_come_back(hands: Hands) -> None:
    """Nobody waits for more than 5 s; who is refused does not count, so that waiting helps."""
    pace = Pace(10, clock=hands.clock)
    delays = [pace.delay("a") for _ in range(60)]
    assert max(delays) == pytest.approx(5.0)
    for _ in range(1000):
        with pytest.raises(TooFastError) as refused:
            pace.delay("a")
    assert refused.value.retry_after == 6
    hands.advance(6)
    assert pace.delay("a") == 0.0


@pytest.mark.parametrize("rate", [1, 3, 200, 10**9])
def test_who_keeps_the_pace_never_waits(hands: Hands, rate: int) -> None:
    """At exactly the rate, for however long, nobody waits."""
    pace = Pace(rate, clock=hands.clock)
    for _ in range(500):
        assert pace.delay("a") == pytest.approx(0.0, abs=1e-6)
        hands.advance(1 / rate)


def test_nobody_waits_for_others(hands: Hands) -> None:
    """One name's haste is not another's."""
    pace = Pace(1, clock=hands.clock)
    for _ in range(5):
        pace.delay("a")
    assert pace.delay("b") == 0.0


def test_names_without_end_take_no_memory_without_end(hands: Hands) -> None:
    """The names that have rested longest are forgotten; who is in haste is not."""
    pace = Pace(10, clock=hands.clock)
    for number in range(MOST_NAMES + 500):
        pace.delay(str(number))
        if number % 200 == 0:
            late = pace.delay("hasty")
    assert len(pace._due) == MOST_NAMES
    assert late > 4
