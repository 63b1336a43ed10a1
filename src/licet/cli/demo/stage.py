"""One scene before all applications: what is presented, what must come of it, and what does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import NamedTuple, Self

import httpx

from licet.cli.demo.servers import Server

Headers = list[tuple[str, str]]


class Answer(NamedTuple):
    """A status and the `code` of the problem; no status where there was no answer."""

    status: int | None
    code: str | None = None

    def __str__(self) -> str:
        return f"{self.status or 'no answer'} {self.code or ''}".rstrip()


class Observed(NamedTuple):
    """What one application answered, after how many milliseconds."""

    server: Server
    answer: Answer
    milliseconds: float


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
            within: seconds that an application has to come round to it.
            at: the applications; all, where not given.
        """
        expected = Answer(status, code)
        observed = [self._observe(app, path, headers, expected, within) for app in at or self.apps]
        return Row(name, path, expected, observed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _observe(
        self, app: Server, path: str, headers: Headers, expected: Answer, within: float
    ) -> Observed:
        deadline = time.monotonic() + within
        while True:
            began = time.perf_counter()
            answer = self._ask(app.url + path, headers)
            milliseconds = (time.perf_counter() - began) * 1000
            lost = answer.status is None
            if answer == expected or lost or time.monotonic() >= deadline:
                return Observed(app, answer, milliseconds)
            time.sleep(0.02)

    def _ask(self, url: str, headers: Headers) -> Answer:
        try:
            response = self._client.get(url, headers=headers)
        except httpx.HTTPError:
            return Answer(None)
        code = None
        with suppress(ValueError, AttributeError):
            code = response.json().get("code")
        return Answer(response.status_code, code)
