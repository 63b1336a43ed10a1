"""Stores that are down, slow or talk nonsense: one error, soon, in every world."""

from __future__ import annotations

import asyncio
import logging
import socket
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import pytest

from licet.core.errors import LicetError
from licet.core.flow import Effect
from licet.core.stores import News, Store, StoreUnavailable, database, effects, key, sqlite
from licet.core.stores.database import NotOursError, write_ahead
from licet.core.stores.interface import PATIENCE
from licet.core.stores.sqlite import SQLiteStore
from tests.core.backends import WORLDS, Ask, world
from tests.core.loopback import until
from tests.core.redis_server import BINARY, RedisServer

pytest.importorskip("redis", reason="needs redis-py")

from redis.crc import key_slot

from licet.core.stores import redis
from licet.core.stores.redis import (
    ENDS,
    GENERATION,
    ORDER,
    VALUES,
    RedisStore,
    _Opened,
    _opened,
)

CALLS = key("calls")
CANARY = "cAnAry-pass"
#: Everything that can be asked of a store.
OPERATIONS: dict[str, Callable[[Store], Effect[Any]]] = {
    "increment": lambda store: store.increment(CALLS, 1, 9, 60),
    "admit": lambda store: store.admit(CALLS, CALLS, 9, 60),
    "set_if_absent": lambda store: store.set_if_absent(CALLS, 60),
    "put": lambda store: store.put(CALLS, b"", 60),
    "get": lambda store: store.get(CALLS),
    "delete": lambda store: store.delete(CALLS),
    "generation": lambda store: store.generation(),
    "announce": lambda store: store.announce(CALLS, b"", 60),
    "announced": lambda store: store.announced(1),
}
#: What a server says to anything, and the word that is told of it.
NONSENSE = {
    "nothing": (None, "timeout"),
    "hangs up": (b"", "unreachable"),
    "another protocol": (b"HTTP/1.1 400 Bad Request\r\n\r\n", ""),
    "an error": (b"-ERR no\r\n", ""),
    "read only": (b"-READONLY You can't write against a read only replica.\r\n", ""),
    "no memory": (b"-OOM command not allowed\r\n", ""),
    "a lie": (b"$5\r\nhello\r\n", ""),
    "a list": (b"*2\r\n:1\r\n$1\r\nx\r\n", ""),
    "half": (b"$500\r\nhello", "timeout"),
    "bytes": (bytes(range(128, 256)) + b"\r\n", ""),
}
#: Seconds of patience here, where nobody's patience is rewarded.
BRIEF = 0.8
needs_server = pytest.mark.skipif(BINARY is None, reason="needs a redis-server or valkey-server")


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here ever answers: a shorter wait shows the same."""
    for module in (database, effects, redis, sqlite):
        monkeypatch.setattr(module, "PATIENCE", BRIEF)


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait shorter still, where not even a busy machine could be taken for a silent server."""
    for module in (database, effects, redis, sqlite):
        monkeypatch.setattr(module, "PATIENCE", 0.2)
    monkeypatch.setattr(redis, "TIMEOUT", 0.2)


@pytest.fixture(name="ask", params=WORLDS)
def _ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    with world(request.param) as ask:
        yield ask


class Impostor:
    """A server on loopback that says the same to whatever it is asked.

    Args:
        answer: what it says, None for nothing at all.
    """

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.asked: list[bytes] = []
        self.url = f"redis://:{CANARY}@127.0.0.1:{self._server.getsockname()[1]}/0"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Only a shutdown wakes a thread that waits for the next connection.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(20)
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=[connection]))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while asked := connection.recv(65_536):
                self.asked.append(asked)
                if self._answer == b"":
                    connection.shutdown(socket.SHUT_RDWR)
                elif self._answer is not None:
                    # Once for each command that came.
                    connection.sendall(self._answer * max(asked.count(b"\r\n*") + 1, 1))
        except OSError:
            return


def refused(ask: Ask, effect: Effect[Any]) -> StoreUnavailable:
    """Return how `effect` fails; it must do so soon, and say nothing of the address."""
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        ask(effect)
    assert time.monotonic() - begun < 2 * PATIENCE + 1
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert CANARY not in shown
    assert isinstance(caught.value, LicetError)
    return caught.value


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.row("P04")
def test_nobody_there(ask: Ask, operation: Callable[[Store], Effect[Any]]) -> None:
    """Where nobody listens, every operation says so at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    store = RedisStore(f"redis://user:{CANARY}@127.0.0.1:{port}")
    assert refused(ask, operation(store)).reason.startswith("unreachable:")
    assert CANARY not in repr(store)


@pytest.mark.parametrize(("answer", "word"), NONSENSE.values(), ids=NONSENSE)
@pytest.mark.row("P04")
def test_who_speaks_nonsense_is_no_store(
    ask: Ask,
    answer: bytes | None,
    word: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that is silent, hangs up or answers anything else leaves it undecided."""
    if word == "timeout":
        impatient(monkeypatch)
    caplog.set_level(logging.DEBUG)
    with Impostor(answer) as impostor:
        store = RedisStore(impostor.url)
        assert refused(ask, store.increment(CALLS, 1, 9, 60)).reason.startswith(word)
        assert refused(ask, store.set_if_absent(CALLS, 60)).reason.startswith(word)
        store.close()
    assert CANARY not in caplog.text


class TestOnceConnected:
    """What a server may say to somebody it has let in."""

    WELCOME = b"+OK\r\n"

    @pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
    @pytest.mark.parametrize(
        "answer",
        [
            b"+OK\r\n",
            b"$5\r\nhello\r\n",
            b"*1\r\n:1\r\n",
            b"*2\r\n:1\r\n*1\r\n:1\r\n",
            b"-ERR no\r\n",
            b"-NOPERM no\r\n",
        ],
        ids=["ok", "text", "list", "list of lists", "error", "no permission"],
    )
    @pytest.mark.row("P04")
    def test_a_wrong_answer_is_none(
        self, ask: Ask, operation: Callable[[Store], Effect[Any]], answer: bytes
    ) -> None:
        """An answer of another kind than the command's own is never taken for a yes or a no."""
        with Welcoming(answer) as server:
            store = RedisStore(server.url)
            effect = operation(store)
            if any(b"GET" in asked for asked in server.asked) or answer in ACCEPTABLE.get(
                next(name for name, each in OPERATIONS.items() if each is operation), ()
            ):
                ask(effect)
            else:
                refused(ask, effect)
            store.close()


#: Answers that are the right kind for an operation.
ACCEPTABLE = {"put": (b"+OK\r\n",), "set_if_absent": (b"+OK\r\n",)} | {
    "get": (b"+OK\r\n", b"$5\r\nhello\r\n")
}


class Welcoming(Impostor):
    """An impostor that lets everybody in before it talks nonsense."""

    def _serve(self, connection: socket.socket) -> None:
        try:
            while asked := connection.recv(65_536):
                self.asked.append(asked)
                for command in asked.split(b"\r\n*"):
                    polite = b"AUTH" in command or b"CLIENT" in command or b"SELECT" in command
                    connection.sendall(b"+OK\r\n" if polite else self._answer or b"")
        except OSError:
            return


@pytest.mark.parametrize("library", ["asyncio", "trio"])
@pytest.mark.row("P04")
def test_many_who_wait_are_told_together(library: str) -> None:
    """Two hundred tasks at a silent server are all told within a few seconds."""
    told: list[str] = []

    async def one(store: Store) -> None:
        try:
            await store.increment(CALLS, 1, 9, 60).arun()
        except StoreUnavailable as error:
            told.append(error.reason)

    async def many(store: Store) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(one, store)

    with Impostor(None) as impostor:
        begun = time.monotonic()
        anyio.run(many, RedisStore(impostor.url), backend=library)
        assert time.monotonic() - begun < 3 * PATIENCE + 1
    assert len(told) == 200


class Slow(Impostor):
    """An impostor who takes its time, for each step as much as is just permitted."""

    def _serve(self, connection: socket.socket) -> None:
        try:
            stopped = threading.Event()
            while asked := connection.recv(65_536):
                for _ in range(max(1, asked.count(b"\r\n*") + 1)):
                    stopped.wait(redis.TIMEOUT * 0.8)
                    connection.sendall(b"+OK\r\n")
        except OSError:
            return


@pytest.mark.row("P04")
def test_a_slow_greeting_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an event loop one deadline holds for connecting, greeting and answer together."""
    impatient(monkeypatch)
    with Slow(None) as impostor, world("asyncio") as ask:
        store = RedisStore(f"{impostor.url}?db=3")
        assert refused(ask, store.get(CALLS)).reason == "timeout"


@pytest.mark.row("P04")
def test_a_decision_is_sent_once(ask: Ask) -> None:
    """Whose answer is lost is not sent again: it may have been counted."""
    with Impostor(None) as impostor:
        store = RedisStore(impostor.url.replace(f":{CANARY}@", ""))
        refused(ask, store.set_if_absent(CALLS, 60))
        assert sum(asked.count(b"SET\r\n") for asked in impostor.asked) <= 1
        assert impostor.asked


def test_a_cluster_keeps_announcements_in_one_slot() -> None:
    """A script may touch only keys of one hash slot; those of announcements share theirs."""
    assert len({key_slot(name.encode()) for name in (GENERATION, ORDER, ENDS, VALUES)}) == 1


@needs_server
class TestRealServer:
    """What a server that was there may do."""

    @pytest.mark.row("P04")
    def test_comes_back(self, ask: Ask) -> None:
        """Killed it is missed at once; started again, empty of scripts too, it is used again."""
        with RedisServer() as server:
            store = RedisStore(server.url)
            assert ask(store.increment(CALLS, 1, 9, 60)).used == 1
            server.stop()
            assert refused(ask, store.increment(CALLS, 1, 9, 60)).reason.startswith("unreachable")
            server.start()
            assert ask(store.increment(CALLS, 1, 9, 60)).used == 1
            store.close()

    @pytest.mark.row("P04")
    def test_wants_another_password(self, ask: Ask) -> None:
        """A wrong password is no answer, and is told to nobody."""
        with RedisServer("--requirepass", "right") as server:
            store = RedisStore(server.url.replace("://", f"://:{CANARY}@"))
            refused(ask, store.increment(CALLS, 1, 9, 60))
            right = RedisStore(server.url.replace("://", "://:right@"))
            assert ask(right.increment(CALLS, 1, 9, 60)).allowed
            store.close()
            right.close()

    @pytest.mark.row("P04")
    def test_holds_something_else(self, ask: Ask) -> None:
        """What somebody else wrote at our keys stops what is asked of them, and stays."""
        with RedisServer() as server:
            for kind in ("count", "seats", "kept"):
                server.say("RPUSH", f"licet:{kind}:{CALLS}", "x")
            server.say("SET", GENERATION, "soon")
            store = RedisStore(server.url)
            for name, operation in OPERATIONS.items():
                if name not in ("set_if_absent", "put", "delete"):
                    refused(ask, operation(store))
            assert ask(store.set_if_absent(CALLS, 60)) is False
            assert server.say("LLEN", f"licet:count:{CALLS}") == b":1\r\n"
            assert server.say("EXISTS", ORDER, ENDS, VALUES) == b":0\r\n"
            store.close()

    @pytest.mark.parametrize("name", ["order", "ends", "values"])
    @pytest.mark.row("P04")
    def test_holds_something_else_in_between(self, ask: Ask, name: str) -> None:
        """What cannot be announced wholly is announced to nobody."""
        with RedisServer() as server:
            server.say("SET", f"licet:{{announced}}:{name}", "x")
            store = RedisStore(server.url)
            assert refused(ask, OPERATIONS["announce"](store)).reason.startswith("refused:")
            assert ask(store.generation()) == 0
            assert ask(store.announced(0)).values == ()
            store.close()

    def test_has_set_its_clock_back(self) -> None:
        """A generation that is ahead of the clock is gone on from."""
        with RedisServer() as server:
            server.say("SET", GENERATION, "9000000000000000")
            store = RedisStore(server.url)
            for generation in (9_000_000_000_000_001, 9_000_000_000_000_002):
                assert store.announce(CALLS, b"", 60).run() == generation
                assert store.announced(generation - 1).run() == News(generation, (b"",))
            store.close()

    @pytest.mark.row("P06")
    def test_keeps_few_that_have_ended(self) -> None:
        """However many announcements have ended, soon no more of them are left than live."""
        with RedisServer() as server:
            store = RedisStore(server.url)
            for n in range(50):
                store.announce(key(str(n)), b"", 0.001).run()
            until(lambda: store.announced(0).run().values == ())
            for _ in range(30):
                store.announce(CALLS, b"long", 60).run()
            sizes = (("ZCARD", ORDER), ("ZCARD", ENDS), ("HLEN", VALUES))
            assert [server.say(*words) for words in sizes] == [b":1\r\n"] * 3
            assert store.announced(0).run().values == (b"long",)
            store.close()

    @pytest.mark.row("P04")
    def test_is_full(self, ask: Ask) -> None:
        """A server without memory left takes nothing new, rather than forget what it has."""
        with RedisServer("--maxmemory", "1", "--maxmemory-policy", "noeviction") as server:
            store = RedisStore(server.url)
            for name in ("increment", "set_if_absent", "put", "announce"):
                assert refused(ask, OPERATIONS[name](store)).reason.startswith("refused:")
            store.close()

    @pytest.mark.row("P04")
    def test_becomes_a_replica(self, ask: Ask) -> None:
        """It counts nothing, and is not held on to: its name may lead to another by now."""
        with RedisServer() as server:
            store = RedisStore(server.url)
            assert ask(store.increment(CALLS, 1, 9, 60)).used == 1
            server.say("REPLICAOF", "127.0.0.1", "1")
            error = refused(ask, store.increment(CALLS, 1, 9, 60))
            assert error.reason == "refused:ReadOnlyError"
            until(lambda: b"connected_clients:1\r\n" in server.say("INFO", "clients"))
            server.say("REPLICAOF", "NO", "ONE")
            assert ask(store.increment(CALLS, 1, 9, 60)).used == 2
            store.close()

    def test_listens_at_a_unix_socket(self, ask: Ask) -> None:
        """It is the same store as at its port."""
        with RedisServer() as server:
            store, other = RedisStore(f"unix://{server.socket}"), RedisStore(server.url)
            assert ask(store.increment(CALLS, 1, 9, 60)).used == 1
            assert ask(other.increment(CALLS, 1, 9, 60)).used == 2
            store.close()
            other.close()

    def test_outlives_many_event_loops(self) -> None:
        """Each event loop has its own connection, which is closed when the loop ends."""
        with RedisServer() as server:
            store = RedisStore(server.url)
            for _ in range(20):
                anyio.run(store.increment(CALLS, 1, None, 60).arun)
            assert not any(loop.is_closed() for loop, _ in _opened)
            assert server.say("INFO", "clients").count(b"connected_clients:1\r\n") == 1

    def test_forgets_loops_that_ended_without_a_word(self) -> None:
        """A loop that was closed in the middle keeps no client for ever."""
        with RedisServer() as server:
            store, ended = RedisStore(server.url), asyncio.new_event_loop()
            _opened[ended, server.url] = _Opened(ended, server.url)
            ended.close()
            assert anyio.run(store.get(CALLS).arun) is None
            assert not _opened


class TestFile:
    """What may happen to a file."""

    @pytest.fixture(name="file")
    def _file(self, tmp_path: Path) -> Path:
        return tmp_path / "store"

    @pytest.mark.row("P04")
    def test_somebody_else_holds_it(self, ask: Ask, file: Path) -> None:
        """A process that never ends its transaction makes it busy, and only for that long."""
        store = SQLiteStore(str(file))
        ask(store.increment(CALLS, 1, 9, 60))
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert refused(ask, store.increment(CALLS, 1, 9, 60)).reason == "busy"
            # Who only reads is not in anybody's way.
            assert ask(store.generation()) == 0
        assert ask(store.increment(CALLS, 1, 9, 60)).used == 2
        store.close()

    @pytest.mark.row("P04")
    def test_another_thread_holds_it(self, ask: Ask, file: Path) -> None:
        """Nobody waits for a thread for longer than for a process."""
        store = SQLiteStore(str(file))
        with store.lock:
            assert refused(ask, store.get(CALLS)).reason == "busy"
        assert ask(store.get(CALLS)) is None
        store.close()

    @pytest.mark.row("P04")
    def test_it_is_damaged(self, ask: Ask, file: Path) -> None:
        """A file that became something else is no store, whatever is asked."""
        store = SQLiteStore(str(file))
        ask(store.increment(CALLS, 1, 9, 60))
        store.close()
        file.write_bytes(b"not a database " * 4096)
        for operation in OPERATIONS.values():
            assert refused(ask, operation(store)).reason.startswith("unreachable:")

    @pytest.mark.row("P04")
    def test_its_directory_is_gone(self, ask: Ask, tmp_path: Path) -> None:
        """Where nothing can be opened any more, nothing is made in its place."""
        directory = tmp_path / "inner"
        directory.mkdir()
        store = SQLiteStore(f"{directory}/store")
        (directory / "store").unlink()
        directory.rmdir()
        assert refused(ask, store.increment(CALLS, 1, 9, 60)).reason.startswith("unreachable:")

    def test_an_error_within_undoes_all(self, file: Path) -> None:
        """What fails half-way leaves nothing behind, and the store usable."""
        store = SQLiteStore(str(file))

        def fails(db: sqlite3.Connection, now: float) -> None:
            db.execute("INSERT INTO counts VALUES ('x', 1, 9e9)")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            store._write(fails).run()
        assert (
            store._read(lambda db, now: db.execute("SELECT * FROM counts").fetchall()).run() == []
        )
        store.close()

    @pytest.mark.parametrize("lock", ["EXCLUSIVE", "IMMEDIATE"])
    def test_somebody_holds_it_while_it_is_made(
        self, file: Path, lock: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that is busy when it is opened is no wrong one, and is used when it is free."""
        impatient(monkeypatch)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            file.chmod(0o600)
            other.execute(f"BEGIN {lock}")
            store = SQLiteStore(str(file))
            with pytest.raises(StoreUnavailable, match="busy"):
                store.generation().run()
        assert store.increment(CALLS, 1, 9, 60).run().used == 1
        store.close()

    def test_an_announcement_waits_for_the_disk(self, file: Path) -> None:
        """Its transaction alone is synchronous in full, also where it fails."""
        said: list[str] = []
        store = SQLiteStore(str(file))
        store.generation().run()
        connection = store._connection
        assert connection is not None
        connection.set_trace_callback(said.append)
        store.announce(CALLS, b"", 60).run()
        assert said[:2] == ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE"]
        assert said[-2:] == ["COMMIT", "PRAGMA synchronous = NORMAL"]
        said.clear()
        store.put(CALLS, b"", 60).run()
        assert said[0] == "BEGIN IMMEDIATE"
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="busy"):
                store.announce(CALLS, b"", 60).run()
        assert store._connection is connection
        assert connection.execute("PRAGMA synchronous").fetchone() == (1,)
        connection.set_trace_callback(None)
        store.close()

    def test_no_log_can_be_written_ahead(self) -> None:
        """A place without a write-ahead log is none for a store."""
        with closing(sqlite3.connect(":memory:")) as nowhere, pytest.raises(NotOursError):
            write_ahead(nowhere)
