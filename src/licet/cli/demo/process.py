"""A server process on loopback, on a port of its own choice.

It binds port 0 and writes the port it was given into its log, so that no port is chosen before it
is taken. What it writes goes into a file of its own, shown if it fails; but for the keys that a
license server prints, which are for nobody else.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

#: Seconds for a server to answer its health check.
READY_WITHIN = 40.0
#: What uvicorn, gunicorn and Werkzeug write once they listen.
LISTENING = re.compile(r"(?:[Rr]unning on|Listening at:) (http://127\.0\.0\.1:\d+)")


class ServerFailed(Exception):
    """A server that did not start, or ended by itself."""


@dataclass(frozen=True, slots=True)
class Program:
    """An application and what serves it.

    Args:
        app: the application's name.
        server: the server's name.
        directory: where the application's modules are.
        arguments: of the interpreter.
        health: the path that answers 200 once it serves.
        has_websocket: whether there is one, at /live.
        tells: whether it prints a line of JSON once it serves: its `url`, and what is for whoever
            started it only.
    """

    app: str
    server: str
    directory: Path
    arguments: tuple[str, ...]
    health: str = "/health"
    has_websocket: bool = False
    tells: bool = False

    def __str__(self) -> str:
        return f"{self.app} on {self.server}"


class Server:
    """One process.

    Attributes:
        url: scheme, address and port; empty until `wait` returned.
        told: what it printed, where it tells.
    """

    def __init__(
        self, program: Program, environ: Mapping[str, str], log: Path, client: httpx.Client
    ) -> None:
        self.program = program
        self.url = ""
        self.told: dict[str, Any] = {}
        self._log, self._client = log, client
        self._printed = log.with_suffix(".json") if program.tells else log
        with log.open("ab") as errors, self._printed.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 - the interpreter that runs this
                [sys.executable, *program.arguments],
                cwd=program.directory,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    def wait(self) -> None:
        """Return once it answers its health check.

        Raises:
            ServerFailed: it ended, or did not answer in time.
        """
        deadline = time.monotonic() + READY_WITHIN
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise ServerFailed(self._obituary())
            time.sleep(0.02)

    def check(self) -> None:
        """Raise `ServerFailed` if it has ended."""
        if self.process.poll() is not None:
            raise ServerFailed(self._obituary())

    def _answers(self) -> bool:
        self.url = self.url or self._address()
        if not self.url:
            return False
        try:
            answer = self._client.get(self.url + self.program.health)
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    def _address(self) -> str:
        printed = self._printed.read_text(errors="replace")
        if not self.program.tells:
            said = LISTENING.search(printed)
            return "" if said is None else said[1]
        line, end, _ = printed.partition("\n")
        self.told = json.loads(line) if end else {}
        return str(self.told.get("url", ""))

    def _obituary(self) -> str:
        status = self.process.poll()
        what = "does not answer" if status is None else f"ended with status {status}"
        said = self._log.read_text(errors="replace").splitlines()[-20:]
        return "\n    ".join([f"{self.program} (pid {self.pid}) {what}; it said last:", *said])
