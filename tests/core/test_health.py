"""What a health check shows of a document, and what of it is trouble."""

from __future__ import annotations

import pytest

from licet.core.documents.health import Health, Outage, Trouble
from licet.core.documents.schedule import Instant, Schedule, State

FAILING, STALE, DEAD = Trouble.FAILING, Trouble.STALE, Trouble.DEAD


def at(seconds: float) -> Instant:
    return Instant(seconds, 1_800_000_000 + seconds)


def schedule() -> Schedule:
    return Schedule(600.0, 86_400.0, 30.0, lambda: 0.0)


def test_nothing_at_hand_has_no_age() -> None:
    """Before the first answer there is nothing to be old, and nothing that stands in the way."""
    health = Health.of(schedule(), at(5), Outage(), in_flight=True)
    assert health == Health(State.EMPTY, None, 0, None, 0.0, in_flight=True)


def test_a_failure_shows_beside_the_copy_at_hand() -> None:
    """Age from the last confirmation, the number of failures, why, and the time to the next try."""
    made = schedule()
    made.on_result(at(100), None)
    made.on_error(at(700), retry_after=40.0)
    outage = Outage()
    outage.goes_on("status_503")
    health = Health.of(made, at(710), outage, in_flight=False)
    assert health == Health(State.STALE, 610.0, 1, "status_503", 30.0, False, outage.correlation_id)
    assert Health.of(made, at(741), outage, in_flight=False).retry_after == 0.0


def test_an_outage_has_one_id_until_it_ends() -> None:
    """Each failure has its own word and all of them one id; the next outage has another."""
    outage = Outage()
    outage.goes_on("tls")
    first = outage.correlation_id
    outage.goes_on("connect")
    assert (outage.error, outage.correlation_id) == ("connect", first)
    outage.ends()
    assert (outage.error, outage.correlation_id) == (None, None)
    outage.goes_on("tls")
    assert outage.correlation_id not in (None, first)


@pytest.mark.parametrize(
    ("state", "troubles"),
    [
        (State.EMPTY, set()),
        (State.FRESH, set()),
        (State.DUE, set()),
        (State.STALE, {STALE}),
        (State.DEAD, {DEAD}),
    ],
)
def test_what_is_wrong(state: State, troubles: set[Trouble]) -> None:
    """A failure is trouble in any state; so are a copy past its lifetime and one past its end."""
    well = Health(state, 0.0, 0, None, 0.0, in_flight=False)
    failing = Health(state, 0.0, 2, "connect", 1.0, in_flight=False)
    assert well.troubles == troubles
    assert failing.troubles == troubles | {FAILING}
