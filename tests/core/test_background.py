"""Background work: few threads, started on demand, that nothing ends and a fork leaves behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from licet.core.events.log import FailureLog
from licet.core.online.background import Background
from tests.core.loopback import until
from tests.core.test_forks import in_child
from tests.core.vendor import rest


class Held:
    """Work that lasts until it is released, and keeps what it did in order."""

    def __init__(self) -> None:
        self.begun: list[object] = []
        self.threads: list[threading.Thread] = []
        self.released = threading.Event()

    def work(self, key: object) -> None:
        """Do it."""
        self.threads.append(threading.current_thread())
        self.begun.append(key)
        self.released.wait(20)


@pytest.fixture(name="held")
def _held() -> Iterator[Held]:
    held = Held()
    yield held
    held.released.set()
    rest()


def fill(background: Background, held: Held, keys: range) -> list[bool]:
    """Submit held work under each key."""
    return [background.submit(key, lambda key=key: held.work(key)) for key in keys]


def test_it_is_done_by_a_daemon_that_can_be_told_from_others(held: Held) -> None:
    """A program ends in the middle of it, and tests can wait for its end."""
    background = Background()
    assert background.submit("a", lambda: held.work("a"))
    until(lambda: held.begun == ["a"])
    assert [(each.name, each.daemon) for each in held.threads] == [("licet-flight", True)]
    assert held.threads != [threading.current_thread()]


def test_no_more_threads_than_allowed_and_in_the_order_of_coming(held: Held) -> None:
    """The rest waits its turn, and all of it is done."""
    background = Background(threads=4)
    assert fill(background, held, range(20)) == [True] * 20
    until(lambda: len(held.begun) == 4)
    assert background.waiting == 16
    held.released.set()
    until(lambda: len(held.begun) == 20)
    assert set(held.begun) == set(range(20))
    assert len({id(thread) for thread in held.threads}) == 4
    one = Background(threads=1)
    held.begun.clear()
    fill(one, held, range(20))
    until(lambda: len(held.begun) == 20)
    assert held.begun == list(range(20))


def test_threads_end_when_there_is_nothing_to_do_and_come_again(held: Held) -> None:
    """None is kept for later; the next work is done all the same."""
    background = Background()
    held.released.set()
    for _ in range(3):
        assert fill(background, held, range(10)) == [True] * 10
        until(lambda: len(held.begun) == 10)
        rest()
        assert not background._threads
        assert not any(thread.is_alive() for thread in held.threads)
        held.begun.clear()


def test_what_waits_or_runs_is_not_done_twice(held: Held) -> None:
    """The same key counts as done by the work that is there; afterwards it is done anew."""
    background = Background(threads=1)
    for _ in range(3):
        assert fill(background, held, range(2)) == [True] * 2
    until(lambda: held.begun == [0])
    assert fill(background, held, range(2)) == [True] * 2
    assert background.waiting == 1
    held.released.set()
    until(lambda: held.begun == [0, 1])
    rest()
    assert fill(background, held, range(1)) == [True]
    until(lambda: held.begun == [0, 1, 0])


def test_what_would_be_too_much_is_refused(held: Held) -> None:
    """So many may wait beside those that run; what waits already is no more work."""
    background = Background(threads=2, capacity=3)
    assert fill(background, held, range(2)) == [True] * 2
    until(lambda: len(held.begun) == 2)
    assert fill(background, held, range(2, 7)) == [True] * 3 + [False] * 2
    assert fill(background, held, range(7)) == [True] * 5 + [False] * 2
    held.released.set()
    until(lambda: len(held.begun) == 5)
    rest()
    assert fill(background, held, range(5, 7)) == [True] * 2
    until(lambda: len(held.begun) == 7)


@pytest.mark.usefixtures("no_threads")
def test_where_no_thread_starts_it_is_refused(held: Held) -> None:
    """Nothing is left behind that a later thread would do out of time."""
    background = Background()
    assert fill(background, held, range(3)) == [False] * 3
    assert background.waiting == 0
    assert not background._threads


def test_where_no_further_thread_starts_one_does_it_all(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process at its limit gets its work done by the threads that it has."""
    background = Background()
    assert fill(background, held, range(1)) == [True]
    until(lambda: held.begun == [0])
    with monkeypatch.context() as patch:
        patch.setattr("licet.core.online.background.start", lambda _: False)
        assert fill(background, held, range(1, 5)) == [True] * 4
    held.released.set()
    until(lambda: held.begun == list(range(5)))
    assert len({id(thread) for thread in held.threads}) == 1


def test_work_that_fails_is_told_of_and_ends_no_thread(held: Held) -> None:
    """Each exception goes to whom it was passed; what waits behind it is done."""
    failures: list[Exception] = []
    background = Background(1, failed=failures.append)
    gone = threading.Event()

    def fail() -> None:
        gone.wait(20)
        raise LookupError("no such thing")

    assert background.submit("a", fail)
    assert background.submit("b", fail)
    held.released.set()
    fill(background, held, range(3))
    gone.set()
    until(lambda: len(held.begun) == 3)
    rest()
    assert [type(error) for error in failures] == [LookupError] * 2
    assert background.submit("a", lambda: held.work("a")), "its key is free again"
    until(lambda: held.begun[-1] == "a")


def test_failures_go_to_the_log_unless_said_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    """A failure that nobody expected is written with its trace, and rationed by class."""

    def fail() -> None:
        raise LookupError("no such thing")

    background = Background(1)
    assert isinstance(background._failed, FailureLog)
    for number in range(50):
        assert background.submit(number, fail)
    rest()
    until(lambda: not background._threads)
    written = [record for record in caplog.records if record.name == "licet"]
    assert 0 < len(written) <= 10
    assert all(record.exc_info and record.exc_info[0] is LookupError for record in written)


def test_a_thread_that_is_told_to_end_leaves_its_work_to_another(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no Exception ends the thread, and what waits is done by the next."""
    background, gone, ended = Background(1), threading.Event(), list[object]()
    monkeypatch.setattr(threading, "excepthook", lambda args: ended.append(args.exc_type))

    def leave() -> None:
        gone.wait(20)
        raise SystemExit

    held.released.set()
    assert background.submit("leaves", leave)
    assert fill(background, held, range(3)) == [True] * 3
    gone.set()
    until(lambda: held.begun == [0, 1, 2])
    rest()
    assert not background._threads
    assert ended == [SystemExit]
    assert background.submit("leaves", lambda: held.work("again"))
    until(lambda: held.begun[-1] == "again")


def test_a_thread_that_is_told_to_end_with_nothing_left_is_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No other is started where nothing waits."""
    background, ended = Background(1), list[object]()
    monkeypatch.setattr(threading, "excepthook", lambda args: ended.append(args.exc_type))

    def leave() -> None:
        raise SystemExit

    assert background.submit("leaves", leave)
    until(lambda: ended)
    rest()
    assert ended == [SystemExit]
    assert not background._threads


def test_a_thread_of_before_a_fork_takes_no_work_of_after(held: Held) -> None:
    """Whoever forks in the middle of a work goes on in that thread, and not with its work."""
    background, forked, go_on = Background(1), threading.Event(), threading.Event()

    def fork() -> None:
        background.after_fork()
        forked.set()
        go_on.wait(20)

    assert background.submit("forks", fork)
    assert forked.wait(20)
    [before] = [each for each in threading.enumerate() if each.name == "licet-flight"]
    assert background.submit("a", lambda: held.work("a"))
    assert background.submit("b", lambda: held.work("b"))
    go_on.set()
    before.join(20)
    held.released.set()
    until(lambda: held.begun == ["a", "b"])
    assert before not in held.threads


def test_many_threads_submit_and_all_is_done_once() -> None:
    """No work is lost where the last thread ends while more comes."""
    background, done, lock = Background(threads=2), list[int](), threading.Lock()

    def one(number: int) -> None:
        with lock:
            done.append(number)

    def submit(first: int) -> None:
        for number in range(first, first + 200):
            assert background.submit(number, lambda number=number: one(number))

    threads = [threading.Thread(target=submit, args=(200 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    until(lambda: len(done) == 800)
    rest()
    assert sorted(done) == list(range(800))
    assert not background._threads


@pytest.mark.row("S01")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a platform that forks")
def test_a_child_begins_with_nothing_to_do(held: Held) -> None:
    """All threads busy, work waiting and the lock taken at the fork: a worker does its own."""
    background = Background(threads=2)
    fill(background, held, range(5))
    until(lambda: len(held.begun) == 2)
    taken, released = threading.Event(), threading.Event()

    def hold() -> None:
        with background.lock:
            taken.set()
            released.wait(20)

    def works() -> bool:
        done: list[int] = []
        if background.waiting:
            return False
        for number in range(5):
            assert background.submit(number, lambda number=number: done.append(number))
        until(lambda: len(done) == 5, 8)
        return sorted(done) == list(range(5))

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(10)
    try:
        assert in_child(works) == 0
    finally:
        released.set()
        thread.join(10)
    held.released.set()
    until(lambda: len(held.begun) == 5)


@pytest.mark.row("S01")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a platform that forks")
def test_a_child_of_the_work_itself_takes_no_part(held: Held) -> None:
    """The thread that forked goes on in the child, as none of its background's."""
    background, statuses = Background(threads=1), list[int]()

    def forks() -> None:
        sign = next(iter(background._threads))
        statuses.append(
            in_child(lambda: background._next(sign) is None and not background._threads)
        )

    assert background.submit("forks", forks)
    until(lambda: statuses)
    assert statuses == [0]
