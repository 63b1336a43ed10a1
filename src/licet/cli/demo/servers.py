"""All server processes of the demo, each ended by its own process id, whatever ends the demo."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import httpx

from licet.cli.demo.process import Program, Server, ServerFailed
from licet.cli.demo.signals import Interruptions

#: Seconds for a server to end when told to, and for a command to be done.
ENDED_WITHIN, DONE_WITHIN = 5.0, 40.0
#: Variables by which a user steers servers of their own.
FOREIGN = ("LICET_", "DJANGO_", "FLASK_", "GUNICORN_", "UVICORN_", "WEB_")
#: In the value of a variable: a word of each server's own.
SERVER = "{server}"


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

    def output(self, program: Program, **environ: str) -> str:
        """Return what a command prints, which ends by itself.

        Args:
            program: the command.
            environ: variables beside those of this process.

        Raises:
            ServerFailed: it does not end, or not well.
        """
        try:
            done = subprocess.run(  # noqa: S603 - the interpreter that runs this
                [sys.executable, *program.arguments],
                cwd=program.directory,
                env=_environment(environ, ""),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=DONE_WITHIN,
                check=True,
            )
        except subprocess.SubprocessError as error:
            raise ServerFailed(f"{program}: {type(error).__name__}") from None
        return done.stdout

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
