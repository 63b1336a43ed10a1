"""A real HTTP server on loopback that answers as a test tells it, and counts by its own log."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

#: Raw bytes of the whole answer, or pieces of it; the connection is closed behind them.
Answer: TypeAlias = bytes | Iterable[bytes]


class Reset(Exception):
    """Raised by an answer: the connection ends by a TCP reset."""


@dataclass(frozen=True)
class Request:
    """What one client sent: names of fields in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def reply(
    status: int = 200, body: bytes = b"", content_type: str = "application/json", **fields: str
) -> bytes:
    """Return one whole HTTP answer; underscores in field names stand for dashes."""
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(body)}"]
    lines += [f"Content-Type: {content_type}"] if content_type else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until `condition` holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


class Loopback:
    """A server on 127.0.0.1 and a free port, each connection in a thread of its own.

    Args:
        answer: called with each request, in the connection's thread; may be replaced at any time.
        context: speaks TLS if given.
    """

    def __init__(
        self, answer: Callable[[Request], Answer], context: ssl.SSLContext | None = None
    ) -> None:
        self.answer = answer
        self.log: list[Request] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}/jwks.json"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        # Wakes the accept, which closing alone does not everywhere.
        with socket.create_connection(("127.0.0.1", self.port)):
            self._thread.join(10)
        self._socket.close()

    def drip(self, start: bytes, piece: bytes, every: float) -> Iterator[bytes]:
        """Yield `start`, and then `piece` every so many seconds for as long as anyone reads."""
        yield start
        while not self.stopping.wait(every):
            yield piece

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if self.stopping.is_set():
                connection.close()
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        try:
            with connection:
                stream = (
                    self._context.wrap_socket(connection, server_side=True)
                    if self._context
                    else connection
                )
                with stream:
                    self._converse(stream)
        except OSError:
            # The client went away, or did not like our certificate: its affair, not the server's.
            return

    def _converse(self, stream: socket.socket) -> None:
        with stream.makefile("rb") as lines:
            first = lines.readline().decode("latin-1").split()
            if len(first) < 2:
                return
            headers: dict[str, str] = {}
            while (line := lines.readline().decode("latin-1").strip()) != "":
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            length = int(headers.get("content-length", "0"))
            body = lines.read(length)
        if len(body) < length:
            # Who asked went away in the middle: nothing was asked.
            return
        request = Request(first[0], first[1], headers, body)
        self.log.append(request)
        try:
            answer = self.answer(request)
            for piece in [answer] if isinstance(answer, bytes) else answer:
                stream.sendall(piece)
        except Reset:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
