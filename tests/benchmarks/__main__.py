"""Measure the rows and print one table.

    python -m tests.benchmarks [--rows 1,3] [--quick] [--rounds 120] [--json PATH]

Ends well whatever was measured: other work on the machine must not break a build. What must hold
before anything is timed (good licenses served, forged ones refused) is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.harness import QUICK, Plan
from tests.benchmarks.rows import Result, table

#: Which rows a module measures, in the order in which they run. The threads come late, and the
#: servers last: both leave the machine warm.
GROUPS = {
    "core": (3, 4, 10, 11, 15, 16),
    "asgi": (1, 2),
    "flask": (5,),
    "django": (6, 17),
    "fastapi": (7,),
    "usage": (19,),
    "conditions": (20,),
    "revocation": (26, 27),
    "events": (29, 30),
    "network": (8,),
    "online": (21, 22, 23, 24, 25),
    "memory": (9, 12, 13, 14),
    "server": (18,),
    "validations": (28,),
}
DISTRIBUTIONS = (
    "PyJWT cryptography starlette fastapi Flask Django uvicorn flask-jwt-extended"
    " djangorestframework djangorestframework-simplejwt auth0-fastapi-api"
).split()


def _numbers(text: str) -> set[int]:
    numbers = {int(number) for number in text.split(",")}
    if unknown := numbers - {number for rows in GROUPS.values() for number in rows}:
        raise argparse.ArgumentTypeError(f"no row {', '.join(map(str, sorted(unknown)))}")
    return numbers


def measure(wanted: set[int], plan: Plan) -> list[Result]:
    """Return the results of the rows `wanted`, in the order of the rows."""
    results: list[Result] = []
    for name, rows in GROUPS.items():
        if wanted.isdisjoint(rows):
            continue
        began = time.monotonic()
        # Imported here, so that a few rows do not need every peer.
        module = import_module(f"tests.benchmarks.{name}")
        results += [result for result in module.run(plan) if result.row.number in wanted]
        sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s\n")
    return sorted(results, key=lambda result: result.row.number)


def surroundings(plan: Plan) -> dict[str, object]:
    """Return what the figures depend on."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "rounds": plan.rounds,
        "versions": {name: version(name) for name in DISTRIBUTIONS},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    every = {number for rows in GROUPS.values() for number in rows}
    parser.add_argument("--rows", type=_numbers, default=every, help="their numbers, by commas")
    parser.add_argument("--quick", action="store_true", help="see that it runs; the figures lie")
    parser.add_argument("--rounds", type=int, help="how often each case is timed; at least 40")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the table there as well")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else Plan()
    if options.rounds:
        plan = replace(plan, rounds=options.rounds)
    before = surroundings(plan)
    results = measure(options.rows, plan)
    if options.json:
        document = {"surroundings": before, "results": [result.as_json() for result in results]}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(table(results) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
