"""Many who ask at once, in threads or in the tasks of an event loop; and a server to ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import anyio

from licet.core import flow
from licet.core.entitlements import Entitlements
from licet.core.errors import LicenseError
from licet.core.flow import Flow
from licet.core.gate import Gate
from licet.core.online.arbiter import Arbiter
from licet.core.online.slots import PROCESS_SLOTS
from licet.core.online.validator import Validator
from licet.core.settings import Settings
from tests.core.hands import Hands
from tests.core.license_server import LicenseServer, says
from tests.core.loopback import Answer, Request, until
from tests.core.presented import Presented
from tests.licenses import ISSUER, ISSUER_NAME, license_token

WORLDS = ("threads", "asyncio", "trio")
Outcome = Entitlements | LicenseError


def gate_of(server: LicenseServer, hands: Hands | None = None, **changes: Any) -> Gate:
    """Return a gate that has its issuer's keys at hand and asks `server`."""
    options = {"jwks": ISSUER.jwks(), "jwks_url": None, **changes}
    return Gate(Settings(**server.options(**options)), clock=(hands or Hands()).clock)


def token_of(hands: Hands, **claims: Any) -> str:
    """Return a license of thirty days from now."""
    now = int(hands.wall)
    return license_token(**{"iat": now, "exp": now + 30 * 86_400, **claims})


def arbiter_of(gate: Gate) -> Arbiter:
    """Return what says when this gate asks."""
    assert gate._judgements.arbiter is not None
    return gate._judgements.arbiter


def validator_of(gate: Gate) -> Validator:
    """Return the license server as this gate knows it."""
    return arbiter_of(gate)._validators[ISSUER_NAME]


def waiting(gate: Gate) -> int:
    """Return how many wait for an answer to somebody else's question."""
    return sum(turn.over.waiting for turn in validator_of(gate)._turns.under_way)


def request(credential: str, host: str | None = "customer.example") -> Presented:
    """Return a request with a license at a host."""
    lines = {"authorization": [f"Bearer {credential}"]}
    return Presented(lines=lines if host is None else {**lines, "host": [host]})


def judge(gate: Gate, credential: str, host: str | None = "customer.example") -> Flow[Outcome]:
    """Return what becomes of a request with this credential; a refusal is returned as well."""
    try:
        return (yield from gate.decide(request(credential, host)))
    except LicenseError as error:
        return error


def ask(gate: Gate, credential: str, host: str | None = "customer.example") -> Outcome:
    """Judge one request in this thread."""
    return flow.run(judge(gate, credential, host))


def told(outcome: Outcome) -> str:
    """Return `yes`, or the reason of a refusal."""
    return outcome.reason if isinstance(outcome, LicenseError) else "yes"


def verdict(gate: Gate, credential: str, host: str | None = "customer.example") -> str:
    """Return `yes`, or the reason why one request is refused."""
    return told(ask(gate, credential, host))


def at_once(world: str, flows: Sequence[Flow[Outcome]]) -> list[Outcome]:
    """Drive all of these at the same time, in threads or in tasks of one event loop."""
    if world == "threads":
        with ThreadPoolExecutor(len(flows)) as pool:
            return list(pool.map(flow.run, flows))
    outcomes: list[Outcome] = []

    async def one(decision: Flow[Outcome]) -> None:
        outcomes.append(await flow.arun(decision))

    async def every() -> None:
        async with anyio.create_task_group() as group:
            for decision in flows:
                group.start_soon(one, decision)

    anyio.run(every, backend=world)
    return outcomes


class Crowd:
    """Drives flows in the background, as `at_once` does."""

    def __init__(self, world: str, flows: Iterable[Flow[Outcome]]) -> None:
        self._flows = list(flows)
        self._outcomes: list[Outcome] = []
        self._thread = threading.Thread(target=self._run, args=(world,), daemon=True)
        self._thread.start()

    def _run(self, world: str) -> None:
        self._outcomes = at_once(world, self._flows)

    @property
    def done(self) -> bool:
        """Whether all of them are through."""
        return not self._thread.is_alive()

    def outcomes(self) -> list[Outcome]:
        """Return what became of them, once all are through."""
        self._thread.join(30)
        assert self.done, "somebody still waits"
        return self._outcomes

    def told(self) -> list[str]:
        """Return their words, sorted."""
        return sorted(map(told, self.outcomes()))


@contextmanager
def held(server: LicenseServer) -> Iterator[Callable[[], None]]:
    """Let the server keep its answers back until what is yielded is called."""
    released = threading.Event()

    def late(request: Request) -> Answer:
        released.wait(20)
        return says(server.answer_for(request.body))

    server.trouble = late
    try:
        yield released.set
    finally:
        server.trouble = None
        released.set()


def at_rest(gate: Gate) -> None:
    """Wait until nothing is asked behind the requests; fail if anything is left behind."""
    validator = validator_of(gate)
    background = validator._background

    def idle() -> bool:
        with background.lock:
            return not background._running and not background._waiting

    until(idle)
    # They are the process's: another gate may be asking behind its own requests.
    until(lambda: PROCESS_SLOTS.in_use == PROCESS_SLOTS.waiting == 0)
    assert not validator._turns.under_way
    assert not validator._asker._breaker._probing
