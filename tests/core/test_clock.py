"""Clocks that say what is no time, or begin anew: nothing is judged by them, and nothing lasts."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from licet import requires_feature
from licet.core import flow
from licet.core.clock import END_OF_TIME, SYSTEM_CLOCK, UNKNOWN, Clock, reading
from licet.core.entitlements import Entitlements, Status
from licet.core.entitlements.context import bind
from licet.core.errors import LicenseError, LicenseUnavailable
from licet.core.gate import Gate
from licet.core.settings import Settings
from tests.core.hands import Hands
from tests.core.loopback import Loopback, reply
from tests.core.presented import Presented
from tests.licenses import ISSUER, OPTIONS, license_token

NOW = 1_800_000_000


def raises() -> float:
    """Stand in for a clock that cannot be read."""
    raise OSError("no clock")


#: What a wall clock may say that is no time.
NO_TIME: dict[str, Callable[[], float]] = {
    "NaN": lambda: nan,
    "infinite": lambda: inf,
    "minus infinity": lambda: -inf,
    "negative": lambda: -1.0,
    "after all years": lambda: END_OF_TIME + 1,
    "raises": raises,
}


class Wall:
    """A wall clock whose reading is exchanged."""

    def __init__(self) -> None:
        self.read: Callable[[], float] = lambda: NOW

    def __call__(self) -> float:
        return self.read()


def token(**claims: Any) -> str:
    """Return a license of a day."""
    return license_token(**{"iat": NOW, "exp": NOW + 86_400, **claims})


# -- wall time -------------------------------------------------------------------------------------


@pytest.mark.row("J09")
@pytest.mark.parametrize("name", NO_TIME)
def test_what_is_no_time_is_none(name: str) -> None:
    """J09: whatever the wall clock says or raises."""
    assert reading(NO_TIME[name]) is None
    assert reading(lambda: "now") is None  # type: ignore[arg-type,return-value]
    with pytest.raises(LicenseUnavailable):
        Clock(wall=NO_TIME[name]).now()


def test_the_ends_of_time_are_times() -> None:
    """1970, where a machine without a battery begins, and the last second that has a name."""
    for moment in (0, 0.0, END_OF_TIME):
        assert Clock(wall=lambda moment=moment: moment).now() == moment  # type: ignore[misc]


@pytest.mark.row("J09")
@pytest.mark.parametrize("downgrade_to", [None, {"plan": "free", "features": ["analytics"]}])
@pytest.mark.parametrize("installed", [False, True], ids=["presented", "installed"])
@pytest.mark.parametrize("name", NO_TIME)
def test_nothing_is_judged_by_what_is_no_time(
    name: str, installed: bool, downgrade_to: dict[str, object] | None
) -> None:
    """J09: 503 on a hit and on a miss, and no view that is open passes; then all is as before.

    Also where something would be left of the license once it has ended.
    """
    wall = Wall()
    credential = token()
    options = {"license": credential} if installed else {}
    settings = Settings(**{**OPTIONS, "downgrade_to": downgrade_to, **options})
    gate = Gate(settings, clock=Clock(wall=wall))
    lines = {} if installed else {"authorization": [f"Bearer {credential}"]}

    def ask() -> Entitlements:
        # As adapters do.
        if gate.installation is not None:
            held = gate.installation.recall()
            return Entitlements(*held) if held else flow.run(gate.decide(Presented(lines=lines)))
        grant = gate.recall(credential.encode())
        return Entitlements(grant) if grant else flow.run(gate.decide(Presented(lines=lines)))

    def refused() -> None:
        with pytest.raises((LicenseError, OSError, TypeError)) as caught:
            ask()
        assert gate.as_refusal(caught.value).status == 503

    wall.read = NO_TIME[name]
    refused()
    wall.read = lambda: NOW
    entitlements = ask()
    assert entitlements.allows("analytics")
    wall.read = NO_TIME[name]
    for _ in range(2):
        refused()

    @requires_feature("analytics")
    def view() -> str:
        return "passed"

    assert not entitlements.allows("analytics")
    assert not entitlements.holds("features", frozenset({"analytics"}))
    assert entitlements.status is Status.UNLICENSED
    assert entitlements.plan == "professional"
    with bind(entitlements), pytest.raises(LicenseUnavailable):
        view()
    with pytest.raises(LicenseUnavailable):
        entitlements.require_license()
    wall.read = lambda: NOW + 1
    assert ask().allows("analytics")
    with bind(entitlements):
        assert view() == "passed"


@pytest.mark.row("J09")
@pytest.mark.anyio
@pytest.mark.parametrize("name", NO_TIME)
async def test_nor_in_an_event_loop(name: str) -> None:
    """J09: the same decision in the other world, and outside any request."""
    wall = Wall()
    gate = Gate(Settings(**OPTIONS), clock=Clock(wall=wall))
    wall.read = NO_TIME[name]
    credential = token()
    with pytest.raises(LicenseUnavailable):
        await flow.arun(gate.decide(Presented(lines={"authorization": [f"Bearer {credential}"]})))
    with pytest.raises(LicenseUnavailable):
        await flow.arun(gate.verify(credential.encode()))


@pytest.mark.row("J09")
def test_a_state_keeps_nothing_of_it(tmp_path: Path) -> None:
    """J09: what was seen of the time is what it was before."""
    wall = Wall()
    options = {"license": token(), "license_state": str(tmp_path / "state")}
    gate = Gate(Settings(**{**OPTIONS, **options}), clock=Clock(wall=wall))
    flow.run(gate.decide(Presented()))
    time = gate._standing.time
    assert time is not None
    before = time._mark
    for read in NO_TIME.values():
        wall.read = read
        time.held()
        time.confirm(NOW + 5)
        time.keep()
    assert time._mark == before


# -- monotonic time --------------------------------------------------------------------------------


@pytest.mark.row("J10")
@pytest.mark.parametrize("back", [1.0, 3_600.0, 1e9])
def test_a_step_back_is_a_leap_forward(back: float) -> None:
    """J10: no reading is before another, and what waited for its time has waited long enough."""
    hands = Hands(monotonic=2e9)
    clock = Clock(monotonic=lambda: hands.monotonic)
    before = clock.monotonic()
    for _ in range(3):
        hands.monotonic -= back
        after = clock.monotonic()
        assert after >= before + UNKNOWN
        hands.monotonic += 7
        before = clock.monotonic()
        assert before == after + 7


@pytest.mark.row("J10")
def test_threads_that_read_at_once_are_no_step_back() -> None:
    """J10: a reading that is a little older than another's is the same moment."""
    hands = Hands()
    clock = Clock(monotonic=lambda: hands.monotonic)
    before = clock.monotonic()
    hands.monotonic -= 0.5
    assert clock.monotonic() == before
    assert clock.bare() == clock.ticks()


def test_a_hot_path_reads_the_bare_clock() -> None:
    """As long as it has never gone back, and then the guarded one."""
    hands = Hands()
    clock = Clock(monotonic=lambda: hands.monotonic)
    assert clock.bare()() == clock.monotonic() == hands.monotonic
    assert clock.bare() is clock.ticks()
    hands.monotonic -= 10
    assert clock.bare() is clock.monotonic


def test_equal_clocks_are_equal() -> None:
    """By what they read: those who bring the same share what belongs to a clock."""
    assert Clock() == SYSTEM_CLOCK
    assert hash(Clock()) == hash(SYSTEM_CLOCK)
    assert Clock(monotonic=lambda: 0.0) != SYSTEM_CLOCK


@pytest.mark.row("J10")
@pytest.mark.parametrize("installed", [False, True], ids=["presented", "installed"])
def test_what_was_kept_for_a_while_is_over(installed: bool, tmp_path: Path) -> None:
    """J10: after a step back keys are fetched again and a file is read again, and not much later.

    It is not waited for the old time to come back: only what was judged by the wall clock a moment
    ago may serve from memory for as long as it would have.
    """
    hands = Hands(monotonic=1e6, wall=NOW)
    path = tmp_path / "license.jwt"
    path.write_text(token())
    keys = json.dumps(ISSUER.jwks()).encode()
    with Loopback(lambda request: reply(200, keys)) as server:
        url = f"http://127.0.0.1:{server.port}/jwks.json"
        options = {"license": f"file:{path}"} if installed else {}
        settings = Settings(**{**OPTIONS, "jwks": None, "jwks_url": url, **options})
        gate = Gate(settings, clock=hands.clock)
        lines = {} if installed else {"authorization": [f"Bearer {path.read_text()}"]}

        def ask() -> Entitlements:
            return flow.run(gate.decide(Presented(lines=lines)))

        for _ in range(3):
            ask()
        assert len(server.log) == 1
        hands.monotonic = 5.0
        hands.wall += gate.settings.grant_max_age
        path.write_text(token(plan="other"))
        assert ask().plan == ("other" if installed else "professional")
        assert len(server.log) == 2
        for _ in range(3):
            ask()
        assert len(server.log) == 2
        if gate.installation is not None:
            assert gate.installation.recall() is not None
            hands.monotonic += 1
            # The file is due again, as before.
            assert gate.installation.recall() is None
