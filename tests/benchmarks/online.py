"""Rows of online validation: who asks at all, how many at once, through TLS, and at what price.

The license server is a process of its own, so that it has a processor of its own; how often it was
asked, and how many at once, is its own count. Every repetition has a gate of its own.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from starlette.middleware import Middleware

from licet import Settings
from licet.core.tls import pin_of
from licet.starlette import LicenseMiddleware as StarletteMiddleware
from licet.wsgi import LicenseMiddleware as WsgiMiddleware
from tests.benchmarks import requests
from tests.benchmarks.asgi import application
from tests.benchmarks.harness import Case, Plan, each, each_async, least, uncollected
from tests.benchmarks.license_server import DOMAINS, LicenseServer
from tests.benchmarks.material import settings, signer
from tests.benchmarks.rows import Result, Row, made_of

#: Requests at once, and seconds that the server takes to answer: a server in another city, and
#: one next door, where what is not waiting shows.
CROWD, LATENCY = 500, 0.05
TLS_CROWD, TLS_LATENCY = 200, 0.01
#: Questions about keys that are not known yet that are under way at a time.
SLOTS = 24
IDEAL = CROWD / SLOTS * LATENCY

CALLS = Row(22, f"calls that {CROWD} concurrent first requests with one license key make", 1, 1)
TOGETHER = Row(22, "  beside: seconds until the last of them is answered", unit=" s")
DISTINCT = Row(
    23, f"{CROWD} license keys, {LATENCY * 1e3:g} ms a question, ASGI: seconds / ideal", 1.3, 1.15
)
AT_ONCE = Row(23, "  greatest number of questions at once, at the server", SLOTS, SLOTS)
THREADS = Row(23, "  threads beside that of the event loop", 0, 0)
UNANSWERED = Row(24, f"{TLS_CROWD} concurrent questions, mTLS and two pins: not answered", 0, 0)

_numbers = count(1)


def _keys(many: int, word: str = "plain") -> list[bytes]:
    """Return license keys that nobody has seen."""
    return [b"lic_%b_%d" % (word.encode(), next(_numbers)) for _ in range(many)]


def _anew() -> dict[str, int]:
    """Return a setting that is no other setting's, so that a gate of its own belongs to it."""
    return {"grant_cache_size": 10_000 + next(_numbers)}


def _page(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"reports"]


def _asgi(ours: Settings) -> Any:
    app = application(Middleware(StarletteMiddleware, ours))
    # As servers have it done before the first request.
    app.middleware_stack = app.build_middleware_stack()
    return app


def _wsgi(ours: Settings) -> Any:
    return WsgiMiddleware(_page, ours)


def run(plan: Plan) -> Iterator[Result]:
    """Measure rows 21 to 25."""
    repetitions = max(2, plan.pairs // 3)
    with ExitStack() as stack:
        server = LicenseServer(stack)
        yield from _local(plan, server)
        yield from _one_key(repetitions, server)
        yield from _many_keys(repetitions, server)
        yield from _tls(repetitions, server, stack)
        yield from _answered(plan, server)


# -- what is known here ------------------------------------------------------------------------


def _local(plan: Plan, server: LicenseServer) -> Iterator[Result]:
    """Measure row 21."""
    ours, alone = server.settings(**_anew()), settings(**_anew())
    hits, misses = min(2_000, plan.cached // 10), min(200, plan.cached // 100)
    known, fresh = signer("Ed25519").token(), iter(signer("Ed25519").tokens(2 * misses))
    rounds = max(3, plan.rounds // 3)
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        worlds: dict[str, tuple[Any, Callable[[bytes], Any], Callable[[Any, Any], int]]] = {
            "ASGI": (_asgi, requests.scope, lambda a, r: requests.asgi_status(a, r, loop)),
            "WSGI": (_wsgi, requests.environ, requests.wsgi_status),
        }
        for world, (app_of, request, status) in worlds.items():
            app, bare = app_of(ours), app_of(alone)
            server.answers_after(0)
            assert status(app, request(_keys(1)[0])) == 200
            assert status(app, request(_keys(1, "unknown")[0])) == 401
            assert server.answers_after(0).questions == 2, "the server is asked what it must be"
            for number in range(hits + misses):
                token = known if number % (1 + hits // misses) else next(fresh)
                assert status(app, request(token)) == 200
            counted = server.answers_after(0)

            def timed(one: Any, world: str = world) -> Callable[[Sequence[Any]], float]:
                if world == "WSGI":
                    return each(requests.wsgi(one))
                return each_async(requests.asgi(one), loop)

            took = least(
                [
                    Case(name, requests.many(request, known), timed(one))
                    for name, one in (("with", app), ("without", bare))
                ],
                rounds,
            )
            note = f"{hits + misses} requests, {misses} of them misses; {counted.connections}"
            note += " connections; a hit with online validation configured, and without: "
            row = Row(21, f"network calls of locally decided requests, {world}", 0, 0)
            yield Result(
                row, counted.questions, note + f"{took['with']:.2f} and {took['without']:.2f} us"
            )


# -- many at once ------------------------------------------------------------------------------


class _Crowd(NamedTuple):
    """What became of many requests at once.

    Attributes:
        seconds: until the last was answered.
        waits: seconds of each.
        served: how many were let through.
        threads: the greatest number of threads seen meanwhile, beside the first one.
    """

    seconds: float
    waits: list[float]
    served: int
    threads: int

    def percentile(self, which: int) -> float:
        """Return a percentile of the waits, in milliseconds."""
        return quantiles(self.waits, n=100, method="inclusive")[which - 1] * 1e3


async def _tasks(app: Any, keys: Sequence[bytes]) -> _Crowd:
    """Send one request for each key at once, each in a task of its own."""
    waits, served, threads, before = [], 0, 0, threading.active_count()
    scopes = [requests.scope(key) for key in keys]

    async def send(message: Any) -> None:
        nonlocal served, threads
        if message["type"] == "http.response.start":
            served += message["status"] == 200
            threads = max(threads, threading.active_count() - before)

    async def one(scope: Any) -> None:
        await app(scope, requests.receive, send)
        waits.append(time.perf_counter() - began)

    with uncollected():
        began = time.perf_counter()
        await asyncio.gather(*map(one, scopes))
        seconds = time.perf_counter() - began
    return _Crowd(seconds, waits, served, threads)


def _threads(app: Any, keys: Sequence[bytes]) -> _Crowd:
    """Send one request for each key at once, each in a thread of its own."""
    start, waits, statuses = threading.Barrier(len(keys) + 1), list[float](), list[int]()

    def one(environ: Any) -> None:
        start.wait()
        statuses.append(requests.wsgi_status(app, environ))
        waits.append(time.perf_counter())

    threads = [threading.Thread(target=one, args=(requests.environ(key),)) for key in keys]
    for thread in threads:
        thread.start()
    with uncollected():
        start.wait()
        began = time.perf_counter()
        for thread in threads:
            thread.join()
    waits = [ended - began for ended in waits]
    return _Crowd(max(waits), waits, statuses.count(200), len(keys))


def _one_key(repetitions: int, server: LicenseServer) -> Iterator[Result]:
    """Measure row 22."""
    calls, seconds = [], []
    server.answers_after(LATENCY)
    for _ in range(repetitions):
        app = _asgi(server.settings(**_anew()))
        crowd = asyncio.run(_tasks(app, _keys(1) * CROWD))
        assert crowd.served == CROWD
        calls.append(server.answers_after(LATENCY).questions)
        seconds.append(crowd.seconds)
    note = f"the most of {repetitions} repetitions; {CROWD} requests served each time"
    yield Result(CALLS, max(calls), note)
    note = f"least of {repetitions}, most {max(seconds):.3f}; {LATENCY} of them the server's"
    yield Result(TOGETHER, min(seconds), note)


def _many_keys(repetitions: int, server: LicenseServer) -> Iterator[Result]:
    """Measure row 23."""
    seconds, greatest, connections, threads = [], [], [], []
    server.answers_after(LATENCY)
    for _ in range(repetitions):
        app = _asgi(server.settings(**_anew()))
        crowd = asyncio.run(_tasks(app, _keys(CROWD)))
        counted = server.answers_after(LATENCY)
        assert (crowd.served, counted.questions) == (CROWD, CROWD)
        seconds.append(crowd.seconds)
        threads.append(crowd.threads)
        greatest.append(counted.greatest)
        connections.append(counted.connections)
    yield Result(
        DISTINCT,
        min(seconds) / IDEAL,
        f"ideal {CROWD} / {SLOTS} x {LATENCY} s = {IDEAL:.3f} s; least {min(seconds):.3f},"
        f" median {median(seconds):.3f}, most {max(seconds):.3f} of {repetitions}",
    )
    note = f"the least was {min(greatest)}; at most {max(connections)} connections"
    yield Result(AT_ONCE, max(greatest), note)
    yield Result(THREADS, max(threads), "the most that any of the requests saw")


# -- through TLS -------------------------------------------------------------------------------


def _certificates(directory: Path) -> tuple[tuple[Path, ...], dict[str, Any]]:
    """Write certificates; return the server's files, and settings of who asks it."""
    servers, clients = trustme.CA(), trustme.CA()
    server, spare = servers.issue_cert("127.0.0.1"), servers.issue_cert("127.0.0.1")
    client = clients.issue_cert("application@customer.example")
    files = {
        "server.pem": server.cert_chain_pems[0],
        "server.key": server.private_key_pem,
        "servers.pem": servers.cert_pem,
        "clients.pem": clients.cert_pem,
        "client.pem": client.cert_chain_pems[0],
        "client.key": client.private_key_pem,
    }
    for name, blob in files.items():
        path = directory / name
        path.touch(0o600)
        path.write_bytes(blob.bytes())
    at = {name: directory / name for name in files}
    options = {
        "tls_ca_file": str(at["servers.pem"]),
        "tls_pins": tuple(map(_pin, (server, spare))),
        "tls_client_cert": str(at["client.pem"]),
        "tls_client_key": str(at["client.key"]),
    }
    return (at["server.pem"], at["server.key"], at["clients.pem"]), options


def _pin(one: trustme.LeafCert) -> str:
    certificate = load_pem_x509_certificate(one.cert_chain_pems[0].bytes())
    return pin_of(certificate.public_bytes(Encoding.DER))


def _tls(repetitions: int, plain: LicenseServer, stack: ExitStack) -> Iterator[Result]:
    """Measure row 24."""
    files, options = _certificates(Path(stack.enter_context(TemporaryDirectory())))
    servers = {"TLS": LicenseServer(stack, files, **options), "plain": plain}
    found: dict[tuple[str, str, str], list[_Crowd]] = {}
    counted: dict[tuple[str, str, str], int] = {}
    asked = answered = 0
    cases = [(world, wire) for world in ("tasks", "threads") for wire in servers]
    for _ in range(repetitions):
        for world, wire in random.sample(cases, len(cases)):
            server = servers[wire]
            ours = server.settings(**_anew())
            app = _asgi(ours) if world == "tasks" else _wsgi(ours)
            # In one loop, since connections belong to it.
            with asyncio.Runner() as runner:
                for connections in ("new connections", "kept ones"):
                    server.answers_after(TLS_LATENCY)
                    keys = _keys(TLS_CROWD)
                    if world == "tasks":
                        crowd = runner.run(_tasks(app, keys))
                    else:
                        crowd = _threads(app, keys)
                    case = (world, connections, wire)
                    found.setdefault(case, []).append(crowd)
                    counted[case] = server.answers_after(TLS_LATENCY).connections
                    if wire == "TLS":
                        asked += TLS_CROWD
                        answered += crowd.served
                    assert wire == "TLS" or crowd.served == TLS_CROWD
    yield Result(UNANSWERED, asked - answered, f"{answered} answered of {asked}")
    for world in ("tasks", "threads"):
        for connections in ("new connections", "kept ones"):
            best = {
                wire: min(found[world, connections, wire], key=lambda crowd: crowd.seconds)
                for wire in servers
            }
            said = [
                f"{wire}: p50 {crowd.percentile(50):.0f}, p99 {crowd.percentile(99):.0f}, all"
                f" {crowd.seconds * 1e3:.0f} ms, {counted[world, connections, wire]} connections"
                for wire, crowd in best.items()
            ]
            row = Row(24, f"  {world}, {connections}: p99 of the latency", unit=" ms")
            yield Result(row, best["TLS"].percentile(99), "; ".join(said))


# -- what was answered -------------------------------------------------------------------------


def _answered(plan: Plan, server: LicenseServer) -> Iterator[Result]:
    """Measure row 25."""
    ours = server.settings(**_anew())
    of = {
        "token": signer("Ed25519").token(),
        "token with domains": signer("Ed25519").token(domains=DOMAINS),
        "key with domains": _keys(1, "bound")[0],
        "key": _keys(1)[0],
    }
    server.answers_after(0)
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        asgi, wsgi, bare = _asgi(ours), _wsgi(ours), application()
        for credential in of.values():
            assert requests.asgi_status(asgi, requests.scope(credential), loop) == 200
        served = {name: (credential, asgi, wsgi) for name, credential in of.items()}
        served["bare"] = (of["key"], bare, _page)
        cases: list[Case] = []
        for name, (credential, around, inside) in served.items():
            scopes = requests.many(requests.scope, credential)
            environs = requests.many(requests.environ, credential)
            cases += [
                Case(f"Starlette {name}", scopes, each_async(requests.asgi(around), loop), 150),
                Case(f"WSGI {name}", environs, each(requests.wsgi(inside))),
            ]
        took = least(cases, plan.rounds)
    assert server.answers_after(0).questions == 2, "each key is asked about once"
    for protocol in ("Starlette", "WSGI"):
        added = {name: took[f"{protocol} {name}"] - took[f"{protocol} bare"] for name in of}
        for name, beside in (("key with domains", "token with domains"), ("key", "token")):
            where = "remembered by the gate" if "domains" in name else "per domain"
            row = Row(25, f"a fresh answer's key, {where}, added to {protocol}", unit=" us")
            note = made_of(**{f"{beside} added": added[beside], "bare": took[f"{protocol} bare"]})
            yield Result(row, added[name], f"{note}; {added[name] / added[beside]:.2f} x a hit")
