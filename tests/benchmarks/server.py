"""Row of a real server: processor time per request under uvicorn, by paired rounds.

`python -m tests.benchmarks.server CASE` is one of the servers: it prints its port and a token.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from typing import Any

from tests.benchmarks.harness import Plan
from tests.benchmarks.material import forged, settings, signer
from tests.benchmarks.requests import OTHERS, guards
from tests.benchmarks.rows import Result, Row

CPU = Row(18, "uvicorn, CPU per request: hit / no-op middleware", None, 1.05)
CONNECTIONS = 8


class Server:
    """One uvicorn in a process of its own, and the connections to it."""

    def __init__(self, case: str, stack: ExitStack) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.server", case],
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        assert process.stdout is not None
        stack.callback(process.stdout.close)
        said = json.loads(process.stdout.readline())
        self.token: bytes = said["token"].encode()
        self.connections = [
            stack.enter_context(self._connect(said["port"])) for _ in range(CONNECTIONS)
        ]

    def _connect(self, port: int) -> socket.socket:
        deadline = time.monotonic() + 30
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), 30)
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "the server never listened"
                time.sleep(0.01)

    def message(self, token: bytes, path: str = "/") -> bytes:
        """Return one request."""
        lines = [f"GET {path} HTTP/1.1", *(f"{n}: {v.decode()}" for n, v in OTHERS.items())]
        return "\r\n".join([*lines, f"authorization: Bearer {token.decode()}", "", ""]).encode()

    def ask(self, message: bytes) -> tuple[int, bytes]:
        """Send one request; return status and body."""
        self.connections[0].sendall(message)
        return _answer(self.connections[0])

    def cost(self, count: int) -> float:
        """Return the server's microseconds of processor time per request, over `count`."""
        message, cpu = self.message(self.token), self.message(self.token, "/cpu")
        before = float(self.ask(cpu)[1])
        for _ in range(count // CONNECTIONS):
            for connection in self.connections:
                connection.sendall(message)
            for connection in self.connections:
                assert _answer(connection)[0] == 200
        return (float(self.ask(cpu)[1]) - before) / count * 1e6


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return int(head[9:12]), body


def run(plan: Plan) -> Iterator[Result]:
    """Measure row 18."""
    count = 4_000 if plan.pairs >= 16 else 160
    with ExitStack() as stack:
        servers = {case: Server(case, stack) for case in ("hit", "no-op")}
        hit = servers["hit"]
        guards(lambda token: hit.ask(hit.message(token))[0], hit.token, "uvicorn, hit")
        assert servers["no-op"].ask(hit.message(forged(hit.token)))[0] == 200
        found: dict[str, list[float]] = {case: [] for case in servers}
        for server in servers.values():
            server.cost(count)
        for _ in range(plan.pairs):
            for case in random.sample(list(servers), 2):
                found[case].append(servers[case].cost(count))
    ratios = sorted(hit / noop for hit, noop in zip(found["hit"], found["no-op"], strict=True))
    best = min(found["hit"]) / min(found["no-op"])
    quarter = len(ratios) // 4
    yield Result(
        CPU,
        median(ratios),
        f"median of {len(ratios)} pairs of {count} requests, quartiles {ratios[quarter]:.3f} and"
        f" {ratios[-1 - quarter]:.3f}; least of each {best:.3f}"
        f" ({min(found['hit']):.1f} and {min(found['no-op']):.1f} us)",
    )


def serve(case: str) -> None:
    """Serve one page with the middleware of `case` until the process is ended."""
    import uvicorn
    from starlette.middleware import Middleware

    from licet.starlette import LicenseMiddleware
    from tests.benchmarks.asgi import NoOp, application

    middleware = {"hit": Middleware(LicenseMiddleware, settings()), "no-op": Middleware(NoOp)}
    app: Any = application(middleware[case])

    async def measured(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/cpu":
            body = repr(time.process_time()).encode()
            headers = [(b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:
            await app(scope, receive, send)

    listening = socket.create_server(("127.0.0.1", 0))
    said = {"port": listening.getsockname()[1], "token": signer("Ed25519").token().decode()}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    config = uvicorn.Config(measured, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    serve(sys.argv[1])
