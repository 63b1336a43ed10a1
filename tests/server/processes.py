"""`licet serve` in processes of its own, each ended by its own process id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: Variables by which a user steers a server or an application of their own.
_FOREIGN = ("LICET_", "UVICORN_", "WEB_")
#: Seconds in which a process ends.
ENDED_WITHIN = 20.0


class Served:
    """One process.

    Attributes:
        first: the first line that it printed: there is one once it is ready.
        told: what that line says, where it is JSON.
    """

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self._process, self._errors = process, errors
        assert process.stdout is not None
        self.first = process.stdout.readline()
        assert self.first, self.log
        self.told: dict[str, Any] = json.loads(self.first) if self.first[:1] == "{" else {}

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has said on standard error."""
        return self._errors.read_text()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit status."""
        self._process.send_signal(number)
        return self._process.wait(ENDED_WITHIN)

    def lines(self, last: str) -> list[str]:
        """Return the lines that it printed, up to the one that holds `last`."""
        assert self._process.stdout is not None
        lines = [self.first]
        for line in self._process.stdout:
            lines.append(line)
            if last in line:
                return lines
        raise AssertionError(self.log)

    def rest(self) -> str:
        """Return what it printed behind the first line, until it ended."""
        assert self._process.stdout is not None
        return self._process.stdout.read()


@contextmanager
def served(data: Path, *arguments: object, **environ: str) -> Iterator[Served]:
    """Run `licet serve` on a data directory and a free port; it is ready, or has ended.

    Args:
        data: the directory.
        arguments: behind `--data` and `--port`.
        environ: more variables.
    """
    errors = data.with_name(f"{data.name}.err")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_FOREIGN)}
    typed = ["serve", "--data", data, "--port", 0, *arguments]
    with errors.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "licet", *map(str, typed)],
            cwd=ROOT,
            env={**kept, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with process:
        try:
            yield Served(process, errors)
        finally:
            process.kill()
