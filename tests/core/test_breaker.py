"""The circuit breaker: when a failing license server is asked again, and by how many."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.core.online.breaker import PROBE_LIMIT, Breaker


def opened(at: float = 0.0) -> Breaker:
    """Return a breaker that five failures opened at that time."""
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(at, begun=at)
    assert breaker.open
    return breaker


def test_it_begins_closed() -> None:
    """Everybody may ask, as often as they like."""
    breaker = Breaker()
    assert not breaker.open
    assert all(breaker.permits(0.0) for _ in range(100))


def test_five_failures_in_ten_seconds_open_it_for_thirty() -> None:
    """The fifth does, and no earlier one; the last second of the pause still counts."""
    breaker = Breaker()
    for second in (0.0, 2.5, 5.0, 7.5):
        breaker.failed(second)
        assert not breaker.open
        assert breaker.permits(second)
    breaker.failed(10.0)
    assert breaker.open
    assert not breaker.permits(10.0)
    assert not breaker.permits(39.999)
    assert breaker.permits(40.0)


def test_failures_older_than_ten_seconds_do_not_count() -> None:
    """Five in a little more than ten seconds are none too many, for ever so long."""
    breaker = Breaker()
    for number in range(100):
        breaker.failed(number * 2.5001)
    assert not breaker.open


def test_a_success_in_between_forgives_no_failure() -> None:
    """A server that fails half the time fails: failures count by their time."""
    breaker = Breaker()
    for _ in range(5):
        breaker.succeeded()
        breaker.failed(1.0)
    assert breaker.open


def test_when_the_pause_is_over_one_may_ask() -> None:
    """A single caller is the probe; all others wait for it."""
    breaker = opened()
    assert [breaker.permits(30.0) for _ in range(5)] == [True, False, False, False, False]
    assert breaker.open


def test_a_probe_that_is_answered_closes_it() -> None:
    """Everybody may ask again, and five new failures are needed to open it."""
    breaker = opened()
    assert breaker.permits(30.0)
    breaker.succeeded(begun=30.0)
    assert not breaker.open
    assert all(breaker.permits(30.1) for _ in range(5))
    for _ in range(4):
        breaker.failed(30.2, begun=30.1)
    assert not breaker.open
    breaker.failed(30.2, begun=30.1)
    assert breaker.open


def test_the_pause_is_doubled_up_to_ten_minutes_while_the_probe_fails() -> None:
    """30, 60, 120, 240, 480, 600, 600; and 30 again after a success."""
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(7):
        pauses.append(breaker.retry_after(now))
        now += pauses[-1]
        assert not breaker.permits(now - 0.001)
        assert breaker.permits(now)
        breaker.failed(now, begun=now)
    assert pauses == [30, 60, 120, 240, 480, 600, 600]
    now += 600
    assert breaker.permits(now)
    breaker.succeeded(begun=now)
    for _ in range(5):
        breaker.failed(now, begun=now)
    assert breaker.retry_after(now) == 30


@pytest.mark.parametrize("late", [1, 30, 100])
def test_questions_that_began_before_do_not_lengthen_the_pause(late: int) -> None:
    """Thirty-two were under way when the fifth failed: the others fail too, in the pause."""
    breaker = opened(9.0)
    for number in range(late):
        breaker.failed(9.0 + number / 10, begun=8.0)
    assert breaker.retry_after(9.0) == 30
    assert breaker.permits(39.0)
    for number in range(late):
        breaker.failed(39.0 + number / 10, begun=8.0)
    assert not breaker.permits(39.5), "the probe is still out"
    breaker.failed(40.0, begun=39.0)
    assert breaker.retry_after(40.0) == 60


def test_questions_that_began_before_do_not_close_it() -> None:
    """An answer of long ago says nothing of a server that has failed since."""
    breaker = opened(9.0)
    breaker.succeeded(begun=8.0)
    assert breaker.open
    assert breaker.permits(39.0)
    breaker.succeeded(begun=8.0)
    assert breaker.open
    assert not breaker.permits(39.0)
    breaker.succeeded(begun=39.0)
    assert not breaker.open


def test_questions_that_began_before_do_not_count_after_it_was_closed_either() -> None:
    """A later probe was answered: what began before it says nothing new."""
    breaker = opened(9.0)
    assert breaker.permits(39.0)
    breaker.succeeded(begun=39.0)
    for _ in range(20):
        breaker.failed(39.5, begun=8.0)
    assert not breaker.open


def test_who_does_not_say_when_it_began_is_late_unless_the_probe_is_out() -> None:
    """Without the time, the pause itself tells the two apart."""
    breaker = opened()
    breaker.failed(1.0)
    breaker.succeeded()
    assert breaker.retry_after(1.0) == 29
    assert breaker.permits(30.0)
    breaker.failed(30.0)
    assert breaker.retry_after(30.0) == 60
    assert breaker.permits(90.0)
    breaker.succeeded()
    assert not breaker.open


def test_a_probe_whose_asker_went_away_is_followed_by_the_next() -> None:
    """A cancellation says nothing of the server: the pause is neither doubled nor begun anew."""
    breaker = opened()
    for now in (30.0, 31.0, 32.0):
        assert breaker.permits(now)
        breaker.abandoned(begun=now)
        assert breaker.open
    assert breaker.permits(33.0)
    breaker.failed(33.0, begun=33.0)
    assert breaker.retry_after(33.0) == 60


def test_who_went_away_but_was_no_probe_leaves_the_probe_alone() -> None:
    """There is one probe at a time, whoever else is cancelled."""
    breaker = opened(9.0)
    breaker.abandoned(begun=8.0)
    assert breaker.permits(39.0)
    breaker.abandoned(begun=8.0)
    assert not breaker.permits(39.0)
    closed = Breaker()
    closed.abandoned(begun=0.0)
    assert closed.permits(0.0)


def test_a_probe_that_never_reports_is_given_up_after_a_minute() -> None:
    """Another is permitted, and what the first still says is late."""
    breaker = opened()
    assert PROBE_LIMIT == 60
    assert breaker.permits(30.0)
    assert not breaker.permits(89.999)
    assert [breaker.permits(90.0), breaker.permits(90.0)] == [True, False]
    breaker.succeeded(begun=30.0)
    breaker.failed(90.0, begun=30.0)
    breaker.abandoned(begun=30.0)
    assert breaker.open
    assert not breaker.permits(90.0)
    breaker.succeeded(begun=90.0)
    assert not breaker.open


def test_a_probe_that_nobody_followed_may_still_report_after_a_minute() -> None:
    """It is given up for another, not for nothing."""
    breaker = opened()
    assert breaker.permits(30.0)
    breaker.succeeded(begun=30.0)
    assert not breaker.open


def test_a_server_that_says_when_to_come_back_is_left_alone_until_then() -> None:
    """One such failure suffices; it takes the place of a pause, and is not what gets doubled."""
    breaker = Breaker()
    breaker.failed(0.0, 7.0, begun=0.0)
    assert breaker.open
    assert breaker.retry_after(0.0) == 7
    assert not breaker.permits(6.999)
    assert breaker.permits(7.0)
    breaker.failed(7.0, 3600.0, begun=7.0)
    assert breaker.retry_after(7.0) == 3600
    assert breaker.permits(3607.0)
    breaker.failed(3607.0, begun=3607.0)
    assert breaker.retry_after(3607.0) == 30
    assert breaker.permits(3637.0)
    breaker.failed(3637.0, 5.0, begun=3637.0)
    assert breaker.permits(3642.0)
    breaker.failed(3642.0, begun=3642.0)
    assert breaker.retry_after(3642.0) == 60


def test_failures_from_before_it_opened_do_not_count_after_it_was_closed() -> None:
    """Four, a short pause that the server asked for, an answer: the next failure is the first."""
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0.0, begun=0.0)
    breaker.failed(0.0, 1.0, begun=0.0)
    assert breaker.permits(1.0)
    breaker.succeeded(begun=1.0)
    for _ in range(4):
        breaker.failed(2.0, begun=2.0)
        assert not breaker.open
    breaker.failed(2.0, begun=2.0)
    assert breaker.open


def test_the_words_of_the_server_count_whoever_brings_them_but_shorten_nothing() -> None:
    """A late report's `Retry-After` was said just now; a shorter one than the pause is no leave."""
    breaker = opened()
    breaker.failed(1.0, 5.0, begun=0.0)
    assert breaker.retry_after(1.0) == 29
    breaker.failed(1.0, 100.0, begun=0.0)
    assert breaker.retry_after(1.0) == 100
    assert breaker.permits(101.0)
    breaker.failed(101.0, 100.0, begun=0.0)
    assert not breaker.permits(101.0), "the probe is out, and the server wants to be left alone"
    breaker.abandoned(begun=101.0)
    assert not breaker.permits(200.999)
    assert breaker.permits(201.0)


def test_what_to_tell_a_customer_is_never_less_than_a_second() -> None:
    """The rest of the pause; a second where it is closed, or an answer may come any moment."""
    breaker = Breaker()
    assert breaker.retry_after(0.0) == 1
    breaker = opened()
    assert [breaker.retry_after(now) for now in (0.0, 12.5, 29.0, 29.5, 30.0, 99.0)] == [
        30,
        17.5,
        1,
        1,
        1,
        1,
    ]
    assert breaker.permits(30.0)
    assert breaker.retry_after(30.0) == 1


_steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "fail", "told", "succeed", "abandon"]),
        st.floats(0, 40, allow_nan=False),
        st.integers(0, 3600),
    ),
    max_size=120,
)


@given(_steps)
@settings(max_examples=300, deadline=None)
def test_whatever_happens_one_probe_is_out_and_none_is_waited_for_for_ever(
    steps: list[tuple[str, float, int]],
) -> None:
    """Open, it permits none beside a probe of the last minute; after an hour it permits one."""
    breaker, now = Breaker(), 0.0
    #: Questions under way: when each began, and whether it was a probe.
    asked: list[tuple[float, bool]] = []
    for step, passes, draw in steps:
        now += passes
        if step == "ask":
            was_open, out = breaker.open, [b for b, probe in asked if probe and now - b < 60]
            if breaker.permits(now):
                assert not (was_open and out)
                asked.append((now, was_open))
        elif asked:
            begun, _ = asked.pop(draw % len(asked))
            match step:
                case "fail":
                    breaker.failed(now, begun=begun)
                case "told":
                    breaker.failed(now, max(1.0, draw), begun=begun)
                case "succeed":
                    breaker.succeeded(begun=begun)
                case _:
                    breaker.abandoned(begun=begun)
        assert 1.0 <= breaker.retry_after(now) <= 3600.0
    assert breaker.permits(now + 3600.0)
