"""The state machine, row by row of keys.md, section 2, and its numbers, section 3."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.core.documents.schedule import (
    Decision,
    Instant,
    Join,
    Need,
    Schedule,
    State,
    Unavailable,
    UnknownKey,
    Use,
    UseAndRefresh,
)

MAX_AGE, MAX_STALE, COOLDOWN = 600.0, 86_400.0, 30.0
PRESENT, MISSING, ABSENT = Need.PRESENT, Need.MISSING, Need.ABSENT


def at(seconds: float, suspended: float = 0.0) -> Instant:
    return Instant(seconds, 1_800_000_000 + seconds + suspended)


def schedule(random: float = 0.0, **options: float) -> Schedule:
    numbers = {"max_age": MAX_AGE, "max_stale": MAX_STALE, "cooldown": COOLDOWN} | options
    return Schedule(**numbers, random=lambda: random)


def loaded(**options: float) -> Schedule:
    """Return a schedule whose document was fetched at 0: due at 480, expired at 600."""
    made = schedule(**options)
    made.on_result(at(0), None)
    return made


#: A moment in the life of a document fetched at 0, by the state it is then in.
MOMENTS = {
    State.FRESH: 479.9,
    State.DUE: 480.0,
    State.STALE: 600.0,
    State.DEAD: 600 + 86_400,
}


@pytest.mark.parametrize(("state", "moment"), MOMENTS.items())
def test_states_begin_at_their_moments(state: State, moment: float) -> None:
    """Each state begins exactly where the one before it ends."""
    assert loaded().state(at(moment)) is state
    assert schedule().state(at(moment)) is State.EMPTY


U, R, J, K = Use(), UseAndRefresh(), Join(), UnknownKey()


@pytest.mark.parametrize(
    ("state", "present", "missing", "absent"),
    [
        (State.FRESH, U, J, K),
        (State.DUE, R, J, K),
        (State.STALE, R, J, K),
        (State.DEAD, J, J, J),
    ],
)
def test_what_each_state_decides(
    state: State, present: Decision, missing: Decision, absent: Decision
) -> None:
    """With budget left and the latest attempt a success, the table of keys.md holds."""
    decide = loaded().decide
    now = at(MOMENTS[state])
    assert (decide(now, PRESENT), decide(now, MISSING), decide(now, ABSENT)) == (
        present,
        missing,
        absent,
    )


@pytest.mark.parametrize("need", Need)
def test_without_a_copy_everybody_waits(need: Need) -> None:
    """EMPTY starts or joins a flight, whatever is asked for."""
    assert schedule().decide(at(0), need) == Join()


@pytest.mark.parametrize("state", [State.FRESH, State.DUE, State.STALE])
def test_back_off_serves_what_is_there_and_cannot_tell_the_rest(state: State) -> None:
    """After a failure the copy is used and left alone; what it lacks is undecided."""
    made, moment = loaded(random=0.9999), MOMENTS[state]
    # 0.9999 draws nearly 95 % of the lifetime, so the moments are not those of 80 %.
    made.due_at = 480.0
    made.on_error(at(moment))
    now = at(moment + 0.5)
    assert made.decide(now, PRESENT) == Use()
    for need in (MISSING, ABSENT):
        decision = made.decide(now, need)
        assert isinstance(decision, Unavailable)
        assert decision.retry_after == 1.0


@pytest.mark.parametrize("state", [State.EMPTY, State.DEAD])
@pytest.mark.parametrize("need", Need)
def test_back_off_without_a_usable_copy_is_unavailable(state: State, need: Need) -> None:
    """Nothing to serve and nothing to be fetched yet: 503 with the time to the next attempt."""
    made = schedule() if state is State.EMPTY else loaded()
    moment = MOMENTS.get(state, 0.0)
    made.on_error(at(moment), retry_after=40.0)
    assert made.decide(at(moment + 10), need) == Unavailable(30.0)
    assert made.decide(at(moment + 40), need) == Join()


def test_a_spent_budget_is_a_no_after_a_success() -> None:
    """Two at once, one more per cooldown; beyond that the set at hand decides."""
    made = loaded()
    for _ in range(2):
        assert made.decide(at(1), MISSING) == Join()
        made.on_attempt(at(1))
    assert made.decide(at(1), MISSING) == UnknownKey()
    assert made.decide(at(30.9), MISSING) == UnknownKey()
    assert made.decide(at(31), MISSING) == Join()


def test_a_spent_budget_is_undecided_after_a_failure() -> None:
    """503 with the time to the next attempt, because nobody knows."""
    made = loaded()
    made.on_attempt(at(1))
    made.on_attempt(at(1))
    made.on_error(at(1))
    for need in (MISSING, ABSENT):
        decision = made.decide(at(11), need)
        assert isinstance(decision, Unavailable)
        assert decision.retry_after == pytest.approx(20.0)
        assert made.decide(at(30.5), need) == Unavailable(1.0), "never less than a second"


def test_a_copy_never_confirmed_cannot_deny() -> None:
    """What came with the installation may be old: a key it lacks is undecided, not unknown."""
    made = schedule()
    made.on_floor(at(0))
    made.on_attempt(at(0))
    made.on_attempt(at(0))
    assert isinstance(made.decide(at(0), MISSING), Unavailable)


def test_the_budget_never_exceeds_its_burst() -> None:
    """A quiet week earns no more than two attempts."""
    made = loaded()
    made.on_attempt(at(1))
    made.on_attempt(at(1))
    made.on_attempt(at(604_800))
    made.on_attempt(at(604_800))
    made.on_result(at(604_800), None)
    assert made.decide(at(604_800), MISSING) == UnknownKey()


def test_a_cooldown_of_zero_never_runs_out() -> None:
    """Whoever sets it to 0 wants every unknown key looked for; a second is not 0."""
    made, short = loaded(cooldown=0.0), loaded(cooldown=1.0)
    for _ in range(10):
        made.on_attempt(at(1))
        short.on_attempt(at(1))
    assert made.decide(at(1), MISSING) == Join()
    assert short.decide(at(1), MISSING) == UnknownKey()


def test_a_document_may_be_good_for_less_than_a_minute() -> None:
    """The floor of lifetimes is 60 seconds, but for those that say otherwise."""
    made = schedule(min_age=1.0)
    for asked, lifetime in ((0.0, 1.0), (1.0, 1.0), (5.0, 5.0), (None, MAX_AGE)):
        made.on_result(at(0), asked)
        assert made.lifetime == lifetime
    usual = schedule()
    usual.on_result(at(0), 5.0)
    assert usual.lifetime == 60.0


def test_a_copy_may_have_an_end_of_its_own() -> None:
    """From then on it is DEAD by either clock, whatever its lifetime and its patience."""
    made = schedule()
    made.on_result(at(0), None, ends=at(700).wall)
    for moment, state in {
        479.9: State.FRESH,
        480.0: State.DUE,
        600.0: State.STALE,
        699.9: State.STALE,
        700.0: State.DEAD,
    }.items():
        assert made.state(at(moment)) is state
    assert made.state(at(1, suspended=698.9)) is State.FRESH
    assert made.state(at(1, suspended=699)) is State.DEAD
    assert made.changes_at(at(650)) == 700.0


def test_an_end_within_the_lifetime_cuts_it() -> None:
    """Whoever waits for the copy to get worse looks in time; the next copy has no such end."""
    made = schedule()
    made.on_result(at(0), None, ends=at(500).wall)
    assert made.changes_at(at(0)) == 480.0
    assert made.changes_at(at(490)) == 500.0
    made.on_result(at(0), None, ends=at(100).wall)
    assert made.changes_at(at(0)) == 100.0
    made.on_result(at(0), None)
    assert made.stale_until == 600 + MAX_STALE


def test_a_hint_makes_the_copy_at_hand_due() -> None:
    """It serves as before, and a newer one is fetched; the next result is as good as any."""
    made = loaded()
    made.on_hint(at(10))
    assert made.state(at(10)) is State.DUE
    assert made.decide(at(10), PRESENT) == UseAndRefresh()
    made.on_result(at(11), None)
    assert made.due_at == 11 + 480
    made.on_hint(at(700))
    assert made.due_at == 11 + 480, "it was due before"


@pytest.mark.parametrize("flying", [False, True])
def test_what_is_owed_is_looked_at_in_time(flying: bool) -> None:
    """A flight has five seconds to begin; a failure is given its back-off; else it is now."""
    made = loaded()
    assert made.owed_at(at(0), flying) == 480.0
    assert made.owed_at(at(480), flying) == (485.0 if flying else 480.0)
    assert made.owed_at(at(598), flying) == (600.0 if flying else 598.0)
    made.on_error(at(480))
    assert made.owed_at(at(480), flying) == (485.0 if flying else 480.5)
    assert schedule().owed_at(at(0), flying) == -inf


def test_a_floor_starts_due() -> None:
    """The bundled set serves at once, and a newer one is fetched at once."""
    made = schedule()
    made.on_floor(at(0))
    assert made.state(at(0)) is State.DUE
    assert made.decide(at(0), PRESENT) == UseAndRefresh()
    made.redraw()
    assert made.state(at(0)) is State.DUE


@pytest.mark.parametrize("age", [0.0, 1.0, 599.0, 600.0, 5_000.0, 86_999.0])
def test_a_kept_copy_starts_due_and_as_old_as_it_is(age: float) -> None:
    """It serves while it is looked for anew, a lifetime long at most, and never past its end."""
    schedule = Schedule(600, 86_400, 30, lambda: 0.5)
    now = Instant(50.0, 1_000_000.0)
    schedule.on_kept(now, now.wall - age, 9_999)
    left = 87_000 - age
    for _ in range(2):
        assert schedule.state(now) is State.DUE
        assert schedule.changes_at(now) == 50 + min(600, left)
        assert schedule.stale_until_wall == now.wall + left
        assert schedule.state(Instant(50 + left - 0.01, now.wall)) is not State.DEAD
        assert schedule.state(Instant(50 + left, now.wall)) is State.DEAD
        assert schedule.state(Instant(50, now.wall + left)) is State.DEAD
        schedule.redraw()
    assert schedule.confirmed == Instant(50 - age, now.wall - age)


@pytest.mark.parametrize(("confirmed", "lifetime"), [(0.0, 600), (900_000.0, 600)])
def test_a_kept_copy_may_be_dead(confirmed: float, lifetime: float) -> None:
    """One that is past its end when it is found serves nobody."""
    schedule = Schedule(600, 86_400, 30, lambda: 0.5)
    schedule.on_kept(Instant(50.0, 1_000_000.0), confirmed, lifetime)
    assert schedule.state(Instant(50.0, 1_000_000.0)) is State.DEAD
    assert schedule.decide(Instant(50.0, 1_000_000.0), Need.PRESENT) == Join()


def test_a_kept_copy_from_the_future_is_from_now() -> None:
    """A clock set back makes no copy younger than this moment."""
    schedule = Schedule(600, 86_400, 30, lambda: 0.5)
    schedule.on_kept(Instant(50.0, 1_000_000.0), 1_000_200.0, 100)
    assert schedule.confirmed == Instant(50.0, 1_000_000.0)
    assert schedule.stale_until_wall == 1_086_500.0


def test_a_fixed_copy_does_not_age() -> None:
    """Without a remote there is no staleness, and nothing to be fetched for anybody."""
    made = schedule()
    made.on_fixed(at(0))
    later = at(10 * 365 * 86_400)
    assert made.state(later) is State.FRESH
    assert made.decide(later, PRESENT) == Use()
    assert made.decide(later, MISSING) == UnknownKey()
    assert made.changes_at(later) == inf


@pytest.mark.row("H13")
@pytest.mark.parametrize(
    ("said", "lifetime"),
    [(None, 600.0), (0.0, 60.0), (59.0, 60.0), (61.0, 61.0), (10.0**12, 600.0), (inf, 600.0)],
)
def test_h13_the_lifetime_is_clamped(said: float | None, lifetime: float) -> None:
    """From 60 seconds to `max_age`, whatever the answer says."""
    made = schedule()
    made.on_result(at(0), said)
    assert made.expires_at == lifetime


def test_a_small_max_age_is_the_ceiling_even_below_the_floor() -> None:
    """Who sets 2 seconds gets 2 seconds."""
    made = schedule(max_age=2.0)
    made.on_result(at(0), 0.0)
    assert made.expires_at == 2.0


@pytest.mark.parametrize(("random", "due"), [(0.0, 480.0), (0.5, 525.0), (1.0, 570.0)])
def test_refresh_ahead_is_drawn_between_80_and_95_percent(random: float, due: float) -> None:
    """So the workers of one server do not fetch at the same moment."""
    made = schedule(random=random)
    made.on_result(at(0), None)
    assert made.due_at == pytest.approx(due)


def test_a_new_process_draws_anew() -> None:
    """After a fork the moment is another one, counted from the same fetch."""
    draws = iter([0.0, 1.0])
    made = Schedule(MAX_AGE, MAX_STALE, COOLDOWN, lambda: next(draws))
    made.on_result(at(100), None)
    assert made.due_at == 580
    made.redraw()
    assert made.due_at == pytest.approx(670)


def test_back_off_doubles_up_to_a_minute() -> None:
    """1, 2, 4 … 60 seconds, at the upper end of the jitter."""
    made, pauses = schedule(random=1.0), []
    for _ in range(9):
        made.on_error(at(0))
        pauses.append(made.retry_at)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_back_off_is_at_least_half_of_that() -> None:
    """At the lower end of the jitter."""
    made = schedule(random=0.0)
    made.on_error(at(0))
    assert made.retry_at == 0.5


@pytest.mark.parametrize(("asked", "pause"), [(120.0, 120.0), (301.0, 300.0), (inf, 300.0)])
def test_retry_after_is_honoured_up_to_five_minutes(asked: float, pause: float) -> None:
    """A server may ask to be left alone, but not for ever."""
    made = schedule(random=1.0)
    made.on_error(at(0), retry_after=asked)
    assert made.retry_at == pause


def test_a_short_retry_after_does_not_shorten_the_back_off() -> None:
    """The longer of both counts."""
    made = schedule(random=1.0)
    made.on_error(at(0), retry_after=0.0)
    assert made.retry_at == 1.0


def test_success_clears_the_back_off() -> None:
    """After a success the next failure starts from one second."""
    made = schedule(random=1.0)
    for _ in range(5):
        made.on_error(at(0))
    made.on_result(at(20), None)
    assert made.failures == 0
    assert not made.backing_off(at(20))
    made.on_error(at(30))
    assert made.retry_at == 31.0


def test_a_suspended_machine_does_not_keep_keys_young() -> None:
    """The monotonic clock stood still, the wall clock did not: the copy is dead."""
    made = loaded()
    assert made.state(at(10, suspended=87_000 - 11)) is State.FRESH
    assert made.state(at(10, suspended=87_000 - 10)) is State.DEAD


def test_a_wall_clock_set_back_does_not_make_keys_younger() -> None:
    """Only the earlier of both ends counts."""
    assert loaded().state(at(87_000, suspended=-(10**6))) is State.DEAD


def test_max_stale_of_zero_fails_closed() -> None:
    """Past its lifetime nothing is served."""
    assert loaded(max_stale=0.0).state(at(600)) is State.DEAD


@pytest.mark.parametrize(
    ("moment", "change"), [(0, 480), (480, 600), (600, 87_000), (87_000, -inf)]
)
def test_the_next_change_is_known(moment: float, change: float) -> None:
    """The hot path compares with one number, which is when the state changes next."""
    assert loaded().changes_at(at(moment)) == change
    assert schedule().changes_at(at(moment)) == -inf


events = st.lists(
    st.tuples(
        st.floats(0, 5_000),
        st.floats(0, 50_000),
        st.sampled_from(["result", "error", "attempt", "redraw", "look"]),
        st.one_of(st.none(), st.floats(0, 2_000)),
    ),
    max_size=40,
)


@given(events=events, random=st.floats(0, 0.999), need=st.sampled_from(Need))
def test_nothing_old_is_ever_used_and_the_budget_is_never_overdrawn(
    events: list[tuple[float, float, str, float | None]], random: float, need: Need
) -> None:
    """Over any history: no Use past either end, no Join in back-off, no debt, no past retry."""
    made, now, confirmed = schedule(random=random), Instant(0.0, 0.0), None
    attempts: list[float] = []
    for passes, asleep, event, number in events:
        now = Instant(now.monotonic + passes, now.wall + passes + asleep)
        match event:
            case "result":
                made.on_result(now, number)
                confirmed = now
            case "error":
                made.on_error(now, number)
            case "redraw":
                made.redraw()
            case "attempt" if made.decide(now, MISSING) == Join():
                if made.state(now) not in (State.EMPTY, State.DEAD):
                    made.on_attempt(now)
                    attempts.append(now.monotonic)
        decision = made.decide(now, need)
        if isinstance(decision, Use | UseAndRefresh):
            assert confirmed is not None
            assert now.monotonic - confirmed.monotonic < MAX_AGE + MAX_STALE
            assert now.wall - confirmed.wall < MAX_AGE + MAX_STALE
        if isinstance(decision, Join | UseAndRefresh):
            assert not made.backing_off(now)
        if isinstance(decision, Unavailable):
            assert 1.0 <= decision.retry_after <= 300.001
        if isinstance(decision, UnknownKey):
            assert confirmed is not None
    for first, start in enumerate(attempts):
        for count, end in enumerate(attempts[first:], start=1):
            assert count <= 2 + (end - start) / COOLDOWN + 1e-6
