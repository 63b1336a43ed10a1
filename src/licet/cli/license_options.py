"""What a license says, as options: one way to spell it, whoever signs.

Decides how it is typed, not whether a gate accepts it.
"""

from __future__ import annotations

import argparse
import inspect
import secrets
from typing import Any

from licet.cli import typed
from licet.cli.moments import duration, moment
from licet.cli.output import split

_YEAR = 365 * 86_400


def add_to(parser: argparse.ArgumentParser, *, by_server: bool = False) -> None:
    """Add the options to those of a command.

    Args:
        parser: of the command.
        by_server: whether a license server signs, which knows the product, and keeps status lists.
    """
    whose = parser.add_argument_group("for whom, and until when")
    whose.add_argument(
        "--audience",
        metavar="PRODUCT",
        action="append",
        required=not by_server,
        help="the product it is for, as LICET_AUDIENCE there; repeat for several"
        + "; the server's own where not given" * by_server,
    )
    _add_whose(whose, by_server)
    _add_grants(parser.add_argument_group("what it grants"))
    conditions = parser.add_argument_group("where, when and in whose hands it holds")
    _add_conditions(conditions)
    if by_server:
        conditions.add_argument(
            "--status",
            action="store_true",
            help="give it a place on the server's status list; then it holds only where that list "
            "can be had",
        )
    else:
        conditions.add_argument(
            "--status-list", metavar="URI#IDX", help="the status list, and its own place in it"
        )


def _add_whose(group: Any, by_server: bool) -> None:
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
    if by_server:
        group.add_argument(
            "--term",
            metavar="TIME",
            type=duration,
            help="how long it was sold for: it renews itself until then, and not beyond",
        )


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
        "--bind-jkt",
        metavar="DIGEST",
        help="of its holder's DPoP key: the RFC 7638 thumbprint",
    )
    group.add_argument(
        "--bind-x5t",
        metavar="DIGEST",
        help="of its holder's TLS certificate: x5t#S256 (RFC 8705)",
    )
    group.add_argument(
        "--claim",
        metavar="NAME=JSON",
        action="append",
        help="any other claim: tenant='\"acme\"', must_understand='[\"tenant\"]'",
    )


def read(arguments: argparse.Namespace, begin: int) -> dict[str, Any]:
    """Return the arguments of `Issuer.issue`.

    Args:
        arguments: with the options.
        begin: when it is issued, seconds since the epoch.

    Raises:
        ValueError: something cannot be read; the sentence says what.
    """
    audience = arguments.audience
    end = arguments.expires_at
    return {
        **typed.claims(arguments.claim, _taken()),
        "audience": audience[0] if audience and len(audience) == 1 else audience,
        "subject": drawn_id() if arguments.subject is None else arguments.subject,
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
        "status": typed.status(getattr(arguments, "status_list", None)),
        "trial": arguments.trial,
        "grace": arguments.grace,
        "not_before": arguments.not_before,
        "issued_at": begin,
        "expires_in": arguments.expires_in if end is None else int(end - begin),
    }


def drawn_id() -> str:
    """Return the id of a license that is given none."""
    return f"lic_{secrets.token_hex(12)}"


def order(arguments: argparse.Namespace, begin: int) -> dict[str, Any]:
    """Return what a license server is asked to issue (protocol, section 2).

    The id is drawn here where none is given, so that it is known whatever becomes of the answer.

    Args:
        arguments: with the options.
        begin: when it is asked, seconds since the epoch.

    Raises:
        ValueError: something cannot be read; the sentence says what.
    """
    given = {name: each for name, each in read(arguments, begin).items() if each is not None}
    further = {name: given.pop(name) for name in given.keys() - _members()}
    del given["issued_at"]
    return {
        "id": given.pop("subject"),
        **given,
        **({"claims": further} if further else {}),
        **({} if arguments.term is None else {"term": arguments.term}),
        **({"status": True} if arguments.status else {}),
    }


def _taken() -> frozenset[str]:
    """Return the names that have an option of their own here, and are no claim's to take."""
    return _members() - {"must_understand"}


def _members() -> frozenset[str]:
    from licet.issuer import Issuer

    return frozenset(inspect.signature(Issuer.issue).parameters) - {"claims", "jti"}
