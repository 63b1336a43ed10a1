"""Trusted time of an installation: a clock behind what was seen is refused, and nobody locked out.

Rows J01 to J04 and J10: injected clocks, set back and forward by a second up to ten years, while
the process runs and between two of them.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from licet.core import flow
from licet.core.clock import END_OF_TIME
from licet.core.entitlements import Status
from licet.core.entitlements.context import bind
from licet.core.errors import InstallationUnlicensed, LicenseError
from licet.core.gate import Gate
from licet.core.grants import Grant
from licet.core.installation.install import install
from licet.core.installation.mark import PLACE, Mark, last_seen
from licet.core.installation.state import FILE, State
from licet.core.installation.trusted_time import SETTLING
from licet.core.settings import Settings
from licet.core.stores import StoreUnavailable, key
from licet.core.stores.effects import Decision
from tests.core.hands import Hands
from tests.core.license_server import LicenseServer
from tests.core.loopback import until
from tests.core.machine import DAY, HOUR, NOW, YEAR, Machine
from tests.core.presented import Presented
from tests.core.withdrawing import Withdrawing
from tests.core.worlds import gate_of
from tests.licenses import FORGER, OPTIONS, license_token

#: How far a clock is moved, and whether that is far enough to be told of.
MOVES = {
    "1 s": (1, False),
    "1 min": (60, False),
    "5 min": (300, False),
    "1 h": (HOUR, False),
    "1 day": (DAY, False),
    "1 day and 1 s": (DAY + 1, True),
    "1 month": (30 * DAY, True),
    "1 year": (YEAR, True),
    "10 years": (10 * YEAR, True),
}

#: Where no disk keeps a state waiting, which the model knows nothing of.
IN_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - a directory within it

remembering = pytest.mark.parametrize("remembers", [True, False], ids=["state", "no state"])


@pytest.fixture
def hands() -> Hands:
    """A clock to move."""
    return Hands(wall=NOW)


@pytest.fixture(name="machine")
def _machine(tmp_path: Path) -> Machine:
    """A machine with a state, and a license for 300 days."""
    machine = Machine(tmp_path)
    machine.license()
    return machine


# -- set back --------------------------------------------------------------------------------------


@pytest.mark.row("J01")
@remembering
@pytest.mark.parametrize("name", MOVES)
def test_a_clock_set_back_while_it_runs_is_refused(
    tmp_path: Path, name: str, remembers: bool
) -> None:
    """J01: by more than a day, as `clock`, at the next request; and no longer once it is right."""
    seconds, refused = MOVES[name]
    machine = Machine(tmp_path, remembers=remembers)
    machine.license(NOW - 100 * DAY)
    machine.runs(10 * DAY)
    assert machine.answer() == "yes"
    machine.hands.wall -= seconds
    for _ in range(3):
        # From memory as well, and as time goes on.
        assert machine.answer() == ("clock" if refused else "yes")
        machine.hands.advance(0 if seconds == DAY + 1 else 2)
    assert len(machine.doubts()) == refused
    machine.hands.wall += seconds
    assert machine.answer() == "yes"


@pytest.mark.row("J01")
def test_a_license_in_the_settings_is_refused_as_well(hands: Hands) -> None:
    """J01: also where no file is looked at again, and all that a hit needs is in memory."""
    credential = license_token(iat=NOW - 100 * DAY, exp=NOW + 100 * DAY)
    gate = Gate(Settings(**{**OPTIONS, "license": credential}), clock=hands.clock)

    def answer() -> str:
        assert gate.installation is not None
        try:
            if gate.installation.recall() is None:
                flow.run(gate.decide(Presented()))
        except InstallationUnlicensed as error:
            return str(error.members["error"])
        return "yes"

    for _ in range(100):
        hands.advance(HOUR)
        assert answer() == "yes"
    hands.wall -= DAY + 1
    assert [answer(), answer()] == ["clock", "clock"]
    hands.wall += DAY + 1
    assert answer() == "yes"
    for _ in range(DAY // 60):
        hands.monotonic += 60
        assert answer() == "yes"
    hands.monotonic += 60
    assert answer() == "clock"


@pytest.mark.row("J01")
@remembering
def test_what_a_license_was_signed_at_is_certain(tmp_path: Path, remembers: bool) -> None:
    """J01: the clock of a machine that boots in 1970, or a minute too early, is wrong; no token is.

    It is `clock`, and never `invalid`, and all is well as soon as somebody has set it.
    """
    for wrong in (0, NOW - YEAR, NOW - 301, NOW - 60):
        machine = Machine(tmp_path, remembers=remembers)
        machine.license()
        machine.hands.wall = wrong
        assert machine.answer() == "clock"
        machine.hands.wall = NOW
        assert machine.answer() == "yes"
    machine.hands.wall = NOW - 29
    assert machine.answer() == "yes"


@pytest.mark.row("J01")
@remembering
@pytest.mark.parametrize("rate", [0.0, 0.5, -1.0], ids=["stands still", "is slow", "runs back"])
def test_a_clock_that_does_not_go_on_falls_behind(
    tmp_path: Path, remembers: bool, rate: float
) -> None:
    """J01: one that stands still, or is set back in steps too small to be told of, is a day behind
    after as much as that comes to; and no longer once it is right."""
    machine = Machine(tmp_path, remembers=remembers)
    machine.license(NOW - 100 * DAY)
    machine.runs(10 * DAY)
    began, right = machine.hands.monotonic, machine.hands.wall
    while machine.answer() == "yes" and machine.hands.monotonic < began + 3 * DAY:
        machine.hands.monotonic += 300
        machine.hands.wall += 300 * rate
    behind = machine.hands.monotonic - began
    assert DAY < behind * (1 - rate) <= DAY + 600
    assert machine.doubts() == ["behind"]
    if remembers:
        machine.time.keep()
        machine.boot()
        assert machine.answer() == "clock"
    machine.hands.wall = right + behind
    assert machine.answer() == "yes"


@pytest.mark.row("J01", "J06")
@pytest.mark.parametrize("command", ["job", "install"])
def test_no_grace_is_earned_by_a_clock_that_is_behind(
    machine: Machine, tmp_path: Path, command: str
) -> None:
    """J06: nor by what a command or a job of a new process asks of a license that has ended."""
    machine.runs(10 * DAY)
    ended = {"sub": "lic_ended", "iat": NOW - 100 * DAY, "exp": NOW + DAY, "grace": 60 * DAY}
    credential = license_token(**ended)
    machine.hands.wall -= 9.5 * DAY
    machine.boot()
    if command == "job":
        with pytest.raises(InstallationUnlicensed) as caught:
            flow.run(machine.gate.verify(credential.encode()))
        assert caught.value.members == {"error": "clock"}
    else:
        (tmp_path / "ended.jwt").write_text(credential)
        assert install(machine.gate, str(tmp_path / "ended.jwt"), force=True).status == 1
    machine.hands.wall += 9.5 * DAY
    machine.boot()
    machine._license.write_text(credential)
    assert machine.answer() == "expired"


@pytest.mark.row("J01", "J03")
@pytest.mark.parametrize("name", MOVES)
def test_a_clock_set_back_before_a_restart_is_refused(machine: Machine, name: str) -> None:
    """J01, J03: what was seen outlives the process, which goes on once the clock is right."""
    seconds, refused = MOVES[name]
    machine.runs(10 * DAY)
    for _ in range(2):
        machine.hands.wall -= seconds
        machine.boot()
        assert machine.answer() == ("clock" if refused else "yes")
        assert (
            machine.doubts()
            == ["behind_signed" if machine.hands.wall < NOW - 300 else "behind"] * refused
        )
        machine.hands.wall += seconds
        assert machine.answer() == "yes"


@pytest.mark.row("J03")
def test_a_state_that_was_deleted_begins_anew(machine: Machine) -> None:
    """J03: what is left is what the license itself was signed at; nothing else can be known."""
    machine.runs(10 * DAY)
    shutil.rmtree(machine.state)
    machine.hands.wall -= 5 * DAY
    machine.boot()
    assert machine.answer() == "yes"
    machine.hands.wall = NOW - HOUR
    machine.boot()
    assert machine.answer() == "clock"


@pytest.mark.row("J01")
def test_an_hour_against_signed_time_is_too_much(machine: Machine) -> None:
    """J01: five minutes are allowed to a clock behind what was signed, also in a new process."""
    machine.runs(10 * DAY)
    machine.license(machine.hands.wall)
    assert machine.answer() == "yes"
    machine.time.keep()
    # The old one, which was signed long before.
    machine.license()
    for back, answer in ((299, "yes"), (300, "yes"), (301, "clock"), (HOUR, "clock")):
        for boot in (machine.hands.advance, machine.boot):
            machine.hands.wall -= back
            boot(0)
            assert machine.answer() == answer
            machine.hands.wall += back


@pytest.mark.row("J02")
def test_time_that_has_passed_counts_once(machine: Machine) -> None:
    """J02: what is signed behind the requests is not added to what passed since the last of them.

    Nor is what another process has seen meanwhile.
    """
    assert machine.answer() == "yes"
    machine.hands.advance(10 * DAY)
    machine.time.confirm(machine.hands.wall)
    assert machine.answer() == "yes"
    assert machine.time._mark == Mark(machine.hands.wall, machine.hands.wall)
    machine.time.keep()
    machine.hands.advance(10 * DAY)
    seen = Mark(machine.hands.wall, machine.hands.wall)
    _state(machine).change(PLACE, seen.added, DAY).run()
    machine.time.keep()
    assert machine.answer() == "yes"
    assert machine.time._mark == seen


@pytest.mark.row("J01")
def test_what_is_held_learns_of_it(machine: Machine) -> None:
    """J01: entitlements of a long job hold no longer once it is seen, until it is right."""
    machine.runs(10 * DAY)
    held = machine.ask()
    machine.hands.wall -= 5 * DAY
    machine.time.keep()
    assert held.status is Status.UNLICENSED
    assert not held.allows("analytics")
    with bind(held), pytest.raises(InstallationUnlicensed) as caught:
        held.require("analytics")
    assert caught.value.members == {"error": "clock"}
    machine.hands.wall += 5 * DAY
    assert held.allows("analytics")


def test_an_installation_without_a_license_has_none(tmp_path: Path) -> None:
    """Whatever the clock says: `missing` is what its operator can mend."""
    machine = Machine(tmp_path)
    machine.hands.wall = 0
    assert machine.answer() == "missing"


def test_a_forged_license_of_the_future_says_nothing(machine: Machine) -> None:
    """Only what somebody signed is a time: another token moves nothing, and displaces nothing."""
    machine.runs(DAY)
    before = machine.time._mark
    machine._license.write_text(license_token(FORGER, iat=NOW + YEAR, exp=NOW + 2 * YEAR))
    machine.hands.advance(1)
    assert machine.answer() == "yes"
    assert machine.time._mark == Mark(before.seen + 1, NOW) if before else False


def test_a_signer_whose_clock_is_ahead_locks_nobody_out(machine: Machine) -> None:
    """A license that was signed next year by mistake is refused, and leaves nothing behind."""
    machine.runs(DAY)
    machine.license(NOW + YEAR)
    assert machine.answer() == "yes"
    machine.boot()
    assert machine.answer() == "clock"
    machine.license()
    assert machine.answer() == "yes"


# -- ahead -----------------------------------------------------------------------------------------


@pytest.mark.row("J02")
@remembering
@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("name", MOVES)
def test_a_clock_that_jumped_ahead_leaves_nothing_behind(
    tmp_path: Path, name: str, restarts: bool, remembers: bool
) -> None:
    """J02: while it is ahead a license may have ended; when it is right again, nobody has to help.

    However long it was, and also where the process began anew in the middle of it, if a state
    remembers what came before.
    """
    seconds, suspicious = MOVES[name]
    machine = Machine(tmp_path, remembers=remembers)
    machine.license()
    machine.runs(10 * DAY)
    machine.hands.wall += seconds
    ended = machine.hands.wall >= NOW + 300 * DAY + 30
    assert machine.answer() == ("expired" if ended else "yes")
    machine.runs(3 * DAY)
    assert machine.doubts() == ["ahead"] * suspicious
    if restarts:
        machine.boot()
        machine.runs(HOUR, step=60)
    machine.hands.wall -= seconds
    # Without a state it was the first reading of its process, and nothing says otherwise.
    lost = restarts and not remembers and suspicious and not ended
    assert machine.answer() == ("clock" if lost else "yes")
    machine.boot()
    assert machine.answer() == "yes"


@pytest.mark.row("J02")
@remembering
def test_a_machine_that_has_just_come_up_may_be_set_right(tmp_path: Path, remembers: bool) -> None:
    """J02: in the first minutes of all the first reading is none yet, and nothing is kept of it."""
    machine = Machine(tmp_path, remembers=remembers)
    machine.license()
    machine.hands.wall += 100 * DAY
    machine.runs(SETTLING - 1, step=60)
    machine.hands.wall -= 100 * DAY
    assert machine.answer() == "yes"
    assert machine.doubts() == ["set_back"]
    machine.runs(HOUR)
    machine.hands.wall -= DAY + 1
    assert machine.answer() == "clock"


@pytest.mark.row("J02")
def test_a_grace_that_was_earned_is_not_lost_in_a_jump(tmp_path: Path) -> None:
    """J02: whatever is put into the state while the clock is ahead sweeps nothing away for good."""
    machine = Machine(tmp_path, grace_period=7 * DAY)
    machine.license(lasts=10 * DAY)
    machine.runs(11 * DAY)
    assert machine.ask().status is Status.GRACE
    machine.hands.wall += 10 * YEAR
    assert machine.answer() == "expired"
    for place in "abc":
        _state(machine).put(key(place), b"", 60).run()
    machine.hands.wall -= 10 * YEAR
    machine.boot()
    assert machine.ask().status is Status.GRACE


@pytest.mark.row("J02")
def test_what_is_left_of_a_license_says_nothing_of_the_time(tmp_path: Path) -> None:
    """J02: by a clock that is ten years ahead a license is downgraded, and no first reading."""
    machine = Machine(tmp_path, downgrade_to={"plan": "free"})
    machine.license()
    machine.hands.wall += 10 * YEAR
    assert machine.ask().status is Status.DOWNGRADED
    machine.runs(HOUR, step=60)
    machine.hands.wall -= 10 * YEAR
    assert machine.ask().status is Status.ACTIVE


def test_what_nobody_has_signed_confirms_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a license server vouches for may have come without a signature."""
    installation = machine.gate.installation
    assert installation is not None
    grant = copy(machine.ask().grant)
    grant.verified_by, grant.issued_at = "online", NOW + 0.5

    def judged(credential: bytes) -> flow.Flow[Grant]:
        return grant
        yield

    monkeypatch.setattr(installation, "_judge", judged)
    machine.hands.advance(1)
    assert machine.answer() == "yes"
    assert machine.time._signed == NOW


@pytest.mark.row("J02")
def test_a_machine_that_was_off_for_months_goes_on(machine: Machine) -> None:
    """J02: its clock is believed, and its jump is kept only once somebody has signed that late."""
    machine.runs(DAY)
    machine.hands.wall += 100 * DAY
    machine.boot()
    assert machine.answer() == "yes"
    machine.runs(10 * DAY)
    mark = machine.time._mark
    assert mark is not None
    assert mark.seen == NOW + 11 * DAY
    machine.license(machine.hands.wall)
    assert machine.answer() == "yes"
    machine.time.keep()
    confirmed = machine.hands.wall
    for back, answer in ((20, "yes"), (HOUR, "clock"), (90 * DAY, "clock")):
        machine.hands.wall = confirmed - back
        machine.boot()
        assert machine.answer() == answer


@pytest.mark.row("J02")
@pytest.mark.parametrize("ahead", [-20, 0, 20])
def test_signed_answers_confirm_the_time(ahead: int) -> None:
    """J02: it is as late as a license server has signed, and no later than this machine's clock."""
    hands = Hands(wall=NOW)
    with LicenseServer(hands=Hands(wall=NOW + ahead)) as server:
        gate = gate_of(server, hands, license=server.add())
        flow.run(gate.decide(Presented()))
    assert gate._standing.time is not None
    assert gate._standing.time._mark == Mark(NOW, NOW + min(ahead, 0))


@pytest.mark.row("J02")
def test_signed_lists_confirm_the_time() -> None:
    """J02: nor is it earlier than the status list of the license says."""
    hands = Hands(wall=NOW)
    with Withdrawing(hands) as vendor:
        hands.advance(HOUR)
        gate = vendor.gate(license=vendor.license(issued_at=NOW))
        flow.run(gate.decide(Presented()))
    assert gate._standing.time is not None
    assert gate._standing.time._mark == Mark(NOW + HOUR, NOW + HOUR)


@pytest.mark.row("J10")
@pytest.mark.parametrize("leap", [-1e9, -HOUR, HOUR, 1e9])
def test_a_monotonic_clock_that_leaps_moves_nothing(machine: Machine, leap: float) -> None:
    """J10: neither back nor forward, as long as the wall clock goes on by itself."""
    machine.hands.monotonic += 1e9
    machine.runs(DAY)
    before = machine.time._mark
    machine.hands.monotonic += leap
    machine.runs(HOUR)
    assert machine.answer() == "yes"
    assert before is not None
    assert machine.time._mark is not None
    assert 0 <= machine.time._mark.seen - before.seen <= HOUR
    assert machine.doubts() == []


@pytest.mark.row("J10")
def test_a_machine_that_slept_goes_on(machine: Machine) -> None:
    """J10: the monotonic clock stood still meanwhile; what was seen follows when it is signed."""
    machine.runs(DAY)
    machine.hands.suspend(200 * DAY)
    assert machine.answer() == "yes"
    machine.hands.suspend(200 * DAY)
    assert machine.answer() == "expired"
    machine.license(machine.hands.wall)
    assert machine.answer() == "yes"
    assert machine.time._mark == Mark(machine.hands.wall, machine.hands.wall)


# -- how it is told, and what it costs -------------------------------------------------------------


def test_it_is_told_once(machine: Machine) -> None:
    """Each time that it begins, and not with each request."""
    machine.runs(DAY)
    for _ in range(2):
        machine.hands.wall -= 3 * DAY
        machine.hands.monotonic += 2 * HOUR
        for _ in range(20):
            assert machine.answer() == "clock"
        machine.hands.wall += 3 * DAY
        assert machine.answer() == "yes"
    told = [dict(each.data) for each in machine.events if each.name == "clock.suspicious"]
    assert told == [{"reason": "behind_signed", "difference": 3 * DAY}] * 2


def test_requests_write_nothing_and_read_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is read with the first request, and written behind them, once a minute."""
    asked: list[str] = []
    for name in ("get", "change"):
        original = getattr(State, name)

        def counted(
            state: State, key: Any, *arguments: Any, original: Any = original, name: str = name
        ) -> Any:
            if key == PLACE:
                asked.append(name)
            return original(state, key, *arguments)

        monkeypatch.setattr(State, name, counted)
    for _ in range(100):
        assert machine.answer() == "yes"
        machine.hands.advance(9)
    assert asked == ["get"]
    for _ in range(600):
        machine.hands.advance(1)
        machine.time.keep()
    assert asked == ["get"] + ["change"] * 10


@pytest.mark.row("J03")
def test_a_watch_keeps_it_behind_the_requests(machine: Machine) -> None:
    """J03: by itself, also where no further request comes; nobody has to stop the process well."""
    flow.run(machine.gate.decide(Presented()))
    machine.gate.withdrawals.on_look(machine.time.keep)
    machine.hands.advance(2 * SETTLING)
    until(lambda: flow.run(last_seen(_state(machine))) == Mark(NOW + 2 * SETTLING, NOW))


def test_what_a_gate_remembers_it_has_kept(tmp_path: Path) -> None:
    """A gate with a state has its watch look at the time; one without looks by its requests."""
    kept = {"license": "env:NONE", "license_state": str(tmp_path / "state")}
    for options, watched in ((kept, True), ({"license": "env:NONE"}, False)):
        gate = Gate(Settings(**{**OPTIONS, **options}))
        assert gate._standing.time is not None
        assert (gate._standing.time.keep in gate.withdrawals._looking) is watched
    assert Gate(Settings(**OPTIONS))._standing.time is None


@pytest.mark.anyio
async def test_event_loops_are_refused_as_threads_are(machine: Machine) -> None:
    """The same decision, whose only wait is for the state."""
    machine.runs(DAY)
    machine.boot()
    assert (await flow.arun(machine.gate.decide(Presented()))).allows("analytics")
    machine.hands.wall -= 3 * DAY
    machine.boot()
    with pytest.raises(InstallationUnlicensed) as caught:
        await flow.arun(machine.gate.decide(Presented()))
    assert caught.value.members == {"error": "clock"}


@pytest.mark.parametrize("signed", [False, True])
def test_threads_do_not_make_time_pass_twice(machine: Machine, signed: bool) -> None:
    """A reading that another thread has overtaken is no clock that fell behind."""
    assert machine.answer() == "yes"
    over = threading.Event()

    def asks() -> set[str]:
        answers = set()
        while not over.is_set():
            answers.add(machine.answer())
            if signed:
                machine.time._signed = 0.0
                machine.time.confirm(machine.hands.wall)
        return answers

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(asks) for _ in range(2)]
        for _ in range(40):
            machine.hands.advance(2 * DAY)
            machine.time.keep()
        over.set()
        assert set.union(*(each.result() for each in asked)) == {"yes"}
    assert machine.time._mark is not None
    assert machine.time._mark.seen <= machine.hands.wall


def test_in_report_mode_it_is_told_and_passes(tmp_path: Path) -> None:
    """As any refusal is."""
    machine = Machine(tmp_path, mode="report")
    machine.license()
    machine.hands.wall = 0
    assert machine.ask().status is Status.UNLICENSED
    assert machine.gate.would_refuse() == {"installation_unlicensed": 1}


# -- a state that is not as it was -----------------------------------------------------------------


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "edited": lambda value: value.replace(b"180", b"170"),
    "truncated": lambda value: value[:-3],
    "without its seal": lambda value: value[-26:],
    "emptied": lambda value: b"",
}


def damage(directory: Path, change: Callable[[bytes], bytes]) -> None:
    """Change what the state keeps of the time, behind its back."""
    with closing(sqlite3.connect(directory / FILE)) as database, database:
        ((before,),) = database.execute("SELECT value FROM kept WHERE key = ?", (PLACE,))
        assert change(before) != before
        database.execute("UPDATE kept SET value = ? WHERE key = ?", (change(before), PLACE))


@pytest.mark.row("J04")
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_time_is_none_and_told_of(machine: Machine, name: str) -> None:
    """J04: edited or truncated it says nothing; the license's own time is left, and kept anew."""
    machine.runs(10 * DAY)
    damage(machine.state, DAMAGES[name])
    machine.boot()
    assert machine.answer() == "yes"
    told = [dict(each.data) for each in machine.events if each.name.endswith("activity")]
    assert {"kind": "state_damaged"} in told
    machine.runs(HOUR)
    assert flow.run(last_seen(_state(machine))) == Mark(NOW + 10 * DAY + HOUR, NOW)
    machine.hands.wall = NOW - HOUR
    machine.boot()
    assert machine.answer() == "clock"


@pytest.mark.row("J04")
def test_the_time_of_another_place_is_told_of_and_believed(machine: Machine) -> None:
    """J04: a copy can only narrow; whoever has copied the license's state hears of it."""
    machine.runs(10 * DAY)
    copied = machine.state.with_name("copied")
    shutil.copytree(machine.state, copied)
    shutil.rmtree(machine.state)
    copied.rename(machine.state)
    machine.hands.wall -= 2 * DAY
    machine.boot()
    assert machine.answer() == "clock"
    told = [dict(each.data) for each in machine.events if each.name.endswith("activity")]
    assert {"kind": "state_copied"} in told


@pytest.mark.row("J04")
@pytest.mark.parametrize(
    "value",
    [b"", b"nan nan", b"inf 0", b"1", b"1 2", b"-1 -2", b"2 1 0", b"1e300 0", b"2e9 nan", b"a b"],
)
def test_what_is_no_time_is_not_believed(machine: Machine, value: bytes) -> None:
    """J04: also where it is whole."""
    assert Mark.of(value) is None
    _state(machine).put(PLACE, value, DAY).run()
    machine.boot()
    assert machine.answer() == "yes"


def _state(machine: Machine) -> State:
    (state,) = machine.gate.boards
    assert isinstance(state, State)
    return state


@pytest.mark.row("J04")
def test_of_many_writers_the_latest_time_stays(tmp_path: Path) -> None:
    """J04: whoever comes when, in threads with a connection each."""
    states = [State(str(tmp_path / "state"), Hands().clock, print) for _ in range(4)]
    marks = [Mark(float(NOW + 7 * number % 101), float(NOW - number)) for number in range(40)]

    def write(number: int) -> None:
        states[number % 4].change(PLACE, marks[number].added, DAY).run()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(40)))
    assert flow.run(last_seen(states[0])) == Mark(max(mark.seen for mark in marks), float(NOW))


WRITER = """
import sys
from licet.core.clock import SYSTEM_CLOCK
from licet.core.gate import Gate
from licet.core.grants import Grant
from licet.core.installation.install import install
from licet.core.installation.mark import PLACE, Mark
from licet.core.installation.state import State
state = State(sys.argv[1], SYSTEM_CLOCK, print)
for number in range(int(sys.argv[2]), 1000, 2):
    state.change(PLACE, Mark(float(number)).added, 600).run()
    print(number, flush=True)
"""


@pytest.mark.row("J04")
def test_a_killed_writer_leaves_a_whole_time(tmp_path: Path) -> None:
    """J04: of two processes one is killed in the middle; what both said last is there."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    arguments = [sys.executable, "-c", WRITER, str(tmp_path / "state")]
    State(str(tmp_path / "state"), Hands().clock, print)
    writers = [
        subprocess.Popen([*arguments, odd], stdout=subprocess.PIPE, env=environment, text=True)
        for odd in "01"
    ]
    said = 0
    for writer in writers:
        with writer:
            assert writer.stdout is not None
            for _ in range(20):
                said = max(said, int(writer.stdout.readline()))
            writer.kill()
    troubled: list[str] = []
    # Written by the clock of this machine, and read at a time when nothing has ended yet.
    found = flow.run(
        last_seen(State(str(tmp_path / "state"), Hands(wall=0).clock, troubled.append))
    )
    assert troubled == []
    assert found is not None
    assert found.seen >= said


class Silence:
    """States that give no answer, for a while."""

    def __init__(self, machine: Machine, patch: pytest.MonkeyPatch) -> None:
        self._machine, self._patch = machine, patch
        self.asked: list[str] = []
        for name in ("get", "change"):
            patch.setattr(State, name, self._method(name))

    def _method(self, name: str) -> Callable[..., Decision[Any]]:
        def fail() -> Any:
            raise StoreUnavailable("unreachable:x")
            yield

        def method(state: State, place: object, *arguments: object) -> Decision[Any]:
            if place == PLACE:
                self.asked.append(name)
            return Decision(fail)

        return method

    def ends(self) -> None:
        """Let them answer again, and the time come at which they are asked."""
        self._patch.undo()
        self._machine.hands.advance(11)


def test_a_state_that_says_nothing_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this process sees by itself counts meanwhile, and the rest as soon as it can be read."""
    machine = Machine(tmp_path)
    machine.license(NOW - 100 * DAY)
    machine.runs(10 * DAY)
    silence = Silence(machine, monkeypatch)
    machine.hands.wall -= 5 * DAY
    machine.boot()
    assert machine.answer() == "yes"
    machine.runs(HOUR, step=60)
    machine.hands.wall -= 2 * DAY
    assert machine.answer() == "clock"
    machine.hands.wall += 2 * DAY
    assert machine.answer() == "yes"
    silence.ends()
    assert machine.answer() == "clock"
    machine.hands.wall += 5 * DAY
    assert machine.answer() == "yes"


def test_what_the_state_saw_was_seen_before(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first reading is none where it turns out that there were others; no second counts twice."""
    machine.runs(DAY)
    silence = Silence(machine, monkeypatch)
    machine.hands.wall += 100 * DAY
    machine.boot()
    assert machine.answer() == "yes"
    silence.ends()
    machine.answer()
    assert machine.time._mark == Mark(NOW + DAY, NOW)
    machine.hands.wall -= 100 * DAY
    assert machine.answer() == "yes"
    machine.hands.wall = NOW - 20
    assert machine.answer() == "clock"


def test_what_others_have_seen_is_not_added_to(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of time that has passed for all, none passes twice for who hears of it late."""
    silence = Silence(machine, monkeypatch)
    machine.boot()
    machine.runs(DAY)
    machine.hands.advance(10 * DAY)
    monkeypatch.undo()
    seen = Mark(machine.hands.wall)
    _state(machine).change(PLACE, seen.added, DAY).run()
    silence.ends()
    assert machine.answer() == "yes"
    assert machine.time._mark == Mark(machine.hands.wall, NOW)


def test_a_state_that_keeps_nothing_is_tried_now_and_then(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And not once a second, which is how often it is looked whether there is anything to keep.

    That it cannot be kept is told once, however long that is so.
    """
    machine.runs(HOUR, step=60)
    silence = Silence(machine, monkeypatch)
    for _ in range(100):
        machine.hands.advance(1)
        machine.time.keep()
    assert silence.asked == ["change"] * 5
    assert len([line for line in caplog.messages if "cannot be kept" in line]) == 1
    silence.ends()
    machine.time.keep()
    assert flow.run(last_seen(_state(machine))) == machine.time._mark


# -- against a model -------------------------------------------------------------------------------


class Model:
    """What must be answered, by the words of the specification alone."""

    def __init__(self, remembers: bool) -> None:
        self.remembers = remembers
        self.kept: tuple[float, float] | None = None
        self.iat = self.exp = float(NOW)
        self.exp += 300 * DAY
        self.boot()

    def boot(self) -> None:
        """Forget what is not kept."""
        self.seen: float | None = None
        self.signed = 0.0
        if self.kept is not None:
            self.seen, self.signed = self.kept
        self.settles_in = 0.0
        self.at: tuple[float, float] | None = None

    def reads(self, wall: float, monotonic: float) -> str | None:
        """Return why a reading of the clock is refused."""
        last, self.at = self.at, (wall, monotonic)
        ticked = monotonic - last[1] if last else 0.0
        passed = max(0.0, ticked if ticked <= 300 or not last else min(wall - last[0], ticked))
        if self.seen is None:
            return None
        self.seen += passed
        self.settles_in = max(0.0, self.settles_in - passed)
        if wall < self.signed - 300:
            return "clock"
        if wall < self.seen - DAY:
            if not self.settles_in:
                return "clock"
            self.seen = wall
        return None

    def answers(self, wall: float, monotonic: float) -> str:
        """Return what a request is answered."""
        if refused := self.reads(wall, monotonic):
            return refused
        if self.iat > wall + 30:
            return "clock"
        if wall >= self.exp + 30:
            return "expired"
        self.signed = max(self.signed, min(self.iat, wall))
        if self.seen is None:
            self.seen, self.settles_in, self.at = wall, SETTLING, (wall, monotonic)
        self.seen = max(self.seen, self.signed)
        return "yes"

    def keeps(self, wall: float, monotonic: float) -> None:
        """Take note of what a look behind the requests writes down."""
        self.reads(wall, monotonic)
        if not self.remembers or self.seen is None or self.settles_in:
            return
        kept = self.kept or (-1.0, -1.0)
        if self.kept is None or self.signed > kept[1] or self.seen >= kept[0] + 60:
            self.kept = max(kept[0], self.seen), max(kept[1], self.signed)


SPANS = [1, 60, 299, 300, 301, HOUR, DAY - 1, DAY, DAY + 1, 30 * DAY, YEAR, 10 * YEAR]
STEPS = st.one_of(
    st.tuples(st.just("passes"), st.sampled_from([0, 1, 60, 301, HOUR, DAY, 40 * DAY])),
    st.tuples(st.just("jumps"), st.sampled_from(SPANS + [-span for span in SPANS])),
    st.tuples(st.just("right"), st.just(0)),
    st.tuples(st.just("boots"), st.sampled_from([0, HOUR, 3 * DAY, YEAR])),
    st.tuples(st.just("signed"), st.sampled_from([0, 0, -HOUR, 20, 31, YEAR])),
    st.tuples(st.just("keeps"), st.just(0)),
)


@pytest.mark.row("J01", "J02", "J03")
@given(remembers=st.booleans(), steps=st.lists(STEPS, max_size=14))
@examples(max_examples=120, deadline=None)
def test_the_answers_are_those_of_the_model(remembers: bool, steps: list[tuple[str, int]]) -> None:
    """J01, J02, J03: wherever the clock is set, whatever is signed, however often it restarts.

    And whoever has a good license and a clock that is right is let in, whatever was before, unless
    the very first reading of all was wrong for longer than it may be.
    """
    with TemporaryDirectory(dir=IN_MEMORY, ignore_cleanup_errors=True) as directory:
        machine, model = Machine(Path(directory), remembers=remembers), Model(remembers)
        machine.license()
        hands = machine.hands
        off, poisoned = 0, False

        def asks() -> None:
            nonlocal poisoned
            first = model.seen is None
            expected = model.answers(hands.wall, hands.monotonic)
            assert machine.answer() == expected
            poisoned |= first and model.seen is not None and off > 0
            right = off == 0 and model.iat <= hands.wall < model.exp
            assert expected == "yes" or not right or poisoned

        asks()
        for kind, amount in steps:
            if kind == "passes":
                hands.advance(amount)
            elif kind == "jumps" and 0 <= hands.wall + amount <= END_OF_TIME:
                hands.wall += amount
                off += amount
            elif kind == "right":
                hands.wall -= off
                off = 0
            elif kind == "boots":
                hands.wall += amount
                machine.boot()
                model.boot()
                poisoned &= remembers and model.seen is not None
            elif kind == "signed":
                # By a signer whose clock may be wrong.
                model.iat = hands.wall - off + amount
                model.exp = model.iat + 300 * DAY
                machine.license(model.iat)
                machine.boot(hands.monotonic)
                model.boot()
                poisoned &= remembers and model.seen is not None
            elif kind == "keeps":
                model.keeps(hands.wall, hands.monotonic)
                machine.time.keep()
            asks()


@pytest.mark.row("J01")
@pytest.mark.parametrize("remembers", [True, False], ids=["state", "no state"])
def test_no_license_lives_longer_by_a_clock_that_is_set_back(
    tmp_path: Path, remembers: bool
) -> None:
    """J01: of a machine that runs, a day after its true end at the latest, whatever is tried."""
    machine = Machine(tmp_path, remembers=remembers)
    machine.license(lasts=10 * DAY)
    machine.runs(9 * DAY)
    end = machine.hands.monotonic + DAY
    for back in (HOUR, DAY, 2 * DAY, 5 * DAY, YEAR):
        machine.hands.wall -= back
        machine.runs(DAY + HOUR)
        try:
            machine.ask()
        except LicenseError:
            continue
        assert machine.hands.monotonic < end + DAY + 60
