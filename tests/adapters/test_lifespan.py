"""What is still to be told has its moment when an ASGI server stops."""

from __future__ import annotations

from typing import Any

import pytest

from licet.asgi import LicenseMiddleware
from licet.core import shutdown
from tests.licenses import OPTIONS


class Ending:
    """Something that has something left to do."""

    def __init__(self, told: list[str]) -> None:
        self.told = told
        shutdown.tell_of_end(self)

    def finish(self, seconds: float) -> None:
        """Do it."""
        self.told.append("finished")


@pytest.mark.anyio
@pytest.mark.parametrize("end", ["lifespan.shutdown.complete", "lifespan.shutdown.failed"])
async def test_all_is_finished_before_the_server_is_told(end: str) -> None:
    """After the application's own end, whichever that is; each is asked twice."""
    told: list[str] = []
    ending = Ending(told)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})
        await send({"type": end})

    async def send(message: Any) -> None:
        told.append(message["type"])

    async def receive() -> Any:
        raise AssertionError("nothing is received")

    await LicenseMiddleware(app, **OPTIONS)({"type": "lifespan"}, receive, send)
    assert told == ["lifespan.startup.complete", "finished", "finished", end]
    del ending


def test_one_that_fails_keeps_no_other_from_its_end() -> None:
    """Nor the process."""
    told: list[str] = []

    class Broken(Ending):
        def finish(self, seconds: float) -> None:
            raise RuntimeError("broken")

    endings = [Broken(told), Ending(told), Broken(told)]
    shutdown.finish(5)
    assert told == ["finished"] * 2
    del endings


def test_what_one_leaves_to_another_is_finished_too() -> None:
    """In whatever order they are asked."""
    done: list[str] = []

    class Second:
        left = False

        def finish(self, seconds: float) -> None:
            if self.left:
                done.append("second")
                self.left = False

    class First:
        left = True

        def finish(self, seconds: float) -> None:
            for one in seconds_in_line if self.left else ():
                one.left = True
            self.left = False

    # As a set has them in no order, one of these comes before and one after the first.
    seconds_in_line, first = [Second() for _ in range(20)], First()
    endings: list[shutdown.Ending] = [*seconds_in_line, first]
    for ending in endings:
        shutdown.tell_of_end(ending)
    shutdown.finish(5)
    assert done == ["second"] * 20
