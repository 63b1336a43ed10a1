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
from licet.core.revocation.sticky import Hint, Subject, Withdrawal, Withdrawals
from licet.core.revocation.watch import Watch
from licet.core.settings import Settings
from licet.core.stores import Key, Store, StoreUnavailable, key, open_store
from licet.core.stores.effects import Immediate
from licet.core.stores.interface import News
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
                if gate.recall(token.encode()) is not None:
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


class Follower:
    """Hears."""

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self.looks = 0

    def heard(self, value: bytes) -> None:
        self.told.append(value)

    def looked(self) -> None:
        self.looks += 1


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
