"""Flights: one fetch, many waiters, in threads and in tasks, whoever leaves in the middle."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import anyio
import anyio.lowlevel
import pytest

from licet.core import flow
from licet.core.documents.flight import Flight, start
from tests.core.loopback import until
from tests.core.vendor import rest


class Work:
    """Work that lasts until it is released, and counts how often it was begun."""

    def __init__(self, outcome: bool = True) -> None:
        self.begun = 0
        self.threads: set[int] = set()
        self.started = threading.Event()
        self.released = threading.Event()
        self._outcome = outcome

    def __call__(self) -> bool:
        self.begun += 1
        self.threads.add(threading.get_ident())
        self.started.set()
        self.released.wait(20)
        return self._outcome


@pytest.fixture(name="work")
def _work() -> Iterator[Work]:
    work = Work()
    yield work
    work.released.set()
    rest()


def test_the_first_thread_performs_it_inline(work: Work) -> None:
    """No second thread is needed under WSGI."""
    work.released.set()
    flight = Flight(work, 5)
    assert (flight.claimed, flight.landed, flight.outcome) == (False, False, None)
    assert flight.run() is True
    assert work.threads == {threading.get_ident()}
    assert (flight.claimed, flight.landed) == (True, True)
    assert flight.run() is True
    assert work.begun == 1


@pytest.mark.parametrize("outcome", [True, False])
def test_followers_get_the_outcome_of_the_leader(outcome: bool) -> None:
    """Every thread that waits learns how it ended."""
    work, outcomes = Work(outcome), []
    flight = Flight(work, 20)
    threads = [threading.Thread(target=lambda: outcomes.append(flight.run())) for _ in range(20)]
    for thread in threads:
        thread.start()
    work.started.wait(10)
    work.released.set()
    for thread in threads:
        thread.join(10)
    assert outcomes == [outcome] * 20
    assert work.begun == 1


def test_a_follower_waits_no_longer_than_its_patience(work: Work) -> None:
    """A flight that does not land leaves its followers undecided."""
    flight = Flight(work, 0.05)
    assert flight.launch()
    work.started.wait(10)
    assert flight.run() is None


@pytest.mark.anyio
async def test_a_task_waits_no_longer_than_its_patience(work: Work) -> None:
    """The same for a task, which performs nothing itself."""
    assert await Flight(work, 0.05).arun() is None


def test_it_is_flown_by_a_daemon_that_can_be_told_from_others() -> None:
    """A program ends while a server hangs, and a stack dump says whose thread it is."""
    flown: list[threading.Thread] = []

    def work() -> bool:
        flown.append(threading.current_thread())
        return True

    flight = Flight(work, 20)
    assert flight.launch()
    assert flight.run() is True
    assert [(thread.name, thread.daemon) for thread in flown] == [("licet-flight", True)]


def test_an_interrupt_in_the_leader_strands_nobody() -> None:
    """What is no Exception goes through the leader, and the followers learn of a failure."""
    begun, go = threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        go.wait(20)
        raise SystemExit

    flight, outcomes = Flight(work, 20), []

    def lead() -> None:
        with pytest.raises(SystemExit):
            flight.run()

    leader = threading.Thread(target=lead)
    follower = threading.Thread(target=lambda: outcomes.append(flight.run()))
    leader.start()
    begun.wait(10)
    follower.start()
    go.set()
    follower.join(10)
    leader.join(10)
    assert outcomes == [False]


def test_a_flight_left_unclaimed_is_claimed_by_the_next(work: Work) -> None:
    """Who boards and goes away before anything happened has done nothing to it."""
    work.released.set()
    flight = Flight(work, 5)
    assert flight.claim()
    assert not flight.claim()
    assert Flight(work, 5).run() is True


@pytest.mark.anyio
async def test_a_task_never_performs_it(work: Work) -> None:
    """A daemon thread does, so the loop stays free while it lasts."""
    flight, ticks = Flight(work, 20), 0

    async with anyio.create_task_group() as group:

        async def wait() -> None:
            assert await flight.arun() is True

        for _ in range(3):
            group.start_soon(wait)
        while not work.started.is_set():
            ticks += 1
            await anyio.lowlevel.checkpoint()
        work.released.set()
    assert work.begun == 1
    assert threading.get_ident() not in work.threads
    assert ticks > 0
    assert await flight.arun() is True


@pytest.mark.row("S03")
@pytest.mark.anyio
async def test_a_cancelled_leader_takes_nothing_from_its_followers(work: Work) -> None:
    """The task that started the thread goes away; fifty others are served."""
    flight, outcomes = Flight(work, 20), []
    leader = anyio.CancelScope()

    async def lead() -> None:
        with leader:
            await flight.arun()

    async def follow() -> None:
        outcomes.append(await flight.arun())

    async with anyio.create_task_group() as group:
        group.start_soon(lead)
        while not work.started.is_set():
            await anyio.lowlevel.checkpoint()
        for _ in range(50):
            group.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        leader.cancel()
        await anyio.wait_all_tasks_blocked()
        work.released.set()
    assert outcomes == [True] * 50
    assert work.begun == 1


@pytest.mark.anyio
@pytest.mark.usefixtures("no_threads")
async def test_where_no_thread_starts_a_task_performs_it(work: Work) -> None:
    """Better a loop that waits once than a license that is never decided."""
    work.released.set()
    assert await Flight(work, 5).arun() is True
    assert work.threads == {threading.get_ident()}


@pytest.mark.usefixtures("no_threads")
def test_a_launch_that_fails_leaves_it_unclaimed(work: Work) -> None:
    """Somebody else can still perform it."""
    work.released.set()
    flight = Flight(work, 5)
    assert not flight.launch()
    assert not flight.claimed
    flight.fly()
    assert flight.outcome is True
    flight.fly()
    assert work.begun == 1


@pytest.mark.row("S04")
@pytest.mark.parametrize("closed_first", [True, False])
def test_a_loop_closed_in_mid_flight_harms_nobody(work: Work, closed_first: bool) -> None:
    """A waiter in a dead loop, whether before or behind, does not keep the others waiting."""
    flight, outcomes = Flight(work, 20), []

    def doomed() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(flight.arun())
        loop.call_later(0.05, loop.stop)
        loop.run_forever()
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()

    async def wait() -> None:
        outcomes.append(await flight.arun())

    alive = [
        threading.Thread(target=anyio.run, args=(wait,), kwargs={"backend": backend})
        for backend in ("asyncio", "trio")
    ]
    if closed_first:
        doomed()
    for thread in alive:
        thread.start()
    until(lambda: flight._landing.waiting == len(alive))
    if not closed_first:
        doomed()
    work.released.set()
    for thread in alive:
        thread.join(20)
    assert outcomes == [True, True]
    assert work.begun == 1


@pytest.mark.row("S04")
def test_threads_and_loops_of_every_kind_share_one(work: Work) -> None:
    """Thirty threads, and a hundred tasks in each of two loops: begun once, served all."""
    flight, outcomes = Flight(work, 30), []

    async def tasks() -> None:
        async def wait() -> None:
            outcomes.append(await flight.arun())

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(wait)

    threads = [threading.Thread(target=lambda: outcomes.append(flight.run())) for _ in range(30)]
    threads += [
        threading.Thread(target=anyio.run, args=(tasks,), kwargs={"backend": backend})
        for backend in ("asyncio", "trio")
    ]
    for thread in threads:
        thread.start()
    # All of them, but for a thread that performs it.
    until(lambda: flight._landing.waiting >= 229)
    work.released.set()
    for thread in threads:
        thread.join(20)
    assert outcomes == [True] * 230
    assert work.begun == 1


@pytest.mark.parametrize("outcome", [True, False])
def test_a_thread_can_have_it_performed_by_another(outcome: bool) -> None:
    """Who waits within a time of its own performs nothing, and learns how it ended."""
    work = Work(outcome)
    work.released.set()
    assert flow.run(_both(Flight(work, 5))) == (outcome, outcome)
    assert work.begun == 1
    assert threading.get_ident() not in work.threads


@pytest.mark.anyio
@pytest.mark.parametrize("outcome", [True, False])
async def test_a_task_can_wait_within_a_time_of_its_own(outcome: bool) -> None:
    """The same in a task."""
    work = Work(outcome)
    work.released.set()
    assert await flow.arun(_both(Flight(work, 5))) == (outcome, outcome)
    assert work.begun == 1
    assert threading.get_ident() not in work.threads


def _both(flight: Flight) -> flow.Flow[tuple[object, object]]:
    first = yield flight.within(20)
    return first, (yield flight.within(0))


def test_a_thread_waits_within_its_own_time_and_not_the_patience_of_others(work: Work) -> None:
    """The first to come is undecided too when its time is over, and the flight goes on."""
    flight = Flight(work, 20)
    assert flight.within(0.01).run() is None
    assert (flight.claimed, flight.landed) == (True, False)
    work.released.set()
    assert flight.within(20).run() is True
    assert work.begun == 1


@pytest.mark.anyio
async def test_a_task_waits_within_its_own_time_and_not_the_patience_of_others(work: Work) -> None:
    """The same in a task."""
    flight = Flight(work, 20)
    assert await flight.within(0.01).arun() is None
    assert (flight.claimed, flight.landed) == (True, False)
    work.released.set()
    assert await flight.within(20).arun() is True
    assert work.begun == 1


@pytest.mark.usefixtures("no_threads")
def test_where_no_thread_starts_who_waits_within_a_time_performs_it(work: Work) -> None:
    """Better a wait that is too long than a license that is never decided."""
    work.released.set()
    assert Flight(work, 5).within(0.01).run() is True
    assert work.threads == {threading.get_ident()}


def test_many_that_wait_within_a_time_start_one_thread(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come at once, a single one claims it and starts a thread."""
    flight, outcomes, started = Flight(work, 5), [], []

    def counted(target: Callable[[], None]) -> bool:
        started.append(target)
        return start(target)

    monkeypatch.setattr("licet.core.documents.flight.start", counted)
    threads = [
        threading.Thread(target=lambda: outcomes.append(flight.within(20).run())) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    until(lambda: flight._landing.waiting == 20)
    work.released.set()
    for thread in threads:
        thread.join(10)
    assert outcomes == [True] * 20
    assert (work.begun, len(started)) == (1, 1)


@pytest.mark.parametrize("outcome", [True, False])
def test_what_has_time_is_done_when_nobody_waits_any_more(outcome: bool) -> None:
    """It runs once, in the thread of the flight, after everybody has been told."""
    work, released, seen = Work(outcome), threading.Event(), list[tuple[bool, int]]()

    def afterwards() -> None:
        seen.append((flight.landed, threading.get_ident()))
        released.wait(20)

    work.released.set()
    flight = Flight(work, 20, afterwards)
    assert flight.launch()
    assert flight.run() is outcome
    until(lambda: seen)
    released.set()
    assert seen == [(True, *work.threads)]
