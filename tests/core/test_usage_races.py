"""Many at the limit at once: exactly as many pass as there is room for, in whatever order."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest

from licet.core.clock import SYSTEM_CLOCK
from licet.core.context import bind
from licet.core.entitlements import Entitlements
from licet.core.errors import LicenseUnavailable, LimitExceeded
from licet.core.stores import open_store
from licet.core.stores.memory import MemoryStore
from licet.core.usage.charge import Charge
from licet.core.usage.consumption import aconsume, charging, consume
from licet.core.usage.views import consumes
from tests.core.backends import BACKENDS, SHARED, Backend, opened
from tests.core.counted import Counted
from tests.core.hands import Hands
from tests.core.loopback import until
from tests.core.redis_server import BINARY, RedisServer
from tests.core.test_stores_processes import needs_fork
from tests.licenses import OPTIONS, license_token

INTERLEAVINGS, REQUESTS, LIMIT = 10_000, 100, 7
#: Has a license charged by four children, each with a gate of its own.
PARENT = r"""
import json, os, sys
import licet, licet.core.gate
store, jwks, token = sys.argv[1:]
settings = licet.Settings(
    issuer="https://licenses.acme.example", audience="acme-reports",
    jwks=json.loads(jwks), jwks_url=None, store=store,
)

def passed():
    with licet.bind(licet.verify(token, settings)):
        licet.consume("apiCalls", 0)
        os.write(1, b"ready\n")
        os.read(going, 1)
        for n in range(30):
            for key in (None, n):
                try:
                    licet.consume("apiCalls") if key is None else licet.consume("seats", key=key)
                    yield 1 if key is None else 1000
                except licet.LimitExceeded:
                    pass

going, go = os.pipe()
for _ in range(4):
    if not os.fork():
        os.write(1, b"%d\n" % sum(passed()))
        os._exit(0)
sys.stdin.readline()
os.write(go, b"good")
for _ in range(4):
    os.wait()
"""


class Step:
    """One request to the limit, which goes on when it is told to.

    Args:
        held: under which license.
        amount: how much it wants.
        gives_back: whether it gives that back in the end.
    """

    def __init__(self, held: Entitlements, amount: int, gives_back: bool) -> None:
        self.amount, self._gives_back = amount, gives_back
        self._flow: Any = charging(held, "apiCalls", amount)
        self._charge: Charge | None = None
        self._effect: Any = None
        self._answer: Any = None

    def go(self, model: Model) -> bool:
        """Do one step, which asks the store or hears its answer; return whether it was the last."""
        try:
            if self._effect is None:
                self._effect = self._flow.send(self._answer)
                return False
            self._answer, self._effect = self._effect.run(), None
            model.asked(self, self._charge is not None)
            return False
        except LimitExceeded:
            model.refused(self)
            return True
        except StopIteration as stop:
            if self._charge is not None or not self._gives_back:
                model.ended(self, stop.value)
                return True
            self._charge, self._answer = stop.value, None
            model.ended(self, stop.value)
            self._flow = self._charge.refunding()
            return False


class Model:
    """What the limit should say."""

    def __init__(self) -> None:
        self.used = 0
        self.passes: dict[Step, bool] = {}

    def asked(self, step: Step, back: bool) -> None:
        """The store has decided, or has taken something back."""
        if back:
            self.used -= step.amount
        else:
            self.passes[step] = self.used + step.amount <= LIMIT
            self.used += step.amount if self.passes[step] else 0

    def refused(self, step: Step) -> None:
        """It heard that it is used up."""
        assert not self.passes[step]

    def ended(self, step: Step, charge: Charge | None) -> None:
        """It heard that it may."""
        assert self.passes[step]


@pytest.mark.row("P01", "P05")
def test_a_limit_says_what_a_model_says_in_ten_thousand_interleavings() -> None:
    """Charges and refunds in any order of their steps: the same pass, and as much is used."""
    hands, dice = Hands(), random.Random(9)
    store = MemoryStore(hands.clock, 2 * INTERLEAVINGS)
    held = Counted(hands, store).license({"apiCalls": LIMIT})
    held._grant.ends_at = math.inf
    seen: Counter[bool] = Counter()
    for number in range(INTERLEAVINGS):
        hands.wall += 3600 * 24 * 31 if number % 100 == 0 else 0
        model = Model()
        steps = [
            Step(held, dice.randint(0, 4), dice.random() < 0.5) for _ in range(dice.randint(2, 6))
        ]
        held._grant.license_id = f"lic_{number}"
        while steps:
            step = dice.choice(steps)
            if step.go(model):
                steps.remove(step)
            assert 0 <= model.used <= LIMIT
        seen.update(model.passes.values())
    assert min(seen.values()) > INTERLEAVINGS / 10


@pytest.fixture(name="backend", params=BACKENDS)
def _backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    with opened(request.param, tmp_path) as backend:
        yield backend


def counted_in(backend: Backend) -> Counted:
    """Return a ledger on a backend, by the backend's own time."""
    hands = backend.hands or Hands(wall=SYSTEM_CLOCK.wall())
    return Counted(hands, backend.open())


@pytest.mark.row("P01")
def test_of_a_hundred_threads_at_the_limit_but_one_passes_one(backend: Backend) -> None:
    """Nobody sees the last one free who does not get it."""
    held = counted_in(backend).license({"apiCalls": REQUESTS, "seats": 1})
    with bind(held):
        consume("apiCalls", REQUESTS - 1)

    @consumes("apiCalls")
    def view() -> bool:
        return True

    def request(number: int) -> tuple[bool, bool]:
        answers = []
        with bind(held):
            for use in (view, lambda: consume("seats", key=number)):
                try:
                    answers.append(bool(use()))
                except LimitExceeded:
                    answers.append(False)
        return answers[0], answers[1]

    with ThreadPoolExecutor(20) as pool:
        passed = list(pool.map(request, range(REQUESTS)))
    assert [sum(each) for each in zip(*passed, strict=True)] == [1, 1]


@pytest.mark.row("P01")
@pytest.mark.anyio
async def test_of_a_hundred_tasks_at_the_limit_but_one_passes_one(backend: Backend) -> None:
    """Under asyncio and trio alike; those that are cancelled leave what they had."""
    held = counted_in(backend).license({"apiCalls": REQUESTS})
    passed: list[int] = []
    began = anyio.Semaphore(0)

    @consumes("apiCalls")
    async def view() -> None:
        await anyio.lowlevel.checkpoint()

    @consumes("apiCalls")
    async def hanging() -> None:
        began.release()
        await anyio.sleep_forever()

    async def request() -> None:
        try:
            await view()
        except LimitExceeded:
            return
        passed.append(1)

    with bind(held):
        await aconsume("apiCalls", REQUESTS - 10)
        async with anyio.create_task_group() as group:
            for _ in range(9):
                group.start_soon(hanging)
            with anyio.fail_after(20):
                # They run once they are charged.
                for _ in range(9):
                    await began.acquire()
            async with anyio.create_task_group() as requests:
                for _ in range(REQUESTS):
                    requests.start_soon(request)
            group.cancel_scope.cancel()
        assert passed == [1]
        rate = (await aconsume("apiCalls", 0)).rate
        assert rate is not None
        assert rate.used == REQUESTS - 9


@needs_fork
@pytest.mark.row("P01", "P05")
@pytest.mark.parametrize("name", SHARED)
def test_processes_share_a_limit(name: str, tmp_path: Path) -> None:
    """Four processes, each with its own gate: together they pass as many as the license says."""
    with opened(name, tmp_path) as backend:
        token = license_token(limits={"apiCalls": 50, "seats": 11}, sub=f"lic_{name}")
        arguments = [backend.url, json.dumps(OPTIONS["jwks"]), token]
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert parent.stdout
            assert [parent.stdout.readline() for _ in range(4)] == ["ready\n"] * 4
            answers = parent.communicate("go\n", timeout=60)[0].split()
        finally:
            parent.kill()
            parent.communicate()
    passed = sum(map(int, answers))
    # Each process sees 11 of 30 users through: the same ones, whoever came first.
    assert (len(answers), passed % 1000, passed // 1000) == (4, 50, 4 * 11)


@pytest.mark.row("P04")
@pytest.mark.skipif(BINARY is None, reason="needs a redis-server or valkey-server")
def test_a_store_that_is_killed_and_comes_back_lets_nothing_pass() -> None:
    """Undecided while it is away, in views that consume alone; then it is counted on."""
    with RedisServer() as server:
        hands = Hands(wall=SYSTEM_CLOCK.wall())
        store = open_store(server.url)
        held = Counted(hands, store).license({"apiCalls": 2, "exports": "unlimited"})
        with bind(held):
            consume("apiCalls", 2)
            server.stop()
            for _ in range(3):
                with pytest.raises(LicenseUnavailable):
                    consume("apiCalls")
            consume("exports")
            server.start()
            # It has kept nothing on disk, and begins with nothing.
            until(lambda: has_store("apiCalls"))
            consume("apiCalls", 2)
            with pytest.raises(LimitExceeded):
                consume("apiCalls")
        store.close()


def has_store(limit: str) -> bool:
    """Return whether the store answers again."""
    try:
        consume(limit, 0)
    except LicenseUnavailable:
        return False
    return True
