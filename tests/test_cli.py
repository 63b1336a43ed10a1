"""The command `licet`, as it is typed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import licet
from licet.cli import main
from tests.commands import Said
from tests.commands import licet as typed
from tests.licenses import ISSUER_NAME, license_token

COMMANDS = (
    "demo",
    "keygen",
    "issue",
    "inspect",
    "verify",
    "doctor",
    "serve",
    "licenses",
    "keys",
    "validation-keys",
    "webhooks",
    "audit",
    "help",
)


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
    said = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^    {command}\s", said, re.MULTILINE)


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


@pytest.mark.parametrize("arguments", [["dmeo"], ["licenses", "show"], ["serve", "--port", "x"]])
def test_wrong_usage_is_said_to_programs(arguments: list[str]) -> None:
    """With `--json` it is one object on standard output as well, as any other failure."""
    said = typed(*arguments, "--json")
    assert said.status == 2
    assert said.document["code"] == "usage"
    assert said.document["detail"] in said.err


def test_wrong_usage_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the process was given is heeded as what is handed over."""
    monkeypatch.setattr(sys, "argv", ["licet", "dmeo", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert json.loads(capsys.readouterr().out)["code"] == "usage"


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


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command: str) -> None:
    """`licet help COMMAND` is what `licet COMMAND --help` says, exit statuses included."""
    said = typed("help", command)
    assert said == typed(command, "--help")
    assert said.status == 0
    assert f"usage: licet {command}" in said.out
    assert "Exit status" in said.out or command == "help"


def test_help_alone() -> None:
    """`licet help` is `licet --help`."""
    assert typed("help") == typed("--help")


@pytest.mark.parametrize("command", ["keygen", "issue"])
def test_help_needs_no_percent_signs(command: str) -> None:
    """Help is text: nothing in it is taken for a format."""
    assert "%" not in typed(command, "--help").out


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is interrupted ends with 130 and says nothing."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("licet.cli.tokens.read", interrupted)
    assert typed("inspect", "x") == Said(130, "", "")


def test_a_file_that_nobody_has_thought_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system refuses is status 2 and a sentence, never a traceback with the 1 of a no."""

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr("licet.cli.tokens.read", refused)
    said = typed("inspect", "x", "--json")
    assert said.status == 2
    assert said.document["detail"] == "/somewhere cannot be used (Permission denied)"


def test_the_command_loads_no_framework() -> None:
    """What a command does not need it does not load: `--help` answers at once."""
    script = (
        "import sys, licet.cli\n"
        "try: licet.cli.main(['--help'])\n"
        "except SystemExit: print('LOADED', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split("LOADED")[1].split())
    heavy = "django flask starlette fastapi uvicorn cryptography jwt httpx anyio licet.issuer"
    assert loaded & set(heavy.split()) == set()


def command(*arguments: object) -> list[str]:
    """Return a command as a program of its own."""
    return [sys.executable, "-m", "licet", *map(str, arguments)]


def test_a_pipeline(tmp_path: Path) -> None:
    """Key, license and judgement are three programs, the second piped into the third."""
    keyfile, jwks = tmp_path / "issuer.json", tmp_path / "jwks.json"
    made = command("keygen", keyfile, "--issuer", ISSUER_NAME, "--jwks", jwks)
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    settings = ("--issuer", ISSUER_NAME, "--audience", "reports", "--jwks", jwks)
    issued = subprocess.Popen(
        command("issue", keyfile, "--audience", "reports", "--feature", "analytics"),
        stdout=subprocess.PIPE,
    )
    with issued:
        judged = subprocess.run(
            command("verify", "--json", *settings),
            stdin=issued.stdout,
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert issued.returncode == 0
    assert (judged.returncode, judged.stderr) == (0, b"")
    assert json.loads(judged.stdout)["features"] == ["analytics"]


@pytest.mark.skipif(os.name != "posix", reason="descriptors of POSIX")
@pytest.mark.parametrize("closed", [1, 2])
def test_streams_that_are_closed(closed: int) -> None:
    """Without standard output or standard error a command does what it does, with its status; and
    what is for the one goes not to the other."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}>&-', "sh", *command("inspect", "--json")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    if closed == 1:
        assert done.stderr.startswith(b"licet: there is no license")
        assert b"Traceback" not in done.stderr
    else:
        assert json.loads(done.stdout)["code"] == "unusable"


@pytest.mark.skipif(os.name != "posix", reason="pipes break otherwise elsewhere")
def test_nobody_reads_the_output() -> None:
    """A pipe whose reader is gone ends the command quietly, with 141 as of SIGPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            command("inspect", "x"),
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(os.name != "posix", reason="the locale of POSIX")
def test_a_terminal_without_the_letters(tmp_path: Path) -> None:
    """A name that the terminal cannot write comes out as escapes; it is no failure."""
    path = tmp_path / "license.jwt"
    path.write_text(license_token(customer="Gönül Ώ"))
    done = subprocess.run(
        command("inspect", f"@{path}"),
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"G\\xf6n\\xfcl" in done.stdout


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
