"""A process that judges credentials and ends: what it must remember it keeps outside itself.

    python -m tests.core.restarted '{"options": {…}, "credentials": ["…"]}'

Prints what became of each credential, in JSON, once; with a pause and again, until nothing that
was asked behind a request is left to be told.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from licet.core.gate import Gate
from licet.core.settings import Settings
from tests.core.worlds import arbiter_of, at_rest, verdict

ROOT = Path(__file__).parents[2]


def judged(options: dict[str, Any], *credentials: str, again: bool = False) -> list[str]:
    """Judge credentials in a process of their own; return `yes`, or why each is refused.

    Args:
        options: of its settings.
        credentials: what is presented.
        again: whether to return what becomes of them once what they brought about is done.
    """
    task = json.dumps({"options": options, "credentials": credentials, "again": again})
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.restarted", task],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    told: list[str] = json.loads(done.stdout)
    return told


def main(task: dict[str, Any]) -> list[str]:
    """Judge them, in this process."""
    gate = Gate(Settings(**task["options"]))
    told = [verdict(gate, one) for one in task["credentials"]]
    if task["again"]:
        if gate._judgements.arbiter is not None:
            assert arbiter_of(gate)
            at_rest(gate)
        told = [verdict(gate, one) for one in task["credentials"]]
    return told


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))))
