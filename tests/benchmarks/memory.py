"""Rows of many licenses and many threads: growth, bytes and throughput."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from statistics import median

from licet.core import flow
from licet.core.gate import Gate
from tests.benchmarks.core import always_missing
from tests.benchmarks.harness import Case, Plan, each, least, together
from tests.benchmarks.material import copies, settings, signer
from tests.benchmarks.rows import Result, Row, made_of

THREADS = 8
HITS = Row(13, "hits per second, 8 threads / 1", 0.85, 0.95, most=False)
MISSES = Row(14, "misses per second, 8 threads / 1, Ed25519", 1.3, 1.6, most=False)


def run(plan: Plan) -> Iterator[Result]:
    """Measure rows 9, 12, 13 and 14."""
    yield from _filled(plan)
    quick = plan.pairs < 16
    few = Gate(settings())
    tokens = signer("Ed25519").tokens(64)
    for token in tokens:
        flow.run(few.verify(token))
    hits, spread = _throughput(few.recall, tokens, 2_000 if quick else 40_000, 5)
    yield Result(HITS, hits, f"median of 5, {spread}")
    misses, spread = _throughput(always_missing(), tokens, 160 if quick else 2_400, 9)
    yield Result(MISSES, misses, f"median of 9 pairs, {spread}")


def _filled(plan: Plan) -> Iterator[Result]:
    tokens = signer("Ed25519").tokens(plan.cached)
    full, few = (Gate(settings(grant_cache_size=size)) for size in (plan.cached, 10))
    flow.run(full.verify(signer("Ed25519").token()))
    for token in tokens[:10]:
        flow.run(few.verify(token))
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for token in tokens:
        flow.run(full.verify(token))
    gc.collect()
    size = (tracemalloc.get_traced_memory()[0] - before) / len(tokens)
    tracemalloc.stop()
    assert all(full.recall(token) for token in tokens[:: len(tokens) // 100])

    def at_random(some: Sequence[bytes]) -> Callable[[int], list[bytes]]:
        return lambda count: copies(random.choices(some, k=count))

    took = least(
        [
            Case("many", at_random(tokens), each(full.recall), 1_000),
            Case("few", at_random(tokens[:10]), each(few.recall), 1_000),
        ],
        plan.rounds,
    )
    many, few_ = took["many"], took["few"]
    row = Row(9, f"core hit with {plan.cached:,} grants / with 10", 2.2, 1.5)
    yield Result(row, many / few_, made_of(many=many, few=few_))
    row = Row(12, f"bytes per cached grant, {plan.cached:,} of one plan", 600, 400, unit=" B")
    yield Result(row, size)


def _throughput(
    function: Callable[[bytes], object], tokens: Sequence[bytes], count: int, times: int
) -> tuple[float, str]:
    """Return the median of throughput by eight threads over that by one, and all of them."""
    ratios = []
    for _ in range(times):
        alone = [copies(islice(cycle(tokens), count))]
        # Each begins elsewhere, so that no two ask for the same license at the same time.
        shares = [
            copies(islice(cycle(tokens), start, start + count // THREADS))
            for start in range(0, THREADS * 5, 5)
        ]
        ratios.append(together(function, alone) / together(function, shares))
    found = f"from {min(ratios):.2f} to {max(ratios):.2f}"
    return median(ratios), found
