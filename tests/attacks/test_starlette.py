"""The attack table through Starlette."""

from __future__ import annotations

import pytest

from tests.attacks.conduct import ConductContract
from tests.attacks.contract import AttackContract
from tests.attacks.replay import ReplayContract

pytest.importorskip("starlette")

from tests.adapters.test_starlette import OnStarlette


class TestAsyncio(OnStarlette, AttackContract, ConductContract, ReplayContract):
    """Every row, under asyncio."""

    backend = "asyncio"
