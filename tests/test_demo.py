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
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from licet.cli.demo import table
from licet.cli.demo.connections import EventStream, Websocket
from licet.cli.demo.process import Program, ServerFailed
from licet.cli.demo.scenes import whole_days
from licet.cli.demo.servers import Servers
from licet.cli.demo.stage import Answer, Observed, Row
from licet.core.constraints.window import Windows

for framework in ("django", "flask", "starlette", "fastapi", "uvicorn", "gunicorn", "websockets"):
    pytest.importorskip(framework)

ROOT = Path(__file__).parents[1]
#: Seconds; the demo takes about thirty.
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
    "the last export",
    "limit used up",
    "the last seat",
    "seats full",
    "a seat that is kept",
    "origin licensed",
    "wrong origin",
    "trial",
    "in grace",
    "downgraded",
    "downgraded, too far",
    "holder with its key",
    "stolen, with proof",
    "stolen, another key",
    "stolen, without key",
    "report: no license",
    "report: forged",
    "report: no feature",
    "report: the summary",
    "on a status list",
    "revoked by list",
    "revoked by push",
    "open, then revoked",
    "suspended",
    "resumed, asked again",
    "open, then expired",
    "key rotated",
    "key withdrawn",
    "opaque key",
    "opaque, unknown",
    "opaque, revoked",
    "opaque, wrong domain",
    "key set out of reach",
    "server killed, warm",
    "server killed, cold",
    "no answer, seen",
    "no answer, unseen",
    "back, issued before",
    "back, revoked before",
]
#: The scene that is played by a command, and not before all applications.
SUMMARY = "report: the summary"
APPLICATIONS = {"Django", "Flask", "Starlette", "FastAPI"}
#: What the keys of a license server begin with.
API_KEY = re.compile(r"l[av]k_")
#: The demo, of which only the first scenes are played.
FEW = """
from licet.cli import main
from licet.cli.demo import scenes
scenes.scenes = scenes._licenses
raise SystemExit(main())
"""


class Demo:
    """A demo that runs, and what it has announced."""

    def __init__(self, *arguments: str, few: bool = False) -> None:
        self.mark = secrets.token_hex(8)
        # Where tests run in the background SIGINT is ignored, and a child would inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.process = subprocess.Popen(
                [sys.executable, *(("-c", FEW) if few else ("-m", "licet")), "demo", *arguments],
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
def demo(*arguments: str, few: bool = False) -> Iterator[Demo]:
    running = Demo(*arguments, few=few)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.terminate()
            running.process.communicate(timeout=BOUND)


def test_every_scene_agrees_in_every_framework() -> None:
    """The demo plays all scenes in four frameworks on real servers, and all agree.

    With --serve everything stays up, and the lines printed are answered as the scenes were. The
    keys of its license server are not shown.
    """
    with demo("--json", "--serve") as running:
        running.listen("Serving until Ctrl-C")
        assert running.process.stdout is not None
        printed = "".join(iter(running.process.stdout.readline, "}\n")) + "}"
        report: dict[str, Any] = json.loads(printed)
        (held, *commands) = report["curl"]
        statuses = [answer(command, held.removeprefix("LICENSE=")) for command in commands]
        running.process.send_signal(signal.SIGINT)
        status, rest = running.end()
    assert (status, rest) == (0, ""), running.said
    assert not API_KEY.search(printed + running.said)
    assert statuses == [200, 401, 200, 200, 200, 200, 200, 200, 400]
    assert report["agree"] is True
    assert [row["scene"] for row in report["scenes"]] == SCENES
    for row in report["scenes"]:
        asked = {"Flask"} if row["scene"] == SUMMARY else APPLICATIONS
        assert {each["app"] for each in row["observed"]} == asked
        for each in row["observed"]:
            assert {name: each[name] for name in row["expected"]} == row["expected"]
            assert each["milliseconds"] > 0
    pids = [server["pid"] for server in report["servers"]]
    ports = [server["port"] for server in report["servers"]]
    assert len({*pids}) == len({*ports}) == len(pids) == 6
    shown = table.text([row_of(row) for row in report["scenes"]], [], [])
    assert "All 261 agree." in shown
    for told in ("License-Status: grace; until=", "Retry-After: ", 'RateLimit: "exports";r=0;t='):
        assert told in shown
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert "\x1b" not in shown


def row_of(told: dict[str, Any]) -> Row:
    """Return a row of the table from what was told of it in JSON."""
    observed = []
    for each in told["observed"]:
        server: Any = SimpleNamespace(program=SimpleNamespace(**each))
        observed.append(Observed(server, answer_of(each), each["milliseconds"], (*each["told"],)))
    return Row(told["scene"], told["path"], answer_of(told["expected"]), observed)


def answer_of(told: dict[str, Any]) -> Answer:
    """Return an answer from what was told of it in JSON."""
    return Answer(told["status"], told["code"], tuple(told["fields"]))


def test_as_many_scenes_are_promised_as_are_played() -> None:
    """The README's number is that of the scenes, which those above are."""
    assert f"plays {len(SCENES)} scenes" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_field_that_is_missing_is_a_disagreement() -> None:
    """An answer that lacks a header field it must have is said to, by name."""
    server: Any = SimpleNamespace(program=SimpleNamespace(app="Flask", server="gunicorn"))
    seen = [Observed(server, Answer(429, "limit_exceeded"), 1.0)]
    row = Row("used up", "/export", Answer(429, "limit_exceeded", ("Retry-After",)), seen)
    assert not row.agrees
    assert "expected 429 limit_exceeded with Retry-After" in table.disagreements([row])[0]


def test_a_command_that_fails_is_a_failed_run(tmp_path: Path) -> None:
    """What a command prints is had only where it ends well."""
    with Servers(tmp_path, lambda server: None) as servers:
        well, badly = (
            Program("a command", "python", tmp_path, ("-c", script))
            for script in ("print(17)", "raise SystemExit(3)")
        )
        assert servers.output(well) == "17\n"
        with pytest.raises(ServerFailed, match="a command on python"):
            servers.output(badly)


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
    with demo(few=True) as running:
        running.listen("started FastAPI")
        os.kill(running.pids[victim], signal.SIGKILL)
        status, output = running.end()
    assert status == 1
    assert re.search(failure, running.said + output)
    assert not API_KEY.search(running.said + output)


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


class Streams(BaseHTTPRequestHandler):
    """Streams one event, then ends, breaks off or stays open, as it is asked to; no websockets."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "Upgrade" in self.headers:
            self.send_error(403)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        how, event = self.headers["X-How"], b"6\r\ndata:\n\r\n"
        self.wfile.write(event)
        with suppress(OSError):
            while how == "stays":
                self.wfile.write(event)
                time.sleep(0.01)
        if how == "ends":
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.mark.parametrize(
    ("how", "seen"), [("ends", ("end", "why")), ("breaks", (None, None)), ("stays", ("open", None))]
)
def test_it_sees_how_an_event_stream_ends(how: str, seen: tuple[str | None, str | None]) -> None:
    """An end is told from a connection that broke, and from one that is open still."""
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Streams) as server,
        httpx.Client(trust_env=False) as client,
    ):
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        there: Any = SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}")
        stream = EventStream(there, [("X-How", how)], client, lambda url, headers: "why")
        assert stream.end(time.monotonic() + (0.1 if how == "stays" else BOUND)) == seen
        stream.close()
        server.shutdown()


@pytest.mark.parametrize(
    ("code", "seen"),
    [(1008, ("end", "license_expired")), (1000, (None, None)), (None, ("open", None))],
)
def test_it_sees_how_a_websocket_ends(
    code: int | None, seen: tuple[str | None, str | None]
) -> None:
    """Only a close by policy is the end of a license, and its reason is what for."""

    from websockets.sync.server import ServerConnection
    from websockets.sync.server import serve as websocket_server

    def serve(socket: ServerConnection) -> None:
        socket.recv()
        socket.send("17")
        if code is None:
            socket.recv()
        else:
            socket.close(code, "license_expired")

    with websocket_server(serve, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        there: Any = SimpleNamespace(url=f"http://127.0.0.1:{port}", port=port)
        websocket = Websocket(there, [])
        assert websocket.end(time.monotonic() + (0.1 if code is None else BOUND)) == seen
        websocket.close()
        server.shutdown()


def test_what_cannot_be_opened_does_not_open() -> None:
    """Where a websocket is refused, or nobody listens, there is no connection."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Streams) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        port = server.server_port
        there: Any = SimpleNamespace(url=f"http://127.0.0.1:{port}", port=port)
        with pytest.raises(ConnectionError, match="InvalidStatus"):
            Websocket(there, [])
        server.shutdown()
    with pytest.raises(ConnectionRefusedError):
        Websocket(there, [])
    with httpx.Client(trust_env=False) as client, pytest.raises(ConnectionError, match="Connect"):
        EventStream(there, [], client, lambda url, headers: None)
