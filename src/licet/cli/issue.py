"""`licet issue`: signs one license with the keys of `licet keygen`.

It signs nothing that no gate would accept. The license is all that it prints, so that it can be
piped on; what else there is to say goes to standard error.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

from licet.cli import keyfile, license_options
from licet.cli.command import add_json, command
from licet.cli.moments import iso
from licet.cli.output import DONE, Failed, print_json, tell

_DESCRIPTION = """\
Signs a license and prints it, alone:

  licet issue issuer.json --audience acme-reports --plan professional \\
      --customer "Example GmbH" --feature analytics,export \\
      --limit seats=10,apiCalls=50000/month --expires-in 365d

What is not given is not granted."""
_EPILOG = """\
Exit status: 0 signed, 2 it cannot be signed as given: no gate would accept it,
for instance."""


def add_to(commands: Any) -> None:
    """Add the command to those of the parser."""
    parser = command(
        commands,
        "issue",
        run,
        help="sign a license",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("keyfile", metavar="KEYFILE", help="the file that `licet keygen` made")
    license_options.add_to(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Sign, print, and return the exit status."""
    from licet.issuer import LicenseSizeWarning

    issuer = keyfile.load(arguments.keyfile)
    begin = int(time.time())
    try:
        given = license_options.read(arguments, begin)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", LicenseSizeWarning)
            token = issuer.issue(**given)
    except ValueError as error:
        raise Failed(
            f"no license was signed; {error}", "`licet issue --help` shows how each part is written"
        ) from None
    for warning in caught:
        tell(str(warning.message))
    if not arguments.json:
        print(token)
        return DONE
    print_json(
        {
            "id": given["subject"],
            "token": token,
            "issued_at": iso(begin),
            "expires_at": iso(begin + given["expires_in"]),
            "issuer": issuer.name,
            "kid": issuer.kid,
            "bytes": len(token),
        }
    )
    return DONE
