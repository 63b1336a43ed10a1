"""One scene before all applications: what is presented, what must come of it, and what does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import NamedTuple, Self

import httpx

from licet.cli.demo.connections import Connection, EventStream, Headers, State, Unopened, Websocket
from licet.cli.demo.process import Server


class Answer(NamedTuple):
    """What counts of an answer.

    Of a connection that was left open: its state, and the `code` of why it ended.

    Attributes:
        status: of the response; None where there was none.
        code: of the problem; of a page that tells where the license stands, that.
        fields: those header fields that it has of the ones that are looked for.
    """

    status: int | State
    code: str | None = None
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.status or 'no answer'} {self.code or ''}".rstrip()


class Observed(NamedTuple):
    """What one application answered, after how many milliseconds, and what its fields said."""

    server: Server
    answer: Answer
    milliseconds: float
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One scene: what every application must answer, and what each did."""

    scene: str
    path: str
    expected: Answer
    observed: Sequence[Observed]

    @property
    def agrees(self) -> bool:
        """Whether all answered as they must."""
        return all(each.answer == self.expected for each in self.observed)


class Stage(AbstractContextManager["Stage"]):
    """Presents the same request to all applications.

    Args:
        apps: the applications, which serve.
    """

    def __init__(self, apps: list[Server]) -> None:
        self.apps = apps
        self._open: list[Connection] = []
        self._client = httpx.Client(
            trust_env=False, timeout=10, limits=httpx.Limits(max_keepalive_connections=0)
        )

    def scene(
        self,
        name: str,
        headers: Headers,
        status: int,
        code: str | None = None,
        *,
        path: str = "/reports",
        fields: tuple[str, ...] = (),
        within: float = 0.0,
        at: list[Server] | None = None,
    ) -> Row:
        """Play one scene.

        Args:
            name: what is played.
            headers: what is presented.
            status: what must be answered.
            code: and for what reason.
            path: what is asked for.
            fields: names of header fields that the answer must have.
            within: seconds that an application has to come round to it.
            at: the applications; all, where not given.
        """
        expected = Answer(status, code, fields)
        observed = [self._observe(app, path, headers, expected, within) for app in at or self.apps]
        return Row(name, path, expected, observed)

    def open(self, headers: Headers) -> list[Connection]:
        """Return a connection that stays open to each application: a websocket where it has one."""
        return [self._opened(app, headers) for app in self.apps]

    def ending(
        self, name: str, connections: list[Connection], code: str, since: float, within: float
    ) -> Row:
        """Play a scene in which open connections end.

        Args:
            name: what is played.
            connections: what `open` returned.
            code: for what reason they must end.
            since: the moment from which on they must, in seconds since the epoch; observed is
                how long after it each was seen to have ended.
            within: seconds from now on in which they must.
        """
        deadline = time.monotonic() + within
        observed = []
        for each in connections:
            answer = Answer(*each.end(deadline))
            observed.append(Observed(each.server, answer, (time.time() - since) * 1000))
        return Row(name, "/live or /events", Answer("end", code), observed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._open:
            connection.close()
        self._client.close()

    def _opened(self, app: Server, headers: Headers) -> Connection:
        connection: Connection
        try:
            if app.program.has_websocket:
                connection = Websocket(app, headers)
            else:
                connection = EventStream(app, headers, self._client, self._refusal)
        except OSError:
            connection = Unopened(app, headers)
        self._open.append(connection)
        return connection

    def _refusal(self, url: str, headers: Headers) -> str | None:
        return self._ask(url, headers)[0].code

    def _observe(
        self, app: Server, path: str, headers: Headers, expected: Answer, within: float
    ) -> Observed:
        deadline = time.monotonic() + within
        while True:
            began = time.perf_counter()
            answer, told = self._ask(app.url + path, headers, expected.fields)
            milliseconds = (time.perf_counter() - began) * 1000
            lost = answer.status is None
            if answer == expected or lost or time.monotonic() >= deadline:
                return Observed(app, answer, milliseconds, told)
            time.sleep(0.02)

    def _ask(
        self, url: str, headers: Headers, fields: tuple[str, ...] = ()
    ) -> tuple[Answer, tuple[str, ...]]:
        """Return what is answered, and what those of `fields` say that it has."""
        try:
            response = self._client.get(url, headers=headers)
        except httpx.HTTPError:
            return Answer(None), ()
        code = None
        with suppress(ValueError, AttributeError):
            body = response.json()
            code = body.get("code") if response.is_error else body.get("status")
        found = tuple(name for name in fields if name in response.headers)
        told = tuple(f"{name}: {response.headers[name]}" for name in found)
        return Answer(response.status_code, code, found), told
