"""Every row of the attack table that a request can carry, through every adapter.

An adapter's test file subclasses `AttackContract` beside its own way of serving. What must come
of a row stands once, in `tests.attacks`; each adapter is sent the same bytes.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import pytest

from licet import Settings
from licet.core import gates
from licet.core.gate import Gate
from licet.core.problem import MEDIA_TYPE
from tests.adapters.clients import AsgiClient, WsgiClient
from tests.adapters.contract import Answer, Serving
from tests.attacks import (  # noqa: F401
    certificate,
    claims,
    header,
    host,
    network,
    payload,
    proof,
    request,
    signature,
    token,
)
from tests.attacks.case import CASES, Case
from tests.core.hands import Hands
from tests.licenses import OPTIONS

POSSESSION = ("pop_required", "pop_invalid", "use_dpop_nonce")
#: Numbers of gates of their own, which live by a clock of their own.
_UNUSED = count(1)


class Served(NamedTuple):
    """The application as it is served to the cases of one kind.

    Attributes:
        options: the settings that the cases ask for.
        hands: of the gate's clock; None for the true one.
        client: what calls it.
        gate: what judges for it.
    """

    options: dict[str, Any]
    hands: Hands | None
    client: AsgiClient | WsgiClient
    gate: Gate

    def fits(self, case: Case) -> bool:
        """Whether the case is to be served so."""
        return self.options == case.options and (self.hands is None) == (case.at is None)


class AttackContract(Serving):
    """The suite."""

    @pytest.mark.parametrize(
        "row", [pytest.param(name, marks=pytest.mark.row(name)) for name in sorted(CASES)]
    )
    def test_attack(self, row: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each request of a row gets its answer, and a refused one never reaches a view."""
        with ExitStack() as staying:
            served: Served | None = None
            for case in CASES[row]():
                if self.adapter not in case.adapters:
                    continue
                # One client for cases of the same settings in a row; settings of a framework
                # that keeps them for the whole process are those of the client made last.
                if served is None or not served.fits(case):
                    staying.close()
                    served = self.serve(case, monkeypatch)
                    staying.enter_context(served.client.staying())
                self.attack(f"{row} {case.name}", case, served)
        assert served, "the row concerns this adapter"

    def attack(self, name: str, case: Case, served: Served) -> None:
        """Send the request of a case, to a gate that does not know the license, then to one."""
        if served.hands is not None and case.at is not None:
            served.hands.wall = case.at
        hits = served.gate.grant_stats().hits
        self.send(name, case, served.client)
        if case.twice:
            assert served.gate.grant_stats().hits == hits, f"{name}: known before"
        # What is no license is remembered nowhere (`tests.core.test_gate`).
        if case.twice and case.code != "license_invalid":
            self.send(name, case, served.client)
            assert served.gate.grant_stats().hits > hits, f"{name}: not from memory"

    def serve(self, case: Case, monkeypatch: pytest.MonkeyPatch) -> Served:
        """Serve the application with the settings and at the time of a case."""
        monkeypatch.undo()
        options, hands = dict(case.options), None
        if case.at is not None:
            hands = Hands(wall=case.at)
            monkeypatch.setattr(gates, "Gate", partial(Gate, clock=hands.clock))
            # Shared with nobody, who would be judged by a clock that stands still.
            options["jwks_cooldown"] = 60 + next(_UNUSED) / 1_000
        client = self.licensed(**options)
        assert isinstance(client, AsgiClient | WsgiClient)
        gate = gates.gate_for(Settings(**{**OPTIONS, **options}))
        return Served(case.options, hands, client, gate)

    def send(self, name: str, case: Case, client: AsgiClient | WsgiClient) -> None:
        """Send the request of a case, and hold the answer against what it must be."""
        client.calls.clear()
        answer = client.request(case.method, case.path, case.lines(), case.over)
        assert answer.status == case.status, f"{name}: {answer}"
        # A framework that refuses a host by itself says so in words of its own.
        own = case.code == "bad_host" and answer.header("Content-Type") != MEDIA_TYPE
        if case.code is not None and not own:
            assert answer.json["code"] == case.code, f"{name}: {answer}"
        if case.status >= 400 and case.code != "feature_not_licensed":
            assert client.calls == [], f"{name}: a view was called"
            whole = repr(answer)
            assert [each for each in case.permitted if each in whole] == [], f"{name}: {whole}"
        if case.code in POSSESSION:
            self.check_challenge(name, case.code, answer)

    def check_challenge(self, name: str, code: str, answer: Answer) -> None:
        """See to it that the answer asks for a proof (RFC 9449, sections 7.1 and 9)."""
        challenge = answer.header("WWW-Authenticate") or ""
        assert challenge.startswith("DPoP "), f"{name}: {challenge}"
        asked = {"pop_invalid": "invalid_dpop_proof", "use_dpop_nonce": "use_dpop_nonce"}.get(code)
        assert asked is None or f'error="{asked}"' in challenge, f"{name}: {challenge}"
        assert bool(answer.header("DPoP-Nonce")) == (code == "use_dpop_nonce"), f"{name}: {answer}"
