"""Addresses of stores: which there can be, whose file it is, and what is imported for it."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from licet.core.clock import Clock
from licet.core.errors import ConfigError
from licet.core.stores import key, open_store, statements
from licet.core.stores.database import VERSION
from licet.core.stores.memory import MemoryStore
from licet.core.stores.sqlite import SQLiteStore
from tests.core.hands import Hands

CALLS, ALICE = key("calls"), key("alice")
posix = pytest.mark.skipif(os.name == "nt", reason="needs permissions of files")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "memory:",
        "memory:/x",
        "memory://x",
        "MEMORY://",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite://relative/path",
        "sqlite:///:memory:/x",
        "sqlite:///nowhere/at/all",
        "sqlite:///a\0b",
        "postgres://localhost/x",
        "redis:/localhost",
        "redis://localhost:port",
        "redis://localhost?socket_timeout=soon",
        "redis://localhost?no_such_option=1",
        "http://localhost",
    ],
)
def test_no_store_is_there(url: str) -> None:
    """What cannot be a store is refused when it is opened, with a remedy."""
    with pytest.raises(ConfigError) as caught:
        open_store(url)
    assert caught.value.setting == "store"
    assert caught.value.remedy


def test_what_is_in_an_address_is_not_repeated() -> None:
    """A password that was not escaped, and so read as a port, is not told."""
    with pytest.raises(ConfigError) as caught:
        open_store("redis://user:cAn/Ary@localhost")
    assert "cAn" not in str(caught.value)
    assert "Ary" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_process_has_one_store_at_an_address(tmp_path: Path) -> None:
    """Whoever opens it counts with everybody else; only another clock makes another store."""
    hands, others = Hands(), Hands()
    for url in ("memory://", f"sqlite://{tmp_path}/store"):
        store = open_store(url, hands.clock)
        assert open_store(url, hands.clock) is store
        assert open_store(url, others.clock) is not store
        for each in (store, open_store(url, others.clock)):
            each.close()
    assert open_store("memory://") is open_store("memory://", Clock())
    assert open_store("redis://127.0.0.1:1") is open_store("redis://127.0.0.1:1")


def run(code: str) -> str:
    """Return what a new Python process prints that runs `code`."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def test_nothing_is_imported_before_it_is_opened() -> None:
    """Neither library is loaded by the stores themselves, nor one for the other."""
    # Where coverage is measured, sqlite3 itself is loaded by that.
    rooms = "{'redis', 'licet.core.stores.sqlite', 'licet.core.stores.statements'}"
    loaded = f"print(sorted({rooms} & set(sys.modules)))"
    code = f"import sys; from licet.core.stores import open_store; {loaded}; "
    assert run(f"{code} open_store('memory://'); {loaded}").split("\n") == ["[]", "[]"]
    assert run(f"{code} open_store('redis://localhost'); {loaded}").endswith("\n['redis']")


def test_a_missing_library_is_named() -> None:
    """Without redis-py the error has the line that installs it."""
    code = """
import sys
sys.modules["redis"] = None
from licet.core.errors import ConfigError
from licet.core.stores import open_store
for _ in range(2):
    try:
        open_store("redis://localhost")
    except ConfigError as error:
        print(error)
"""
    assert run(code).count('pip install "licet[redis]"') == 2


def test_a_broken_library_is_not_called_missing() -> None:
    """An installed redis-py that lacks something of its own fails with its own words."""
    code = """
import sys
sys.modules["redis.asyncio"] = None
from licet.core.stores import open_store
try:
    open_store("redis://localhost")
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run(code) == "redis.asyncio"


def number_of_rows(db: sqlite3.Connection, now: float, *, table: str) -> tuple[int]:
    """Return how many rows a table has, ended ones too."""
    found: tuple[int] = db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    return found


class TestFile:
    """The file of the SQLite store."""

    @pytest.fixture(name="file")
    def _file(self, tmp_path: Path) -> Path:
        return tmp_path / "a store?mode=memory#%41"

    def test_is_where_the_address_says(self, file: Path) -> None:
        """What follows the slashes is the path as it is written, with three slashes or four."""
        for url in (f"sqlite://{file}", f"sqlite:///{file}"):
            store = open_store(url, Hands().clock)
            store.increment(CALLS, 1, None, 60).run()
            store.close()
        assert file.read_bytes().startswith(b"SQLite format 3\0")

    @posix
    def test_is_its_owner_s_alone(self, file: Path) -> None:
        """It and what lies beside it while it is used are for nobody else, whatever the umask."""
        before = os.umask(0)
        try:
            store = SQLiteStore(str(file))
            store.increment(CALLS, 1, None, 60).run()
            made = list(file.parent.iterdir())
            assert len(made) == 3
            assert {stat.S_IMODE(each.stat().st_mode) for each in made} == {0o600}
        finally:
            os.umask(before)
        store.close()

    @posix
    def test_is_its_owner_s_alone_when_it_is_made_again(self, file: Path) -> None:
        """Removed while no connection was open, it comes back for nobody else to read."""
        before = os.umask(0)
        try:
            store = SQLiteStore(str(file))
            file.unlink()
            store.increment(CALLS, 1, None, 60).run()
            assert {stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()} == {0o600}
        finally:
            os.umask(before)
        store.close()

    @posix
    @pytest.mark.parametrize("mode", [0o644, 0o660, 0o602, 0o601])
    def test_is_refused_if_others_may_use_it(self, file: Path, mode: int) -> None:
        """A file that others may read or write is not used."""
        SQLiteStore(str(file))
        file.chmod(mode)
        with pytest.raises(ConfigError, match="chmod 600"):
            SQLiteStore(str(file))

    @posix
    def test_is_not_reached_through_a_link(self, file: Path) -> None:
        """Neither a link to a store nor one to nothing is followed."""
        for target in (file.parent / "real", file.parent / "nothing"):
            if target.name == "real":
                SQLiteStore(str(target))
            file.unlink(missing_ok=True)
            file.symlink_to(target)
            with pytest.raises(ConfigError, match="no regular file"):
                SQLiteStore(str(file))
        assert not (file.parent / "nothing").exists()

    def test_is_no_directory(self, file: Path) -> None:
        """A directory is no store."""
        file.mkdir(mode=0o700)
        with pytest.raises(ConfigError, match="no regular file"):
            SQLiteStore(str(file))

    @pytest.mark.parametrize("kind", ["text", "other", "later"])
    def test_is_refused_if_it_is_something_else(self, file: Path, kind: str) -> None:
        """Text, another application's database and one of a later version are left alone."""
        if kind == "text":
            file.write_text("a letter to the vendor\n" * 100)
        elif kind == "later":
            SQLiteStore(str(file))
        file.touch()
        if kind != "text":
            with closing(sqlite3.connect(file)) as database:
                database.execute("CREATE TABLE theirs (x)")
                database.execute(f"PRAGMA user_version = {VERSION + 1}")
        file.chmod(0o600)
        content = file.read_bytes()
        with pytest.raises(ConfigError):
            SQLiteStore(str(file))
        assert file.read_bytes() == content

    def test_is_kept_small(self, file: Path) -> None:
        """What has ended is cleared away: through many times its content it does not grow."""
        hands = Hands(wall=time.time())
        store = SQLiteStore(str(file), hands.clock)
        store.put(CALLS, b"", 10).run()
        hands.advance(statements.EVENLY)
        for n in range(3_000):
            store.set_if_absent(key(str(n)), 10).run()
            store.increment(key(str(n)), 1, 1, 10).run()
            store.admit(key(str(n)), CALLS, 1, 10).run()
            store._write(partial(statements.announce, key=key(str(n)), value=b"", ttl=10)).run()
            hands.advance(0.5)
        for table in ("counts", "seats", "kept", "announcements"):
            (rows,) = store._read(partial(number_of_rows, table=table)).run()
            assert rows <= (10 + statements.SLACK) / 0.5 + 2
        store.close()

    @pytest.mark.row("P05")
    @pytest.mark.parametrize("leap", [120, 86_400 * 31, 86_400 * 366 * 9])
    @pytest.mark.parametrize("lasting", [0, 600])
    def test_a_wall_clock_that_leaps_and_is_set_right_loses_nothing(
        self, file: Path, leap: float, lasting: float
    ) -> None:
        """Of what was there nothing is cleared away meanwhile, however much is added."""
        hands = Hands(wall=time.time())
        store = SQLiteStore(str(file), hands.clock)
        store.increment(CALLS, 0, 1, 60).run()
        hands.advance(2 * statements.EVENLY)
        store.increment(CALLS, 1, 1, 10_000).run()
        store.admit(CALLS, ALICE, 1, 10_000).run()
        store.set_if_absent(CALLS, 10_000).run()
        generation = store.announce(CALLS, b"revoked", 10_000).run()
        hands.wall += leap
        for n in range(3):
            store.increment(key(str(n)), 1, 1, 10).run()
            store.admit(key(str(n)), CALLS, 1, 10).run()
            store.set_if_absent(key(str(n)), 10).run()
            store.announce(key(str(n)), b"", 10).run()
            hands.advance(lasting)
        hands.wall -= leap
        assert store.increment(CALLS, 1, 1, 10_000).run()[:2] == (False, 1)
        assert not store.admit(CALLS, key("bob"), 1, 10_000).run().allowed
        assert not store.set_if_absent(CALLS, 10_000).run()
        assert b"revoked" in store.announced(generation - 1).run().values
        store.close()

    def test_tells_time_by_the_wall(self, file: Path) -> None:
        """A clock that is set back keeps what was seen, for longer rather than shorter."""
        hands = Hands(wall=time.time())
        store = SQLiteStore(str(file), hands.clock)
        assert store.set_if_absent(CALLS, 60).run()
        hands.wall -= 86_400
        assert not store.set_if_absent(CALLS, 60).run()
        hands.wall += 86_400 + 61
        assert store.set_if_absent(CALLS, 60).run()
        store.close()

    def test_survives_being_forgotten(self, file: Path) -> None:
        """A store that nobody holds closes its connection by itself."""
        store = SQLiteStore(str(file))
        store.increment(CALLS, 1, None, 60).run()
        del store
        assert list(file.parent.iterdir()) == [file]

    def test_memory_has_no_connection(self) -> None:
        """Closing the store in memory loses nothing."""
        store = MemoryStore()
        store.increment(CALLS, 1, None, 60).run()
        store.close()
        assert store.increment(CALLS, 0, None, 60).run().used == 1
