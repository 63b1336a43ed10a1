"""Change the source, one spot at a time, and see that a test notices: `tox -e mutation`.

    python -m tests.mutation.run [--directory DIRECTORY] [--jobs 2]

Fails where fewer than nine in ten mutants of a room are killed, where a survivor is not among those
that `survivors.toml` excuses, and where one of those is killed: then the excuse is wrong, or the
run. A room is a package of the core; its own modules are one more.
Constants of modules, conditions that are one `isinstance` and properties are not mutated: the tests
state those by value. Mutants are made and run in a scratch copy; the checkout stays as it is.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LEAST = 0.9
#: A mutant that never ends is noticed as well as one that fails.
KILLED = frozenset({"killed", "timeout", "segfault"})
#: Joined to the scratch directory's conftest, for mutants are run in children of a process that has
#: run the tests already. Tests are collected again in each; pytest would escape the ids it made the
#: first time once more, then find no test by the name that mutmut gives it, and mutmut would take
#: the mutant for killed. And what was remembered of a test before is an answer no mutant gives.
ANEW = """

@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc):
    for mark in metafunc.definition.iter_markers("parametrize"):
        object.__setattr__(mark._param_ids_from or mark, "_param_ids_generated", None)


REMEMBERING = []


def pytest_collection_finish(session):
    import functools, gc

    for each in gc.get_objects():
        if isinstance(each, functools._lru_cache_wrapper):
            if getattr(each, "__module__", "").startswith("licet."):
                REMEMBERING.append(each)


def pytest_runtest_setup(item):
    for each in REMEMBERING:
        each.cache_clear()
"""


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
    """Lay a copy of the source and of the core's tests, with their vectors, into `directory`."""
    # mutmut would go by what it found there before, with other tests.
    shutil.rmtree(directory / "mutants", ignore_errors=True)
    junk = shutil.ignore_patterns("__pycache__")
    for name in ("src", "tests/core", "tests/vectors"):
        shutil.copytree(ROOT / name, directory / name, dirs_exist_ok=True, ignore=junk)
    for path in (ROOT / "tests").glob("*.py"):
        if not path.name.startswith("test_"):
            shutil.copy(path, directory / "tests")
    conftest = directory / "tests" / "conftest.py"
    conftest.write_text(conftest.read_text() + ANEW)
    for path in (directory / "src" / "licet" / "core").rglob("*.py"):
        path.write_text(undecorated(path.read_text()))
    whole = (ROOT / "pyproject.toml").read_text() + "\n" + (HERE / "mutmut.toml").read_text()
    (directory / "pyproject.toml").write_text(whole)


def undecorated(source: str) -> str:
    """Return `source` with `lru_cache` behind functions: mutmut passes over decorated ones."""
    lines = source.splitlines(keepends=True)
    for node in reversed(ast.parse(source).body):
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if (decorator := ast.unparse(mark)).startswith("lru_cache"):
                lines.insert(node.end_lineno or 0, f"{node.name} = {decorator}({node.name})\n")
                del lines[mark.lineno - 1 : mark.end_lineno]
    return "".join(lines)


def outcomes(directory: Path) -> dict[str, str]:
    """Return what became of each mutant."""
    lines = mutmut(directory, "results", "--all", "true").splitlines()
    pairs = (line.strip().rpartition(": ") for line in lines if "__mutmut_" in line)
    return {name: outcome for name, _, outcome in pairs}


def room_of(module: str) -> str:
    """Return the room that a module is in: its package, or the core itself."""
    return module.rpartition(".")[0] or "core"


def tally(found: dict[str, str], group: Callable[[str], str]) -> dict[str, Counter[str]]:
    """Return how many mutants were killed, and how many were not, by `group` of their module."""
    counts: dict[str, Counter[str]] = {}
    for mutant, outcome in sorted(found.items()):
        module = mutant.rpartition(".")[0].removeprefix("licet.core.")
        fate = "killed" if outcome in KILLED else "alive"
        counts.setdefault(group(module), Counter())[fate] += 1
    return counts


def function_of(mutant: str) -> str:
    """Return module and function of a mutant, from the name that mutmut gives it."""
    module, _, mangled = mutant.removeprefix("licet.core.").rpartition(".")
    name = re.sub(r"__mutmut_\d+$", "", mangled)
    name = name.replace("xǁ", "").replace("ǁ", ".") if "ǁ" in name else name.removeprefix("x_")
    return f"{module}.{name}"


def changed_line(directory: Path, mutant: str) -> str:
    """Return the line that makes the mutant one; behind a minus what is gone, if nothing came."""
    diff = mutmut(directory, "show", mutant).splitlines()
    came = " ".join(line[1:].strip() for line in diff if re.match(r"\+(?!\+\+)", line))
    gone = " ".join(line[1:].strip() for line in diff if re.match(r"-(?!--)", line))
    return came or f"-{gone}"


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
    for module, counts in tally(found, str).items():
        print(f"{module}: {counts['killed']} of {counts.total()} killed")
    enough = bool(found)
    for room, counts in tally(found, room_of).items():
        score = counts["killed"] / counts.total()
        enough = enough and score >= LEAST
        print(f"all of {room}: {counts['killed']} of {counts.total()} killed, {score:.1%}")
    listed = tomllib.loads((HERE / "survivors.toml").read_text())["survivor"]
    excused = {(one["function"], line) for one in listed for line in one["lines"]}
    suspects = {function for function, _ in excused}
    # Only these are looked at one by one, which takes its time.
    looked_at = [
        mutant
        for mutant, outcome in found.items()
        if outcome not in KILLED or function_of(mutant) in suspects
    ]
    with ThreadPoolExecutor(options.jobs) as pool:
        lines = pool.map(partial(changed_line, directory), looked_at)
        fates = {
            (function_of(mutant), line): found[mutant]
            for mutant, line in zip(looked_at, lines, strict=True)
        }
    wrong = {
        one: outcome
        for one, outcome in fates.items()
        if (outcome not in KILLED and one not in excused)
        or (outcome == "killed" and one in excused)
    }
    for (function, line), outcome in wrong.items():
        print(f"{outcome} and {'' if (function, line) in excused else 'not '}excused: {function}")
        print(f"    {line}")
    for function, line in sorted(excused - fates.keys()):
        print(f"excused and gone: {function}\n    {line}")
    return 0 if enough and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
