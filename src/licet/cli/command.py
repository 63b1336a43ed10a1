"""What every command has in common: its place among the others, its help, and `--json`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from licet.cli.output import UNUSABLE, print_json

# One in 64 thumbprints (RFC 7638) begins as an option does.
_KEY_ID = re.compile(r"-[A-Za-z0-9_-]{42}")


class Parser(argparse.ArgumentParser):
    """A parser that learns what it reads when it is needed: of all there are, one or two are.

    What is wrong with what was typed is told to programs as well, where they are to be told. The id
    of a key is never taken for an option.

    Attributes:
        fill: adds what it reads, once.
    """

    fill: Callable[[argparse.ArgumentParser], object] | None = None
    _is_for_programs = False

    def parse_known_args(self, args: Any = None, *rest: Any, **kwargs: Any) -> Any:
        """Parse, as any parser does."""
        fill, self.fill = self.fill, None
        if fill is not None:
            fill(self)
        self._is_for_programs = "--json" in (args or ())
        return super().parse_known_args(args, *rest, **kwargs)

    def _parse_optional(self, arg_string: str) -> Any:
        # Not public, and the one place that decides for options and arguments alike; a test sees to
        # it that it stays.
        return None if _KEY_ID.fullmatch(arg_string) else super()._parse_optional(arg_string)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end with 2."""
        if self._is_for_programs:
            remedy = f"`{self.prog} --help` shows how it is written"
            print_json({"code": "usage", "detail": message, "remedy": remedy})
        super().error(message)


def command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    help: str,  # noqa: A002 - as argparse calls it
    description: str,
    epilog: str,
) -> Parser:
    """Add a command to those of the parser, and return its own.

    Args:
        commands: of the parser.
        name: as it is typed.
        run: carries it out and returns the exit status.
        help: one line, for the list of commands.
        description: what it does, with examples, in lines as they are shown.
        epilog: its exit statuses, likewise.
    """
    parser: Parser = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def group(
    commands: Any,
    name: str,
    add: Callable[[Any], object],
    *,
    help: str,  # noqa: A002 - as argparse calls it
    description: str,
    epilog: str,
) -> None:
    """Add a command that has commands of its own.

    Args:
        commands: of the parser.
        name: as it is typed.
        add: adds its commands to those that it is given.
        help: one line, for the list of commands.
        description: what they are about, with examples, in lines as they are shown.
        epilog: their exit statuses, likewise.
    """

    def run(_: argparse.Namespace) -> int:
        parser.print_help(sys.stderr)
        return UNUSABLE

    parser = command(
        commands,
        name,
        run,
        help=help,
        description=description,
        epilog=f"`licet help {name} COMMAND` tells more about one of them.\n\n{epilog}",
    )
    parser.fill = lambda parser: add(parser.add_subparsers(title="commands", metavar="COMMAND"))


def add_json(parser: argparse.ArgumentParser, help: str = "print one JSON object") -> None:  # noqa: A002
    """Add `--json`, which stands last in a command's help."""
    parser.add_argument("--json", action="store_true", help=help)
