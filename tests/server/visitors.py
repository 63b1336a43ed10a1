"""Visitors of the example applications, who bring a license for as long as they are let."""

from __future__ import annotations

import threading
from collections import Counter

import httpx

from licet.cli.demo import programs
from licet.cli.demo.servers import Program, Server

#: Applications that have a framework and a kind of server each.
APPS = (("Flask", "gunicorn"), ("Django", "gunicorn"), ("Starlette", "uvicorn"))


def three() -> list[Program]:
    """Return the three example applications."""
    return [each for each in programs.applications() if (each.app, each.server) in APPS]


class Visitor:
    """Asks one application, again and again, with each of some credentials.

    Args:
        app: which.
        expected: what is to be answered to each: a status and the code of the refusal.

    Attributes:
        answered: how often each credential was answered as it is to be.
        wrong: whatever else was answered.
    """

    def __init__(self, app: Server, expected: dict[str, tuple[int, str | None]]) -> None:
        self.app, self._expected = app, expected
        self.answered: Counter[tuple[int, str | None]] = Counter()
        self.wrong: list[str] = []

    def run(self, until: threading.Event, pause: float) -> None:
        """Ask until an event is set, with a pause in seconds between two questions."""
        with client() as http:
            while not until.wait(pause):
                for credential, expected in self._expected.items():
                    said = told(http, self.app, credential)
                    if said == expected:
                        self.answered[expected] += 1
                    else:
                        self.wrong.append(f"{self.app.program}: {said} in the place of {expected}")


def client() -> httpx.Client:
    """Return what asks an application, over a connection of its own each time."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(trust_env=False, timeout=20, limits=limits)


def told(http: httpx.Client, app: Server, credential: str) -> tuple[int, str | None]:
    """Return the status of an answer, and the code of the refusal; 0 where nobody answers."""
    try:
        answer = http.get(f"{app.url}/reports", headers={"Authorization": f"Bearer {credential}"})
    except httpx.TransportError as error:
        return 0, type(error).__name__
    is_problem = answer.headers.get("Content-Type") == "application/problem+json"
    return answer.status_code, answer.json()["code"] if is_problem else None
