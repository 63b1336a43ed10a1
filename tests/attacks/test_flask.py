"""The attack table through Flask."""

from __future__ import annotations

import pytest

from tests.attacks.conduct import ConductContract
from tests.attacks.contract import AttackContract
from tests.attacks.replay import ReplayContract

pytest.importorskip("flask")

from tests.adapters.test_flask import OnFlask


class TestFlask(OnFlask, AttackContract, ConductContract, ReplayContract):
    """Every row."""
