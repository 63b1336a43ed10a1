"""`licet validation-keys`: what applications show to a license server that they ask."""

from __future__ import annotations

import argparse
from typing import Any

from licet.cli.admin import listing, options
from licet.cli.admin.answers import has_texts
from licet.cli.output import DONE, once, print_json, print_members, tell

_DESCRIPTION = """\
The keys that applications show to the license server, to ask whether a
license holds and to report usage. They open nothing else:

  licet validation-keys create "Example GmbH"     prints the key, this once
  licet validation-keys list                      when each was last used
  licet validation-keys revoke lvk_0123456789abcdef"""
_CREATE = """\
Makes a key for an application and prints it, alone and this once; the server
keeps a digest. Hand it to whoever runs the application, to be set there as
LICET_VALIDATION_CREDENTIALS:

  licet validation-keys create "Example GmbH" > example.key

The id by which it is listed and revoked is told on standard error."""


def add_to(commands: Any) -> None:
    """Add the commands to those of the parser."""
    options.group(
        commands,
        "validation-keys",
        _add,
        help="make, list and revoke the keys that applications ask with",
        description=_DESCRIPTION,
    )


def _add(keys: Any) -> None:
    create = options.add(
        keys, "create", _create, help="make a key for an application", description=_CREATE
    )
    create.add_argument("name", metavar="NAME", help="whose it is, for people")
    options.add(
        keys,
        "list",
        _list,
        help="list the keys, without what is secret of them",
        description="Lists the keys that were made, oldest first; what is secret is not kept.",
    )
    revoke = options.add(
        keys,
        "revoke",
        _revoke,
        help="refuse a key from now on",
        description="Has the server refuse a key from now on. One that is revoked stays so.",
    )
    revoke.add_argument("id", metavar="ID", help="as `licet validation-keys list` has it: lvk_…")


def _create(arguments: argparse.Namespace) -> int:
    answer = options.connect(arguments).change(
        "POST",
        "validation-keys",
        done=lambda answer: has_texts(answer, "id", "key"),
        body={"name": arguments.name},
        unsure=(
            "whether a key was made",
            "`licet validation-keys list` tells; one that nobody has is to be revoked",
        ),
    )
    with once(f"nobody has the key {answer['id']}: revoke it, and make another"):
        if arguments.json:
            print_json(answer)
            return DONE
        print(answer["key"])
    tell(f"its id is {answer['id']}; the key is not shown again")
    return DONE


def _list(arguments: argparse.Namespace) -> int:
    answer = options.connect(arguments).read("validation-keys")
    if arguments.json:
        print_json(answer)
        return DONE
    rows = [
        (
            key.get("id"),
            key.get("name"),
            "valid" if key.get("revoked_at") is None else "revoked",
            listing.moment(key.get("created_at")),
            listing.moment(key.get("used_at")) or "never",
        )
        for key in listing.entries(answer, "validation_keys")
    ]
    heads = ("id", "name", "state", "made", "last used")
    listing.print_table(heads, rows, "There are no validation keys.")
    return DONE


def _revoke(arguments: argparse.Namespace) -> int:
    options.connect(arguments).change(
        "DELETE",
        "validation-keys",
        arguments.id,
        done=lambda answer: not answer,
        unsure=(
            f"whether {arguments.id} is revoked",
            "`licet validation-keys list` tells; repeating it does no harm",
        ),
    )
    if arguments.json:
        print_json({"id": arguments.id, "state": "revoked"})
    else:
        print_members({"revoked": arguments.id})
    return DONE
