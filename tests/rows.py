"""Which rows of the attack table this project carries, where each must be shown, and what ran.

A row is shown in an adapter by a passing test that carries `@pytest.mark.row("A01")` in a class
whose `adapter` names it, or `@pytest.mark.row("A01", adapter="wsgi")`; any other test counts for
`core` alone. `test_rows.py` runs last and holds what ran against `EXPECTED`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from importlib.util import find_spec

CORE = "core"
#: Each adapter, and the framework without which it cannot run.
FRAMEWORKS = {
    "asgi": None,
    "wsgi": None,
    "flask": "flask",
    "django": "django",
    "django-async": "django",
    "starlette": "starlette",
    "fastapi": "fastapi",
}


def _rows(letter: str, numbers: Iterable[int], *, without: Iterable[int] = ()) -> list[str]:
    return [f"{letter}{number:02}" for number in numbers if number not in set(without)]


#: Rows about what a request carries: each must be shown in every adapter.
REQUEST_ROWS = frozenset(
    [
        *_rows("A", range(1, 23), without=[18]),
        *_rows("B", range(1, 32)),
        *_rows("C", range(1, 14), without=[8, 11, 12]),
        *_rows("D", range(1, 15)),
        *_rows("E", range(1, 18), without=[10, 12, 16]),
        *_rows("F", range(1, 14)),
        *_rows("K", range(1, 22), without=[3, 14, 15, 18]),
        *_rows("L", range(1, 17)),
        *_rows("M", range(1, 9), without=[3]),
        *_rows("N", range(1, 22)),
        *_rows("O", range(1, 10), without=[8]),
        *_rows("R", [1, 2, 3, 4, 5]),
        *_rows("S", [6, 7]),
    ]
)
#: Those of them that are about constraints and possession.
PLACED_ROWS = frozenset(row for row in REQUEST_ROWS if row[0] in "LMNO") | {
    *_rows("F", range(7, 11))
}
#: Rows about the core alone: programming errors, settings, key sets, issuers, processes.
CORE_ROWS = frozenset(
    [
        *"A18 C08 C11 C12 C14 C15 E10 E12 K03 K18 R01 M03 R06 R07 R09".split(),
        *_rows("G", range(1, 27)),
        *_rows("H", range(1, 21)),
        *_rows("I", [12, 13]),
        *_rows("J", [2, 3, 4, 5, 6, 10]),
        *_rows("R", [8, 10]),
        *_rows("S", range(1, 16), without=[6, 7] if find_spec("gevent") else [5, 6, 7]),
    ]
)
#: Rows about what follows the end of a license, and about a clock that is behind or says nothing.
ENDED_ROWS = frozenset(_rows("J", [1, 7, 8, 9]))
#: Rows about what a license may use, where requests use it, and where they are counted.
USED_ROWS = frozenset(_rows("P", [1, 2, 3, 4, 7]))
COUNTED_ROWS = frozenset(_rows("P", [5, 6]))
#: Rows about what a license server says to a request: adapters of one world are alike in them.
ONLINE_ROWS = frozenset(_rows("I", range(1, 15), without=[12, 13]))
#: Rows about pushed events: each must be shown in every adapter's receiver, and in the core.
PUSHED_ROWS = frozenset(["E16", *_rows("Q", range(1, 8))])

EXPECTED: dict[str, frozenset[str]] = {
    **{row: frozenset(FRAMEWORKS) for row in REQUEST_ROWS},
    **{row: frozenset({CORE}) for row in CORE_ROWS - REQUEST_ROWS},
    # What these demand of the places where a license holds, and of proofs, is the core's; it is
    # shown there too, with inputs that no server would hand on.
    **{row: frozenset({*FRAMEWORKS, CORE}) for row in PLACED_ROWS},
    **{row: frozenset({"asgi", "wsgi", CORE}) for row in ONLINE_ROWS},
    **{row: frozenset({*FRAMEWORKS, CORE}) for row in PUSHED_ROWS},
    **{row: frozenset({*FRAMEWORKS, CORE}) for row in USED_ROWS | ENDED_ROWS},
    **{row: frozenset({CORE}) for row in COUNTED_ROWS},
    # Kinds of connection, where there is more than one; and code of a framework's own.
    "K14": frozenset({"asgi", "starlette", "fastapi"}),
    "K15": frozenset({"flask", "django", "django-async", "starlette", "fastapi"}),
    # The TLS extension of ASGI.
    "O08": frozenset({"asgi", "django-async", "starlette", "fastapi", CORE}),
}

#: Filled by what ran: figures that no test holds against anything.
REPORTED: list[str] = []
#: Filled by what ran: row, adapter, ids of the tests that passed.
RAN: dict[tuple[str, str], list[str]] = defaultdict(list)


def installed() -> frozenset[str]:
    """Return the adapters that can run here, and the core."""
    return frozenset(
        name for name, framework in FRAMEWORKS.items() if framework is None or find_spec(framework)
    ) | {CORE}


def missing() -> dict[str, list[str]]:
    """Return, for each row, the adapters in which it was to be shown and was not."""
    here = installed()
    lacking = {
        row: sorted(name for name in adapters & here if not RAN.get((row, name)))
        for row, adapters in EXPECTED.items()
    }
    return {row: names for row, names in sorted(lacking.items()) if names}
