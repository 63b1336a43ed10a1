"""`licet keys`: the keys that a license server signs with, on the server itself."""

from __future__ import annotations

import argparse
from typing import Any

from licet.cli.admin import listing, options
from licet.cli.admin.answers import has_texts
from licet.cli.output import DONE, print_json, print_members, tell

_DESCRIPTION = """\
The keys that a license server signs with. The newest one signs; all that are
not retired are published, so that licenses signed with older ones hold:

  licet keys list                  and how many licenses need each
  licet keys rotate                sign with a new key from now on
  licet keys retire KID            publish an old one no longer

Files of keys without a server are `licet keygen`'s."""
_ROTATE = """\
Has the server make a new key, which signs from now on. The old ones stay
published, and licenses signed with them hold:

  licet keys rotate
  licet keys rotate --algorithm ES256"""
_RETIRE = """\
Has the server publish a key no longer. Licenses signed with it end as
applications learn of it, within an hour or so: have them renewed first.
`licet keys list` says how many there are."""


def add_to(commands: Any) -> None:
    """Add the commands to those of the parser."""
    options.group(
        commands,
        "keys",
        _add,
        help="list, rotate and retire a server's keys",
        description=_DESCRIPTION,
    )


def _add(keys: Any) -> None:
    options.add(
        keys, "list", _list, help="list the keys", description="Lists the keys, oldest first."
    )
    rotate = options.add(keys, "rotate", _rotate, help="sign with a new key", description=_ROTATE)
    rotate.add_argument(
        "--algorithm", metavar="NAME", help="of the new key; that of the present one if not given"
    )
    retire = options.add(
        keys, "retire", _retire, help="publish an old key no longer", description=_RETIRE
    )
    retire.add_argument("kid", metavar="KID", help="the id of the key")


def _list(arguments: argparse.Namespace) -> int:
    answer = options.connect(arguments).read("keys")
    if arguments.json:
        print_json(answer)
        return DONE
    rows = [
        (key.get("kid"), key.get("alg"), _state(key), key.get("licenses"))
        for key in listing.entries(answer, "keys")
    ]
    listing.print_table(("kid", "algorithm", "state", "licenses"), rows, "There are no keys.")
    return DONE


def _is_retired(answer: dict[str, Any], kid: str) -> bool:
    """Return whether an answer lists the keys, and this one as none that is published."""
    keys = answer.get("keys")
    return isinstance(keys, list) and kid not in [
        key.get("kid") for key in keys if isinstance(key, dict) and key.get("retired_at") is None
    ]


def _state(key: dict[str, Any]) -> str:
    if key.get("retired_at") is not None:
        return "retired"
    return "signs" if key.get("signing") is True else "published"


def _rotate(arguments: argparse.Namespace) -> int:
    wanted = {} if arguments.algorithm is None else {"algorithm": arguments.algorithm}
    answer = options.connect(arguments).change(
        "POST",
        "keys",
        "rotate",
        done=lambda answer: has_texts(answer, "kid"),
        body=wanted,
        unsure=("whether there is a new key", "`licet keys list` tells"),
    )
    if arguments.json:
        print_json(answer)
        return DONE
    print_members({"kid": answer.get("kid")})
    tell("applications fetch the new key as they meet it; retire old ones when nothing needs them")
    return DONE


def _retire(arguments: argparse.Namespace) -> int:
    kid = arguments.kid
    answer = options.connect(arguments).change(
        "POST",
        "keys",
        kid,
        "retire",
        done=lambda answer: _is_retired(answer, kid),
        body={},
        unsure=(f"whether {kid} is retired", "`licet keys list` tells; repeating it does no harm"),
    )
    if arguments.json:
        print_json({"kid": kid, **answer})
    else:
        print_members({"retired": kid})
    return DONE
