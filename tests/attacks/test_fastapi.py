"""The attack table through FastAPI."""

from __future__ import annotations

import pytest

from tests.attacks.conduct import ConductContract
from tests.attacks.contract import AttackContract
from tests.attacks.replay import ReplayContract

pytest.importorskip("fastapi")

from tests.adapters.test_fastapi import OnFastAPI


class TestFastAPI(OnFastAPI, AttackContract, ConductContract, ReplayContract):
    """Every row."""
