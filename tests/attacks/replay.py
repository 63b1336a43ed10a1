"""Rows N14 and N18: what workers know of each other's proofs, through every adapter.

An adapter's test file subclasses `ReplayContract` beside its own way of serving.
"""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from licet import Settings
from licet.core.gates import gate_for
from tests.adapters.clients import AsgiClient, WsgiClient
from tests.adapters.contract import Answer, Serving
from tests.attacks.proof import HERE, bound, proofs
from tests.licenses import OPTIONS

#: Numbers of gates of their own, as other workers would have them.
_UNUSED = count(1)


def another(**options: Any) -> dict[str, Any]:
    """Return settings that no gate of this process has, so that it makes a new one."""
    return {**HERE, **options, "jwks_cooldown": 120 + next(_UNUSED) / 1_000}


def shown(token: str, made: str) -> tuple[str, str, list[tuple[str, str]]]:
    """Return the request that shows a bound license and a proof."""
    return "GET", "/me", [("Authorization", f"DPoP {token}"), ("DPoP", made)]


def kinds(answers: list[Answer]) -> Counter[tuple[int, str | None]]:
    """Return how often each status and code came."""
    return Counter((each.status, each.json.get("code")) for each in answers)


class ReplayContract(Serving):
    """The suite."""

    def worker(self, **options: Any) -> AsgiClient | WsgiClient:
        """Serve the contract's application behind a gate of its own."""
        client = self.licensed(**options)
        assert isinstance(client, AsgiClient | WsgiClient)
        return client

    @pytest.mark.row("N14")
    @pytest.mark.parametrize("known", [False, True], ids=["cold", "known"])
    @pytest.mark.parametrize("store", ["memory", "sqlite"])
    def test_of_a_hundred_at_once_one_is_served(
        self, store: str, known: bool, tmp_path: Path
    ) -> None:
        """Whether or not the license is known, the store lets one request through."""
        where = "memory://" if store == "memory" else f"sqlite://{tmp_path}/proofs"
        client, token = self.worker(**another(store=where)), bound()
        if known:
            assert client.request(*shown(token, *proofs()(token))).status == 200
        client.calls.clear()
        [made] = proofs()(token)
        answers = client.at_once([shown(token, made)] * 100)
        assert kinds(answers) == {(200, None): 1, (401, "pop_invalid"): 99}
        assert client.calls == ["/me"]
        others = client.at_once([shown(token, *proofs()(token)) for _ in range(20)])
        assert kinds(others) == {(200, None): 20}

    @pytest.mark.row("N14")
    def test_what_one_worker_has_seen_is_new_to_none(self, tmp_path: Path) -> None:
        """A proof is not served by a second worker, nor after a restart; another one is."""
        store, token = f"sqlite://{tmp_path}/proofs", bound()
        [made] = proofs()(token)
        client = self.worker(**another(store=store))
        assert client.request(*shown(token, made)).status == 200
        for _ in range(2):
            client = self.worker(**another(store=store))
            for _ in range(2):
                answer = client.request(*shown(token, made))
                assert (answer.status, answer.json["code"]) == (401, "pop_invalid")
            assert client.calls == []
            assert client.request(*shown(token, *proofs()(token))).status == 200

    @pytest.mark.row("N18")
    def test_a_store_that_is_gone_lets_nobody_through(self, tmp_path: Path) -> None:
        """503 with the time to come again, for a license that is known and for one that is not."""
        place = tmp_path / "gone"
        place.mkdir()
        options = another(store=f"sqlite://{place}/proofs")
        client = self.worker(**options)
        # A framework may wait with its middleware for the first request.
        gate_for(Settings(**{**OPTIONS, **options}))
        shutil.rmtree(place)
        token = bound()
        for _ in range(2):
            answer = client.request(*shown(token, *proofs()(token)))
            assert (answer.status, answer.json["code"]) == (503, "license_unavailable")
            assert int(answer.header("Retry-After") or 0) >= 1
        assert client.calls == []
