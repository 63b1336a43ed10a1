"""The rows of revocation: what a status list adds to a hit, and how large one may be."""

from __future__ import annotations

import asyncio
import json
import random
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

from starlette.middleware import Middleware

from licet import Settings
from licet.core import flow
from licet.core.environ import EnvironFacts
from licet.core.gate import Gate
from licet.core.revocation.statuslist import read_list
from licet.issuer import Issuer
from licet.starlette import LicenseMiddleware as StarletteMiddleware
from licet.wsgi import LicenseMiddleware as WsgiMiddleware
from tests.benchmarks import requests
from tests.benchmarks.asgi import application
from tests.benchmarks.harness import Case, Plan, each, each_async, least
from tests.benchmarks.material import AUDIENCE, DAY, FEATURES, copies
from tests.benchmarks.rows import Result, Row, made_of
from tests.core.loopback import Answer, Loopback, Request, reply

MOST = 0.3
#: Licenses of the large list, one in a hundred of them withdrawn.
MANY = 1_000_000
PATH = "/status/1"


def _page(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"reports"]


class Vendor:
    """Serves keys and one list."""

    def __init__(self) -> None:
        self.server = Loopback(self._answer)
        self.name = f"http://127.0.0.1:{self.server.port}"
        self.issuer = Issuer.generate(self.name)
        self.list = self.issuer.status_list(self.name + PATH, {1: "revoked"}, ttl=DAY).encode()

    def _answer(self, request: Request) -> Answer:
        if request.target == PATH:
            return reply(200, self.list, "application/statuslist+jwt")
        return reply(200, json.dumps(self.issuer.jwks()).encode())

    def token(self, index: int | None) -> bytes:
        named = {"idx": index, "uri": self.name + PATH}
        claims = {} if index is None else {"status": {"status_list": named}}
        return self.issuer.issue(
            audience=AUDIENCE, subject=f"lic_{index}", expires_in=DAY, features=FEATURES, **claims
        ).encode()


def run(plan: Plan) -> Iterator[Result]:
    """Measure rows 26 and 27."""
    vendor = Vendor()
    with vendor.server, asyncio.Runner() as runner:
        loop = runner.get_loop()
        ours = Settings(issuer=vendor.name, audience=AUDIENCE)
        gate = Gate(ours)
        asgi, wsgi = application(Middleware(StarletteMiddleware, ours)), WsgiMiddleware(_page, ours)
        for index, status in ((None, 200), (0, 200), (1, 403)):
            token = vendor.token(index)
            assert requests.asgi_status(asgi, requests.scope(token), loop) == status
            assert requests.wsgi_status(wsgi, requests.environ(token)) == status
        cases: list[Case] = []
        for name, index in (("without", None), ("with", 0)):
            token = vendor.token(index)
            flow.run(gate.verify(token))
            cases += _cases(name, token, gate, asgi, wsgi, loop)
        took = least(cases, plan.rounds)
    for where in ("core", "Starlette", "WSGI"):
        listed, free = took[f"{where} with"], took[f"{where} without"]
        row = Row(26, f"a status list added to a hit, {where}", MOST, unit=" µs")
        yield Result(row, listed - free, made_of(with_it=listed, without=free))
    yield from _large(plan)


def _cases(
    name: str, token: bytes, gate: Gate, asgi: Any, wsgi: Any, loop: asyncio.AbstractEventLoop
) -> Sequence[Case]:
    recall, admit = gate.recall, gate.admit

    def view(credential: bytes) -> object:
        grant = recall(credential)
        assert grant is not None
        return admit(grant, credential, "authorization", EnvironFacts, {})

    scopes = requests.many(lambda: requests.scope(token))
    environs = requests.many(lambda: requests.environ(token))
    assert requests.asgi_status(asgi, scopes(1)[0], loop) == 200
    assert requests.wsgi_status(wsgi, environs(1)[0]) == 200
    return [
        Case(f"core {name}", lambda count: copies([token] * count), each(view)),
        Case(f"Starlette {name}", scopes, each_async(requests.asgi(asgi), loop)),
        Case(f"WSGI {name}", environs, each(requests.wsgi(wsgi))),
    ]


def _large(plan: Plan) -> Iterator[Result]:
    """Report what a list of a million licenses takes."""
    issuer, uri = Issuer.generate("https://licenses.acme.example"), "https://x.example/status/1"
    chance = random.Random(1)
    statuses = {index: chance.choice((1, 2)) for index in chance.sample(range(MANY), MANY // 100)}
    token = issuer.status_list(uri, statuses, size=MANY).encode()
    key = next(iter(issuer.jwks()["keys"]))
    find = _finder(issuer, key["kid"], key["alg"])
    tracemalloc.start()
    listed = read_list(token, uri, issuer.name, find, time.time())
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    began = time.perf_counter()
    read_list(token, uri, issuer.name, find, time.time())
    seconds = time.perf_counter() - began
    row = Row(27, f"a status list of {MANY:,}: kept in memory", unit=" KB")
    note = f"token {len(token) / 1e3:.0f} KB, at most {peak / 1e3:.0f} KB while read"
    yield Result(row, kept / 1e3, note)
    yield Result(
        Row(27, "  beside: reading it once, signature included", unit=" ms"), seconds * 1e3
    )
    places = [chance.randrange(MANY) for _ in range(1_000)]
    took = least([Case("look", lambda count: places[:count], each(listed.word))], plan.rounds)
    yield Result(Row(27, "  beside: one look into it", unit=" µs"), took["look"])


def _finder(issuer: Issuer, kid: str, alg: str) -> Any:
    from licet.core.keys.jwk import read_jwks

    keys = read_jwks(issuer.jwks(), (alg,)).keys
    return lambda wanted, algorithm: keys[wanted, algorithm].verify
