"""`python -m licet demo`, as a user runs it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from licet.cli.demo.scenes import whole_days
from licet.core.constraints.window import Windows

for framework in ("django", "flask", "starlette", "fastapi", "uvicorn", "gunicorn"):
    pytest.importorskip(framework)

ROOT = Path(__file__).parents[1]
#: Seconds; the demo takes about twenty.
BOUND = 180
SCENES = [
    "valid license",
    "no license",
    "forged",
    "tampered payload",
    "wrong audience",
    "expired",
    "feature missing",
    "role missing",
    "two credentials",
    "where it holds",
    "wrong domain",
    "wrong network",
    "wrong region",
    "outside the window",
    "origin licensed",
    "wrong origin",
    "holder with its key",
    "stolen, with proof",
    "stolen, another key",
    "stolen, without key",
    "key rotated",
    "key withdrawn",
    "opaque key",
    "opaque, unknown",
    "opaque, revoked",
    "opaque, wrong domain",
    "key set out of reach",
    "server stopped, warm",
    "server stopped, cold",
    "no answer, seen",
    "no answer, unseen",
]


class Demo:
    """A demo that runs, and what it has announced."""

    def __init__(self, *arguments: str) -> None:
        self.mark = secrets.token_hex(8)
        # Where tests run in the background SIGINT is ignored, and a child would inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "licet", "demo", *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "DEMO_OF_A_TEST": self.mark},
            )
        finally:
            signal.signal(signal.SIGINT, before)
        self.pids: dict[str, int] = {}
        self.said = ""

    def listen(self, sentence: str) -> None:
        """Read what it says on standard error until a line begins with `sentence`."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line
            if started := re.match(r"started (.+?) +pid (\d+)", line):
                self.pids.setdefault(started[1], int(started[2]))
            if line.startswith(sentence):
                return
        raise AssertionError(f"it ended without saying {sentence!r}:\n{self.said}")

    def end(self) -> tuple[int, str]:
        """Wait for its end and that of all it started; return its status and what it printed."""
        output, rest = self.process.communicate(timeout=BOUND)
        self.said += rest
        # A worker that has lost its master needs a moment to see that.
        deadline = time.monotonic() + 10
        while left := self.left_behind():
            assert time.monotonic() < deadline, f"it left {left} behind"
            time.sleep(0.05)
        return self.process.returncode, output

    def left_behind(self) -> list[str]:
        """Return the ids of processes that it started and that are still there."""
        left = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if self.mark.encode() in environ.read_bytes():
                    left.append(environ.parent.name)
        return left


@contextmanager
def demo(*arguments: str) -> Iterator[Demo]:
    running = Demo(*arguments)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.terminate()
            running.process.communicate(timeout=BOUND)


def test_every_scene_agrees_in_every_framework() -> None:
    """The demo plays thirty-one scenes in four frameworks on real servers, and all agree."""
    with demo("--json") as running:
        status, output = running.end()
    report: dict[str, Any] = json.loads(output)
    assert status == 0, running.said
    assert report["agree"] is True
    assert [row["scene"] for row in report["scenes"]] == SCENES
    for row in report["scenes"]:
        assert {each["app"] for each in row["observed"]} == {
            "Django",
            "Flask",
            "Starlette",
            "FastAPI",
        }
        for each in row["observed"]:
            assert {name: each[name] for name in ("status", "code")} == row["expected"]
            assert each["milliseconds"] > 0
    pids = [server["pid"] for server in report["servers"]]
    ports = [server["port"] for server in report["servers"]]
    assert len({*pids}) == len({*ports}) == len(pids) == 6


@pytest.mark.parametrize(
    ("victim", "failure"),
    [
        (
            "Starlette on uvicorn",
            r"Starlette on uvicorn \(pid \d+\) ended with status -9(?s:.*)observed no answer",
        ),
        ("License server on uvicorn", r"License server: \w+Error at /v1/licenses"),
    ],
    ids=["app", "license server"],
)
def test_a_server_that_dies_is_a_failed_run(victim: str, failure: str) -> None:
    """Whoever kills one of the demo's servers sees its failure, and all others end with it."""
    with demo() as running:
        running.listen("started FastAPI")
        os.kill(running.pids[victim], signal.SIGKILL)
        status, output = running.end()
    assert status == 1
    assert re.search(failure, running.said + output)


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_no_server_outlives_the_demo(number: signal.Signals, expected: int) -> None:
    """A demo that is interrupted or told to stop ends every server that it started."""
    with demo() as running:
        running.listen("started License server")
        running.process.send_signal(number)
        status, _ = running.end()
    assert status == expected


def test_what_it_prints_can_be_tried_by_hand() -> None:
    """With --serve everything stays up, and the lines printed are answered as the scenes were."""
    with demo("--serve") as running:
        running.listen("Serving until Ctrl-C")
        assert running.process.stdout is not None
        output = ""
        for line in running.process.stdout:
            output += line
            if output.count("curl") == 8:
                break
        table, _, lines = output.partition("LICENSE=")
        license_token, *commands = lines.splitlines()
        statuses = [answer(command, license_token) for command in commands]
        running.process.send_signal(signal.SIGINT)
        status, _ = running.end()
    assert status == 0
    assert statuses == [200, 401, 200, 200, 200, 200, 200, 400]
    assert "All 155 agree." in table
    assert max(len(line) for line in table.splitlines()) <= 100
    assert "\x1b" not in table


def answer(command: str, license_token: str) -> int:
    """Return the status that a `curl` line gets."""
    words = shlex.split(command.replace("$LICENSE", license_token))
    headers = [words[i + 1] for i, word in enumerate(words) if word == "-H"]
    pairs = [(name, value) for name, _, value in (line.partition(": ") for line in headers)]
    return httpx.get(words[-1], headers=pairs, trust_env=False, timeout=10).status_code


def test_no_midnight_upsets_the_windows() -> None:
    """The windows of the scenes are open, and closed, for a day whenever they are made."""
    now = time.time()
    opened, closed = Windows.read(whole_days(-1, 0, 1)), Windows.read(whole_days(3))
    for minutes in range(0, 24 * 60, 10):
        later = SimpleNamespace(now=now + 60 * minutes)
        assert opened.holds(later)
        assert not closed.holds(later)


def test_the_examples_are_one_product() -> None:
    """The four examples are tested by the same file, to the byte."""
    tests = sorted((ROOT / "example_projects").glob("*_reports/test_reports.py"))
    assert len(tests) == 4
    assert len({test.read_bytes() for test in tests}) == 1
