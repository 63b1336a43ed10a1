"""The attack table through Starlette."""

from __future__ import annotations

import pytest

from tests.attacks.conduct import ConductContract
from tests.attacks.contract import AttackContract

pytest.importorskip("starlette")

from tests.adapters.test_starlette import OnStarlette


class TestAsyncio(OnStarlette, AttackContract, ConductContract):
    """Every row, under asyncio."""

    backend = "asyncio"
