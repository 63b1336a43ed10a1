"""Row of the network: how often a licensed request has to wait for the issuer of its keys.

The issuer is a real server on loopback. Each fetch tells it from which thread it comes, so its own
log says which fetches a request has made; and a request waits if its decision yields an effect.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping

from licet.core.clock import Clock
from licet.core.environ import EnvironFacts
from licet.core.flow import WouldWait, peek
from licet.core.flow import run as drive
from licet.core.gate import Gate
from licet.core.settings import Settings
from licet.core.tls import client_context
from licet.core.transport import Response, Transport
from tests.benchmarks.harness import Plan
from tests.benchmarks.material import AUDIENCE, ISSUER, signer
from tests.benchmarks.rows import Result, Row
from tests.core.loopback import Loopback, Request, Reset, reply, until

THREAD = "x-bench-thread"
AGE = 600


class Telling(Transport):
    """Tells the server which thread asks."""

    def fetch(
        self, url: str, *, headers: Mapping[str, str], deadline: float, max_bytes: int
    ) -> Response:
        """Fetch, and tell."""
        own = {**headers, THREAD: str(threading.get_ident())}
        return super().fetch(url, headers=own, deadline=deadline, max_bytes=max_bytes)


class Issuer:
    """What serves the keys, for as long as it does."""

    def __init__(self) -> None:
        self.body = b""
        self.ways = {"answers": self._answer, "holds": self._hold, "resets": self._reset}
        self.way = "answers"
        self.going_on = threading.Event()

    def __call__(self, request: Request) -> bytes:
        """Answer one fetch."""
        return self.ways[self.way]()

    def _answer(self) -> bytes:
        return reply(body=self.body, cache_control=f"max-age={AGE}")

    def _hold(self) -> bytes:
        self.going_on.wait(30)
        return self._answer()

    def _reset(self) -> bytes:
        raise Reset


def run(plan: Plan) -> Iterator[Result]:
    """Measure row 8."""
    ours, issuer, ahead = signer("Ed25519"), Issuer(), [0.0]
    issuer.body = json.dumps({"keys": [ours.jwk]}).encode()
    hits, misses = min(2_000, plan.cached // 10), min(200, plan.cached // 100)
    fresh = iter(ours.tokens(8 * misses))
    clock = Clock(lambda: time.time() + ahead[0], lambda: time.monotonic() + ahead[0])
    with Loopback(issuer) as server:
        settings = Settings(issuer=ISSUER, audience=AUDIENCE, jwks_url=server.url)
        gate = Gate(settings, clock=clock, transport=Telling(client_context()))
        (keys,) = gate.keys.values()
        known = ours.token()

        def decide(token: bytes) -> bool:
            """Judge one request; return whether it waited."""
            facts = EnvironFacts({"HTTP_AUTHORIZATION": "Bearer " + token.decode()})
            try:
                assert peek(gate.decide(facts)), "a good license was refused"
            except WouldWait:
                return True
            return False

        def phase(what: str, note: str) -> Result:
            """Send many requests from this thread; return how many of them met the network."""
            logged, own, slowest, waits = len(server.log), str(threading.get_ident()), 0.0, 0
            for number in range(hits + misses):
                token = known if number % (1 + hits // misses) else next(fresh)
                began = time.perf_counter()
                waits += decide(token)
                slowest = max(slowest, time.perf_counter() - began)
            until(lambda: len(server.log) > logged or what == "steady state")
            seen = server.log[logged:]
            calls = waits + sum(request.headers[THREAD] == own for request in seen)
            said = (
                f"{hits + misses} requests, {misses} of them misses, {note}: {len(seen)} fetches"
                f" in the issuer's log, slowest request {slowest * 1e3:.2f} ms"
            )
            return Result(Row(8, f"network calls on the request path, {what}", 0, 0), calls, said)

        drive(gate.verify(known))
        assert len(server.log) == 1, "the cold start fetches once"
        yield phase("steady state", "keys fresh")

        issuer.way = "holds"
        ahead[0] += 0.97 * AGE
        yield phase("JWKS refresh", "the answer held back")
        issuer.going_on.set()
        until(lambda: keys.health().age is not None and keys.health().age < 60)

        issuer.way = "resets"
        ahead[0] += 2 * AGE
        yield phase("issuer resets", "keys stale")
        until(lambda: keys.health().error is not None)

        issuer.way = "holds"
        issuer.going_on.clear()
        ahead[0] += 6 * 3600
        yield phase("issuer hangs", "keys six hours old")
        issuer.going_on.set()
