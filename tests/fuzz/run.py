"""Fuzz every target for a bounded time and say how far it came: `tox -e fuzz`.

    python -m tests.fuzz.run [--seconds 60] [--keep DIRECTORY] [TARGET …]

What is found starts from the saved corpus and is kept in a scratch directory, or in `--keep`,
below the target's name; an input that breaks its target lies there too, and its path is printed.
Whoever mends the defect moves that input to `corpus/`, where the ordinary suite replays it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
TARGETS = ("token", "jwks", "request")
#: Longer inputs than these show nothing new and cost executions.
MAX_LENGTH = {"token": 4096, "jwks": 4096, "request": 2048}


def fuzz(target: str, seconds: int, found: Path) -> bool:
    """Run one target; return whether nothing broke it."""
    found.mkdir(parents=True, exist_ok=True)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.harness", target),
            *(f"-max_total_time={seconds}", f"-max_len={MAX_LENGTH[target]}", "-timeout=10"),
            *(f"-dict={HERE / f'{target}.dict'}", f"-artifact_prefix={found}{os.sep}broken-"),
            *("-rss_limit_mb=2048", "-print_final_stats=1"),
            *(str(found), str(HERE / "corpus" / target)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    done = re.search(r"Done (\d+) runs in (\d+) second", run.stdout)
    covered = re.findall(r"cov: (\d+)", run.stdout)
    if run.returncode or not done or not int(done[1]):
        print(run.stdout[-20_000:], flush=True)
        print(f"{target}: broken, see {found}")
        return False
    print(
        f"{target}: {int(done[1]):,} executions in {done[2]} s, {covered[-1]} branches, 0 findings",
        flush=True,
    )
    return True


def main() -> int:
    """Return 0 where no input broke a target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=int(os.environ.get("FUZZ_SECONDS", "60")))
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}")
    directory = options.keep or Path(tempfile.mkdtemp(prefix="licet-fuzz-"))
    outcomes = [
        fuzz(target, options.seconds, directory / target) for target in options.targets or TARGETS
    ]
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
