"""The command `licet`: reads its arguments and hands over to one module per command.

Exit status: 0 where all is well, 1 where it is not, 2 where the command cannot be carried out as
given, 130 where Ctrl-C ended it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import licet
from licet.cli import demo

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command.

    Args:
        argv: the arguments without the program's name; those of the process where not given.

    Returns:
        The exit status.

    Raises:
        SystemExit: the arguments are wrong (2), or all they ask for is `--help` or `--version` (0).
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.run is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        status: int = arguments.run(arguments)
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="licet",
        description="Licet turns a signed license into what a request may do.",
        epilog="`licet COMMAND --help` tells more about one command.",
    )
    parser.add_argument("--version", action="version", version=f"licet {licet.__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    demo.add_to(commands)
    return parser
