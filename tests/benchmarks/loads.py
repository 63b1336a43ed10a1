"""What a license server is asked, by a generator in a process of its own, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.child import Child


@dataclass(frozen=True)
class Load:
    """What is asked.

    Args:
        kind: `key` and `token` are questions; `issue` is licenses issued; `change` is licenses
            issued and then revoked, by turns, over one connection.
        connections: that are used.
        seconds: for how long.
        rate: requests a second; None for as many as are answered.
    """

    kind: str
    connections: int
    seconds: float
    rate: float | None = None


@dataclass(frozen=True)
class Answered:
    """What came of a load.

    Args:
        count: requests that were answered.
        seconds: until the last of them was.
        p50, p99, longest: of the waits, in milliseconds.
        verified: answers that were verified.
        busy: share of the time that the generator itself was busy.
    """

    count: int
    seconds: float
    p50: float
    p99: float
    longest: float
    verified: int
    busy: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.count / self.seconds

    @property
    def waits(self) -> str:
        """The waits, for people."""
        return f"p50 {self.p50:.2f}, p99 {self.p99:.2f} ms"


class Asker:
    """The generator, as this process knows it.

    Args:
        stack: ends it.
        told: what `licet serve --dev --json` printed.
        issued: what `licet licenses import` printed; an empty file for who does not ask.
    """

    def __init__(self, stack: ExitStack, told: Mapping[str, str], issued: Path) -> None:
        self._generator = Child(stack, "asker", issued)
        self._generator.say(json.dumps(dict(told)))
        assert self._generator.hear() == "ready\n"

    def begin(self, load: Load) -> None:
        """Begin a load."""
        self._generator.say(json.dumps(asdict(load)))

    def end(self) -> Answered:
        """Wait for its end; return what came of it."""
        return Answered(**json.loads(self._generator.hear()))

    def ask(self, kind: str, connections: int, seconds: float, rate: float | None) -> Answered:
        """Do what `Load` says, and return what came of it."""
        self.begin(Load(kind, connections, seconds, rate))
        return self.end()
