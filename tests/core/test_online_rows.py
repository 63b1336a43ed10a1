"""Rows I where there is no request: what a license server says to jobs and commands."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import anyio
import pytest

import licet
from licet import LicenseError, Settings
from licet.core import flow, gates
from licet.core.clock import SYSTEM_CLOCK
from licet.core.events.bus import EventBus
from licet.core.gate import Gate
from licet.core.online.asker import Asker
from licet.core.online.question import Answer as Verdict
from licet.core.online.question import Denied, Question
from licet.core.online.server import Server
from licet.core.problem import problem
from licet.core.token import base64url
from licet.core.transport import Request, Response, Transport
from tests import rows
from tests.adapters.contract import Answer, Serving, me
from tests.attacks.online import OnlineContract
from tests.core.license_server import CREDENTIALS, LicenseServer
from tests.licenses import AUDIENCE, ISSUER, ISSUER_NAME

# -- every row, outside any request ----------------------------------------------------------------


class CoreClient:
    """A gate that is asked directly, as jobs and commands do, in threads or in tasks."""

    def __init__(self, gate: Gate, backend: str | None) -> None:
        self.gate = gate
        self.backend = backend
        self.calls: list[str] = []

    def request(self, method: str, path: str, headers: Any = None) -> Answer:
        """Judge one credential."""
        [answer] = self.at_once([(method, path, headers)])
        return answer

    def at_once(self, requests: Iterable[tuple[str, str, Any]]) -> list[Answer]:
        """Judge these credentials at the same time."""
        credentials = [dict(lines)["Authorization"].split()[1].encode() for *_, lines in requests]
        if self.backend is None:
            with ThreadPoolExecutor(32) as pool:
                return list(pool.map(self._judge, credentials))
        answers: list[Answer] = []

        async def one(credential: bytes) -> None:
            try:
                entitlements = await flow.arun(self.gate.verify(credential))
            except LicenseError as error:
                answers.append(self._refusal(error))
            else:
                answers.append(self._served(entitlements))

        async def every() -> None:
            async with anyio.create_task_group() as group:
                for credential in credentials:
                    group.start_soon(one, credential)

        anyio.run(every, backend=self.backend)
        return answers

    def _judge(self, credential: bytes) -> Answer:
        try:
            return self._served(flow.run(self.gate.verify(credential)))
        except LicenseError as error:
            return self._refusal(error)

    def _served(self, entitlements: Any) -> Answer:
        self.calls.append("/me")
        return Answer(200, [], json.dumps(me(entitlements)).encode())

    def _refusal(self, error: LicenseError) -> Answer:
        made = problem(error, self.gate.settings)
        return Answer(made.status, list(made.headers), made.body)


class OnCore(Serving):
    """How the core serves whoever asks it."""

    adapter = rows.CORE
    backend: str | None = None

    def client(self, **options: Any) -> CoreClient:
        return CoreClient(gates.gate_for(Settings(**options)), self.backend)


class TestThreads(OnCore, OnlineContract):
    """… in threads."""


class TestTasks(OnCore, OnlineContract):
    """… in tasks."""

    backend = "asyncio"


def test_a_job_may_hold_a_key() -> None:
    """`licet.verify` and `licet.averify` ask, once between them, and name no domain."""
    with LicenseServer() as server:
        settings = Settings(**server.options(jwks=ISSUER.jwks(), jwks_url=None))
        key = server.add(sub="lic_job", domains=["customer.example"])
        entitlements = licet.verify(key, settings, host="customer.example")
        assert (entitlements.license_id, entitlements.verified_by) == ("lic_job", "online")

        async def again() -> licet.Entitlements:
            return await licet.averify(key, settings, host="customer.example")

        assert anyio.run(again).license_id == "lic_job"
        with pytest.raises(LicenseError) as refused:
            licet.verify(key, settings, host="evil.example")
        assert refused.value.code == "license_domain"
        assert len(server.questions) == 1


# -- I05 -------------------------------------------------------------------------------------------


class Listening:
    """A dialect that notes the nonces it is told, and says no to everything."""

    asks_domain = True

    def __init__(self) -> None:
        self.nonces: list[str] = []

    def request(self, question: Question, server: object) -> Request:
        self.nonces.append(question.nonce)
        return Request("POST", "http://127.0.0.1:9/", {})

    def read(self, question: Question, response: Response, server: object) -> Verdict:
        return Denied("unknown")


class Silent(Transport):
    """Stands where the network would."""

    def send(self, request: Request, *, deadline: float, max_bytes: int) -> Response:
        return Response(200, {}, b"")


class Presented(NamedTuple):
    """What is asked about."""

    credential: bytes = b"lic_1"
    audience: str = AUDIENCE
    license_id: str | None = None


class NoKeys:
    """Keys that nobody looks for."""

    def warm(self) -> None:
        """Do nothing."""


@pytest.mark.row("I05")
def test_of_a_hundred_thousand_nonces_no_two_are_alike() -> None:
    """Asked in four threads at once, each has 256 bits; no seed of `random` brings one again."""
    dialect = Listening()
    keys: Any = NoKeys()
    asker = Asker(
        Server(ISSUER_NAME, "http://127.0.0.1:9/", CREDENTIALS, False, keys),
        dialect,
        Silent(),
        SYSTEM_CLOCK,
        EventBus(),
    )

    def ask(count: int) -> None:
        for _ in range(count):
            deadline = SYSTEM_CLOCK.monotonic() + 60
            random.seed(1)
            flow.run(asker.ask(Presented(), "a.example", deadline, stranger=False))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, [25_000] * 4))
    assert len(dialect.nonces) == len(set(dialect.nonces)) == 100_000
    raw = [base64url.decode(nonce.encode()) for nonce in dialect.nonces[:1_000]]
    assert {len(one) for one in raw} == {32}
    # Each bit is set about half the time.
    for bit in range(256):
        ones = sum(one[bit // 8] >> bit % 8 & 1 for one in raw)
        assert 350 < ones < 650
