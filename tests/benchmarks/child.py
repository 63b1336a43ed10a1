"""A module of the benchmarks in a process of its own, which is talked to line by line."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack


class Child:
    """One process, which ends when its input does.

    Args:
        stack: ends it.
        module: what it runs, below `tests.benchmarks`.
        arguments: of its command line.
    """

    def __init__(self, stack: ExitStack, module: str, *arguments: object) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout
        stack.callback(process.wait)
        stack.callback(self._output.close)
        stack.callback(self._input.close)

    def say(self, line: str) -> None:
        """Tell it a line."""
        self._input.write(f"{line}\n")
        self._input.flush()

    def hear(self) -> str:
        """Wait for the next line that it says."""
        line = self._output.readline()
        assert line, "the process has ended"
        return line
