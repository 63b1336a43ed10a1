"""A real Redis server on loopback, started by a test and ended by its process id."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.core.loopback import until

#: Redis under either name, None where neither is installed.
BINARY = shutil.which("redis-server") or shutil.which("valkey-server")


class RedisServer:
    """One server, on a free port of 127.0.0.1 and on a Unix socket. It keeps nothing on disk.

    Args:
        options: more of its command line.
    """

    def __init__(self, *options: str) -> None:
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = tempfile.TemporaryDirectory(prefix="licet-redis-")
        #: Kept over a restart, so that clients find it again.
        self.port = _free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.socket = Path(self._directory.name) / "socket"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._directory.cleanup()

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        assert BINARY
        command = [BINARY, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--unixsocket", str(self.socket), "--dir", self._directory.name]
        self._process = subprocess.Popen([*command, *self._options], stdout=subprocess.DEVNULL)
        until(self._answers)

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def say(self, *words: str) -> bytes:
        """Return what it answers to one command, raw."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            body = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
            connection.sendall(f"*{len(words)}\r\n{body}".encode())
            return connection.recv(65_536)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the server has ended"
        try:
            # Protected by a password, it answers that it wants one.
            return self.say("PING").startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
