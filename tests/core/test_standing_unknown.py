"""A license of which it cannot be told whether it stands, and what is done to find out."""

from __future__ import annotations

import json
import time
from math import inf
from pathlib import Path
from typing import Any

import pytest

from licet.core import flow
from licet.core.errors import InstallationUnlicensed, LicenseUnavailable
from licet.core.events.event import Event
from licet.core.flow import Effect
from licet.core.gate import Gate
from licet.core.grants import Fixed
from licet.core.revocation import sticky
from licet.core.revocation.statements import Hint, Subject, Withdrawal
from licet.core.revocation.sticky import Withdrawals
from licet.core.revocation.watch import Watch
from licet.core.settings import Settings
from licet.core.stores import Key, StoreUnavailable, key, open_store, sqlite
from licet.core.stores.interface import News
from licet.core.stores.sqlite import SQLiteStore
from tests.core.hands import Hands
from tests.core.license_server import AUTHORITY, LicenseServer
from tests.core.loopback import reply, until
from tests.core.presented import Presented
from tests.core.withdrawing import Withdrawing, verdict
from tests.core.worlds import at_rest, gate_of, token_of
from tests.core.worlds import verdict as asked
from tests.licenses import ISSUER_NAME, OPTIONS, license_token

DAY = 86_400


class Board:
    """A board that may be silent to those who ask, or only to those who announce.

    Args:
        hands: what it tells time by.
    """

    def __init__(self, hands: Hands) -> None:
        self.inner = open_store("memory://", hands.clock)
        self.silent = self.deaf = False

    def _answer(self, effect: Effect[Any], silent: bool) -> Effect[Any]:
        if silent:
            raise StoreUnavailable("unreachable")
        return effect

    def get(self, name: Key) -> Effect[bytes | None]:
        return self._answer(self.inner.get(name), self.silent)

    def put(self, name: Key, value: bytes, ttl: float) -> Effect[None]:
        return self._answer(self.inner.put(name, value, ttl), self.deaf)

    def announce(self, name: Key, value: bytes, ttl: float) -> Effect[int]:
        return self._answer(self.inner.announce(name, value, ttl), self.deaf)

    def announced(self, after: int) -> Effect[News]:
        return self._answer(self.inner.announced(after), self.silent)


def sharing(gate: Gate, hands: Hands) -> Board:
    """Have a gate share what it is told on a board of its own."""
    board = Board(hands)
    standing = gate._standing
    gate.withdrawals = standing.withdrawals = Withdrawals((board,), hands.clock, standing.said)
    return board


# -- a list --------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["unknown", "shorter"])
def test_a_list_that_no_longer_says_anything_refuses(vendor: Withdrawing, change: str) -> None:
    """Also a license that stood by the copy before, and is in memory."""
    gate, token = vendor.gate(), vendor.license(40)
    assert verdict(gate, token) == "yes"
    vendor.hands.advance(61)
    if change == "unknown":
        vendor.statuses[40] = 3
    else:
        vendor.served = vendor.list(size=8)
    told = {"unknown": "status_unknown", "shorter": "status_index"}[change]
    until(lambda: verdict(gate, token) == told)
    assert verdict(gate, token) == told


def test_a_list_that_was_never_read_vouches_for_nothing(vendor: Withdrawing) -> None:
    """Whether it is asked for just then, or left alone for a while."""
    vendor.away = True
    gate, token = vendor.gate(), vendor.license()
    grant = flow.run(gate._judge.verify(token.encode()))
    for _ in range(3):
        objection = gate._standing.objection(grant)
        assert isinstance(objection, LicenseUnavailable)
        assert verdict(gate, token) == "status_unavailable:status_503"
    assert grant.listing is not None
    # As while somebody else fetches it.
    grant.listing.document.look_at = inf
    assert isinstance(gate._standing.objection(grant), LicenseUnavailable)
    vendor.away = False


def test_a_list_that_is_too_old_by_the_monotonic_clock_serves_nobody(vendor: Withdrawing) -> None:
    """Though the wall clock was put back meanwhile."""
    gate, token = vendor.gate(jwks_max_stale=30 * DAY), vendor.license()
    assert verdict(gate, token) == "yes"
    vendor.away = True
    vendor.hands.advance(3 * DAY + 61)
    vendor.hands.suspend(-3 * DAY)
    assert verdict(gate, token).startswith("status_unavailable:")
    assert gate.recall(token.encode()) is None


# -- a board -------------------------------------------------------------------------------------


@pytest.mark.row("I09")
def test_a_silent_board_leaves_a_listed_license_undecided(vendor: Withdrawing) -> None:
    """It may know that the license was withdrawn; one that nobody can withdraw is served."""
    gate = vendor.gate()
    sharing(gate, vendor.hands).silent = True
    assert verdict(gate, vendor.license()) == "store:unreachable"
    assert verdict(gate, vendor.license(None, subject="lic_2")) == "yes"


@pytest.mark.row("I09")
def test_what_a_list_says_counts_where_no_other_can_be_told(
    vendor: Withdrawing, caplog: pytest.LogCaptureFixture
) -> None:
    """The board is told later; nobody is served for that."""
    gate = vendor.gate()
    sharing(gate, vendor.hands).deaf = True
    vendor.statuses[7] = "revoked"
    token = vendor.license()
    for _ in range(2):
        assert verdict(gate, token).endswith(":revoked")
    assert "each worker knows its own alone" in caplog.text


@pytest.mark.row("I09")
def test_a_board_that_was_never_heard_leaves_an_answer_undecided(
    tmp_path: Path,
    hands: Hands,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another worker may have heard otherwise; once it tells, what was answered counts again."""
    silent = False
    get = SQLiteStore.get

    def failing(store: SQLiteStore, *about: Any) -> Any:
        if silent or about == (0,):
            raise StoreUnavailable("unreachable")
        return get(store, *about)

    monkeypatch.setattr(SQLiteStore, "get", failing)
    monkeypatch.setattr(SQLiteStore, "announced", failing)
    with LicenseServer(hands=hands) as server:
        gate = gate_of(server, hands, store=f"sqlite:///{tmp_path}/licet.db", grant_max_age=1)
        credential = server.add()
        assert asked(gate, credential) == "yes"
        silent = True
        hands.advance(100)
        assert asked(gate, credential) == "store:unreachable"
        silent = False
        hands.advance(100)
        assert asked(gate, credential) == "yes"
        assert len(server.questions) == 1
    assert "each worker knows its own alone" in caplog.text


def test_what_a_board_is_still_to_be_told_is_bounded(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest is told once it can be; what gave way is known to those who were told."""
    monkeypatch.setattr(sticky, "CAPACITY", 3)
    board = Board(hands)
    board.deaf = True
    withdrawals = Withdrawals((board,), hands.clock)
    subjects = [Subject("license", ISSUER_NAME, f"lic_{number}") for number in range(5)]
    for subject in subjects:
        with pytest.raises(StoreUnavailable):
            flow.run(withdrawals.record(Withdrawal("revoked", 1.0), subject))
    board.deaf = False
    withdrawals.looked()
    assert len(board.announced(0).run().values) == 3
    withdrawals.looked()
    other = Withdrawals((board,), hands.clock)
    assert [flow.run(other.look(one)) is None for one in subjects] == [True] * 2 + [False] * 3


def test_two_that_begin_at_once_begin_one_watch(hands: Hands) -> None:
    """Whoever waited for the other finds that it is done."""

    class Follower:
        def heard(self, value: bytes) -> None: ...

        def looked(self) -> None: ...

    follower = Follower()
    watch = Watch((open_store("memory://", hands.clock),), follower, hands.clock)
    lock, sign = watch.lock, object()

    class Other:
        """The other comes first, while this one waits."""

        def __enter__(self) -> None:
            lock.acquire()
            watch._thread = sign

        def __exit__(self, *error: object) -> None:
            lock.release()

    watch.lock = Other()  # type: ignore[assignment]
    assert watch.ensure()
    assert watch.is_followed_by(sign)


def test_a_store_that_outlives_its_modules_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its end the interpreter takes them apart, and connections close by themselves."""
    store = SQLiteStore(f"{tmp_path}/licet.db")
    store.put(key("any"), b"x", 60).run()
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "os", None)
        store.__del__()
    assert store.get(key("any")).run() == b"x"
    store.close()


# -- asking anew ---------------------------------------------------------------------------------


def test_a_license_that_is_said_to_be_resumed_is_asked_about_at_once() -> None:
    """And not only when it would have been again; the hint alone gives nothing back."""
    hands = Hands()
    with LicenseServer(hands=hands) as server:
        gate = gate_of(server, hands, revalidate_every=60)
        credential = server.add(token_of(hands, sub="lic_1"), sub="lic_1")
        server.error(credential, "suspended")
        until(lambda: asked(gate, credential) == "online:suspended")
        at_rest(gate)
        asked(gate, credential)
        at_rest(gate)
        server.error(credential, None)
        hands.advance(1)
        questions = len(server.questions)
        assert asked(gate, credential) == "online:suspended"
        at_rest(gate)
        assert len(server.questions) == questions
        for issuer in ("https://elsewhere.example", ISSUER_NAME):
            assert asked(gate, credential) == "online:suspended"
            at_rest(gate)
            assert len(server.questions) == questions
            flow.run(gate.withdrawals.hint(Hint("resumed", issuer, "lic_1", hands.wall)))
        assert asked(gate, credential) == "online:suspended"
        until(lambda: asked(gate, credential) == "yes")
        assert len(server.questions) > questions


def test_an_installation_that_is_said_to_be_resumed_is_refreshed_at_once(tmp_path: Path) -> None:
    """Long before its token ends."""
    now = int(time.time())
    with LicenseServer() as server:
        later = license_token(iat=now, exp=now + 365 * DAY)
        answer = json.dumps({"token": later, "expires_in": 365 * DAY}).encode()
        server.trouble = lambda request: reply(200, answer)
        url = server.options()["validation_url"].replace("validate", "refresh")
        options = {
            **OPTIONS,
            "license": license_token(iat=now - 1, exp=now + 300 * DAY),
            "refresh_url": url,
            "license_state": str(tmp_path / "state"),
            "tls_ca_file": str(AUTHORITY),
        }
        gate = Gate(Settings(**options))
        installation = gate.installation
        assert installation is not None
        assert flow.run(gate.decide(Presented()))
        assert server.log == []
        flow.run(gate.withdrawals.hint(Hint("resumed", ISSUER_NAME, "lic_1", float(now))))
        until(lambda: installation.kept == later.encode())


# -- an installation ------------------------------------------------------------------------------


def test_a_connection_to_an_installation_ends_with_its_license(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on under a license that took the place of the first, and ends where there is none."""

    def hold(**claims: Any) -> None:
        now = int(hands.wall)
        monkeypatch.setenv("HELD", license_token(iat=now, exp=now + 900, **claims))

    hold(sub="lic_1")
    gate = Gate(Settings(**OPTIONS, license="env:HELD"), clock=hands.clock)
    request = Presented()
    held = flow.run(gate.decide(request))
    flow.run(gate.recheck(held, request))
    hands.advance(800)
    hold(sub="lic_2")
    hands.advance(200)
    flow.run(gate.recheck(held, request))
    assert held.license_id == "lic_2"
    hands.advance(DAY)
    with pytest.raises(InstallationUnlicensed):
        flow.run(gate.recheck(held, request))
    monkeypatch.delenv("HELD")
    for one in (gate, Gate(Settings(**OPTIONS, license="env:HELD"), clock=hands.clock)):
        hands.advance(DAY)
        with pytest.raises(InstallationUnlicensed):
            flow.run(one.recheck(held, request))


def test_a_damaged_state_is_told_of(tmp_path: Path, hands: Hands) -> None:
    """By the gate whose it is, to whoever listens to its events."""
    directory = tmp_path / "state"
    gate = Gate(Settings(**OPTIONS, license_state=str(directory)), clock=hands.clock)
    events: list[Event] = []
    gate.events.subscribe(events.append)
    (state,) = gate.withdrawals._boards
    state.announce(key("any"), b"x", 60).run()
    (file,) = directory.glob("*.db")
    with SQLiteStore(str(file))._connect() as database:
        database.execute("UPDATE announcements SET value = x'00'")
    assert state.get(key("any")).run() is None
    told = [dict(event.data) for event in events if event.name == "license.suspicious_activity"]
    assert told == [{"kind": "state_damaged"}]


def test_what_stands_still_is_refused_as_it_was() -> None:
    """An error about a license that is judged by another time stays what it is."""
    error = LicenseUnavailable("any")
    assert Fixed().refusal(error) is error
