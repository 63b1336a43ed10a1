"""Latches: threads and tasks of any loop wait together, and are woken together."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from licet.core import flow
from licet.core import latch as latches
from licet.core.latch import Latch, Wait
from tests.core.loopback import until


def woken_in(latch: Latch, seconds: float) -> flow.Flow[bool]:
    """Return a flow that waits for `latch`, and says what it heard."""
    woken: bool = yield Wait(latch, seconds)
    return woken


def test_what_is_set_stays_set() -> None:
    """It happens once, and setting it again changes nothing."""
    latch = Latch()
    assert not latch.is_set
    for _ in range(2):
        latch.set()
        assert latch.is_set
        assert flow.run(woken_in(latch, 0))


@pytest.mark.anyio
async def test_a_task_does_not_wait_for_what_is_past() -> None:
    """What is set is heard of at once, even with no time left."""
    latch = Latch()
    latch.set()
    assert await flow.arun(woken_in(latch, 0))


@pytest.mark.parametrize("seconds", [0.01, 0.0, -1.0])
def test_a_thread_waits_no_longer_than_it_said(seconds: float) -> None:
    """A latch that nobody sets lets a thread go, which leaves nothing behind."""
    latch = Latch()
    begun = time.monotonic()
    assert not latch.wait(seconds)
    assert time.monotonic() - begun >= max(0.0, seconds) * 0.9
    assert latch.waiting == 0


@pytest.mark.anyio
@pytest.mark.parametrize("seconds", [0.01, 0.0, -1.0])
async def test_a_task_waits_no_longer_than_it_said(seconds: float) -> None:
    """The same for a task."""
    latch = Latch()
    assert not await latch.wait_in_task(seconds)
    assert latch.waiting == 0


def test_a_thread_may_wait_for_ever() -> None:
    """A time longer than the platform can count is cut, not refused."""
    latch, heard = Latch(), list[bool]()
    thread = threading.Thread(target=lambda: heard.append(latch.wait(float("inf"))))
    thread.start()
    until(lambda: latch.waiting == 1)
    latch.set()
    thread.join(10)
    assert heard == [True]


@pytest.mark.row("S04")
def test_threads_and_tasks_of_every_kind_wait_together() -> None:
    """Thirty threads and a hundred tasks in each of three loops are all woken by one `set`."""
    latch, heard = Latch(), list[bool]()

    async def tasks() -> None:
        async def wait() -> None:
            heard.append(await flow.arun(woken_in(latch, 30)))

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(wait)

    def thread() -> None:
        heard.append(flow.run(woken_in(latch, 30)))

    threads = [threading.Thread(target=thread) for _ in range(30)]
    threads += [
        threading.Thread(target=anyio.run, args=(tasks,), kwargs={"backend": backend})
        for backend in ("asyncio", "asyncio", "trio")
    ]
    for each in threads:
        each.start()
    until(lambda: latch.waiting == 330)
    assert heard == []
    latch.set()
    for each in threads:
        each.join(20)
    assert heard == [True] * 330
    assert latch.waiting == 0


@pytest.mark.anyio
async def test_a_task_is_woken_by_another_of_its_loop() -> None:
    """No thread is needed to wake those of the same loop."""
    latch, heard = Latch(), list[bool]()

    async def wait() -> None:
        heard.append(await latch.wait_in_task(30))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        latch.set()
    assert heard == [True] * 3


@pytest.mark.anyio
async def test_who_is_cancelled_takes_its_entry_along() -> None:
    """A cancelled waiter hears its cancellation, leaves nothing, and the others are woken."""
    latch, heard = Latch(), list[bool]()
    leaving = anyio.CancelScope()

    async def leave() -> None:
        with leaving:
            await latch.wait_in_task(30)

    async def stay() -> None:
        heard.append(await latch.wait_in_task(30))

    async with anyio.create_task_group() as group:
        group.start_soon(leave)
        group.start_soon(stay)
        await anyio.wait_all_tasks_blocked()
        assert latch.waiting == 2
        leaving.cancel()
        await anyio.wait_all_tasks_blocked()
        assert leaving.cancelled_caught
        assert latch.waiting == 1
        latch.set()
    assert heard == [True]


@pytest.mark.anyio
async def test_a_thousand_that_ran_out_of_time_leave_nothing() -> None:
    """A latch that is never set does not grow."""
    latch, alike = Latch(), list[bool]()

    async def wait() -> None:
        alike.append(await latch.wait_in_task(0.001))

    async with anyio.create_task_group() as group:
        for _ in range(1_000):
            group.start_soon(wait)
    for _ in range(100):
        alike.append(latch.wait(0))
    assert alike == [False] * 1_100
    assert latch.waiting == 0
    assert latch._wakers == {}


def test_who_cannot_be_woken_keeps_nobody_asleep() -> None:
    """A loop that was closed in the middle stands in the list before others."""
    latch, woken = Latch(), list[bool]()

    def dead() -> None:
        raise RuntimeError("Event loop is closed")

    wakers: list[Callable[[], object]] = [dead, lambda: woken.append(latch.is_set)]
    for wake in wakers:
        assert latch._subscribe(wake, wake)
    latch.set()
    assert woken == [True]
    assert not latch._subscribe(dead, dead), "it is past"


@pytest.mark.row("S04")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_died_with_its_tasks_harms_nobody(backend: str) -> None:
    """Tasks of a loop that was closed over their heads, and others behind them in line."""
    latch, heard = Latch(), list[bool]()
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(latch.wait_in_task(60)) for _ in range(3)]
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert latch.waiting == 3

    async def wait() -> None:
        heard.append(await latch.wait_in_task(30))

    alive = threading.Thread(target=anyio.run, args=(wait,), kwargs={"backend": backend})
    alive.start()
    until(lambda: latch.waiting == 4)
    # As by a server that is torn down: closed, and its tasks were never finished.
    loop.close()
    latch.set()
    alive.join(20)
    assert heard == [True]
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]


@pytest.mark.row("S04")
def test_a_dead_task_may_be_collected_in_the_middle_of_anything() -> None:
    """Garbage is collected within the latch's own lock, in the same thread: nothing hangs."""
    latch = Latch()

    class Finished:
        """Stands for a task of a dead loop, whose `finally` takes its entry along."""

        def __init__(self) -> None:
            self.itself = self
            assert latch._subscribe(id(self), lambda: None)

        def __del__(self) -> None:
            latch._unsubscribe(id(self))

    done = threading.Event()

    def collect() -> None:
        Finished()
        with latch._lock:
            gc.collect()
        done.set()

    threading.Thread(target=collect, daemon=True).start()
    assert done.wait(10)
    assert latch.waiting == 0


@pytest.mark.anyio
async def test_a_task_sees_what_happens_while_it_enters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between look and entry nothing is lost, and what is past is not waited for."""
    latch, waker = Latch(), latches._waker

    def late(event: anyio.Event) -> Callable[[], object]:
        latch.set()
        return waker(event)

    monkeypatch.setattr(latches, "_waker", late)
    assert await latch.wait_in_task(20)
    assert latch.waiting == 0


@pytest.mark.row("S04")
def test_no_wake_up_falls_between_look_and_entry() -> None:
    """Whoever comes while it is being set is woken, or sees it."""
    for _ in range(300):
        latch, heard, barrier = Latch(), list[bool](), threading.Barrier(3)

        def wait(
            latch: Latch = latch, heard: list[bool] = heard, barrier: threading.Barrier = barrier
        ) -> None:
            barrier.wait(10)
            heard.append(latch.wait(20))

        threads = [threading.Thread(target=wait) for _ in range(2)]
        for thread in threads:
            thread.start()
        barrier.wait(10)
        latch.set()
        for thread in threads:
            thread.join(10)
        assert heard == [True, True]
        assert latch.waiting == 0
