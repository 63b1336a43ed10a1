"""The table of cases: for each code of the doctor one server that has just that fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from tests.commands import Said
from tests.doctor.ward import Ward

Case: TypeAlias = Callable[[Ward], Said]

CASES: dict[str, Case] = {}


def shows(code: str) -> Callable[[Case], Case]:
    """Declare that a case shows a code."""

    def declare(case: Case) -> Case:
        assert code not in CASES, code
        CASES[code] = case
        return case

    return declare
