"""Change the source, one spot at a time, and see that a test notices: `tox -e mutation`.

    python -m tests.mutation.run [--directory DIRECTORY] [--jobs 2]

Fails where fewer than nine in ten mutants are killed, and where a survivor is not among those that
`survivors.toml` excuses. Constants of modules, conditions that are one `isinstance` and properties
are not mutated: the tests state those by value. Mutants are made and run in a scratch copy; the
checkout stays as it is.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LEAST = 0.9
#: A mutant that never ends is noticed as well as one that fails.
KILLED = frozenset({"killed", "timeout", "segfault"})


def mutmut(directory: Path, *arguments: str) -> str:
    """Run mutmut in `directory` and return what it says."""
    run = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SystemExit(f"mutmut {arguments[0]} failed:\n{run.stdout[-20_000:]}")
    return run.stdout


def prepare(directory: Path) -> None:
    """Lay a copy of the source and of the core's tests into `directory`."""
    junk = shutil.ignore_patterns("__pycache__")
    for name in ("src", "tests/core"):
        shutil.copytree(ROOT / name, directory / name, dirs_exist_ok=True, ignore=junk)
    for path in (ROOT / "tests").glob("*.py"):
        if not path.name.startswith("test_"):
            shutil.copy(path, directory / "tests")
    whole = (ROOT / "pyproject.toml").read_text() + "\n" + (HERE / "mutmut.toml").read_text()
    (directory / "pyproject.toml").write_text(whole)


def outcomes(directory: Path) -> dict[str, str]:
    """Return what became of each mutant."""
    lines = mutmut(directory, "results", "--all", "true").splitlines()
    pairs = (line.strip().rpartition(": ") for line in lines if "__mutmut_" in line)
    return {name: outcome for name, _, outcome in pairs}


def function_of(mutant: str) -> str:
    """Return module and function of a mutant, from the name that mutmut gives it."""
    module, _, mangled = mutant.removeprefix("licet.core.").rpartition(".")
    name = re.sub(r"__mutmut_\d+$", "", mangled)
    name = name.replace("xǁ", "").replace("ǁ", ".") if "ǁ" in name else name.removeprefix("x_")
    return f"{module}.{name}"


def changed_line(directory: Path, mutant: str) -> str:
    """Return the line that makes the mutant one."""
    diff = mutmut(directory, "show", mutant).splitlines()
    return " ".join(line[1:].strip() for line in diff if re.match(r"\+(?!\+\+)", line))


def main() -> int:
    """Return 0 where enough mutants were killed and every survivor is excused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="licet-mutation-"))
    prepare(directory)
    mutmut(directory, "run", "--max-children", str(options.jobs))
    found = outcomes(directory)
    modules: dict[str, Counter[str]] = {}
    for mutant, outcome in found.items():
        module = mutant.rpartition(".")[0].removeprefix("licet.core.")
        modules.setdefault(module, Counter())["killed" if outcome in KILLED else "alive"] += 1
    for module, counts in sorted(modules.items()):
        print(f"{module}: {counts['killed']} of {counts.total()} killed")
    killed = sum(counts["killed"] for counts in modules.values())
    score = killed / len(found) if found else 0.0
    print(f"all: {killed} of {len(found)} killed, {score:.1%}")
    listed = tomllib.loads((HERE / "survivors.toml").read_text())["survivor"]
    excused = {(one["function"], one["line"]) for one in listed}
    alive = {
        (function_of(mutant), changed_line(directory, mutant)): outcome
        for mutant, outcome in found.items()
        if outcome not in KILLED
    }
    for (function, line), outcome in alive.items():
        if (function, line) not in excused:
            print(f"not excused, {outcome}: {function}\n    {line}")
    for function, line in sorted(excused - alive.keys()):
        print(f"excused and gone: {function}\n    {line}")
    return 0 if score >= LEAST and alive.keys() <= excused else 1


if __name__ == "__main__":
    sys.exit(main())
