"""The attack table through plain ASGI."""

from __future__ import annotations

from tests.adapters.test_asgi import OnAsgi
from tests.attacks.conduct import ConductContract
from tests.attacks.contract import AttackContract
from tests.attacks.online import OnlineRequestContract
from tests.attacks.replay import ReplayContract


class TestAsyncio(OnAsgi, AttackContract, ConductContract, OnlineRequestContract, ReplayContract):
    """… under asyncio."""

    backend = "asyncio"


class TestTrio(OnAsgi, ConductContract, OnlineRequestContract, ReplayContract):
    """… under trio, what is about conduct and questions."""

    backend = "trio"
