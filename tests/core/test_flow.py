"""The two drivers: one script, driven in threads and in tasks, comes to the same end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from licet.core import flow
from licet.core.flow import Effect, Flow

Driver = Callable[[Flow[Any]], Any]


class Give:
    """An effect that returns a value, or raises it, and notes in which world it happened."""

    def __init__(self, outcome: object) -> None:
        self.outcome = outcome
        self.worlds: list[str] = []

    def run(self) -> Any:
        self.worlds.append("thread")
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    async def arun(self) -> Any:
        self.worlds.append("task")
        await checkpoint()
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


class Hang:
    """An effect that never ends."""

    def __init__(self) -> None:
        self.begun = anyio.Event()

    def run(self) -> None:
        raise NotImplementedError

    async def arun(self) -> None:
        self.begun.set()
        await anyio.sleep_forever()


@pytest.fixture(params=["run", "arun on asyncio", "arun on trio"])
def drive(request: pytest.FixtureRequest) -> Driver:
    """Each way to drive a flow to its end."""
    if request.param == "run":
        return flow.run
    backend = request.param.rpartition(" ")[2]
    return lambda script: anyio.run(flow.arun, script, backend=backend)


class Scripts:
    """Flows that note the way they went."""

    def __init__(self) -> None:
        self.notes: list[object] = []

    def asks(self, *effects: Effect[Any]) -> Generator[Effect[Any], Any, str]:
        """Yield each effect and note what comes back, or what is thrown in."""
        try:
            for effect in effects:
                try:
                    self.notes.append((yield effect))
                except LookupError as error:
                    self.notes.append(error)
            return "verdict"
        finally:
            self.notes.append("finally")


def test_a_flow_without_effects_just_returns(drive: Driver) -> None:
    """A decision that needs nothing of the world is had at once."""
    assert drive(Scripts().asks()) == "verdict"


def test_results_come_back_in_order(drive: Driver) -> None:
    """What an effect returns is what its `yield` evaluates to, None and false values included."""
    scripts = Scripts()
    assert drive(scripts.asks(Give(1), Give(None), Give(False))) == "verdict"
    assert scripts.notes == [1, None, False, "finally"]


def test_an_effect_happens_once_and_in_the_drivers_world() -> None:
    """`run` calls `run`, `arun` calls `arun`, each once."""
    effect = Give(1)
    flow.run(Scripts().asks(effect))
    anyio.run(flow.arun, Scripts().asks(effect))
    assert effect.worlds == ["thread", "task"]


def test_an_effect_that_fails_is_thrown_in(drive: Driver) -> None:
    """`except` stands in the flow, which goes on as it likes."""
    scripts, error = Scripts(), KeyError("x")
    assert drive(scripts.asks(Give(error), Give(2))) == "verdict"
    assert scripts.notes == [error, 2, "finally"]


def test_what_a_flow_does_not_catch_comes_out(drive: Driver) -> None:
    """An error the flow lets pass reaches the caller unchanged, after the flow's `finally`."""
    scripts, error = Scripts(), ValueError("x")
    with pytest.raises(ValueError, match="x") as caught:
        drive(scripts.asks(Give(error), Give(2)))
    assert caught.value is error
    assert scripts.notes == ["finally"]


def test_a_flow_may_fail_by_itself(drive: Driver) -> None:
    """What the flow raises of its own is what the caller sees."""

    def script() -> Flow[None]:
        yield Give(1)
        raise PermissionError

    with pytest.raises(PermissionError):
        drive(script())


def test_an_effect_cannot_end_a_flow_by_stop_iteration(drive: Driver) -> None:
    """A stray StopIteration of an effect is an error (PEP 479) and not a verdict of None."""
    with pytest.raises(RuntimeError) as caught:
        drive(Scripts().asks(Give(StopIteration("forged verdict"))))
    assert isinstance(caught.value.__cause__, StopIteration)


def test_flows_nest(drive: Driver) -> None:
    """`yield from` hands effects out and results in, through as many flows as there are."""
    inner = Scripts()

    def outer() -> Flow[list[object]]:
        verdict = yield from inner.asks(Give(1), Give(KeyError("x")))
        return [verdict, (yield Give(2))]

    assert drive(outer()) == ["verdict", 2]
    assert [type(note) for note in inner.notes] == [int, KeyError, str]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), GeneratorExit()], ids=repr)
def test_an_exit_closes_the_flow_and_is_not_thrown_in(error: BaseException) -> None:
    """What is no Exception ends the thread's work: the flow only runs its `finally`."""
    scripts = Scripts()
    with pytest.raises(type(error)) as caught:
        flow.run(scripts.asks(Give(error)))
    assert caught.value is error, "kept, as a debugger keeps it"
    assert scripts.notes == ["finally"]


@pytest.mark.anyio
async def test_cancellation_closes_the_flow() -> None:
    """A cancelled task runs the flow's `finally` at once and throws nothing into it."""
    scripts, hang = Scripts(), Hang()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flow.arun, scripts.asks(hang))
            await hang.begun.wait()
            assert scripts.notes == []
            tasks.cancel_scope.cancel()
    assert scripts.notes == ["finally"]


@pytest.mark.anyio
async def test_a_kept_cancellation_closes_the_flow_too() -> None:
    """Somebody who keeps the cancellation keeps the frame: the `finally` runs all the same."""
    scripts, hang = Scripts(), Hang()
    kept: list[BaseException] = []

    async def ask() -> None:
        try:
            await flow.arun(scripts.asks(hang))
        except anyio.get_cancelled_exc_class() as error:
            kept.append(error)
            assert scripts.notes == ["finally"]
            raise

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await hang.begun.wait()
            tasks.cancel_scope.cancel()
    assert len(kept) == 1


def test_peek_returns_what_needs_no_effect() -> None:
    """A decision that needs nothing of the world can be peeked at."""
    assert flow.peek(Scripts().asks()) == "verdict"


def test_peek_lets_errors_out() -> None:
    """A refusal that needs nothing of the world comes out as it is."""

    def script() -> Flow[None]:
        raise PermissionError
        yield Give(1)

    with pytest.raises(PermissionError):
        flow.peek(script())


def test_peek_performs_no_effect() -> None:
    """Where the world is asked, peeking closes the flow, performs nothing and says so."""
    scripts, effect = Scripts(), Give(1)
    with pytest.raises(flow.WouldWait):
        flow.peek(scripts.asks(effect))
    assert effect.worlds == []
    assert scripts.notes == ["finally"]
