"""Whose turn it is to be told something."""

from __future__ import annotations

from math import inf

import pytest

from licet.server.webhooks import lanes as module
from licet.server.webhooks.lanes import HASTENED_FOR, Lane, Lanes, Line
from tests.core.hands import Hands

DAY = 86_400.0


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def lanes(hands: Hands) -> Lanes:
    return Lanes(hands.clock, DAY)


def fill(lanes: Lanes, hands: Hands, receiver: str, number: int, after: float = 0.0) -> None:
    """Add so many lanes of a receiver, due after so many seconds."""
    for one in range(number):
        lanes.wait(Lane(receiver, f"lic_{one}"), one, hands.wall + after)


def begun(lanes: Lanes) -> dict[str, int]:
    """Begin what may be begun; return how many for each receiver, in order."""
    found: dict[str, int] = {}
    for lane, _ in lanes.turns():
        found[lane.receiver] = found.get(lane.receiver, 0) + 1
    return found


def one_by_one(lanes: Lanes) -> list[str]:
    return [lane.receiver for lane, _ in lanes.turns()]


def silent(lanes: Lanes, hands: Hands, receiver: str) -> Line:
    """Have a receiver not answer; return its line."""
    lane = Lane(receiver, "first")
    lanes.wait(lane, 0, hands.wall)
    ((_, line),) = lanes.turns()
    line.sending -= 1
    lanes.failed(line, silent=True, wish=0.0)
    lanes.leave(lane)
    return line


def test_receivers_take_turns(lanes: Lanes, hands: Hands) -> None:
    """So many at each at most, and nobody has a second before all others have a first."""
    for receiver in "ab":
        fill(lanes, hands, receiver, 6)
    assert one_by_one(lanes) == ["a", "b"] * module.AT_RECEIVER
    assert one_by_one(lanes) == []
    assert lanes.sending == 2 * module.AT_RECEIVER


def test_so_many_are_under_way_at_once(lanes: Lanes, hands: Hands) -> None:
    """However many receivers there are."""
    for number in range(module.AT_ALL + 1):
        fill(lanes, hands, f"wh_{number}", 1)
    assert len(one_by_one(lanes)) == module.AT_ALL
    assert lanes.pause() == inf


def test_who_does_not_answer_is_asked_by_one_at_a_time(lanes: Lanes, hands: Hands) -> None:
    """And by as many as everybody else once it does."""
    line = silent(lanes, hands, "a")
    fill(lanes, hands, "a", 9)
    assert begun(lanes) == {"a": module.AT_SILENT}
    assert begun(lanes) == {}
    lanes.answered(line, "a")
    assert begun(lanes) == {"a": module.AT_RECEIVER - module.AT_SILENT}


def test_those_who_do_not_answer_leave_places_to_the_others(lanes: Lanes, hands: Hands) -> None:
    """Who answers finds a place however many do not."""
    for number in range(module.AT_ALL):
        silent(lanes, hands, f"wh_{number}")
    for number in range(module.AT_ALL):
        fill(lanes, hands, f"wh_{number}", 1)
    assert len(begun(lanes)) == module.AT_ALL_SILENT
    for number in range(2):
        fill(lanes, hands, f"other_{number}", 9)
    assert sum(begun(lanes).values()) == module.AT_ALL - module.AT_ALL_SILENT


def test_what_waits_for_who_is_back_is_tried_early(lanes: Lanes, hands: Hands) -> None:
    """For nobody else, not for who was there all the time, and every five minutes at most."""
    line = silent(lanes, hands, "a")
    for receiver in "ab":
        fill(lanes, hands, receiver, 1, after=DAY)
    lanes.answered(Line(), "b")
    assert begun(lanes) == {}
    lanes.answered(line, "a")
    assert begun(lanes) == {"a": 1}
    fill(lanes, hands, "a", 1, after=DAY)
    for passed, expected in ((HASTENED_FOR - 1, {}), (1, {"a": 1})):
        hands.advance(passed)
        lanes.failed(line, silent=True, wish=0.0)
        lanes.answered(line, "a")
        line.sending = 0
        assert begun(lanes) == expected


def test_a_wish_closes_a_receiver_for_as_long(lanes: Lanes, hands: Hands) -> None:
    """Of those that are due none begins, and one wakes when it opens again."""
    fill(lanes, hands, "a", 1)
    ((lane, line),) = lanes.turns()
    line.sending -= 1
    lanes.failed(line, silent=False, wish=30.0)
    lanes.wait(lane, 1, hands.wall + 5)
    assert lanes.pause() == pytest.approx(5)
    hands.advance(5)
    assert begun(lanes) == {}
    assert lanes.pause() == pytest.approx(25)
    hands.advance(25)
    assert begun(lanes) == {"a": 1}


@pytest.mark.parametrize(("set_by", "wait"), [(-365 * DAY, DAY), (365 * DAY, 0.0), (-10.0, 20.0)])
def test_a_wall_clock_that_was_set_delays_for_a_day_at_most(
    lanes: Lanes, hands: Hands, set_by: float, wait: float
) -> None:
    """What was due by the old time, written before a restart, waits no longer than any pause."""
    due_at = hands.wall + 10.0
    hands.wall += set_by
    lanes.wait(Lane("a", "lic_1"), 1, due_at)
    assert begun(lanes) == ({"a": 1} if wait == 0 else {})
    assert lanes.pause() == (inf if wait == 0 else pytest.approx(wait))


def test_a_lane_is_known_until_it_is_left(lanes: Lanes, hands: Hands) -> None:
    """While it waits, while it is ready, and while it is under way."""
    lane = Lane("a", "lic_0")
    fill(lanes, hands, "a", 1)
    assert lane in lanes
    assert begun(lanes) == {"a": 1}
    assert lane in lanes
    lanes.leave(lane)
    assert lane not in lanes
    assert len(lanes) == 0
