"""Where code far from the request finds its entitlements."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import anyio
import pytest
from anyio.lowlevel import checkpoint

from licet.core.entitlements import Entitlements, context
from licet.core.entitlements.context import bind, current, current_entitlements, find_entitlements

ONE, TWO = Entitlements.unlicensed(), Entitlements.unlicensed()


@pytest.fixture
def sources() -> Iterator[None]:
    """Put back the sources that adapters registered."""
    before = context._sources[:]
    context._sources.clear()
    yield
    context._sources[:] = before


def test_outside_of_everything_there_is_none() -> None:
    """Without middleware and `bind` code that asks is told what is missing."""
    assert find_entitlements() is None
    with pytest.raises(RuntimeError, match=r"add Licet's LicenseMiddleware.*licet\.bind"):
        current_entitlements()


def raise_under(entitlements: Entitlements) -> None:
    assert current_entitlements() is entitlements
    raise ZeroDivisionError


def test_bind_lasts_as_long_as_its_block() -> None:
    """Blocks nest, and end also where something is raised."""
    with bind(ONE) as bound:
        assert bound is current_entitlements() is ONE
        with pytest.raises(ZeroDivisionError), bind(TWO):
            raise_under(TWO)
        assert current_entitlements() is ONE
    assert find_entitlements() is None


def test_unlicensed_entitlements_are_entitlements() -> None:
    """They are false, and found all the same: an unlicensed request is no missing middleware."""
    assert not ONE
    with bind(ONE):
        assert find_entitlements() is ONE


def test_a_block_of_a_generator_may_end_in_another_context() -> None:
    """A body that is closed elsewhere ends its block there without an error."""

    def body() -> Iterator[Entitlements]:
        with bind(ONE):
            yield current_entitlements()

    steps = body()
    assert next(steps) is ONE
    thread = threading.Thread(target=steps.close)  # type: ignore[attr-defined]
    thread.start()
    thread.join(10)
    current.set(None)


def test_a_thread_begins_without() -> None:
    """What one thread binds no other sees."""
    seen: list[Entitlements | None] = []
    with bind(ONE):
        thread = threading.Thread(target=lambda: seen.append(find_entitlements()))
        thread.start()
        thread.join(10)
    assert seen in ([None], [ONE]), "from 3.14 on threads may inherit the context"


@pytest.mark.anyio
async def test_tasks_keep_their_own() -> None:
    """Tasks side by side see each its own, and a child what its parent had."""
    seen: dict[str, Entitlements | None] = {}

    async def work(name: str, entitlements: Entitlements) -> None:
        with bind(entitlements):
            await checkpoint()
            seen[name] = find_entitlements()
            async with anyio.create_task_group() as children:
                children.start_soon(child, name)

    async def child(name: str) -> None:
        seen[f"child of {name}"] = find_entitlements()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, "one", ONE)
        tasks.start_soon(work, "two", TWO)
    assert seen == {"one": ONE, "two": TWO, "child of one": ONE, "child of two": TWO}
    assert find_entitlements() is None


@pytest.mark.usefixtures("sources")
def test_adapters_may_add_sources() -> None:
    """Where the variable is empty each source is asked in turn, once; the variable comes first."""
    asked: list[str] = []

    def empty() -> Entitlements | None:
        asked.append("empty")
        return None

    def full() -> Entitlements | None:
        asked.append("full")
        return TWO

    for source in (empty, full, empty):
        context.register_source(source)
    assert current_entitlements() is TWO
    assert asked == ["empty", "full"]
    with bind(ONE):
        assert current_entitlements() is ONE
    assert asked == ["empty", "full"]


@pytest.mark.usefixtures("sources")
def test_sources_that_know_nothing_change_nothing() -> None:
    """Where no source has an answer there is none."""
    context.register_source(lambda: None)
    assert find_entitlements() is None
