"""One question at a time for a credential at a domain, however many wait, and whoever leaves."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import anyio
import pytest

from licet.core import flow
from licet.core.gate import Gate
from licet.core.online.slots import PROCESS_SLOTS, Slots
from tests.core.hands import Hands
from tests.core.license_server import LicenseServer, asked
from tests.core.loopback import until
from tests.core.worlds import (
    WORLDS,
    Crowd,
    at_once,
    at_rest,
    gate_of,
    held,
    judge,
    told,
    validator_of,
    verdict,
    waiting,
)

#: How many ask at once: threads are dear, tasks are not.
MANY = {"threads": 60, "asyncio": 500, "trio": 500}


# -- one question ---------------------------------------------------------------------------------


@pytest.mark.row("I08")
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (None, "yes"),
        ("unknown", "online:unknown"),
        ("expired", "online:expired"),
        ("revoked", "online:revoked"),
        ("suspended", "online:suspended"),
        ("domain_mismatch", "online:domain_mismatch"),
    ],
)
def test_a_crowd_asks_once(
    server: LicenseServer, hands: Hands, world: str, word: str | None, reason: str
) -> None:
    """However many present one key for the first time: one question, and its answer for all."""
    gate, key = gate_of(server, hands, online_timeout=20), server.add()
    server.error(key, word)
    many = MANY[world]
    with held(server) as release:
        crowd = Crowd(world, [judge(gate, key) for _ in range(many)])
        until(lambda: waiting(gate) == many - 1)
        release()
        assert crowd.told() == [reason] * many
    at_rest(gate)
    assert len(server.questions) == 1


@pytest.mark.row("I08")
def test_threads_and_loops_ask_once_together(server: LicenseServer, hands: Hands) -> None:
    """Thirty threads, and tasks in two asyncio loops and one of trio, all of one gate."""
    gate, key = gate_of(server, hands, online_timeout=20), server.add()
    with held(server) as release:
        crowds = [
            Crowd(world, [judge(gate, key) for _ in range(many)])
            for world, many in [("threads", 30), ("asyncio", 100), ("asyncio", 100), ("trio", 100)]
        ]
        until(lambda: waiting(gate) == 329)
        release()
        assert [told for crowd in crowds for told in crowd.told()] == ["yes"] * 330
    at_rest(gate)
    assert len(server.questions) == 1


@pytest.mark.parametrize("world", WORLDS)
def test_a_crowd_asks_once_for_each_domain(server: LicenseServer, hands: Hands, world: str) -> None:
    """At four domains there are four questions, each of which names its own."""
    gate, key = gate_of(server, hands, online_timeout=20), server.add()
    hosts = [f"{letter}.example" for letter in "abcd"]
    with held(server) as release:
        crowd = Crowd(world, [judge(gate, key, host) for host in hosts * 15])
        until(lambda: waiting(gate) == 60 - 4)
        release()
        assert crowd.told() == ["yes"] * 60
    at_rest(gate)
    assert sorted(asked(request)["domain"] for request in server.questions) == hosts


@pytest.mark.parametrize("world", WORLDS)
def test_many_hosts_at_once_are_asked_about_eight_times(
    server: LicenseServer, hands: Hands, world: str
) -> None:
    """Of forty domains that a key is presented at in the same moment eight are asked about."""
    gate, key = gate_of(server, hands, online_timeout=20), server.add()
    with held(server) as release:
        crowd = Crowd(world, [judge(gate, key, f"h{number}.example") for number in range(40)])
        until(lambda: len(server.questions) >= 8)
        until(lambda: crowd.done or PROCESS_SLOTS.in_use + PROCESS_SLOTS.waiting >= 8)
        release()
        words = crowd.told()
    at_rest(gate)
    assert words == ["online:too_many_domains"] * 32 + ["yes"] * 8
    assert len(server.questions) == 8


# -- who goes away --------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("whole_group", [False, True])
async def test_a_cancelled_asker_hands_over(
    server: LicenseServer, hands: Hands, whole_group: bool
) -> None:
    """Who waits asks in the place of a task, or of a whole group, that was cancelled."""
    gate, key = gate_of(server, hands, online_timeout=20), server.add()
    seen: list[str] = []

    async def one() -> None:
        seen.append(told(await flow.arun(judge(gate, key))))

    with held(server) as release:
        async with anyio.create_task_group() as waiters:
            async with anyio.create_task_group() as askers:
                askers.start_soon(one)
                await anyio.to_thread.run_sync(until, lambda: len(server.questions) == 1)
                if whole_group:
                    for _ in range(5):
                        askers.start_soon(one)
                for _ in range(10):
                    waiters.start_soon(one)
                await anyio.to_thread.run_sync(
                    until, lambda: waiting(gate) == (15 if whole_group else 10)
                )
                askers.cancel_scope.cancel()
            await anyio.to_thread.run_sync(until, lambda: len(server.questions) == 2)
            assert PROCESS_SLOTS.in_use == 1
            release()
    assert seen == ["yes"] * 10
    assert len(server.questions) == 2
    at_rest(gate)


def test_a_question_whose_loop_was_closed_is_given_up(hands: Hands) -> None:
    """Nobody finishes its task; after a while whoever comes next asks in its place."""
    with LicenseServer(hands=hands) as server:
        gate, key = gate_of(server, hands, online_timeout=2), server.add()
        # Of its own: a slot of such a task is lost with it.
        validator_of(gate)._asker._slots = Slots()
        with held(server) as release:
            loop = asyncio.new_event_loop()
            task = loop.create_task(flow.arun(judge(gate, key)))

            async def under_way() -> None:
                while not server.questions:  # noqa: ASYNC110 - it is filled by threads
                    await asyncio.sleep(0.001)

            loop.run_until_complete(under_way())
            loop.close()
            crowd = Crowd("threads", [judge(gate, key) for _ in range(5)])
            until(lambda: waiting(gate) == 5)
            hands.advance(13)
            last = Crowd("threads", [judge(gate, key)])
            until(lambda: len(server.questions) == 2)
            release()
            assert last.told() == ["yes"]
            assert set(crowd.told()) <= {"yes"}
        # Asyncio would complain of it, and of what it waited for.
        task._log_destroy_pending = False  # type: ignore[attr-defined]


@pytest.mark.anyio
async def test_who_leaves_the_line_for_a_slot_leaves_nothing_behind(
    server: LicenseServer, hands: Hands
) -> None:
    """Forty strangers' tasks, sixteen of them in line, are cancelled: every slot is free."""
    gate = gate_of(server, hands, online_timeout=20)
    keys = [server.add() for _ in range(40)]
    with held(server):
        async with anyio.create_task_group() as group:
            for key in keys:
                group.start_soon(flow.arun, judge(gate, key))
            await anyio.to_thread.run_sync(
                until, lambda: len(server.questions) == 24 and PROCESS_SLOTS.waiting == 16
            )
            group.cancel_scope.cancel()
        at_rest(gate)
    assert verdict(gate, keys[0]) == "yes"


@pytest.mark.anyio
@pytest.mark.usefixtures("hurried")
async def test_a_cancelled_probe_is_the_next_ones(server: LicenseServer, hands: Hands) -> None:
    """The one question that is let through after a pause may be cancelled: another is."""
    gate, key = gate_of(server, hands), server.add()
    broken = [server.add() for _ in range(5)]
    server.trouble = lambda request: b""
    for one in broken:
        await flow.arun(judge(gate, one))
    assert told(await flow.arun(judge(gate, key))) == "online:circuit_open"
    hands.advance(31)
    asked = len(server.questions)
    with held(server) as release:
        async with anyio.create_task_group() as group:
            group.start_soon(flow.arun, judge(gate, key))
            await anyio.to_thread.run_sync(until, lambda: len(server.questions) == asked + 1)
            assert told(await flow.arun(judge(gate, broken[0]))) == "online:circuit_open"
            group.cancel_scope.cancel()
        at_rest(gate)
        release()
        assert told(await flow.arun(judge(gate, key))) == "yes"
    assert told(await flow.arun(judge(gate, broken[0]))) == "yes"


# -- how many questions at a time -----------------------------------------------------------------


@pytest.mark.row("I09")
@pytest.mark.parametrize("world", ["asyncio", "trio"])
def test_who_asks_in_a_task_takes_no_thread(
    server: LicenseServer, hands: Hands, world: str
) -> None:
    """Two hundred questions of one loop: no thread but the loop's, 24 of strangers at once."""
    gate = gate_of(server, hands, online_timeout=20)
    flows = [judge(gate, server.add()) for _ in range(200)]
    before = threading.active_count()
    with held(server) as release:
        crowd = Crowd(world, flows)
        until(lambda: len(server.questions) == 24 and PROCESS_SLOTS.waiting == 176)
        assert len([one for one in threading.enumerate() if "_serve" not in one.name]) <= before + 1
        assert len(server.questions) == 24
        release()
        assert crowd.told() == ["yes"] * 200
    at_rest(gate)


@pytest.mark.row("I09")
@pytest.mark.parametrize("world", WORLDS)
def test_known_keys_pass_while_strangers_fill_their_part(
    server: LicenseServer, hands: Hands, world: str
) -> None:
    """With twenty-four questions of strangers under way, what the server knows is asked at once."""
    gate = gate_of(server, hands, online_timeout=20, outage_limit=7200)
    known = [server.add() for _ in range(8)]
    for key in known:
        assert verdict(gate, key) == "yes"
    hands.advance(3600)
    before = len(server.questions)
    with held(server) as release:
        strangers = Crowd(world, [judge(gate, server.add()) for _ in range(40)])
        until(lambda: len(server.questions) == before + 24 and PROCESS_SLOTS.waiting == 16)
        crowd = Crowd(world, [judge(gate, key) for key in known])
        until(lambda: len(server.questions) == before + 32)
        assert PROCESS_SLOTS.in_use == 32
        release()
        assert crowd.told() == ["yes"] * 8
        assert strangers.told() == ["yes"] * 40
    at_rest(gate)


# -- how long ------------------------------------------------------------------------------------


@pytest.mark.row("I07")
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("same", [True, False], ids=["for a turn", "for a slot"])
def test_nobody_waits_longer_than_is_allowed(
    server: LicenseServer, hands: Hands, world: str, same: bool
) -> None:
    """For another's answer, for a slot or for an answer of one's own: `online_timeout` in all."""
    server.hands = None
    gate, key = Gate(gate_of(server, online_timeout=0.5).settings), server.add()
    with held(server):
        begun = time.monotonic()
        flows = [judge(gate, key if same else server.add()) for _ in range(50)]
        words = set(map(told, at_once(world, flows)))
        took = time.monotonic() - begun
    assert words <= {"online:timeout", "online:busy", "online:circuit_open"}
    assert 0.4 < took < 1.5
    at_rest(gate)


@pytest.mark.parametrize("world", WORLDS)
def test_who_waited_gets_the_last_signed_yes(
    server: LicenseServer, hands: Hands, world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key whose answer is no longer fresh serves those who waited in vain, the last one too."""
    monkeypatch.setattr("licet.core.online.rulings.AT_LEAST", 0.1)
    gate = Gate(gate_of(server, online_timeout=0.5).settings)
    server.hands, server.cache_for = None, 0
    key = server.add()
    assert verdict(gate, key) == "yes"
    until(lambda: age(gate) > 0.1)
    with held(server):
        assert set(map(told, at_once(world, [judge(gate, key) for _ in range(20)]))) == {"yes"}
    at_rest(gate)


def age(gate: Gate) -> float:
    """Return how old the one answer is that is kept."""
    [kept] = validator_of(gate)._memory._yes.values()
    [yes] = kept.values()
    return yes.age(validator_of(gate)._now())


@pytest.mark.row("I09")
def test_a_flood_of_strangers_does_not_open_the_circuit(server: LicenseServer) -> None:
    """A server that is slow, but answers, is asked about known keys however many strangers come."""
    gate = Gate(gate_of(server, online_timeout=3.0).settings)
    server.hands, server.cache_for = None, 0
    key = server.add()
    assert verdict(gate, key) == "yes"
    server.latency = 1.0
    words = Crowd("asyncio", [judge(gate, server.add()) for _ in range(150)]).told()
    assert words.count("yes") >= 24
    assert "online:circuit_open" not in words
    at_rest(gate)
    before = len(server.questions)
    assert verdict(gate, key, "elsewhere.example") == "yes"
    assert len(server.questions) == before + 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_does_not_wait_for_its_parents_question(
    server: LicenseServer, hands: Hands
) -> None:
    """Nobody here would tell it of the answer, nor give the parent's slots back: it asks itself."""
    gate, key = gate_of(server, hands, online_timeout=20), server.add()
    with held(server) as release:
        crowd = Crowd("threads", [judge(gate, key) for _ in range(3)])
        until(lambda: len(server.questions) == 1 and waiting(gate) == 2)
        child = os.fork()
        if child == 0:  # pragma: no cover - in another process
            seen = 1
            try:
                free = not PROCESS_SLOTS.in_use and not waiting(gate)
                seen = 0 if verdict(gate, key) == "yes" and free else 1
            finally:
                os._exit(seen)
        until(lambda: len(server.questions) == 2)
        release()
        assert os.waitpid(child, 0)[1] == 0
        assert crowd.told() == ["yes"] * 3
    at_rest(gate)
