"""What one process is told is heard in the others, and no request looks for it."""

from __future__ import annotations

import gc
import json
import os
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from licet.core import flow
from licet.core.flow import Effect
from licet.core.gate import Gate
from licet.core.revocation import sticky
from licet.core.revocation.statements import Hint, Subject, Withdrawal
from licet.core.revocation.sticky import Withdrawals
from licet.core.revocation.watch import Watch, _follow
from licet.core.settings import Settings
from licet.core.stores import Key, Store, StoreUnavailable, key, open_store
from licet.core.stores.effects import Immediate
from licet.core.stores.interface import News
from licet.core.stores.memory import MemoryStore
from tests.core.hands import Hands
from tests.core.license_server import AUTHORITY, LicenseServer
from tests.core.loopback import reply, until
from tests.core.presented import Presented
from tests.core.withdrawing import Withdrawing, judged
from tests.licenses import ISSUER_NAME, OPTIONS, license_token

LICENSE = Subject("license", ISSUER_NAME, "lic_1")
CREDENTIAL = Subject("credential", ISSUER_NAME, "00")
ROTATED = Hint("rotated", ISSUER_NAME, "", 5.0)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boards be looked at more often than once a second."""
    monkeypatch.setattr("licet.core.revocation.watch.EVERY", 0.02)


@pytest.fixture
def store(hands: Hands) -> Store:
    """What several `Withdrawals` share, as processes would."""
    return open_store("memory://", hands.clock)


class Counted:
    """A board whose looks are counted, and that may be silent."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.silent = False
        self.reads = 0
        self.polls = 0

    def _asked(self, effect: Effect[Any]) -> Effect[Any]:
        if self.silent:
            raise StoreUnavailable("unreachable")
        return effect

    def get(self, name: Key) -> Effect[bytes | None]:
        self.reads += 1
        return self._asked(self.inner.get(name))

    def put(self, name: Key, value: bytes, ttl: float) -> Effect[None]:
        return self._asked(self.inner.put(name, value, ttl))

    def announce(self, name: Key, value: bytes, ttl: float) -> Effect[int]:
        return self._asked(self.inner.announce(name, value, ttl))

    def announced(self, after: int) -> Effect[News]:
        self.polls += 1
        return self._asked(self.inner.announced(after))


class Unfollowed(Withdrawals):
    """Looks at its boards when a test has its watch look, and not by itself."""

    def follow(self) -> bool:
        return True


def test_what_is_said_in_one_process_is_heard_in_another(store: Store, hands: Hands) -> None:
    """Withdrawn, and given back; also what was said before it began to listen."""
    here, there = Withdrawals((store,), hands.clock), Withdrawals((store,), hands.clock)
    flow.run(here.record(Withdrawal("revoked", 10.0), LICENSE, CREDENTIAL))
    there.follow()
    until(lambda: there.withdrawn(LICENSE) == there.withdrawn(CREDENTIAL) is not None)
    assert there.known(LICENSE) == Withdrawal("revoked", 10.0)
    flow.run(here.lift(20.0, LICENSE))
    until(lambda: there.withdrawn(LICENSE) is None)
    assert there.withdrawn(CREDENTIAL) is not None


def test_an_older_word_is_not_announced(store: Store, hands: Hands) -> None:
    """It would be heard in place of the later one by whoever begins to listen."""
    here, there = Withdrawals((store,), hands.clock), Withdrawals((store,), hands.clock)
    flow.run(here.record(Withdrawal("suspended", 20.0), LICENSE))
    flow.run(there.record(Withdrawal("revoked", 10.0), LICENSE))
    fresh = Withdrawals((store,), hands.clock)
    fresh.follow()
    until(lambda: fresh.known(LICENSE) == Withdrawal("suspended", 20.0))
    assert there.known(LICENSE) == Withdrawal("suspended", 20.0)


@pytest.mark.row("I06")
def test_a_look_that_came_to_nothing_is_no_answer(store: Store, hands: Hands) -> None:
    """Neither for the next request, nor for one that comes while it is under way."""
    flow.run(Withdrawals((store,), hands.clock).record(Withdrawal("revoked", 10.0), LICENSE))
    board = Counted(store)
    withdrawals = Unfollowed((board,), hands.clock)
    board.silent = True
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            flow.run(withdrawals.look(LICENSE))
    board.silent = False
    with pytest.raises(flow.WouldWait):
        flow.peek(withdrawals.look(LICENSE))
    under_way = withdrawals.look(LICENSE)
    next(under_way)
    assert flow.run(withdrawals.look(LICENSE)) == Withdrawal("revoked", 10.0)
    under_way.close()


@pytest.mark.row("I06")
def test_what_was_given_back_is_looked_at_as_well(
    store: Store, hands: Hands, no_threads: None
) -> None:
    """It may have been withdrawn once more, elsewhere."""
    here, there = (Withdrawals((store,), hands.clock) for _ in range(2))
    flow.run(here.record(Withdrawal("suspended", 10.0), LICENSE))
    assert flow.run(here.lift(20.0, LICENSE))
    flow.run(there.record(Withdrawal("revoked", 30.0), LICENSE))
    assert flow.run(here.look(LICENSE)) == Withdrawal("revoked", 30.0)


@pytest.mark.row("I06")
@pytest.mark.parametrize("away", [0, 1])
def test_a_silent_board_keeps_no_other_from_being_heard_or_told(hands: Hands, away: int) -> None:
    """An installation's own state and a shared store: what the one that answers says, counts."""
    boards = [Counted(MemoryStore(hands.clock)) for _ in range(2)]
    here = Unfollowed(boards, hands.clock)
    here._watch.look()
    assert here._watch.caught_up
    boards[away].silent = True
    left = boards[1 - away]
    there = Withdrawals((left.inner,), hands.clock)
    flow.run(there.record(Withdrawal("revoked", 10.0), LICENSE))
    assert flow.run(here.look(LICENSE)) is None, "it was heard a moment ago"
    hands.advance(10)
    assert flow.run(here.look(LICENSE)) == Withdrawal("revoked", 10.0)
    flow.run(there.record(Withdrawal("revoked", 10.0), CREDENTIAL))
    here._watch.look()
    assert here.withdrawn(CREDENTIAL)
    with pytest.raises(StoreUnavailable):
        flow.run(here.record(Withdrawal("suspended", 20.0), LICENSE))
    there._watch.look()
    assert there.known(LICENSE) == Withdrawal("suspended", 20.0)


@pytest.mark.row("I06")
def test_a_board_that_was_silent_is_told_later(hands: Hands) -> None:
    """By the watch, while another may still be silent."""
    boards = [Counted(MemoryStore(hands.clock)) for _ in range(2)]
    here = Unfollowed(boards, hands.clock)
    for board in boards:
        board.silent = True
    with pytest.raises(StoreUnavailable):
        flow.run(here.record(Withdrawal("revoked", 10.0), LICENSE, CREDENTIAL))
    boards[1].silent = False
    here._watch.look()
    for one in (LICENSE, CREDENTIAL):
        assert flow.run(Unfollowed((boards[1],), hands.clock).look(one)) is not None
    boards[0].silent = False
    here._watch.look()
    generations = [board.inner.generation().run() for board in boards]
    assert all(generations)
    here._watch.look()
    assert [board.inner.generation().run() for board in boards] == generations, "told once"


@pytest.mark.row("I06")
def test_a_yes_that_is_late_does_not_take_a_later_no_from_the_board(hands: Hands) -> None:
    """Two processes write at the same moment: who knows better says so again."""
    store = MemoryStore(hands.clock)
    early, late = (Unfollowed((store,), hands.clock) for _ in range(2))
    flow.run(early.record(Withdrawal("suspended", 10.0), LICENSE))
    late._watch.look()
    lifting = late.lift(20.0, LICENSE)
    effect = next(lifting)
    while late.withdrawn(LICENSE):
        effect = lifting.send(effect.run())
    result = effect.run()
    flow.run(early.record(Withdrawal("revoked", 30.0), LICENSE))
    # It has looked, and now writes.
    effect = lifting.send(result)
    with pytest.raises(StopIteration):
        lifting.send(effect.run())
    for each in (early, late):
        each._watch.look()
    fresh = Unfollowed((store,), hands.clock)
    fresh._watch.look()
    for each in (early, late, fresh):
        assert each.withdrawn(LICENSE) == Withdrawal("revoked", 30.0)


def test_while_it_listens_nobody_looks(store: Store, hands: Hands) -> None:
    """Not even for a license that is judged for the first time."""
    board = Counted(store)
    withdrawals = Withdrawals((board,), hands.clock)
    withdrawals.follow()
    until(lambda: not withdrawals.due(LICENSE))
    assert flow.run(withdrawals.look(LICENSE)) is None
    assert flow.run(withdrawals.lift(5.0, LICENSE))
    assert board.reads == 0


def test_a_board_that_falls_silent_after_it_was_heard_refuses_nobody(
    store: Store, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    """What was said before is known; before anything was heard, it cannot be told."""
    board = Counted(store)
    flow.run(Withdrawals((store,), hands.clock).record(Withdrawal("revoked", 10.0), CREDENTIAL))
    withdrawals = Withdrawals((board,), hands.clock)
    board.silent = True
    with pytest.raises(StoreUnavailable):
        flow.run(withdrawals.look(LICENSE))
    board.silent = False
    until(lambda: withdrawals.withdrawn(CREDENTIAL))
    board.silent = True
    polls = board.polls
    until(lambda: board.polls > polls)
    hands.advance(100)
    assert flow.run(withdrawals.look(LICENSE)) is None
    assert flow.run(withdrawals.look(CREDENTIAL)) == Withdrawal("revoked", 10.0)
    assert "what other workers are told is heard later" in caplog.text


@pytest.mark.usefixtures("no_threads")
def test_where_no_thread_can_be_started_it_is_looked_at(store: Store, hands: Hands) -> None:
    """As often as a verdict is remembered there: every two seconds."""
    board = Counted(store)
    withdrawals = Withdrawals((board,), hands.clock)
    assert not withdrawals.follow()
    assert withdrawals.due(LICENSE)
    assert flow.run(withdrawals.look(LICENSE)) is None
    assert board.reads == 1


@pytest.mark.usefixtures("no_threads")
def test_verdicts_are_short_where_no_thread_can_be_started(tmp_path: Any, hands: Hands) -> None:
    """So that what another process was told is heard there too."""
    settings = Settings(**OPTIONS, store=f"sqlite:///{tmp_path}/licet.db")
    gate, other = (Gate(settings, clock=hands.clock) for _ in range(2))
    token = license_token(iat=int(hands.wall), exp=int(hands.wall) + 3600)
    assert flow.run(judged(gate, token)) == "yes"
    assert gate.recall(token.encode()) is not None
    word = Withdrawal("revoked", hands.wall)
    flow.run(other.withdrawals.record(word, LICENSE))
    hands.advance(2.5)
    assert gate.recall(token.encode()) is None
    assert flow.run(judged(gate, token)) == "online:revoked"


def test_when_more_was_said_than_is_kept_boards_are_looked_at(
    store: Store, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What gave way here is still withdrawn."""
    monkeypatch.setattr(sticky, "CAPACITY", 10)
    withdrawals = Withdrawals((store,), hands.clock)
    subjects = [LICENSE._replace(name=f"lic_{number}") for number in range(30)]
    for subject in subjects:
        flow.run(withdrawals.record(Withdrawal("revoked", 10.0), subject))
    hands.advance(100)
    assert withdrawals.known(subjects[0]) is None
    assert all(flow.run(withdrawals.look(one)) for one in subjects)


def test_what_gave_way_is_looked_at_again_at_once(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However short ago it was looked at."""
    monkeypatch.setattr(sticky, "CAPACITY", 10)
    store = MemoryStore(hands.clock)
    withdrawals = Unfollowed((store,), hands.clock)
    flow.run(Unfollowed((store,), hands.clock).record(Withdrawal("revoked", 10.0), LICENSE))
    assert flow.run(withdrawals.look(LICENSE))
    for number in range(12):
        withdrawals.keep(Withdrawal("revoked", 10.0), LICENSE._replace(name=f"lic_0{number}"))
    assert withdrawals.known(LICENSE) is None
    assert flow.run(withdrawals.look(LICENSE)) == Withdrawal("revoked", 10.0)


def test_a_child_of_a_fork_listens_for_itself(tmp_path: Any) -> None:
    """With the first license that it sees, though its parent had judged that already."""
    store = f"sqlite:///{tmp_path}/licet.db"
    with Withdrawing() as vendor:
        gate, token = vendor.gate(store=store), vendor.license(None)
        assert flow.run(judged(gate, token)) == "yes"
        grant = gate.recall(token.encode())
        assert grant is not None
        ready, told = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            code = 1
            try:
                if flow.run(judged(gate, token)) == "yes":
                    os.write(told, b".")
                    until(lambda: gate.recall(token.encode()) is None)
                    code = 0
            finally:
                os._exit(code)
        assert os.read(ready, 1) == b"."
        word = Withdrawal("revoked", vendor.hands.wall)
        flow.run(gate.withdrawals.record(word, Subject("license", vendor.name, "lic_1")))
        _, status = os.waitpid(child, 0)
        assert status == 0


def test_a_child_serves_nothing_that_was_withdrawn_since_its_parent_judged_it(
    tmp_path: Any,
) -> None:
    """Not even its first request, however long it had none."""
    store = f"sqlite:///{tmp_path}/licet.db"
    with Withdrawing() as vendor:
        gate, token = vendor.gate(store=store), vendor.license(None)
        assert flow.run(judged(gate, token)) == "yes"
        waits, withdrawn = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            code = 1
            try:
                os.read(waits, 1)
                code = flow.run(judged(gate, token)) != "online:revoked"
            finally:
                os._exit(code)
        word = Withdrawal("revoked", vendor.hands.wall)
        flow.run(gate.withdrawals.record(word, Subject("license", vendor.name, "lic_1")))
        os.write(withdrawn, b".")
        _, status = os.waitpid(child, 0)
        assert status == 0


def test_a_listener_that_fails_keeps_nothing_back(
    store: Store, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    """What is announced after it is heard, and so is what is no word of ours."""
    here, there = Withdrawals((store,), hands.clock), Withdrawals((store,), hands.clock)
    store.announce(key("odd"), b"\xff", 60).run()
    store.announce(key("other"), b'["token","a","b","c"]', 60).run()
    heard: list[bytes] = []

    def listen(value: bytes) -> None:
        heard.append(value)
        if value == b"\xff":
            raise RuntimeError("of a listener")

    there.listen(listen)
    flow.run(here.record(Withdrawal("revoked", 10.0), LICENSE))
    there.follow()
    until(lambda: there.withdrawn(LICENSE))
    assert len(heard) == 3
    assert "of a listener" in caplog.text


def test_a_hint_is_acted_on_once_in_each_process(store: Store, hands: Hands) -> None:
    """At once where it comes in, and where it is heard; not again when it is heard at home."""
    acted: list[str] = []
    here, there = Withdrawals((store,), hands.clock), Withdrawals((store,), hands.clock)
    here.on_hint(lambda hint: acted.append(f"here {hint.kind}"))
    there.on_hint(lambda hint: acted.append(f"there {hint.kind}"))
    here.follow()
    flow.run(here.hint(ROTATED))
    assert acted == ["here rotated"]
    there.follow()
    until(lambda: len(acted) == 2)
    flow.run(Withdrawals((store,), hands.clock).record(Withdrawal("revoked", 10.0), LICENSE))
    until(lambda: here.withdrawn(LICENSE) and there.withdrawn(LICENSE))
    assert acted == ["here rotated", "there rotated"]
    flow.run(here.hint(ROTATED._replace(said_at=6.0)))
    until(lambda: len(acted) == 4)


def test_a_hint_that_no_other_can_be_told_is_acted_on_here(store: Store, hands: Hands) -> None:
    """And the teller hears of that."""
    board = Counted(store)
    acted: list[Hint] = []
    withdrawals = Withdrawals((board,), hands.clock)
    withdrawals.on_hint(acted.append)
    board.silent = True
    with pytest.raises(StoreUnavailable):
        flow.run(withdrawals.hint(ROTATED))
    assert acted == [ROTATED]


def watches() -> Iterator[threading.Thread]:
    return (thread for thread in threading.enumerate() if thread.name == "licet-watch")


def test_a_watch_ends_with_its_gate(store: Store, hands: Hands) -> None:
    """Nobody has to close it."""
    before = set(watches())
    withdrawals = Withdrawals((Counted(store),), hands.clock)
    assert withdrawals.follow()
    assert withdrawals.follow(), "which begins no second one"
    (thread,) = set(watches()) - before
    gone = weakref.ref(withdrawals)
    del withdrawals
    until(lambda: gc.collect() is not None and gone() is None)
    thread.join(10)
    assert not thread.is_alive()


def test_who_shares_nothing_has_no_watch(hands: Hands) -> None:
    """There is nobody to hear."""
    before = set(watches())
    withdrawals = Withdrawals((), hands.clock)
    assert withdrawals.follow()
    assert not withdrawals.due(LICENSE)
    assert set(watches()) == before


def test_a_watch_that_is_ended_is_followed_by_another(store: Store, hands: Hands) -> None:
    """Whatever ended it, the next license that is judged begins a new one."""

    class Deadly(Counted):
        def announced(self, after: int) -> Effect[News]:
            self.polls += 1
            if self.polls == 1:
                raise SystemExit
            return self.inner.announced(after)

    withdrawals = Withdrawals((Deadly(store),), hands.clock)
    watch, sign = withdrawals._watch, object()
    watch._thread = sign
    with pytest.raises(SystemExit):
        # In this thread, where the end of it is nobody else's to hear of.
        _follow(weakref.ref(watch), sign)
    assert watch._thread is None
    until(lambda: withdrawals.followed)


def test_a_board_that_lost_everything_is_told_again(store: Store, hands: Hands) -> None:
    """By whoever knows: a server that was emptied must not bring a license back."""
    board = Counted(store)
    here = Withdrawals((board,), hands.clock)
    flow.run(here.record(Withdrawal("revoked", 10.0), LICENSE))
    here.follow()
    until(lambda: here.followed)
    board.inner = emptied = open_store("memory://", Hands().clock)
    there = Withdrawals((emptied,), hands.clock)
    there.follow()
    until(lambda: there.withdrawn(LICENSE))


def test_verdicts_are_short_while_nobody_listens(
    tmp_path: Any, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that is started and never runs, as in a frozen process, is no watch."""
    monkeypatch.setattr("licet.core.revocation.watch.start", lambda target, name: True)
    gate = Gate(Settings(**OPTIONS, store=f"sqlite:///{tmp_path}/licet.db"), clock=hands.clock)
    token = license_token(iat=int(hands.wall), exp=int(hands.wall) + 3600)
    assert flow.run(judged(gate, token)) == "yes"
    assert gate.recall(token.encode()) is not None
    hands.advance(2.5)
    assert gate.recall(token.encode()) is None


class Follower:
    """Hears."""

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self.looks = 0

    def heard(self, value: bytes) -> None:
        self.told.append(value)

    def looked(self) -> None:
        self.looks += 1

    def emptied(self, board: object) -> None:
        raise AssertionError


def test_what_is_heard_after_its_owner_is_gone_is_lost(store: Store, hands: Hands) -> None:
    """Which can be while it is read."""
    follower = Follower()
    watch = Watch((store,), follower, hands.clock)
    watch.look()
    assert follower.looks == 1
    del follower
    gc.collect()
    store.announce(key("any"), b"[]", 60).run()
    watch.look()
    assert watch.caught_up


def test_a_board_that_always_has_something_to_say_is_left(store: Store, hands: Hands) -> None:
    """What counts otherwise than it should would keep its reader for ever."""

    class Endless(Counted):
        def announced(self, after: int) -> Effect[News]:
            self.polls += 1
            return Immediate(lambda: News(5, (b"[]",)))

    board, follower = Endless(store), Follower()
    watch = Watch((board,), follower, hands.clock)
    watch.look()
    assert board.polls == 2
    assert len(follower.told) == 2


def test_an_installation_that_nobody_uses_is_refreshed(tmp_path: Any) -> None:
    """Before its token ends, by the thread that watches its state."""
    now = int(time.time())
    with LicenseServer() as server:
        later = license_token(iat=now, exp=now + 365 * 86_400)
        answer = json.dumps({"token": later, "expires_in": 365 * 86_400}).encode()
        server.trouble = lambda request: reply(200, answer)
        token = license_token(iat=now - 90, exp=now + 10)
        url = server.options()["validation_url"].replace("validate", "refresh")
        state = str(tmp_path / "state")
        options = {**OPTIONS, "license": token, "refresh_url": url, "license_state": state}
        gate = Gate(Settings(**options, tls_ca_file=str(AUTHORITY)))
        assert gate.installation is not None
        assert flow.run(gate.decide(Presented()))
        until(lambda: gate.installation.kept == later.encode())
