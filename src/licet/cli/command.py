"""What every command has in common: its place among the others, its help, and `--json`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


def command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    help: str,  # noqa: A002 - as argparse calls it
    description: str,
    epilog: str,
) -> argparse.ArgumentParser:
    """Add a command to those of the parser, and return its own.

    Args:
        commands: of the parser.
        name: as it is typed.
        run: carries it out and returns the exit status.
        help: one line, for the list of commands.
        description: what it does, with examples, in lines as they are shown.
        epilog: its exit statuses, likewise.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`, which stands last in a command's help."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
