"""`licet webhooks`: who is told by a license server of what happens."""

from __future__ import annotations

import argparse
from typing import Any

from licet.cli.admin import listing, options
from licet.cli.admin.answers import Refused, has_texts
from licet.cli.admin.connection import Server
from licet.cli.output import DONE, Failed, print_json, print_members, split, tell

_DESCRIPTION = """\
Who is told when a license is revoked or a key rotated. Applications take it at
the path that Licet's adapters add for it, and act at once:

  licet webhooks set https://app.example/licet/webhook     prints the secret
  licet webhooks list
  licet webhooks remove https://app.example/licet/webhook"""
_SET = """\
Has an address told from now on, and prints the secret that what is told is
signed with, alone. Set it there as LICET_WEBHOOK_RECEIVE_SECRET:

  licet webhooks set https://app.example/licet/webhook
  licet webhooks set https://app.example/licet/webhook \\
      --event license.revoked,license.suspended

An address that is told already keeps its secret."""


def add_to(commands: Any) -> None:
    """Add the commands to those of the parser."""
    options.group(
        commands,
        "webhooks",
        _add,
        help="say who is told of what happens on a server",
        description=_DESCRIPTION,
    )


def _add(webhooks: Any) -> None:
    put = options.add(
        webhooks, "set", _set, help="have an address told from now on", description=_SET
    )
    put.add_argument("url", metavar="URL", help="where it listens; https, or this machine")
    put.add_argument(
        "--event",
        metavar="NAME",
        action="append",
        help="what it is told of: license.revoked; repeat, or separate by commas; everything where "
        "not given",
    )
    put.add_argument(
        "--secret",
        metavar="@FILE",
        help="the file with the secret to use, - for standard input; made where not given",
    )
    options.add(
        webhooks,
        "list",
        _list,
        help="list the addresses",
        description="Lists the addresses that are told, and how many messages wait for each.",
    )
    remove = options.add(
        webhooks,
        "remove",
        _remove,
        help="tell an address no longer",
        description="Has an address told no longer; what still waits for it is dropped.",
    )
    remove.add_argument("webhook", metavar="URL", help="the address, or its id")


def _set(arguments: argparse.Namespace) -> int:
    events, secret = split(arguments.event), arguments.secret
    if "-" == secret == arguments.admin_key:
        raise Failed("standard input is one thing", "give the secret or the key in a file")
    if secret is not None:
        secret = options.secret(secret, "write --secret @FILE, or pipe it into --secret -")
    body = {"url": arguments.url, "events": events, "secret": secret}
    answer = options.connect(arguments).change(
        "PUT",
        "webhooks",
        done=lambda answer: has_texts(answer, "secret"),
        body={name: each for name, each in body.items() if each is not None},
        unsure=("whether it is told", "repeat it, which does no harm and prints the same secret"),
    )
    if arguments.json:
        print_json(answer)
        return DONE
    print(answer["secret"])
    tell("set it where that address is served: LICET_WEBHOOK_RECEIVE_SECRET")
    return DONE


def _list(arguments: argparse.Namespace) -> int:
    answer = options.connect(arguments).read("webhooks")
    if arguments.json:
        print_json(answer)
        return DONE
    rows = [
        (
            each.get("id"),
            each.get("url"),
            each.get("waiting"),
            each.get("problem"),
            each.get("events"),
        )
        for each in listing.entries(answer, "webhooks")
    ]
    listing.print_table(("id", "url", "waiting", "problem", "events"), rows, "Nobody is told.")
    return DONE


def _remove(arguments: argparse.Namespace) -> int:
    server, webhook = options.connect(arguments), arguments.webhook
    unsure = ("whether it is still told", "`licet webhooks list` tells; repeating it does no harm")
    name = _id(server, webhook)
    server.change("DELETE", "webhooks", name, done=lambda answer: not answer, unsure=unsure)
    if arguments.json:
        print_json({"removed": webhook})
    else:
        print_members({"removed": webhook})
    return DONE


def _id(server: Server, webhook: str) -> str:
    """Return the id of a receiver that is named by its id, or by its address."""
    if "://" not in webhook:
        return webhook
    known = listing.entries(server.read("webhooks"), "webhooks")
    ids = [str(each.get("id")) for each in known if each.get("url") == webhook]
    if not ids:
        raise Refused(404, "There is no such receiver.")
    return ids[0]
