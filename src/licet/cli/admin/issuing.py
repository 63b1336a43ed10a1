"""`licet licenses issue`: one license, signed and kept by the server."""

from __future__ import annotations

import argparse
import time
from typing import Any

from licet.cli import license_options
from licet.cli.admin import options
from licet.cli.admin.answers import has_texts
from licet.cli.output import DONE, Failed, once, print_json, tell

_DESCRIPTION = """\
Has the server sign a license and keep a record of it, and prints it, alone:

  licet licenses issue --plan professional --customer "Example GmbH" \\
      --feature analytics,export --limit seats=10 --expires-in 365d > license.jwt
  licet licenses issue --feature analytics --key
                           prints an opaque license key, too, on a second line

What is not given is not granted. The key is shown this once."""

_ANEW = "revoke it, and issue another"


def add_to(licenses: Any) -> None:
    """Add the command to those about licenses."""
    parser = options.add(
        licenses, "issue", _run, help="have a license signed", description=_DESCRIPTION
    )
    parser.add_argument(
        "--key", action="store_true", help="make an opaque license key for it as well"
    )
    license_options.add_to(parser, by_server=True)


def _run(arguments: argparse.Namespace) -> int:
    from licet.issuer import COMFORTABLE_SIZE

    try:
        order = license_options.order(arguments, int(time.time()))
    except ValueError as error:
        raise Failed(
            f"no license was signed; {error}",
            "`licet licenses issue --help` shows how each part is written",
        ) from None
    license_id = order["id"]
    answer = options.connect(arguments).change(
        "POST",
        "licenses",
        done=lambda answer: (
            answer.get("id") == license_id
            and has_texts(answer, "token", *(["key"] * arguments.key))
        ),
        body={**order, **({"key": True} if arguments.key else {})},
        unsure=(
            f"whether {license_id} was issued",
            f"`licet licenses show {license_id}` tells; nobody has its token: {_ANEW}",
        ),
    )
    token: str = answer["token"]
    if len(token) > COMFORTABLE_SIZE:
        tell(
            f"it takes {len(token):,} bytes; gates accept {COMFORTABLE_SIZE:,} unless "
            "LICET_MAX_TOKEN_SIZE says otherwise, and many servers refuse headers over 8 KiB"
        )
    with once(f"{license_id} was issued, and nobody has its token: {_ANEW}"):
        if arguments.json:
            print_json({**answer, "bytes": len(token)})
            return DONE
        print(token)
        if arguments.key:
            print(answer["key"])
    return DONE
