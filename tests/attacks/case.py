"""One hostile request and the answer it must get; and the register of them by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Case:
    """A request, and what must come of it.

    Args:
        name: what is special about it, in a few words.
        headers: header lines as sent.
        status: the HTTP status of the answer.
        code: the answer's `code`; None where it has none (a 2xx, or a body that HEAD leaves out).
        method: the request method.
        path: path and query of the request; the routes are those of the adapters' contract.
        options: settings beside those of `tests.licenses.OPTIONS`.
    """

    name: str
    headers: list[tuple[str, str]]
    status: int = 401
    code: str | None = "license_invalid"
    method: str = "GET"
    path: str = "/me"
    options: dict[str, Any] = field(default_factory=dict)


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


def bearer(token: str) -> list[tuple[str, str]]:
    """Return the header lines that present `token`."""
    return [("Authorization", f"Bearer {token}")]
