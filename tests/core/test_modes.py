"""Modes in which nothing is enforced: what passes, what is told of it, and what is counted."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest

import licet
from licet import ConfigError, consume, requires_feature
from licet.core import flow, gates, verdict
from licet.core.entitlements import Entitlements, Status
from licet.core.entitlements.context import bind
from licet.core.errors import FeatureNotLicensed, LicenseRequired, LicenseUnavailable
from licet.core.gate import Gate
from licet.core.settings import Settings
from licet.core.stores import StoreUnavailable, open_store
from licet.core.stores.effects import Decision
from licet.core.stores.memory import MemoryStore
from licet.core.tally import Tally
from tests.core.hands import Hands
from tests.core.license_server import AUTHORITY
from tests.core.presented import Presented
from tests.core.test_gate import NOW, token
from tests.licenses import OPTIONS


def gate_with(hands: Hands, **options: Any) -> Gate:
    """Return a gate with literal keys."""
    return Gate(Settings(**{**OPTIONS, **options}), clock=hands.clock)


def decide(gate: Gate, credential: bytes | None = None) -> Entitlements:
    """Return the entitlements of a request."""
    lines = {} if credential is None else {"authorization": [f"Bearer {credential.decode()}"]}
    return flow.run(gate.decide(Presented(lines=lines)))


@requires_feature("analytics")
def report() -> str:
    """Demand something."""
    return "done"


@pytest.fixture
def hands() -> Hands:
    """A clock to move."""
    return Hands(wall=NOW)


@pytest.mark.parametrize("mode", ["report", "off"])
def test_what_is_not_enforced_says_so_once(
    hands: Hands, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """At start, whoever builds a middleware how often; and `enforce` says nothing."""
    with caplog.at_level(logging.WARNING, "licet"):
        settings = Settings(**OPTIONS, mode=mode, leeway=3)
        for _ in range(3):
            gates.gate_for(settings)
        gate_with(hands, mode="enforce")
    assert [line for line in caplog.messages if "mode is" in line] == [
        line for line in caplog.messages if f"mode is {mode}" in line
    ]
    assert len([line for line in caplog.messages if "mode is" in line]) == 1


def test_a_handler_of_the_log_may_ask_for_the_gate_that_is_made() -> None:
    """What is said at start is heard by whoever may do the same, in the middle of it."""
    settings = Settings(**OPTIONS, mode="report", leeway=4)
    asked: list[str] = []
    made: list[Gate] = []

    class Asking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            asked.append(record.getMessage())
            if len(asked) == 1:
                made.append(gates.gate_for(settings))

    handler = Asking()
    logging.getLogger("licet").addHandler(handler)
    try:
        thread = threading.Thread(target=lambda: made.append(gates.gate_for(settings)), daemon=True)
        thread.start()
        thread.join(10)
    finally:
        logging.getLogger("licet").removeHandler(handler)
    assert len(made) == 2
    assert made[0] is made[1] is gates.gate_for(settings)


def test_entitlements_are_honest_while_everything_passes(hands: Hands) -> None:
    """In report mode `allows` says no where a requirement lets pass, with a license and without."""
    gate = gate_with(hands, mode="report")
    small = decide(gate, token(features=[]))
    nothing = decide(gate)
    for entitlements, status in ((small, Status.ACTIVE), (nothing, Status.UNLICENSED)):
        assert entitlements.status is status
        assert not entitlements.allows("analytics")
        entitlements.require("analytics")
        entitlements.require_license()
        with bind(entitlements):
            assert report() == "done"
    # Two demands of the one, `require` and the view's. The other would have been refused as it
    # came, and nothing would have been demanded of it.
    assert gate.would_refuse() == {"feature_not_licensed": 2, "license_required": 1}


def test_what_a_view_demands_of_a_request_without_license_is_counted(hands: Hands) -> None:
    """Where none is required it is not refused as it comes, and would have been by the view."""
    gate = gate_with(hands, mode="report", required=False)
    with bind(decide(gate)):
        assert report() == "done"
    assert gate.would_refuse() == {"license_required": 1}


def test_a_license_that_ends_meanwhile_is_counted_and_passes(hands: Hands) -> None:
    """A connection that stays open in report mode is not closed when its license ends."""
    gate = gate_with(hands, mode="report")
    facts = Presented(lines={"authorization": [f"Bearer {token().decode()}"]})
    held = flow.run(gate.decide(facts))
    hands.advance(3_700)
    flow.run(gate.recheck(held, facts))
    held.require("analytics")
    assert held.status is Status.UNLICENSED
    assert gate.would_refuse() == {"license_expired": 2}


def test_jobs_pass_too(hands: Hands) -> None:
    """`licet.verify` returns honest entitlements whose requirements let pass, in either mode."""
    for mode in ("report", "off"):
        settings = Settings(**OPTIONS, mode=mode, leeway=4)
        found = licet.verify("rubbish", settings)
        assert found.status is Status.UNLICENSED
        with licet.bind(found):
            assert report() == "done"
        at = licet.verify(token(features=[]), settings, at=float(NOW))
        with licet.bind(at):
            assert report() == "done"


def test_where_it_is_enforced_nothing_passes(hands: Hands) -> None:
    """The same demands are refused by default, and nothing is counted."""
    gate = gate_with(hands, required=False)
    small, nothing = decide(gate, token(features=[])), decide(gate)
    with bind(small), pytest.raises(FeatureNotLicensed):
        report()
    with bind(nothing), pytest.raises(LicenseRequired):
        report()
    with pytest.raises(LicenseRequired):
        nothing.require_license()
    assert gate.would_refuse() == {}


def test_nothing_is_done_in_off_mode(hands: Hands, tmp_path: Path) -> None:
    """No state is made, no license file read, and nothing counted."""
    state, path = tmp_path / "state", tmp_path / "license.jwt"
    path.write_text("rubbish")
    gate = gate_with(
        hands, mode="off", license=f"file:{path}", license_state=str(state), store="sqlite:///x.db"
    )
    with bind(decide(gate)) as entitlements:
        assert report() == "done"
        assert entitlements.status is Status.UNLICENSED
    assert not state.exists()
    assert (gate.installation, gate.refresher, gate.boards) == (None, None, ())
    assert (gate.would_refuse(), gate.grant_stats().misses) == ({}, 0)


def test_whatever_is_set_nothing_is_begun_in_off_mode(hands: Hands, tmp_path: Path) -> None:
    """No thread, no file and no store; a mistake in the settings is one all the same."""
    options: dict[str, Any] = {
        "mode": "off",
        "issuer": "https://off.example",
        "audience": "acme-reports",
        "jwks_url": "https://off.example/jwks.json",
        "jwks_snapshot": str(tmp_path / "keys.json"),
        "license": f"file:{tmp_path}/license.jwt",
        "license_state": str(tmp_path / "state"),
        "store": f"sqlite:///{tmp_path}/licet.db",
        "refresh_url": "https://off.example/refresh",
        "usage_url": "https://off.example/usage",
        "validation_url": "https://off.example/validate",
        "validation_credentials": "val_1",
        "revalidate_every": 60,
        "webhook_url": "https://off.example/told",
        "webhook_secret": "whsec_" + "c2VjcmV0" * 6,
        "tls_ca_file": str(AUTHORITY),
    }
    before = set(threading.enumerate())
    gate = Gate(Settings(**options), clock=hands.clock)
    gate.warm()
    for credential in (None, token(), b"rubbish"):
        with bind(decide(gate, credential)) as entitlements:
            assert report() == "done"
            assert not entitlements
            entitlements.require("analytics")
            entitlements.require_license()
            assert consume("apiCalls").amount == 0
            assert consume("seats", key="bob").amount == 0
    assert flow.peek(gate.decide(Presented())).status is Status.UNLICENSED
    assert set(threading.enumerate()) <= before
    assert list(tmp_path.iterdir()) == []
    for wrong in ({"leeway": -1}, {"store": "nowhere://"}, {"webhook_secret": None}):
        with pytest.raises(ConfigError):
            Settings(**{**options, **wrong})


def test_a_store_that_is_down_keeps_nobody_out(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be counted is undecided where it is enforced, and else passes and is told."""

    def fail() -> Any:
        raise StoreUnavailable("unreachable:x")
        yield

    monkeypatch.setattr(MemoryStore, "increment", lambda *arguments: Decision(fail))
    monkeypatch.setattr(MemoryStore, "admit", lambda *arguments: Decision(fail))
    held = {mode: gate_with(hands, mode=mode) for mode in ("enforce", "report")}
    credential = token(limits={"apiCalls": 9, "seats": 9})
    with bind(decide(held["enforce"], credential)):
        with pytest.raises(LicenseUnavailable):
            consume("apiCalls")
        with pytest.raises(LicenseUnavailable):
            consume("seats", key="bob")
    with bind(decide(held["report"], credential)) as entitlements:
        assert consume("apiCalls").amount == 0
        consume("seats", key="bob").refund()
        assert entitlements.status is Status.ACTIVE
    assert held["report"].would_refuse() == {"license_unavailable": 2}


def test_what_nobody_expects_of_a_store_is_undecided(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of this side is 503 and none of the view's; where nothing is enforced it passes."""

    def fail() -> Any:
        raise ZeroDivisionError
        yield

    monkeypatch.setattr(MemoryStore, "increment", lambda *arguments: Decision(fail))
    strict, lenient = (gate_with(hands, mode=mode) for mode in ("enforce", "report"))
    credential = token(limits={"apiCalls": 9})
    with bind(decide(strict, credential)), pytest.raises(LicenseUnavailable) as caught:
        consume("apiCalls")
    assert caught.value.reason == "internal_error:ZeroDivisionError"
    with bind(decide(lenient, credential)):
        assert consume("apiCalls").amount == 0
    assert lenient.would_refuse() == {"license_unavailable": 1}


# -- the summary -----------------------------------------------------------------------------------


def test_what_several_processes_would_have_refused_is_summed(hands: Hands, tmp_path: Path) -> None:
    """Each writes what it counted to the store they share; a command in another sums it up."""
    options = {"mode": "report", "store": f"sqlite:///{tmp_path}/licet.db"}
    workers = [gate_with(hands, **options, leeway=leeway) for leeway in (1, 2)]
    for _ in range(3):
        for gate in workers:
            decide(gate)
            decide(gate, b"rubbish")
    other = gate_with(hands, **{**options, "audience": "another-product"})
    decide(other)
    for gate in (*workers, other):
        gate.enforcement.tally.finish(1.0)
    command = gate_with(hands, **options)
    assert flow.run(command.enforcement.tally.everywhere()) == {
        "license_required": 6,
        "license_invalid": 6,
    }
    assert command.would_refuse() == {}
    found = verdict.judge(command, None)
    assert found.document == {
        "holds": None,
        "would_refuse": {"license_required": 6, "license_invalid": 6},
    }
    assert "12 would have been refused" in found.lines[1]
    assert [line.split() for line in found.lines[2:]] == [
        ["6", "license_invalid"],
        ["6", "license_required"],
    ]


def test_a_count_is_written_by_itself(
    hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon, without anybody who asks."""
    from tests.core.loopback import until

    monkeypatch.setattr("licet.core.tally.WRITE_EVERY", 0.05)
    gate = gate_with(hands, mode="report", store=f"sqlite:///{tmp_path}/licet.db")
    decide(gate)
    until(lambda: flow.run(gate.enforcement.tally.everywhere()) == {"license_required": 1})


def test_the_log_is_told_once_an_hour_and_at_the_end(
    hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    """In one line, of all that was counted so far, and only where that is news."""
    gate = gate_with(hands, mode="report")

    def lines() -> list[str]:
        return [line.partition(": ")[2] for line in caplog.messages if "would have been" in line]

    for _ in range(3):
        decide(gate)
        decide(gate, b"rubbish")
    assert lines() == []
    hands.advance(3_600)
    decide(gate)
    decide(gate)
    told = ["7 would have been refused (3 license_invalid, 4 license_required)"]
    assert lines() == told
    told.append("8 would have been refused (3 license_invalid, 5 license_required)")
    for _ in range(2):
        gate.enforcement.tally.finish(1.0)
        assert lines() == told
    gate_with(hands, mode="report").enforcement.tally.finish(1.0)
    assert lines() == told


def test_a_child_writes_only_its_own(tmp_path: Path) -> None:
    """What waits when a process forks is the parent's to write."""
    store = open_store(f"sqlite:///{tmp_path}/licet.db")
    tally = Tally(lambda: store, ["a"])
    tally.add("license_required")
    pid = os.fork()
    if not pid:
        tally.finish(1.0)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    tally.finish(1.0)
    assert flow.run(tally.everywhere()) == {"license_required": 1}


def test_a_store_that_is_down_hides_nothing_of_this_process(hands: Hands, tmp_path: Path) -> None:
    """The summary is then of this process alone, and nobody is kept out."""
    gate = gate_with(hands, mode="report", store=f"sqlite:///{tmp_path}/licet.db")
    decide(gate)

    def fail() -> Any:
        raise StoreUnavailable("unreachable:x")
        yield

    tally = gate.enforcement.tally

    class Down:
        def increment(self, *arguments: object) -> object:
            return Decision(fail)

    tally._store = Down  # type: ignore[assignment]
    decide(gate)
    assert verdict.judge(gate, None).reported == {"license_required": 2}
