"""Forks: whoever held a lock at that moment, a child finds all of them free."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from licet.core import flow, forks, gates
from licet.core.events.event import Event
from licet.core.gate import Gate
from licet.core.gates import gate_for
from licet.core.settings import Settings
from tests.core.presented import Presented
from tests.licenses import OPTIONS, license_token

pytestmark = [
    pytest.mark.row("S01"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a platform that forks"),
]


def in_child(claim: Callable[[], object]) -> int:
    """Return the exit status of a forked child: 0 if `claim` is true in it, within ten seconds."""
    with warnings.catch_warnings():
        # From 3.12 on a fork beside threads warns, which is what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        watch = threading.Timer(10, os._exit, [3])
        watch.daemon = True
        watch.start()
        status = 1
        try:
            status = 0 if claim() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_every_lock_is_free_in_a_child() -> None:
    """Held all at once by another thread at the fork, they stop nothing that a worker does."""
    settings = Settings(**OPTIONS)
    gate = Gate(settings)
    log = gate.events._subscribers[0]
    logs = (log._rations, gate.enforcement._failed._failures)
    told = (gate.events, gate.events._incidents, gate._observations)
    everything = [gate._judgements.grants, gate._judge._terms, *told, *logs, gates._guard]
    assert all(isinstance(each, forks.Locked) for each in everything)
    held, released = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as stack:
            for each in everything:
                assert isinstance(each, forks.Locked)
                stack.enter_context(each.lock)
            held.set()
            released.wait(20)

    def works() -> bool:
        gate.events.subscribe(lambda event: None)
        gate.events.emit(Event("license.denied", {"code": "license_invalid"}))
        gate.events.emit(Event("license.suspicious_activity", {"kind": "burst"}))
        lines = {"authorization": [f"Bearer {license_token()}"]}
        assert flow.run(gate.decide(Presented(lines=lines)))
        assert gate_for(settings)
        assert flow.run(gate.verify(license_token().encode()))
        return gate.grant_stats().size == 1

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    try:
        assert in_child(works) == 0
    finally:
        released.set()
        thread.join(10)


def test_what_was_remembered_is_remembered_in_the_child() -> None:
    """Only locks begin anew: a child of a warm parent answers from its memory."""
    gate, token = Gate(Settings(**OPTIONS)), license_token().encode()
    assert flow.run(gate.verify(token))
    assert in_child(lambda: gate.recall(token) and gate.grant_stats().hits == 1) == 0
    assert gate.grant_stats().hits == 0


def test_a_lock_in_use_by_who_forks_is_released_where_it_was_taken() -> None:
    """A thread that forks while it holds a lock leaves its block in both processes."""
    locked = forks.Locked()

    def child() -> bool:
        return not locked.lock.locked()

    with locked.lock:
        assert in_child(child) == 0
    assert not locked.lock.locked()


def test_a_child_gets_a_lock_of_its_own() -> None:
    """What the hook does, without a fork."""
    locked = forks.Locked()
    inherited = locked.lock
    with inherited:
        forks._in_child()
        assert locked.lock is not inherited
        assert not locked.lock.locked()


def test_a_registry_that_was_being_changed_ends_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread was adding to it at the fork: the child is born all the same."""

    class Torn:
        def __iter__(self) -> Iterator[forks.Forked]:
            raise RuntimeError("Set changed size during iteration")

    monkeypatch.setattr(forks, "_everything", Torn())
    forks._in_child()


def test_the_registry_keeps_nothing_alive() -> None:
    """What nobody else holds is forgotten."""
    locked = forks.Locked()
    before = len(forks._everything)
    del locked
    assert len(forks._everything) == before - 1
