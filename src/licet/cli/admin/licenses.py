"""`licet licenses`: what a license server has issued, and what becomes of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from licet.cli.admin import importing, issuing, listing, options, withdrawing
from licet.cli.admin.answers import strange
from licet.cli.admin.connection import Server
from licet.cli.output import DONE, print_json, print_members, printable

#: Licenses that one request asks for.
PAGE = 1000
_DESCRIPTION = """\
The licenses of a license server:

  licet licenses issue --plan professional --feature analytics
  licet licenses list --customer "Example GmbH"
  licet licenses show lic_0123456789abcdef01234567
  licet licenses suspend lic_0123456789abcdef01234567 --reason "invoice 4711"
  licet licenses resume lic_0123456789abcdef01234567
  licet licenses revoke lic_0123456789abcdef01234567 --reason "charged back"

The server is at LICET_SERVER, and opens to the key in LICET_ADMIN_KEY."""
_LIST = """\
Lists the licenses of a server, in the order of their ids:

  licet licenses list
  licet licenses list --customer "Example GmbH" --state active
  licet licenses list --json | jq -r '.licenses[].id'"""
_SHOW = """\
Shows what the server knows of a license: its state, its end, what it grants
and when it was last found to hold. No credential is among it."""


def add_to(commands: Any) -> None:
    """Add the commands to those of the parser."""
    options.group(
        commands,
        "licenses",
        _add,
        help="list, issue, revoke and suspend the licenses of a server",
        description=_DESCRIPTION,
    )


def _add(licenses: Any) -> None:
    listed = options.add(licenses, "list", _list, help="list the licenses", description=_LIST)
    listed.add_argument("--customer", metavar="NAME", help="only those of this customer")
    listed.add_argument(
        "--state", choices=("active", "suspended", "revoked"), help="only those in this state"
    )
    listed.add_argument(
        "--limit", metavar="N", type=listing.number, help="N at most; all if not given"
    )
    show = options.add(licenses, "show", _show, help="show one license", description=_SHOW)
    show.add_argument("id", metavar="ID", help="of the license")
    issuing.add_to(licenses)
    importing.add_to(licenses)
    withdrawing.add_to(licenses)


def _list(arguments: argparse.Namespace) -> int:
    server = options.connect(arguments)
    found = []
    for entry in _entries(server, arguments.customer, arguments.state, arguments.limit):
        found.append(entry)
        if arguments.limit is not None and len(found) >= arguments.limit:
            break
    if arguments.json:
        print_json({"licenses": found})
        return DONE
    rows = [
        (
            each.get("id"),
            each.get("state"),
            each.get("customer"),
            each.get("plan"),
            listing.moment(each.get("expires_at")),
        )
        for each in found
    ]
    heads = ("id", "state", "customer", "plan", "ends")
    listing.print_table(heads, rows, "There are no such licenses.")
    return DONE


def _entries(
    server: Server, customer: str | None, state: str | None, limit: int | None
) -> Iterator[dict[str, Any]]:
    """Return licenses, page by page."""
    after: str | None = None
    size = PAGE if limit is None else min(limit, PAGE)
    while True:
        answer = server.read("licenses", customer=customer, state=state, after=after, limit=size)
        yield from listing.entries(answer, "licenses")
        following = answer.get("next")
        if following is None:
            return
        # Without one that grows this would never end.
        if not isinstance(following, str) or following <= (after or ""):
            raise strange()
        after = following


def _show(arguments: argparse.Namespace) -> int:
    answer = options.connect(arguments).read("licenses", arguments.id)
    if arguments.json:
        print_json(answer)
        return DONE
    moments = {name: listing.moment(answer[name]) for name in answer if name.endswith("_at")}
    nested = {name: answer[name] for name in answer if isinstance(answer[name], dict)}
    _print({name: moments.get(name, answer[name]) for name in answer if name not in nested})
    for name, members in nested.items():
        print(f"{printable(name)}:")
        _print(members, indent="  ")
    return DONE


def _print(members: dict[str, Any], indent: str = "") -> None:
    # Names as well are what the server says.
    print_members({printable(name): each for name, each in members.items()}, indent=indent)
