"""Where a command takes a license from: standard input, a file, or an argument.

What is read is a stranger's word and a credential: it is handed on as bytes and shown nowhere.
"""

from __future__ import annotations

import argparse
import sys

from licet.cli.output import Failed, why

#: Bytes: sixteen times the longest license that any setting allows.
MOST = 2**20

HELP = (
    "the license: - reads it from standard input, @FILE from a file. Without it standard input is "
    "read, unless that is a terminal. Written out it is seen in the list of processes and stays "
    "in the shell's history"
)


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the argument TOKEN to those of a command."""
    parser.add_argument("token", nargs="?", metavar="TOKEN", help=HELP)


def read(argument: str | None, command: str) -> bytes:
    """Return the license that a command was given, without white space around it.

    Args:
        argument: what stands for TOKEN.
        command: who asks, for the remedy.

    Raises:
        Failed: there is none, or it cannot be read.
    """
    ways = f"write `licet {command} @FILE`, or pipe it into `licet {command} -`"
    if argument is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise Failed("no license is given", ways)
        argument = "-"
    if argument == "-":
        where, content = "standard input", sys.stdin.buffer.read(MOST + 1)
    elif argument.startswith("@"):
        where = argument[1:]
        try:
            with open(where, "rb") as file:
                content = file.read(MOST + 1)
        except (OSError, ValueError) as error:
            raise Failed(f"{where} cannot be read ({why(error)})", ways) from None
    else:
        # What the shell passes on need be no text.
        where, content = "the argument", argument.encode("utf-8", "surrogateescape")
    if len(content) > MOST:
        raise Failed(f"what is in {where} is larger than any license", ways)
    if not content.strip():
        raise Failed(f"there is no license in {where}", ways)
    return content.strip()
