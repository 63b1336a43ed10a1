"""The command `licet`: reads its arguments and hands over to one module per command.

Exit status, of every command: 0 where all is well, 1 where it is not, 2 where the command cannot be
carried out as given, 3 where its question cannot be decided, 130 where Ctrl-C ended it, 141 where
nobody reads its output any more.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

import licet
from licet.cli import admin, demo, doctor, inspect, issue, keygen, serve, verify
from licet.cli.command import Parser
from licet.cli.output import UNUSABLE, Failed, print_json, tell, why

__all__ = ["main"]

_EPILOG = """\
`licet help COMMAND` tells more about one command.

Exit status: 0 yes or done, 1 no, 2 that cannot be done as given, 3 undecided,
130 after Ctrl-C, 141 where nobody reads the output any more."""


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command.

    Args:
        argv: the arguments without the program's name; those of the process where not given.

    Returns:
        The exit status.

    Raises:
        SystemExit: the arguments are wrong (2), or all they ask for is `--help` or `--version` (0).
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # Closed by who started it: what is said is for nobody, its number for no other file.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - it stays
        elif isinstance(stream, io.TextIOWrapper):
            # A name that the terminal has no letters for is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _carry_out(argv)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()
        return 141
    except OSError as error:
        # Of files and servers is told where they are used: this is about what it prints to.
        _drop_output()
        tell(f"the output cannot be written ({why(error)}): make room, or print elsewhere")
        return UNUSABLE


def _drop_output() -> None:
    """See to it that what is still in the buffer is not tried again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _carry_out(argv: Sequence[str] | None) -> int:
    from licet.core.errors import ConfigError

    parser = _parser()
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    if arguments.run is None:
        parser.print_help(sys.stderr)
        return UNUSABLE
    try:
        done: int = arguments.run(arguments)
    except Failed as failed:
        status, document, sentence = failed.status, failed.document, str(failed)
    except OSError as error:
        if error.filename is None:
            raise
        # Commands name what to do about their files; this one nobody has thought of.
        unforeseen = Failed(f"{error.filename} cannot be used ({why(error)})", "see who may use it")
        status, document, sentence = UNUSABLE, unforeseen.document, str(unforeseen)
    except ConfigError as error:
        status, sentence = UNUSABLE, str(error)
        document = {"code": "config_error", "detail": sentence, "remedy": error.remedy}
    else:
        return done
    tell(sentence)
    if arguments.json:
        print_json(document)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="licet",
        description="Licet turns a signed license into what a request may do.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"licet {licet.__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in (demo, keygen, issue, inspect, verify, doctor, serve, *admin.COMMANDS):
        command.add_to(commands)
    of = commands.add_parser("help", help="tell more about one command")
    of.add_argument("command", nargs="*", metavar="COMMAND")
    of.set_defaults(run=lambda asked: parser.parse_args([*asked.command, "--help"]))
    return parser
