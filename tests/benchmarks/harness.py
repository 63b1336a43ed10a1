"""How a case is timed: shuffled inside each round, the collector off, the least of all rounds.

Cases are compared within one run only. Inputs are made outside the timed region and anew for each
request: a `str` or `bytes` that is used again has its hash in it, and flatters look-ups.
"""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Args:
        rounds: how often each case is timed.
        cached: how many grants the full caches hold.
        pairs: how many times two servers, or one thread and eight, are compared.
    """

    rounds: int = 120
    cached: int = 100_000
    pairs: int = 16


QUICK = Plan(rounds=3, cached=2_000, pairs=2)


@dataclass(frozen=True)
class Case:
    """One thing that is timed.

    Args:
        name: by which its time is found.
        inputs: returns so many new inputs.
        timed: handles inputs, returns the seconds that took.
        size: how many inputs make one batch; some milliseconds are enough.
    """

    name: str
    inputs: Callable[[int], Sequence[Any]]
    timed: Callable[[Sequence[Any]], float]
    size: int = 200


def each(function: Callable[[Any], object]) -> Callable[[Sequence[Any]], float]:
    """Return what times `function` over inputs."""

    def timed(inputs: Sequence[Any]) -> float:
        began = time.perf_counter()
        for one in inputs:
            function(one)
        return time.perf_counter() - began

    return timed


def each_async(
    function: Callable[[Any], Any], loop: asyncio.AbstractEventLoop
) -> Callable[[Sequence[Any]], float]:
    """Return what times a coroutine function over inputs, inside of one task."""

    async def batch(inputs: Sequence[Any]) -> float:
        began = time.perf_counter()
        for one in inputs:
            await function(one)
        return time.perf_counter() - began

    return lambda inputs: loop.run_until_complete(batch(inputs))


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector out of what is timed."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def least(cases: Sequence[Case], rounds: int) -> dict[str, float]:
    """Return the least time of each case over `rounds`, in microseconds per input."""
    found = {case.name: float("inf") for case in cases}
    assert len(found) == len(cases), "two cases of one name"
    for case in cases:
        case.timed(case.inputs(case.size))
    order = list(cases)
    for _ in range(rounds):
        random.shuffle(order)
        gc.collect()
        for case in order:
            inputs = case.inputs(case.size + 1)
            with uncollected():
                # What comes by once in a while, as a look at a hit, would in each short batch come
                # by with the first; what that takes in all is a row of its own.
                case.timed(inputs[:1])
                seconds = case.timed(inputs[1:])
            found[case.name] = min(found[case.name], seconds / case.size * 1e6)
    return found


def together(function: Callable[[Any], object], shares: Sequence[Sequence[Any]]) -> float:
    """Return the seconds in which one thread for each share handles its inputs."""
    start = threading.Barrier(len(shares) + 1)

    def work(share: Sequence[Any]) -> None:
        start.wait()
        for one in share:
            function(one)

    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    with uncollected():
        start.wait()
        began = time.perf_counter()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began
