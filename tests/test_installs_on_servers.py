"""A license that is put into place by a command, in the workers of a server that runs."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.licenses import OPTIONS, expired, license_token
from tests.served import ROOT, running

pytest.importorskip("gunicorn")
pytest.importorskip("flask")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="gunicorn")

APP = "tests.consuming_app"
#: Seconds within which running processes read the file, and one more for their own start.
SOON = 2.0


def flask_license_install(credential: str, environment: dict[str, str]) -> int:
    """Run `flask license install -` and return its exit status."""
    command = [sys.executable, "-m", "flask", "--app", f"{APP}:flask()", "license", "install", "-"]
    ran = subprocess.run(
        command, input=credential, text=True, capture_output=True, cwd=ROOT, env=environment
    )
    assert credential not in ran.stdout + ran.stderr
    return ran.returncode


def test_workers_take_up_what_a_command_puts_into_place(tmp_path: Path) -> None:
    """Within a second and without a restart, in each; what is refused changes nothing there."""
    path = tmp_path / "license.jwt"
    options = {**OPTIONS, "license": f"file:{path}"}
    environment = {**os.environ, "LICENSED_APP": json.dumps(options), "PYTHONPATH": f"{ROOT}/src"}
    command = f"gunicorn --log-level error --bind fd://{{fd}} --workers 2 {APP}:wsgi"
    with running(command.split(), options) as where:

        def ask() -> httpx.Response:
            return httpx.get(f"http://{where}/0", timeout=60, trust_env=False)

        assert {ask().status_code for _ in range(10)} == {402}
        assert flask_license_install(expired(), environment) == 1
        assert not path.exists()
        license_ = license_token(limits={"apiCalls": 9})
        assert flask_license_install(license_, environment) == 0
        since, workers = time.monotonic(), set[str]()
        while len(workers) < 2:
            after, answer = time.monotonic() - since, ask()
            if answer.status_code == 200:
                workers.add(answer.headers["X-Process"])
            else:
                assert answer.status_code == 402
                assert after < SOON
        assert {ask().status_code for _ in range(10)} == {200}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
