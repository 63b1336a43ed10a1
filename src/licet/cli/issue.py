"""`licet issue`: signs one license with the keys of `licet keygen`.

It signs nothing that no gate would accept. The license is all that it prints, so that it can be
piped on; what else there is to say goes to standard error.
"""

from __future__ import annotations

import argparse
import inspect
import secrets
import time
import warnings
from collections.abc import Callable
from typing import Any

from licet.cli import keyfile, typed
from licet.cli.command import add_json, command
from licet.cli.moments import duration, iso, moment
from licet.cli.output import DONE, Failed, print_json, split, tell

_YEAR = 365 * 86_400
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
    _add_whose(parser.add_argument_group("for whom, and until when"))
    _add_grants(parser.add_argument_group("what it grants"))
    _add_conditions(parser.add_argument_group("where, when and in whose hands it holds"))
    add_json(parser)


def _add_whose(group: Any) -> None:
    group.add_argument(
        "--audience",
        metavar="PRODUCT",
        action="append",
        required=True,
        help="the product it is for, as LICET_AUDIENCE there; repeat for several",
    )
    group.add_argument("--subject", metavar="ID", help="the license id; made where not given")
    group.add_argument("--customer", metavar="NAME", help="text for people")
    end = group.add_mutually_exclusive_group()
    end.add_argument(
        "--expires-in",
        metavar="TIME",
        type=duration,
        default=_YEAR,
        help="365d (the default), 12h, 30m or seconds",
    )
    end.add_argument(
        "--expires-at", metavar="MOMENT", type=moment, help="instead: 2027-12-31T23:59:59Z"
    )
    group.add_argument(
        "--not-before", metavar="MOMENT", type=moment, help="when it begins; now where not given"
    )
    group.add_argument(
        "--grace", metavar="TIME", type=duration, help="how long it still serves after its end: 7d"
    )
    group.add_argument("--trial", action="store_true", help="it is a trial")


def _add_grants(group: Any) -> None:
    several = "; repeat, or separate by commas"
    group.add_argument("--plan", metavar="NAME", help="text for people; features decide")
    group.add_argument("--feature", metavar="NAME", action="append", help=f"a feature{several}")
    group.add_argument(
        "--limit",
        metavar="NAME=LIMIT",
        action="append",
        help=f"seats=10, apiCalls=50000/month or exports=unlimited{several}",
    )
    group.add_argument("--role", metavar="NAME", action="append", help="a role; repeat for several")
    group.add_argument("--scope", metavar="NAME", action="append", help=f"a scope{several}")


def _add_conditions(group: Any) -> None:
    several = "; repeat, or separate by commas"
    group.add_argument(
        "--domain", metavar="HOST", action="append", help=f"example.com or *.example.com{several}"
    )
    group.add_argument(
        "--ip-range", metavar="NETWORK", action="append", help=f"203.0.113.0/24{several}"
    )
    group.add_argument("--region", metavar="CODE", action="append", help=f"DE or US-CA{several}")
    group.add_argument(
        "--time-window",
        metavar="WINDOW",
        action="append",
        help='"mon-fri 07:00-19:00 Europe/Berlin", the days may be missing; repeat for several',
    )
    group.add_argument(
        "--bind-jkt", metavar="DIGEST", help="of its holder's DPoP key: the RFC 7638 thumbprint"
    )
    group.add_argument(
        "--bind-x5t", metavar="DIGEST", help="of its holder's TLS certificate: x5t#S256 (RFC 8705)"
    )
    group.add_argument(
        "--status-list", metavar="URI#IDX", help="the status list, and its own place in it"
    )
    group.add_argument(
        "--claim",
        metavar="NAME=JSON",
        action="append",
        help="any other claim: tenant='\"acme\"', must_understand='[\"tenant\"]'",
    )


def run(arguments: argparse.Namespace) -> int:
    """Sign, print, and return the exit status."""
    from licet.issuer import LicenseSizeWarning

    issuer = keyfile.load(arguments.keyfile)
    begin = int(time.time())
    try:
        given = _license(arguments, begin, _taken(type(issuer).issue))
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


def _license(arguments: argparse.Namespace, begin: int, taken: frozenset[str]) -> dict[str, Any]:
    """Return the arguments of `Issuer.issue`.

    Raises:
        ValueError: something cannot be read; the sentence says what.
    """
    audience = arguments.audience
    end = arguments.expires_at
    return {
        **typed.claims(arguments.claim, taken),
        "audience": audience[0] if len(audience) == 1 else audience,
        "subject": f"lic_{secrets.token_hex(12)}"
        if arguments.subject is None
        else arguments.subject,
        "customer": arguments.customer,
        "plan": arguments.plan,
        "features": split(arguments.feature),
        "limits": typed.limits(split(arguments.limit)),
        "roles": arguments.role,
        "scope": split(arguments.scope),
        "domains": split(arguments.domain),
        "ip_ranges": split(arguments.ip_range),
        "regions": split(arguments.region),
        "time_windows": typed.windows(arguments.time_window),
        "cnf": typed.binding(arguments.bind_jkt, arguments.bind_x5t),
        "status": typed.status(arguments.status_list),
        "trial": arguments.trial,
        "grace": arguments.grace,
        "not_before": arguments.not_before,
        "issued_at": begin,
        "expires_in": arguments.expires_in if end is None else int(end - begin),
    }


def _taken(issue: Callable[..., str]) -> frozenset[str]:
    """Return the names that have an option of their own here, and are no claim's to take."""
    return frozenset(inspect.signature(issue).parameters) - {"claims", "jti", "must_understand"}
