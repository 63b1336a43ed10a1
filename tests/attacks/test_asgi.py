"""The attack table through plain ASGI."""

from __future__ import annotations

from tests.adapters.test_asgi import OnAsgi
from tests.attacks.conduct import ConductContract
from tests.attacks.contract import AttackContract


class TestAsyncio(OnAsgi, AttackContract, ConductContract):
    """… under asyncio."""

    backend = "asyncio"


class TestTrio(OnAsgi, ConductContract):
    """… under trio, what is about conduct."""

    backend = "trio"
