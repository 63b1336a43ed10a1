"""Every row of the attack table that a request can carry, through every adapter.

An adapter's test file subclasses `AttackContract` beside its own way of serving. What must come
of a row stands once, in `tests.attacks`; each adapter is sent the same bytes.
"""

from __future__ import annotations

import pytest

from tests.adapters.contract import Client, Serving
from tests.attacks import claims, header, payload, request, signature, token  # noqa: F401
from tests.attacks.case import CASES


class AttackContract(Serving):
    """The suite."""

    @pytest.mark.parametrize(
        "row", [pytest.param(name, marks=pytest.mark.row(name)) for name in sorted(CASES)]
    )
    def test_attack(self, row: str) -> None:
        """Each request of a row gets its answer, and a refused one never reaches a view."""
        client: Client | None = None
        served: object = None
        for case in CASES[row]():
            # One client for cases of the same settings in a row; settings of a framework that
            # keeps them for the whole process are those of the client made last.
            if client is None or case.options != served:
                client, served = self.licensed(**case.options), case.options
            client.calls.clear()
            answer = client.request(case.method, case.path, case.headers)
            assert answer.status == case.status, f"{row} {case.name}: {answer}"
            if case.code is not None:
                assert answer.json["code"] == case.code, f"{row} {case.name}"
            if case.status >= 400 and case.code != "feature_not_licensed":
                assert client.calls == [], f"{row} {case.name}: a view was called"
