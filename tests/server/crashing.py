"""Ends a license server at each step of what it does to its keys: run as a process of its own.

    python -m tests.server.crashing DIRECTORY

For each of `CASES`, a place that keys are kept in and a change of them, it copies a data directory,
once for each step, has a process change the keys there, and end before that step; the last one
takes them all. Writes JSON: the steps of each case.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from licet.server import Configuration, LicenseServer
from licet.server.running import keyfiles
from licet.server.storage import database

ISSUER, AUDIENCE = "https://licenses.acme.example", "acme-reports"
#: More than there can be.
MOST = 100
_ENDED, _DONE = 70, 71


def opened(data: Path, place: str) -> LicenseServer:
    """Return the server of a directory, whose private keys are in a `file` or `sealed`."""
    unlock = data.parent / "unlock" if place == "sealed" else None
    return LicenseServer(
        Configuration(data=data, issuer=ISSUER, audience=AUDIENCE, unlock_file=unlock)
    )


def begin(data: Path, place: str, count: Callable[[], None]) -> None:
    """Start for the first time, which makes a signing key and an admin key."""
    count()
    keyfiles.admin_key(opened(data, place).api_keys, data)


def rotate(data: Path, place: str, count: Callable[[], None]) -> None:
    """Make a new signing key."""
    server = opened(data, place)
    count()
    server.signing_keys.rotate()


def retire(data: Path, place: str, count: Callable[[], None]) -> None:
    """Retire the first one."""
    server = opened(data, place)
    count()
    server.signing_keys.retire(server.signing_keys.issuer.kids[0])


Act = Callable[[Path, str, Callable[[], None]], None]
ACTS: dict[str, Act] = {"begin": begin, "rotate": rotate, "retire": retire}
CASES = ("file begin", "file rotate", "file retire", "sealed rotate", "sealed retire")
#: Statements that leave everything as it is, or are one with those that follow.
_HARMLESS = ("BEGIN", "CREATE", "PRAGMA", "SAVEPOINT", "SELECT")


class Steps:
    """Counts what reaches the disk, and ends the process before one of it.

    Args:
        last: how many steps there are before the end.
        log: where the step is written that did not happen any more.
    """

    def __init__(self, last: int, log: Path) -> None:
        self._left, self._log, self._is_counting = last, log, False

    def count(self) -> None:
        """Count from now on."""
        self._is_counting = True

    def step(self, name: str) -> None:
        """Take a step, or none any more."""
        if not self._is_counting:
            return
        if self._left == 0:
            self._log.write_text(name)
            # As `kill -9` ends it: nothing is carried out behind this.
            os._exit(_ENDED)
        self._left -= 1

    def statement(self, statement: str) -> None:
        """Have a statement be a step if it changes anything."""
        if not statement.lstrip().startswith(_HARMLESS):
            self.step(" ".join(statement.split()[:3]))

    def before(self, owner: Any, name: str) -> None:
        """Have each call of a function be a step."""
        function = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            self.step(name)
            return function(*arguments, **options)

        setattr(owner, name, counted)


def child(data: Path, place: str, act: Act, last: int) -> NoReturn:
    """Carry out an act, up to a step."""
    steps = Steps(last, data.with_suffix(".step"))
    connect = database._connect

    def connected(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.set_trace_callback(steps.statement)
        return connection

    database._connect = connected
    for owner, name in ((os, "open"), (os, "fsync"), (os, "replace"), (Path, "unlink")):
        steps.before(owner, name)
    act(data, place, steps.count)
    os._exit(_DONE)


def crashes(directory: Path, place: str, act: Act) -> list[str]:
    """Have one process after the other end one step later; return the steps."""
    origin = directory / "origin"
    directory.mkdir()
    unlock = directory / "unlock"
    unlock.touch(0o600)
    unlock.write_bytes(bytes(range(32)))
    origin.mkdir()
    if act is not begin:
        with opened(origin, place) as server:
            server.signing_keys.rotate()
    steps: list[str] = []
    for last in range(MOST):
        data = directory / str(last)
        shutil.copytree(origin, data)
        pid = os.fork()
        if pid == 0:
            child(data, place, act, last)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == _DONE:
            return steps
        assert status == _ENDED, status
        steps.append(data.with_suffix(".step").read_text())
    raise AssertionError(steps)


def main(directory: Path) -> None:
    """Try each step of everything."""
    tried = {}
    for case in CASES:
        place, act = case.split()
        tried[case] = crashes(directory / case, place, ACTS[act])
    sys.stdout.write(json.dumps(tried))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
