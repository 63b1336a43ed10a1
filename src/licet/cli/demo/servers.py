"""Server processes on loopback, on ports of their own choice, each ended by its own process id.

A server binds port 0 and writes the port it was given into its log, so that no port is chosen
before it is taken. What a server writes goes into a file of its own, shown if the server fails; but
for the keys that a license server prints, which are for nobody else.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from licet.cli.demo.signals import Interruptions

#: Seconds: for a server to answer its health check, and to end when told to.
READY_WITHIN, ENDED_WITHIN = 40.0, 5.0
#: What uvicorn, gunicorn and Werkzeug write once they listen.
LISTENING = re.compile(r"(?:[Rr]unning on|Listening at:) (http://127\.0\.0\.1:\d+)")
#: Variables by which a user steers servers of their own.
FOREIGN = ("LICET_", "DJANGO_", "FLASK_", "GUNICORN_", "UVICORN_", "WEB_")
#: In the value of a variable: a word of each server's own.
SERVER = "{server}"


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


class Servers(AbstractContextManager["Servers"]):
    """The processes that run; leaving the context ends them all, whatever ends it.

    Args:
        directory: for their logs.
        announce: told of each server that serves.
    """

    def __init__(self, directory: Path, announce: Callable[[Server], None]) -> None:
        self.running: list[Server] = []
        self._directory = directory
        self._announce = announce
        self._started = 0
        self._interruptions = Interruptions()
        self._client = httpx.Client(trust_env=False, timeout=1)

    def start(self, *programs: Program, **environ: str) -> list[Server]:
        """Start `programs` at the same time and return their servers once all of them serve.

        Args:
            programs: what to start.
            environ: variables beside those of this process; `SERVER` in one is replaced.

        Raises:
            ServerFailed: one of them does not serve.
        """
        started = []
        for program in programs:
            self._started += 1
            log = self._directory / f"{self._started}.log"
            with self._interruptions.held():
                server = Server(program, _environment(environ, log.stem), log, self._client)
                self.running.append(server)
            started.append(server)
        for server in started:
            server.wait()
            self._announce(server)
        return started

    def stop(self, *servers: Server) -> None:
        """End `servers` and wait until they are gone."""
        with self._interruptions.held():
            for server in servers:
                server.process.terminate()
            for server in servers:
                try:
                    server.process.wait(ENDED_WITHIN)
                except subprocess.TimeoutExpired:
                    server.process.kill()
                    server.process.wait()
            self.running = [server for server in self.running if server not in servers]

    def kill(self, server: Server) -> None:
        """End `server` in the middle of whatever it does, and wait until it is gone."""
        with self._interruptions.held():
            server.process.kill()
            self.stop(server)

    def check(self) -> None:
        """Raise `ServerFailed` if a server has ended that nobody stopped."""
        for server in self.running:
            server.check()

    def __enter__(self) -> Self:
        self._interruptions.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop(*self.running)
        finally:
            self._interruptions.__exit__()
            self._client.close()


def _environment(additions: Mapping[str, str], word: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    # Servers start in the directory of their application, where a relative path means another.
    if path := kept.get("PYTHONPATH"):
        kept["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, path.split(os.pathsep)))
    own = {name: value.replace(SERVER, word) for name, value in additions.items()}
    return {**kept, "PYTHONUNBUFFERED": "1", **own}
