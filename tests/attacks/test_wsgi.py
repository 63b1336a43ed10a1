"""The attack table through plain WSGI."""

from __future__ import annotations

from tests.adapters.test_wsgi import OnWsgi
from tests.attacks.conduct import ConductContract
from tests.attacks.contract import AttackContract
from tests.attacks.online import OnlineRequestContract
from tests.attacks.replay import ReplayContract


class TestWsgi(OnWsgi, AttackContract, ConductContract, OnlineRequestContract, ReplayContract):
    """Every row."""
