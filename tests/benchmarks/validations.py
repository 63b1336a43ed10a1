"""Row of the license server: questions a second that it answers, and how long they wait.

`licet serve` is a process with one core, and the generator another with the other. The ceiling is
found by closed loops of more and more connections; how long one waits in daily use, by an open one.
Licenses are issued by `licet licenses import`, as a vendor would.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.harness import Plan
from tests.benchmarks.loads import Answered, Asker, Load
from tests.benchmarks.questions import order
from tests.benchmarks.rows import Result, Row
from tests.server.processes import served

#: Licenses at first, and connections of the closed loops.
FEW, CONNECTIONS = 1_000, (1, 4, 16, 64)
#: Shares of the ceiling at which it is asked in daily use, and beside somebody who writes.
DAILY, BESIDE = 0.7, 0.5
#: Connections of open loops: more than are ever busy.
OPEN = 64
#: Changes a second of somebody who writes all the time.
CHANGES = 40.0
#: Faster than anybody asks: nothing waits for its pace.
RATE = 10**9


class _Server:
    """`licet serve` on a directory of its own."""

    def __init__(self, data: Path, stack: ExitStack) -> None:
        self.data, self._stack = data, stack
        self.start()

    def start(self) -> None:
        """Start it; the one before has to be ended."""
        typed = ("--dev", "--json", "--validation-rate", RATE)
        self._process = self._stack.enter_context(served(self.data, *typed))
        self.told: Mapping[str, str] = self._process.told

    def forgotten(self) -> None:
        """Start it anew, on files that the machine has not in memory, where it can forget them."""
        self._process.end()
        for path in self.data.iterdir():
            with path.open("rb") as file, suppress(AttributeError):
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.start()

    @property
    def size(self) -> float:
        """MiB on disk."""
        return sum(path.stat().st_size for path in self.data.iterdir()) / 2**20

    @property
    def resident(self) -> float:
        """MiB in memory, as far as the machine tells it."""
        with suppress(FileNotFoundError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
        return 0.0

    @property
    def cpu(self) -> float:
        """Seconds of processor time so far, likewise."""
        with suppress(FileNotFoundError):
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def issue(self, first: int, last: int) -> float:
        """Have licenses issued through the command; return the seconds that took."""
        orders = self.data.with_suffix(".orders")
        with orders.open("w", encoding="ascii") as file:
            file.writelines(f"{json.dumps(order(f'c{n}'))}\n" for n in range(first, last))
        began = time.perf_counter()
        typed = ["licenses", "import", str(orders), "--data", str(self.data)]
        with self.issued.open("ab") as file:
            subprocess.run(
                [sys.executable, "-m", "licet", *typed],
                stdout=file,
                stderr=subprocess.DEVNULL,
                check=True,
            )
        return time.perf_counter() - began

    @property
    def issued(self) -> Path:
        """What the command has printed."""
        return self.data.with_suffix(".issued")


@contextmanager
def _cores(which: slice) -> Iterator[None]:
    """Give what is started meanwhile some of the cores only, where there are several."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(every)[which]) or every)
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def run(plan: Plan) -> Iterator[Result]:
    """Measure row 28."""
    seconds, many = 1.5 if plan.pairs >= 16 else 0.2, plan.cached
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        with _cores(slice(0, 1)):
            server = _Server(directory / "data", stack)
        took = server.issue(0, FEW)
        with _cores(slice(1, None)):
            asker = Asker(stack, server.told, server.issued)
        for kind in ("key", "token"):
            yield from _daily(server, asker, kind, FEW, seconds)
        took += server.issue(FEW, many)
        yield from _stored(server, many, took)
        with _cores(slice(0, 1)):
            server.forgotten()
        with _cores(slice(1, None)):
            asker = Asker(stack, server.told, server.issued)
        cold = asker.ask("key", 16, seconds, None)
        row = Row(28, f"  {many:,} licenses, just started: first questions", unit="/s", most=False)
        yield Result(row, cold.rate, f"files out of memory, 16 connections: {cold.waits}")
        for kind in ("key", "token"):
            yield from _daily(server, asker, kind, many, seconds)
        yield from _beside(server, asker, stack, seconds)
        yield from _issues(server, asker, seconds)


def _daily(
    server: _Server, asker: Asker, kind: str, licenses: int, seconds: float
) -> Iterator[Result]:
    """Find the ceiling, and how long one waits below it."""
    found: dict[int, Answered] = {}
    # Warm, whatever came before.
    asker.ask(kind, 16, seconds, None)
    cpu, count = server.cpu, 0
    for _ in range(2):
        for connections in CONNECTIONS:
            answered = asker.ask(kind, connections, seconds, None)
            count += answered.count
            if connections not in found or answered.rate > found[connections].rate:
                found[connections] = answered
    cpu = (server.cpu - cpu) / count * 1e6
    best = max(found.values(), key=lambda answered: answered.rate)
    said = [
        f"{connections} at once {each.rate:.0f}/s, {each.waits}"
        for connections, each in found.items()
    ]
    fast = " and ".join(name for name in ("uvloop", "httptools") if find_spec(name)) or "neither"
    said += [f"{cpu:.0f} us of CPU each", f"generator {best.busy:.0%} busy", fast]
    row = Row(28, f"license server, {licenses:,} licenses, by {kind}", unit="/s", most=False)
    yield Result(row, best.rate, "; ".join(said))
    below = asker.ask(kind, OPEN, 2 * seconds, DAILY * best.rate)
    row = Row(28, f"  p99 at {DAILY:.0%} of that", unit=" ms")
    note = f"open loop, {below.rate:.0f}/s: {below.waits}, longest {below.longest:.1f}"
    yield Result(row, below.p99, f"{note}; {below.verified} answers verified")


def _stored(server: _Server, licenses: int, took: float) -> Iterator[Result]:
    """Report what so many licenses cost."""
    row = Row(28, f"  `licet licenses import` of {licenses:,}", unit=" s")
    note = f"{licenses / took:.0f}/s, each with key, domain and a place on a status list"
    yield Result(row, took, note)
    row = Row(28, "  on disk", unit=" MiB")
    yield Result(row, server.size, f"{server.size * 2**20 / licenses:.0f} bytes a license")
    yield Result(Row(28, "  in memory", unit=" MiB"), server.resident, "the server's resident set")


def _beside(server: _Server, asker: Asker, stack: ExitStack, seconds: float) -> Iterator[Result]:
    """Report what questions wait while somebody changes licenses, and what the changes wait."""
    with _cores(slice(1, None)):
        writer = Asker(stack, server.told, Path(os.devnull))
    rate = BESIDE * asker.ask("key", 16, seconds, None).rate
    # Longer than it takes until the server writes down by itself what it has seen.
    long = 4 * seconds
    alone = asker.ask("key", OPEN, long, rate)
    for pace in (CHANGES, None):
        writer.begin(Load("change", 1, long, pace))
        beside = asker.ask("key", OPEN, long, rate)
        changes = writer.end()
        row = Row(28, f"  p99 at {BESIDE:.0%}, beside {changes.rate:.0f} changes/s", unit=" ms")
        note = f"{beside.rate:.0f}/s, {beside.waits}, longest {beside.longest:.1f}"
        note += f"; without changes {alone.waits}, longest {alone.longest:.1f}"
        note += f"; changes {changes.waits}, longest {changes.longest:.1f}"
        yield Result(row, beside.p99, note)


def _issues(server: _Server, asker: Asker, seconds: float) -> Iterator[Result]:
    """Report how many licenses are issued one by one, each on disk when it is acknowledged."""
    for clients in (1, 32):
        issued = asker.ask("issue", clients, seconds, None)
        name = f"  issued and acknowledged, {clients} client{'s' * (clients > 1)}"
        yield Result(Row(28, name, unit="/s", most=False), issued.rate, issued.waits)
