"""Django's ASGI application hears of no beginning and no end; `with_lifespan` does."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

pytest.importorskip("django")

from django.test import override_settings

from licet.django.asgi import with_lifespan
from tests.adapters.django_project import PROJECT
from tests.adapters.test_lifespan import Ending
from tests.licenses import OPTIONS

#: As Django's settings have them.
LICENSED = {f"LICET_{name.upper()}": value for name, value in OPTIONS.items()}


def test_all_is_finished_before_the_server_is_told() -> None:
    """Django itself is asked for nothing but requests."""
    told: list[str] = []
    ending = Ending(told)
    words = iter(["lifespan.startup", "lifespan.shutdown"])

    async def django(scope: Any, receive: Any, send: Any) -> None:
        told.append(scope["type"])

    async def receive() -> Any:
        return {"type": next(words)}

    async def send(message: Any) -> None:
        told.append(message["type"])

    async def served() -> None:
        application = with_lifespan(django)
        await application({"type": "lifespan"}, receive, send)
        await application({"type": "http"}, receive, send)

    with override_settings(**PROJECT, **LICENSED):
        anyio.run(served)
    finished = ["finished"] * told.count("finished")
    assert told == [
        "lifespan.startup.complete",
        *finished,
        "lifespan.shutdown.complete",
        "http",
    ]
    assert finished
    del ending
