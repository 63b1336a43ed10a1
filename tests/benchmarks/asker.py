"""A load generator in a process of its own, as cheap per request as can be.

`python -m tests.benchmarks.asker ISSUED` is the generator. `ISSUED` is what `licet licenses import`
printed: questions are spread over all of it, each asked once before any is asked again. The first
line of its input is what `licet serve --dev --json` printed; each other is a load, and it prints
what came of it. Every answer has to be whole and a good one; some are kept, and verified later.

Loads with a rate are open: requests fall due at random moments, and a wait begins when one is due,
whether or not there was a connection for it. Others are closed: each connection asks when it is
answered.
"""

from __future__ import annotations

import hashlib
import json
import random
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import jwt

from tests.benchmarks.harness import uncollected
from tests.benchmarks.loads import Answered, Load
from tests.benchmarks.questions import Requests

#: Every so many answers one is verified.
STRIDE = 97
#: Seconds that the server may be silent.
PATIENCE = 60.0


class _Connection:
    """One connection, of requests one after another."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = self._socket.fileno()
        self.close = self._socket.close
        self.due = 0.0
        self._received = b""

    def send(self, request: bytes, due: float) -> None:
        self.request, self.due = request, due
        self._socket.sendall(request)

    def receive(self) -> bytes | None:
        """Return the body of the answer once it is whole."""
        data = self._socket.recv(262_144)
        assert data, "the server has closed a connection"
        if self._received:
            data = self._received + data
        self._received = data
        start = data.find(b"\r\n\r\n") + 4
        if start == 3:
            return None
        assert data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")), data[:300]
        # As Starlette spells it; a search for every spelling is dear.
        place = data.index(b"content-length: ", 0, start) + 16
        length = int(data[place : data.index(b"\r", place)])
        if len(data) < start + length:
            return None
        self._received = b""
        return data[start:]


def drive(
    load: Load, requests: Iterator[bytes], connect: Callable[[], _Connection]
) -> tuple[list[float], float, list[tuple[bytes, bytes]]]:
    """Have a load answered.

    Returns:
        The seconds of each wait, those that all of it took, and some requests with their answers.
    """
    clock, rate = time.perf_counter, load.rate
    idle = [connect() for _ in range(load.connections)]
    by_number = {connection.number: connection for connection in idle}
    busy: set[int] = set()
    waits: list[float] = []
    kept: list[tuple[bytes, bytes]] = []
    began = due = now = clock()
    ends = began + load.seconds
    while True:
        if rate is None:
            due = now
        while idle and due <= now and due < ends:
            connection = idle.pop()
            busy.add(connection.number)
            connection.send(next(requests), due)
            if rate is not None:
                due += random.expovariate(rate)
        if not busy and due >= ends:
            break
        patience = max(0.0, due - clock()) if idle and due < ends else PATIENCE
        ready, _, _ = select.select(busy, (), (), patience)
        for number in ready:
            connection = by_number[number]
            answer = connection.receive()
            if answer is None:
                continue
            waits.append(clock() - connection.due)
            busy.remove(number)
            idle.append(connection)
            if len(waits) % STRIDE == 1:
                kept.append((connection.request, answer))
        now = clock()
        assert ready or patience < PATIENCE, "the server is silent"
    seconds = now - began
    for connection in by_number.values():
        connection.close()
    return waits, seconds, kept


def _verify(request: bytes, answer: bytes, keys: Mapping[str | None, Any]) -> None:
    """See that a question has its answer, signed, and that it is a yes."""
    asked = json.loads(request.partition(b"\r\n\r\n")[2])
    key = keys[jwt.get_unverified_header(answer)["kid"]]
    said = jwt.decode(answer, key, [key.algorithm_name], audience=asked["audience"])
    digest = hashlib.sha256(asked["licenseKey"].encode()).digest()
    assert jwt.utils.base64url_decode(said["req"]) == digest
    assert (said["nonce"], said["domain"]) == (asked["nonce"], asked["domain"])
    assert said["valid"], said["error"]
    assert said["license"]["domains"] == [asked["domain"]]


def main(issued: str) -> None:
    """Do what the input says until it ends."""
    told = json.loads(sys.stdin.readline())
    url = told["url"]
    requests = Requests(told, Path(issued))
    host = urlsplit(url)
    assert host.hostname is not None
    where = host.hostname, host.port or 80
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        load = Load(**json.loads(line))
        busy = time.process_time()
        with uncollected():
            waits, seconds, kept = drive(load, requests.of[load.kind], lambda: _Connection(*where))
        busy = time.process_time() - busy
        verified = len(kept) if load.kind in ("key", "token") else 0
        if verified:
            with urlopen(f"{url}/.well-known/jwks.json") as document:
                keys = {key.key_id: key for key in jwt.PyJWKSet.from_json(document.read()).keys}
            for request, answer in kept:
                _verify(request, answer, keys)
        percentiles = quantiles(waits, n=100, method="inclusive")
        said = Answered(
            count=len(waits),
            seconds=seconds,
            p50=percentiles[49] * 1e3,
            p99=percentiles[98] * 1e3,
            longest=max(waits) * 1e3,
            verified=verified,
            busy=busy / seconds,
        )
        sys.stdout.write(json.dumps(asdict(said)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
