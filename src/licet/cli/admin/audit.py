"""`licet audit`: the record of what was done on a license server, and by whom."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from licet.cli.admin import listing, options
from licet.cli.admin.answers import Undecided, strange
from licet.cli.admin.connection import Server
from licet.cli.output import DONE, print_json, printable, shown, tell

#: Seconds between two looks for new lines, and lines that are asked for at once.
PAUSE, PAGE = 1.0, 1000
_DESCRIPTION = """\
Prints what was done on the license server, oldest first: licenses issued and
withdrawn, keys rotated, API keys made and revoked. Every line has a number,
and none is ever changed:

  licet audit                      everything
  licet audit --after 1200         what came behind line 1200
  licet audit --follow             also what comes, until Ctrl-C
  licet audit --json > audit.ndjson"""


def add_to(commands: Any) -> None:
    """Add the command to those of the parser."""
    parser = options.add(
        commands,
        "audit",
        run,
        help="print what was done on a license server, and by whom",
        description=_DESCRIPTION,
        json="print one JSON object a line, for each line of the record",
    )
    parser.add_argument(
        "--after", metavar="N", type=listing.number, default=0, help="only what came behind line N"
    )
    parser.add_argument("--follow", action="store_true", help="go on with what comes, until Ctrl-C")


def run(arguments: argparse.Namespace) -> int:
    """Print the record, and return the exit status."""
    server = options.connect(arguments)
    lines = _lines(server, arguments.after)
    while True:
        for line in lines:
            arguments.after = line["id"]
            if arguments.json:
                print_json(line)
            else:
                print(_told(line))
        sys.stdout.flush()
        if not arguments.follow:
            return DONE
        lines = _coming(server, arguments.after)


def _lines(server: Server, after: int) -> Iterator[dict[str, Any]]:
    """Return all lines after one, page by page."""
    while True:
        page = listing.entries(server.read("audit", after=after, limit=PAGE), "entries")
        for line in page:
            # Without a number that grows this would never end.
            if type(line.get("id")) is not int or line["id"] <= after:
                raise strange()
            after = line["id"]
            yield line
        if not page:
            return


def _coming(server: Server, after: int) -> Iterator[dict[str, Any]]:
    """Return what has come meanwhile; a server that is away for a while is waited for."""
    time.sleep(PAUSE)
    try:
        yield from _lines(server, after)
    except Undecided as error:
        tell(f"{error}; it is tried again")


def _told(line: dict[str, Any]) -> str:
    detail = line.get("detail")
    parts = [
        f"{line['id']:>6}",
        _at(line.get("at")),
        f"{shown(line.get('action')):<24}",
        f"{shown(line.get('subject')):<28}",
        f"by {shown(line.get('actor'))}",
        printable(json.dumps(detail, ensure_ascii=False)) if detail else "",
    ]
    return "  ".join(parts).rstrip()


def _at(value: object) -> str:
    at = listing.instant(value)
    return shown(value) if at is None else f"{at:%Y-%m-%d %H:%M:%S}"
