"""What an installation remembers: whole or not at all, and in its own place."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from licet.core.errors import ConfigError
from licet.core.installation.state import FILE, State
from licet.core.stores import PAGE, Key, News, StoreUnavailable, key
from tests.core.hands import Hands

REVOKED, OTHER = key("withdrawn", "lic_1"), key("withdrawn", "lic_2")
#: Announces, says so, and would go on.
WRITER = """
import sys
from licet.core.clock import SYSTEM_CLOCK
from licet.core.installation.state import State
from licet.core.stores import key
State(sys.argv[1], SYSTEM_CLOCK, print).announce(key("withdrawn", "lic_1"), b"said", 600).run()
print("told", flush=True)
sys.stdin.read()
"""

needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs owners and permissions")


class Process:
    """One process's view of a state directory: nothing of it is shared with another's."""

    def __init__(self, directory: Path) -> None:
        self.hands = Hands()
        self.told: list[str] = []
        self.state = State(str(directory), self.hands.clock, self.told.append)

    def get(self, place: Key = REVOKED) -> bytes | None:
        return self.state.get(place).run()

    def say(self, value: bytes = b"said", place: Key = REVOKED) -> None:
        self.state.announce(place, value, 600).run()


@pytest.fixture(name="directory")
def _directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


def refused(directory: Path) -> str:
    """Return what is wrong with a directory."""
    with pytest.raises(ConfigError) as caught:
        Process(directory)
    assert caught.value.setting == "license_state"
    return caught.value.problem


def sealed(directory: Path, change: str | None = None, *values: object) -> bytes:
    """Return what the file holds under the first key, after a change to it."""
    with closing(sqlite3.connect(directory / FILE)) as database, database:
        if change is not None:
            database.execute(change, values)
        found = database.execute("SELECT value FROM announcements ORDER BY generation").fetchone()
    database.close()
    return bytes(found[0])


# -- what it keeps -------------------------------------------------------------------------------


def test_what_one_process_says_another_knows(directory: Path) -> None:
    """Announced or put, and in the order in which it was announced."""
    one, other = Process(directory), Process(directory)
    assert other.get() is None
    assert other.state.announced(0).run() == News(0, ())
    one.say(b"first")
    one.say(b"second", OTHER)
    one.state.put(key("rest"), b"", 600).run()
    assert (other.get(), other.get(OTHER), other.get(key("rest"))) == (b"first", b"second", b"")
    news = other.state.announced(0).run()
    assert news.values == (b"first", b"second")
    assert other.state.announced(news.generation).run().values == ()
    assert one.told == other.told == []


def test_what_is_kept_ends(directory: Path) -> None:
    """After the seconds it was kept for."""
    process = Process(directory)
    process.say()
    process.hands.advance(600)
    assert process.get() is None
    assert process.told == []


@pytest.mark.anyio
async def test_it_serves_event_loops(directory: Path) -> None:
    """As it does threads."""
    state = Process(directory).state
    await state.announce(REVOKED, b"said", 600).arun()
    assert await state.get(REVOKED).arun() == b"said"
    assert (await state.announced(0).arun()).values == (b"said",)


def test_a_killed_process_has_said_what_it_said(directory: Path) -> None:
    """What was announced is there after SIGKILL, in a process that begins afterwards."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        text=True,
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "told\n"
        writer.kill()
    process = Process(directory)
    # The clock of the test stands in another year than that of the process.
    process.hands.wall = 0
    assert process.get() == b"said"
    assert process.told == []


# -- where it is ---------------------------------------------------------------------------------


@pytest.mark.row("J04")
@needs_posix
def test_it_is_its_owners_alone(directory: Path) -> None:
    """J04: a directory that is made is 0700 and all files in it are 0600, whatever the umask is."""
    before = os.umask(0)
    try:
        process = Process(directory)
        process.say()
    finally:
        os.umask(before)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    files = list(directory.iterdir())
    assert directory / FILE in files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_directory_that_is_there_is_taken(directory: Path) -> None:
    """With a slash at its end too, and readable for others if its owner likes."""
    directory.mkdir(0o755)
    process = Process(Path(f"{directory}/"))
    process.say()
    assert process.get() == b"said"


@pytest.mark.row("J04")
@needs_posix
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_where_others_may_write_nothing_is_kept(directory: Path, mode: int) -> None:
    """J04: they could put anything in its place."""
    directory.mkdir()
    directory.chmod(mode)
    assert refused(directory) == "is a directory that others may write"


@pytest.mark.row("J04")
@needs_posix
def test_a_directory_of_somebody_else_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J04: its owner may write what they like, and so does root's."""
    directory.mkdir(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: directory.stat().st_uid + 1)
    assert refused(directory) == "belongs to somebody else"


def test_a_directory_that_cannot_be_written_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, and not when there is something to remember."""
    directory.mkdir(0o700)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert refused(directory) == "cannot be written"


@pytest.mark.row("J04")
@pytest.mark.parametrize("end", ["", "/"])
def test_no_link_is_followed(directory: Path, end: str) -> None:
    """J04: neither to the directory nor to the file in it."""
    elsewhere = directory.with_name("elsewhere")
    elsewhere.mkdir()
    directory.symlink_to(elsewhere)
    assert refused(Path(f"{directory}{end}")) == "is no directory"
    assert list(elsewhere.iterdir()) == []
    directory.unlink()
    directory.mkdir(0o700)
    (directory / FILE).symlink_to(elsewhere / "file")
    assert "is no regular file" in refused(directory)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/state", "nowhere/state", "nul\0"])
def test_places_where_no_directory_can_be(tmp_path: Path, place: str) -> None:
    """A file, and a directory in what is no directory or is not there."""
    (tmp_path / "file").write_bytes(b"")
    assert refused(tmp_path / place).startswith(("is no directory", "cannot be made"))


@pytest.mark.parametrize("content", [b"rubbish" * 1000, None], ids=["rubbish", "another's"])
def test_a_file_of_another_kind_is_refused(directory: Path, content: bytes | None) -> None:
    """Nothing is forgotten without a word: whoever runs this says whether it may be."""
    directory.mkdir(0o700)
    if content is None:
        with closing(sqlite3.connect(directory / FILE)) as database, database:
            database.execute("CREATE TABLE theirs (x)")
        database.close()
    else:
        (directory / FILE).write_bytes(content)
    (directory / FILE).chmod(0o600)
    assert FILE in refused(directory)


@pytest.mark.parametrize("gone", ["directory", "file"])
def test_a_state_that_was_taken_away_is_unavailable(directory: Path, gone: str) -> None:
    """Nothing is said to be kept, nor to be absent."""
    process = Process(directory)
    process.say()
    shutil.rmtree(directory) if gone == "directory" else (directory / FILE).unlink()
    state = process.state
    for effect in (
        state.get(OTHER),
        state.put(OTHER, b"", 60),
        state.announce(REVOKED, b"said", 60),
        state.announced(0),
        state.own(OTHER),
    ):
        with pytest.raises(StoreUnavailable, match="unreachable"):
            effect.run()


# -- seals ---------------------------------------------------------------------------------------


@pytest.mark.row("J04")
def test_no_byte_can_be_changed_unseen(directory: Path) -> None:
    """J04: with any byte changed, cut off or added it counts for nothing, and is told of once."""
    Process(directory).say()
    whole = sealed(directory)
    changed = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    # The seal of the place is not among them: where it is, is told of and believed.
    changed = changed[:32] + changed[64:]
    process = Process(directory)
    for value in [*changed, whole[:-1], whole + b" ", b"", b"said"]:
        sealed(directory, "UPDATE announcements SET value = ?", value)
        assert process.get() is None
        assert process.state.announced(0).run().values == ()
    assert process.told == ["state_damaged"]
    sealed(directory, "UPDATE announcements SET value = ?", whole)
    assert Process(directory).get() == b"said"


def test_whoever_hears_of_damage_may_ask_the_state(directory: Path) -> None:
    """Also where it was found in the middle of a change: a handler of the log may do anything."""
    Process(directory).say()
    sealed(directory, "UPDATE announcements SET value = x'00'")
    found: list[bytes | None] = []
    hands = Hands()

    def heard(trouble: str) -> None:
        found.append(state.get(OTHER).run())

    state = State(str(directory), hands.clock, heard)
    state.put(OTHER, b"other", 600).run()
    assert state.change(REVOKED, lambda value: b"new", 600).run() == b"new"
    assert found == [b"other"]


def test_a_value_is_whole_under_its_own_key_alone(directory: Path) -> None:
    """What is moved to another license is damage."""
    Process(directory).say()
    sealed(directory, "UPDATE announcements SET key = ?", OTHER)
    process = Process(directory)
    assert process.get(OTHER) is None
    assert process.told == ["state_damaged"]


def test_the_rest_of_a_damaged_state_counts(directory: Path) -> None:
    """One bad value takes no other with it."""
    process = Process(directory)
    process.say(b"first")
    process.say(b"second", OTHER)
    sealed(directory, "UPDATE announcements SET value = x'00' WHERE key = ?", REVOKED)
    assert process.state.announced(0).run().values == (b"second",)


def test_what_comes_behind_much_damage_counts(directory: Path) -> None:
    """Also behind more of it than is told at once."""
    process = Process(directory)
    process.say(b"whole")
    with closing(sqlite3.connect(directory / FILE)) as database, database:
        (generation,) = database.execute("SELECT generation FROM announcements").fetchone()
        ends = process.hands.wall + 600
        rows = [(generation - 5000 + n, str(n), b"", ends) for n in range(2 * PAGE + 1)]
        database.executemany("INSERT INTO announcements VALUES (?, ?, ?, ?)", rows)
    database.close()
    assert process.state.announced(0).run() == News(generation, (b"whole",))


def test_a_damaged_count_keeps_nobody_busy(directory: Path) -> None:
    """Where the file counts its own announcements wrongly, each is asked for once."""
    Process(directory).say(b"whole")
    sealed(directory, "UPDATE announcements SET value = x'00', generation = generation + 10")
    assert Process(directory).state.announced(0).run().values == ()


@pytest.mark.row("J04")
def test_a_copy_is_told_of_and_believed(directory: Path) -> None:
    """J04: what narrows a license narrows it anywhere."""
    Process(directory).say()
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    process = Process(copy)
    assert (process.get(), process.get()) == (b"said", b"said")
    assert process.told == ["state_copied"]
    process.say(b"said here")
    again = Process(copy)
    assert again.get() == b"said here"
    assert again.told == []


def test_a_state_that_only_moved_is_no_copy(directory: Path) -> None:
    """A volume may be mounted elsewhere, and is then where it was."""
    Process(directory).say()
    moved = directory.with_name("moved")
    directory.rename(moved)
    process = Process(moved)
    assert process.get() == b"said"
    assert process.told == []


def test_a_file_that_was_put_back_is_a_copy(directory: Path) -> None:
    """A backup may have forgotten what came after it."""
    process = Process(directory)
    process.say()
    backup = directory.with_name("backup")
    with closing(sqlite3.connect(directory / FILE)) as database, database:
        database.execute("VACUUM INTO ?", (str(backup),))
    database.close()
    process.state._store.close()
    backup.chmod(0o600)
    backup.replace(directory / FILE)
    process = Process(directory)
    assert process.get() == b"said"
    assert process.told == ["state_copied"]
