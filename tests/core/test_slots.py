"""Slots: how many questions at a time, who is next in line, and that none gets lost."""

from __future__ import annotations

import gc
import os
import random
import threading
import time

import anyio
import anyio.lowlevel
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from licet.core.latch import Wait
from licet.core.online.slots import PROCESS_SLOTS, Slots, Ticket
from tests.core.loopback import until
from tests.core.test_forks import in_child


def held(tickets: list[Ticket]) -> list[bool]:
    """Return which of the tickets have a slot."""
    return [ticket.held for ticket in tickets]


def test_there_are_32_in_a_process_and_24_of_them_for_strangers() -> None:
    """The numbers of the specification; strangers leave eight to the known."""
    slots = Slots()
    strangers = [slots.take(True) for _ in range(30)]
    known = [slots.take(False) for _ in range(10)]
    assert held(strangers) == [True] * 24 + [False] * 6
    assert held(known) == [True] * 8 + [False] * 2
    assert (slots.in_use, slots.waiting) == (32, 8)
    assert isinstance(PROCESS_SLOTS, Slots)
    assert (PROCESS_SLOTS._capacity, PROCESS_SLOTS._strangers) == (32, 24)


def test_the_known_may_hold_all() -> None:
    """What strangers leave free is not kept for them."""
    slots = Slots()
    assert held([slots.take(False) for _ in range(33)]) == [True] * 32 + [False]


def test_what_has_a_slot_need_not_wait_for_it() -> None:
    """The latch is set with the slot, at once or when it is handed over, and not before."""
    slots = Slots(1)
    first, second = slots.take(False), slots.take(False)
    assert (first.latch.is_set, second.latch.is_set) == (True, False)
    slots.give_back(first)
    assert (first.held, second.held) == (False, True)
    assert second.latch.is_set


def test_a_slot_goes_to_the_first_in_line() -> None:
    """In the order of asking, known or not."""
    slots = Slots(1, 1)
    first = slots.take(False)
    line = [slots.take(stranger) for stranger in (True, False, False, True)]
    order = []
    while slots.in_use:
        slots.give_back(first)
        first = next((ticket for ticket in line if ticket.held), first)
        order.append(held(line))
    assert order == [[i == n for i in range(4)] for n in range(5)]


def test_a_stranger_is_overtaken_while_strangers_have_their_part() -> None:
    """A slot of a known one goes to the first known; one of a stranger to the first in line."""
    slots = Slots(2, 1)
    known, stranger = slots.take(False), slots.take(True)
    waiting_stranger, waiting_known = slots.take(True), slots.take(False)
    slots.give_back(known)
    assert (waiting_stranger.held, waiting_known.held) == (False, True)
    slots.give_back(stranger)
    assert waiting_stranger.held


def test_who_leaves_the_line_is_not_handed_anything() -> None:
    """The next behind it gets the slot."""
    slots = Slots(1)
    first, second, third = (slots.take(False) for _ in range(3))
    slots.give_back(second)
    assert (slots.in_use, slots.waiting) == (1, 1)
    slots.give_back(first)
    assert held([first, second, third]) == [False, False, True]


def test_a_ticket_is_given_back_once() -> None:
    """Twice, or from a line that it has left, it releases nothing of others."""
    slots = Slots(2, 1)
    first, stranger, third = slots.take(False), slots.take(True), slots.take(True)
    for _ in range(3):
        slots.give_back(third)
        slots.give_back(first)
    assert (slots.in_use, slots.waiting, stranger.held) == (1, 0, True)
    assert held([slots.take(True), slots.take(False)]) == [False, True]


def test_who_gives_up_at_the_moment_of_the_handover_passes_it_on() -> None:
    """Handed a slot that its owner does not know of yet, the ticket releases it to the next."""
    slots = Slots(1)
    first, second, third = (slots.take(False) for _ in range(3))
    assert not Wait(second.latch, 0).run()
    slots.give_back(first)
    slots.give_back(second)
    assert held([first, second, third]) == [False, False, True]


class Model(RuleBasedStateMachine):
    """Slots beside a list in the order of asking, from which the specification is read."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(3, 2)
        self.line: list[Ticket] = []
        self.holders: list[Ticket] = []
        self.past: list[Ticket] = []

    def _hand_over(self) -> None:
        for ticket in list(self.line):
            strangers = sum(each.stranger for each in self.holders)
            if len(self.holders) < 3 and (not ticket.stranger or strangers < 2):
                self.line.remove(ticket)
                self.holders.append(ticket)

    @rule(stranger=st.booleans())
    def take(self, stranger: bool) -> None:
        self.line.append(self.slots.take(stranger))
        self._hand_over()

    @precondition(lambda self: self.line or self.holders)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.line + self.holders))
        (self.line if ticket in self.line else self.holders).remove(ticket)
        self.past.append(ticket)
        self.slots.give_back(ticket)
        self._hand_over()

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def give_back_again(self, data: st.DataObject) -> None:
        self.slots.give_back(data.draw(st.sampled_from(self.past)))

    @rule()
    def fork(self) -> None:
        # Every ticket so far was left in the parent.
        self.slots.after_fork()
        self.past += self.line + self.holders
        self.line, self.holders = [], []

    @invariant()
    def agrees(self) -> None:
        assert self.slots.in_use == len(self.holders)
        assert self.slots.waiting == len(self.line)
        assert all(ticket.held and ticket.latch.is_set for ticket in self.holders)
        assert not any(ticket.held or ticket.latch.is_set for ticket in self.line)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


class Crowd:
    """Counts who is in, and the most that ever were."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = {True: 0, False: 0}
        self.most = self.most_strangers = self.served = 0

    def enter(self, stranger: bool) -> None:
        with self.lock:
            self.served += 1
            self.inside[stranger] += 1
            self.most = max(self.most, sum(self.inside.values()))
            self.most_strangers = max(self.most_strangers, self.inside[True])

    def leave(self, stranger: bool) -> None:
        with self.lock:
            self.inside[stranger] -= 1


def test_threads_that_hammer_lose_no_slot_and_make_none() -> None:
    """Some wait, some have no patience, some give back twice: the bounds hold, all are served."""
    slots, crowd = Slots(4, 3), Crowd()

    def hammer(seed: int) -> None:
        draws = random.Random(seed)
        for _ in range(300):
            stranger = draws.random() < 0.6
            ticket = slots.take(stranger)
            Wait(ticket.latch, draws.choice([0, 0.0001, 30])).run()
            if ticket.held:
                crowd.enter(stranger)
                time.sleep(0)
                crowd.leave(stranger)
            slots.give_back(ticket)
            if draws.random() < 0.2:
                slots.give_back(ticket)

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert (slots.in_use, slots.waiting, len(slots._returned)) == (0, 0, 0)
    assert slots._strangers_held == 0
    assert crowd.most <= 4
    assert crowd.most_strangers <= 3
    assert crowd.served > 300
    assert held([slots.take(False) for _ in range(5)]) == [True] * 4 + [False]


def test_threads_and_loops_of_every_kind_stand_in_one_line() -> None:
    """Forty threads and forty tasks in each of two loops, cancelled or not: all get through."""
    slots, crowd, cancelled = Slots(4, 3), Crowd(), list[bool]()

    def thread() -> None:
        ticket = slots.take(True)
        try:
            assert Wait(ticket.latch, 30).run()
            crowd.enter(True)
            time.sleep(0.0005)
            crowd.leave(True)
        finally:
            slots.give_back(ticket)

    async def task(number: int) -> None:
        ticket = slots.take(number % 2 == 0)
        try:
            with anyio.CancelScope() as scope:
                if number % 4 == 0:
                    scope.deadline = anyio.current_time() + 0.001
                assert await Wait(ticket.latch, 30).arun()
                crowd.enter(ticket.stranger)
                try:
                    await anyio.sleep(0.0005)
                finally:
                    crowd.leave(ticket.stranger)
            cancelled.append(scope.cancelled_caught)
        finally:
            slots.give_back(ticket)

    async def tasks() -> None:
        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(task, number)

    threads = [threading.Thread(target=thread) for _ in range(40)]
    threads += [
        threading.Thread(target=anyio.run, args=(tasks,), kwargs={"backend": backend})
        for backend in ("asyncio", "trio")
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert (slots.in_use, slots.waiting) == (0, 0)
    assert crowd.most <= 4
    assert crowd.most_strangers <= 3
    assert len(cancelled) == 80
    assert crowd.served >= 40 + 60


@pytest.mark.row("S03")
@pytest.mark.anyio
async def test_a_cancelled_holder_hands_its_slot_to_a_waiter() -> None:
    """Who is cancelled with a slot, or in line, keeps nobody from theirs."""
    slots, order = Slots(1), list[int]()
    scopes = [anyio.CancelScope() for _ in range(4)]

    async def hold(number: int) -> None:
        with scopes[number]:
            ticket = slots.take(False)
            try:
                if await Wait(ticket.latch, 30).arun():
                    order.append(number)
                    await anyio.sleep(30)
            finally:
                slots.give_back(ticket)

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(hold, number)
            await anyio.wait_all_tasks_blocked()
        for number, served in ((1, [0]), (0, [0, 2]), (2, [0, 2, 3]), (3, [0, 2, 3])):
            scopes[number].cancel()
            with anyio.fail_after(20):
                while order != served:
                    await anyio.lowlevel.checkpoint()
    assert (slots.in_use, slots.waiting) == (0, 0)


@pytest.mark.row("S04")
def test_a_dead_task_may_give_back_in_the_middle_of_anything() -> None:
    """Collected as garbage in the very thread that holds the lock: nothing hangs, none is lost."""
    slots, done = Slots(1), threading.Event()

    class Dead:
        """Stands for a task of a dead loop, whose `finally` gives its ticket back."""

        def __init__(self) -> None:
            self.itself = self
            self.ticket = slots.take(False)

        def __del__(self) -> None:
            slots.give_back(self.ticket)

    def collect() -> None:
        Dead()
        with slots.lock:
            gc.collect()
        assert slots.take(False).latch.is_set, "it is seen to by whoever comes next"
        done.set()

    threading.Thread(target=collect, daemon=True).start()
    assert done.wait(10)
    assert (slots.in_use, slots.waiting) == (1, 0)


@pytest.mark.row("S04")
def test_what_came_back_while_the_lock_was_taken_is_seen_to_by_its_holder() -> None:
    """Who finds the lock taken waits for nobody, and who releases it looks again."""
    slots = Slots(1)
    first, second = slots.take(False), slots.take(False)
    with slots.lock:
        slots.give_back(first)
        assert not second.held
    slots.give_back(first)
    assert second.held
    third = slots.take(False)
    assert (slots.in_use, slots.waiting, third.held) == (1, 1, False)


@pytest.mark.row("S04")
def test_what_comes_back_while_the_lock_is_being_released_is_seen_to() -> None:
    """After the last look and before the release: the holder looks once more."""
    slots = Slots(1)
    first, second, third = (slots.take(False) for _ in range(3))

    class Late:
        """A lock that is still held when its holder has seen to everything."""

        locked = False

        def acquire(self, blocking: bool = True) -> bool:
            taken, self.locked = not self.locked, True
            return taken

        def release(self) -> None:
            if second.held:
                slots.give_back(second)
            self.locked = False

    slots.lock = Late()  # type: ignore[assignment]
    slots.give_back(first)
    assert held([first, second, third]) == [False, False, True]


@pytest.mark.row("S01")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a platform that forks")
def test_a_child_begins_with_all_slots_free() -> None:
    """All held, the line full and the lock taken at the fork: a worker is born free."""
    slots = Slots(2, 1)
    first = slots.take(False)
    waiting = [slots.take(True) for _ in range(5)]
    taken, released = threading.Event(), threading.Event()

    def hold() -> None:
        with slots.lock:
            taken.set()
            released.wait(20)

    def works() -> bool:
        empty = (slots.in_use, slots.waiting) == (0, 0)
        for inherited in (first, *waiting):
            slots.give_back(inherited)
        tickets = [slots.take(stranger) for stranger in (True, True, False)]
        slots.give_back(tickets[0])
        return empty and held(tickets) == [False, True, True] and slots.in_use == 2

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(10)
    try:
        assert in_child(works) == 0
    finally:
        released.set()
        thread.join(10)
    assert (slots.in_use, slots.waiting) == (2, 4)
    until(lambda: not slots.lock.locked())
