"""Stores between processes: many at once, one that is killed, one that forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from licet.core.stores import News, Store, StoreUnavailable, key, open_store
from licet.core.stores.sqlite import SQLiteStore
from tests.core.backends import SHARED, Backend, opened
from tests.core.loopback import until
from tests.core.test_forks import in_child

CALLS = key("calls")
PROCESSES = 4
#: Says that it is there, waits to be told, does its work and says what came of it.
WORKER = """
import sys
from licet.core.stores import key, open_store
store = open_store(sys.argv[1])
store.generation().run()
print("ready", flush=True)
sys.stdin.readline()
passed = 0
for n in range(50):
    passed += store.increment(key("calls"), 1, 101, 600).run().allowed
    passed += 1000 * store.set_if_absent(key("proof", str(n)), 600).run()
    passed += 1000_000 * store.admit(key("seats"), key(str(n)), 33, 600).run().allowed
print(passed, flush=True)
"""
#: Counts without end, and says so each time it is done.
WRITER = """
import sys
from licet.core.stores import key, open_store
store = open_store(sys.argv[1])
store.set_if_absent(key("proof"), 600).run()
while True:
    print(store.increment(key("calls"), 1, None, 600).run().used, flush=True)
"""
#: Announces without end, each under a key of its own, and says so each time it is done.
ANNOUNCER = """
import itertools, os, sys
from licet.core.stores import key, open_store
store = open_store(sys.argv[1])
for n in itertools.count():
    value = f"{os.getpid()} {n}"
    store.announce(key(value), value.encode(), 600).run()
    print(value, flush=True)
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a platform that forks")


@pytest.fixture(name="backend", params=SHARED)
def _backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    with opened(request.param, tmp_path) as backend:
        yield backend


def started(code: str, url: str) -> subprocess.Popen[str]:
    """Return a new Python process that runs `code`."""
    return subprocess.Popen(
        [sys.executable, "-c", code, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.row("P01", "P05", "N14")
def test_processes_agree(backend: Backend) -> None:
    """Four that begin together make the file, and pass neither limit, seats nor replay twice."""
    workers = [started(WORKER, backend.url) for _ in range(PROCESSES)]
    try:
        for worker in workers:
            assert worker.stdout
            assert worker.stdout.readline() == "ready\n"
        answers = [worker.communicate("go\n", timeout=60)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    passed = sum(int(answer) for answer in answers)
    # Each process sees 33 of 50 members through: the same ones, whoever came first.
    assert passed % 1000_000 == 101 + 1000 * 50
    assert passed // 1000_000 == 33 * PROCESSES


@pytest.mark.row("P05", "N14")
def test_a_killed_writer_leaves_the_count_right(backend: Backend) -> None:
    """What it was told is counted, at most one more that it did not live to hear of is too."""
    told = 0
    for _ in range(3):
        writer = started(WRITER, backend.url)
        assert writer.stdout
        for _ in range(100):
            told = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        told = int([str(told), *writer.stdout.read().split()][-1])
        writer.communicate(timeout=20)
        counted = open_store(backend.url).increment(CALLS, 0, None, 600).run().used
        assert counted in (told, told + 1)
        assert not open_store(backend.url).set_if_absent(key("proof"), 600).run()
    open_store(backend.url).close()


@pytest.mark.row("N14")
def test_what_was_seen_is_seen_after_a_restart(backend: Backend) -> None:
    """A store that is opened anew knows what another one was told."""
    first = backend.open()
    assert first.set_if_absent(CALLS, 600).run()
    generation = first.announce(CALLS, b"revoked", 600).run()
    first.close()
    second = backend.open_other()
    assert not second.set_if_absent(CALLS, 600).run()
    assert second.generation().run() == generation
    assert second.announced(0).run() == News(generation, (b"revoked",))
    assert second.announced(generation).run() == News(generation, ())


def test_what_one_announces_the_other_hears(backend: Backend) -> None:
    """An announcement is there for whoever sees its generation, in another process too."""
    one, other = backend.open(), backend.open_other()
    before = other.generation().run()
    one.put(CALLS, b"revoked", 600).run()
    assert other.announced(before).run() == News(before, ())
    generation = one.announce(CALLS, b"revoked", 600).run()
    assert other.generation().run() == generation != before
    assert other.announced(before).run() == News(generation, (b"revoked",))
    assert other.get(CALLS).run() == b"revoked"


def test_what_is_announced_while_the_file_is_read_is_not_skipped(tmp_path: Path) -> None:
    """What another process announces between two looks at the file is heard of, then or next."""
    reader, writer = SQLiteStore(f"{tmp_path}/store"), SQLiteStore(f"{tmp_path}/store")
    writer.announce(CALLS, b"0", 600).run()
    heard, after = list(reader.announced(0).run().values), reader.generation().run()
    connection = reader._connection
    assert connection is not None

    def announces(statement: str) -> None:
        announced.append(str(len(announced) + 1).encode())
        writer.announce(key(statement, str(len(announced))), announced[-1], 600).run()

    announced: list[bytes] = []
    writer.announce(key("first"), b"first", 600).run()
    for trace in (announces, None):
        connection.set_trace_callback(trace)
        news = reader.announced(after).run()
        heard, after = [*heard, *news.values], news.generation
    assert len(announced) >= 2
    assert sorted(heard) == sorted([b"0", b"first", *announced])
    reader.close()
    writer.close()


def test_no_announcement_is_lost_between_processes(backend: Backend) -> None:
    """Of processes that announce until they are killed, a reader hears all they were told of.

    Each of them may have announced one more, whose answer it did not live to hear.
    """
    announcers = [started(ANNOUNCER, backend.url) for _ in range(2)]
    heard: list[bytes] = []
    store, after = backend.open_other(), 0
    try:
        while len(heard) < 200:
            news = store.announced(after).run()
            after, heard = news.generation, [*heard, *news.values]
    finally:
        for announcer in announcers:
            os.kill(announcer.pid, signal.SIGKILL)
    told = []
    for announcer in announcers:
        output, _ = announcer.communicate(timeout=20)
        told.append([line.encode() for line in output.splitlines(keepends=True)])
    while (news := store.announced(after).run()).values:
        after, heard = news.generation, [*heard, *news.values]
    for announcer, lines in zip(announcers, told, strict=True):
        whole = [line.rstrip() for line in lines if line.endswith(b"\n")]
        mine = [value for value in heard if value.split()[0] == str(announcer.pid).encode()]
        assert mine[: len(whole)] == whole
        assert len(mine) <= len(whole) + 1
    assert len(set(heard)) == len(heard)


def connection(store: Store) -> Any:
    """Return what tells this process's connection from others."""
    store.generation().run()
    if isinstance(store, SQLiteStore):
        return id(store._connection), store._process
    return store.ask(("CLIENT", "ID"))  # type: ignore[attr-defined]


@needs_fork
@pytest.mark.row("P05")
def test_a_child_has_a_connection_of_its_own(backend: Backend) -> None:
    """It counts with its parent, on another connection, and the parent's goes on working."""
    store = backend.open()
    store.increment(CALLS, 1, None, 600).run()
    parents = connection(store)
    for count in range(2, 8, 2):

        def child(count: int = count) -> bool:
            counted = store.increment(CALLS, 1, None, 600).run().used
            return counted == count and connection(store) != parents

        assert in_child(child) == 0
        assert store.increment(CALLS, 1, None, 600).run().used == count + 1


@needs_fork
@pytest.mark.row("P05")
def test_a_fork_amid_other_threads_loses_nothing(backend: Backend) -> None:
    """While four threads count, children count too; the sum is that of what each was told."""
    store, stop = backend.open(), threading.Event()
    counted = [0] * 4

    def count(number: int) -> None:
        while not stop.is_set():
            store.increment(CALLS, 1, None, 600).run()
            counted[number] += 1

    threads = [threading.Thread(target=count, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    children = 0
    try:
        until(lambda: all(counted))
        for _ in range(8):
            assert in_child(lambda: store.increment(CALLS, 1, None, 600).run().used) == 0
            children += 1
        before = counted[:]
        until(lambda: all(now > then for now, then in zip(counted, before, strict=True)))
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert store.increment(CALLS, 0, None, 600).run().used == sum(counted) + children


@needs_fork
@pytest.mark.row("P05")
def test_a_child_begins_with_what_memory_held() -> None:
    """The store in memory is copied by a fork, and free to be used in the child."""
    store = open_store("memory://")
    store.delete(CALLS).run()
    assert store.set_if_absent(CALLS, 600).run()
    assert in_child(lambda: not store.set_if_absent(CALLS, 600).run()) == 0
    store.delete(CALLS).run()


def test_a_file_inherited_unawares_is_not_used(tmp_path: Path) -> None:
    """A process that was forked without Python's knowledge is told so, and writes nothing."""
    store = SQLiteStore(f"{tmp_path}/store")
    store.increment(CALLS, 1, None, 600).run()
    store._process += 1
    with pytest.raises(StoreUnavailable, match="inherited"):
        store.increment(CALLS, 1, None, 600).run()
    store._process -= 1
    assert store.increment(CALLS, 0, None, 600).run().used == 1
    store.close()


@needs_fork
def test_a_fork_does_not_wait_for_ever(tmp_path: Path) -> None:
    """A thread that does not come to rest leaves the child without a store, not the fork stuck."""
    store = SQLiteStore(f"{tmp_path}/store")
    store.increment(CALLS, 1, None, 600).run()

    def child() -> bool:
        with pytest.raises(StoreUnavailable, match="inherited"):
            store.increment(CALLS, 1, None, 600).run()
        return True

    with store.lock:
        assert in_child(child) == 0
    assert store.increment(CALLS, 1, None, 600).run().used == 2
    assert in_child(lambda: store.increment(CALLS, 1, None, 600).run().used == 3) == 0
    store.close()
