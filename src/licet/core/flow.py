"""One decision, two worlds: a generator that yields effects, and the two drivers that run it.

A decision is written once, as a generator. Where it has to wait for the world it yields an
effect, which knows how to happen in a thread (`run`) and in an event loop (`arun`). An effect
that fails is thrown into the generator, so `except` stands in the core, where it can be read.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Effect(Protocol[T_co]):
    """Something the world has to do before a decision can go on."""

    def run(self) -> T_co:
        """Do it in this thread, blocking it."""
        ...

    async def arun(self) -> T_co:
        """Do it in this task, under asyncio or trio, without blocking the event loop."""
        ...


#: A decision under way: yields effects, receives their results, returns its verdict.
Flow: TypeAlias = Generator[Effect[Any], Any, T]


class WouldWait(Exception):
    """Raised by `peek`: the decision cannot be had without waiting for the world."""


def run(flow: Flow[T]) -> T:
    """Drive `flow` to its end in this thread.

    Returns:
        What the generator returns.

    Raises:
        Exception: whatever the generator lets out.
    """
    # Closed by hand in every case: an exception that somebody keeps would hold the frame, and
    # the generator's own `finally` would not run.
    try:
        effect = next(flow)
        while True:
            try:
                result = effect.run()
            except Exception as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()


async def arun(flow: Flow[T], asked: Effect[Any] | None = None) -> T:
    """Drive `flow` to its end in this task, under asyncio or trio.

    Cancellation is not thrown into the generator, it closes it.

    Args:
        flow: the decision.
        asked: what it has asked for already, where somebody has begun it.

    Returns:
        What the generator returns.

    Raises:
        Exception: whatever the generator lets out.
    """
    try:
        effect = next(flow) if asked is None else asked
        while True:
            try:
                result = await effect.arun()
            except Exception as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()


def peek(flow: Flow[T]) -> T:
    """Return what `flow` decides from what is already known, waiting for nothing.

    Raises:
        WouldWait: the generator asked for an effect.
        Exception: whatever else the generator lets out.
    """
    try:
        next(flow)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()
    raise WouldWait
