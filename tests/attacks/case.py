"""One hostile request and the answer it must get; and the register of them by row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.adapters.clients import LOOPBACK, Connection
from tests.rows import FRAMEWORKS

Lines: TypeAlias = list[tuple[str, str]]


@dataclass(frozen=True)
class Case:
    """A request, and what must come of it.

    Args:
        name: what is special about it, in a few words.
        headers: header lines as sent, or what makes them anew for each request: a proof of
            possession serves once.
        status: the HTTP status of the answer.
        code: the answer's `code`; None where it has none (a 2xx, or a body that HEAD leaves out).
        method: the request method.
        path: path and query of the request; the routes are those of the adapters' contract.
        options: settings beside those of `tests.licenses.OPTIONS`.
        over: what the server says of the connection.
        adapters: where such a request can come in, or where it gets this answer.
        at: the time to serve it at, seconds since the epoch; None for now.
        twice: send it to a gate that does not know the license, and again to one that does; what
            is `license_invalid` is sent once, for no gate ever knows it.
        permitted: what the license would permit; no refusal tells it.
    """

    name: str
    headers: Lines | Callable[[], Lines]
    status: int = 401
    code: str | None = "license_invalid"
    method: str = "GET"
    path: str = "/me"
    options: dict[str, Any] = field(default_factory=dict)
    over: Connection = LOOPBACK
    adapters: Collection[str] = tuple(FRAMEWORKS)
    at: float | None = None
    twice: bool = False
    permitted: tuple[str, ...] = ()

    def lines(self) -> Lines:
        """Return the header lines of one request."""
        return self.headers() if callable(self.headers) else self.headers


Make: TypeAlias = Callable[[], Iterable[Case]]
#: What shows each row. Made when it is run, because licenses have dates.
CASES: dict[str, Make] = {}


def row(name: str) -> Callable[[Make], Make]:
    """Register what a generator yields as the cases of a row."""

    def register(make: Make) -> Make:
        if name in CASES:
            raise ValueError(f"{name} is there already")
        CASES[name] = make
        return make

    return register


def bearer(token: str) -> Lines:
    """Return the header lines that present `token`."""
    return [("Authorization", f"Bearer {token}")]
