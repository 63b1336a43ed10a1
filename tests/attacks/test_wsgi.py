"""The attack table through plain WSGI."""

from __future__ import annotations

from tests.adapters.test_wsgi import OnWsgi
from tests.attacks.conduct import ConductContract
from tests.attacks.contract import AttackContract


class TestWsgi(OnWsgi, AttackContract, ConductContract):
    """Every row."""
