"""The command `licet`, as it is typed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import licet
from licet.cli import main


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`licet --version` prints name and version and succeeds."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"licet {licet.__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`licet --help` lists the commands with a line on each."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "demo  " in capsys.readouterr().out


def test_without_a_command_it_helps(capsys: pytest.CaptureFixture[str]) -> None:
    """`licet` alone is wrong usage, answered with the help."""
    assert main([]) == 2
    assert "usage: licet" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["dmeo"], ["--verison"], ["demo", "--server"], ["demo", "x"]]
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A command or an option that does not exist is status 2, and said on standard error."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    output = capsys.readouterr()
    assert "usage: licet" in output.err
    assert output.out == ""


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without what the demo needs it is status 2, with the line that installs it."""
    monkeypatch.setitem(sys.modules, "flask", None)
    assert main(["demo"]) == 2
    said = capsys.readouterr().err
    assert "flask" in said
    assert "uvicorn" not in said
    assert 'pip install "licet[demo]"' in said


def test_the_command_loads_no_framework() -> None:
    """The command itself needs no framework: it is there to say which one is missing."""
    script = (
        "import sys, licet.cli; "
        "print(*{'django', 'flask', 'starlette', 'fastapi', 'uvicorn'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == ""


def test_python_m_licet_is_the_same_command() -> None:
    """`python -m licet` does what `licet` does."""
    done = subprocess.run(
        [sys.executable, "-m", "licet", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"licet {licet.__version__}\n")
