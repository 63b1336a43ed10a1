"""`licet verify`: the gate's whole judgement of one license, at a terminal.

By the settings of the environment, or by those that its options spell; never by both. To whoever
runs the application the reason of a refusal may be told; the license itself is not shown.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from licet.cli import settings, tokens
from licet.cli.command import add_json, command
from licet.cli.moments import moment
from licet.cli.output import DONE, NOT, UNDECIDED, Failed, print_json, print_members

if TYPE_CHECKING:
    from licet.core.entitlements import Entitlements
    from licet.core.errors import LicenseError

_DESCRIPTION = """\
Judges a license as an application would: signature, times, and where it holds.

  licet verify @license.jwt                  by LICET_ISSUER, LICET_AUDIENCE, …
  licet verify @license.jwt --issuer https://licenses.acme.example \\
      --audience acme-reports                by the key set that it serves
  licet verify @license.jwt --issuer … --audience … --jwks jwks.json
                                             without any network
  licet verify @license.jwt --host reports.example --at 2027-01-31T12:00:00Z

The settings are those of the environment (LICET_…), unless one of the options
for settings is given: then it is these and nothing else. Of the circumstances,
what is not told is unknown, and a license that depends on it does not hold."""
_EPILOG = """\
Exit status: 0 it holds, 1 it is refused, 2 the settings or arguments cannot
work, 3 that cannot be told because the keys or the license server cannot be
had."""
_HEADINGS = {
    DONE: "The license holds.",
    NOT: "The license does not hold.",
    UNDECIDED: "Whether the license holds cannot be told.",
}


def add_to(commands: Any) -> None:
    """Add the command to those of the parser."""
    parser = command(
        commands,
        "verify",
        run,
        help="judge a license as an application would, and say why",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    tokens.add_to(parser)
    settings.add_to(parser)
    where = parser.add_argument_group("circumstances")
    where.add_argument("--host", help="the host the application is reached by")
    where.add_argument("--origin", help="the origin of the calling page, https://app.example")
    where.add_argument("--ip", metavar="ADDRESS", help="of the client")
    where.add_argument("--region", metavar="CODE", help="of the client: DE or US-CA")
    where.add_argument(
        "--at",
        metavar="MOMENT",
        type=moment,
        help="judge as of then: 2027-01-31T12:00:00Z, or seconds since 1970; the keys are today's",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Judge, print, and return the exit status."""
    from licet.core.errors import ConfigError, LicenseError
    from licet.core.verify import verify

    with _log():
        # Whoever asks wants to know, also where the application does not enforce it yet; and the
        # question is nobody else's business.
        chosen = replace(
            settings.read(arguments), mode="enforce", webhook_url=None, webhook_secret=None
        )
        credential = tokens.read(arguments.token, "verify")
        where = {name: getattr(arguments, name) for name in ("host", "origin", "ip", "region")}
        try:
            entitlements = verify(credential, chosen, at=arguments.at, **where)
        except LicenseError as refusal:
            status, told = _refused(refusal)
        except ConfigError:
            raise  # What only a gate sees of the settings.
        except ValueError as error:
            raise Failed("a circumstance cannot be used", str(error)) from None
        else:
            status, told = DONE, _granted(entitlements)
    if arguments.json:
        print_json({"holds": {DONE: True, NOT: False}.get(status), **told})
    else:
        print(_HEADINGS[status])
        print_members(told)
    return status


def _granted(entitlements: Entitlements) -> dict[str, Any]:
    from licet.core.verdict import license_members

    return {**license_members(entitlements), "verified_by": entitlements.verified_by}


def _refused(refusal: LicenseError) -> tuple[int, dict[str, Any]]:
    from licet.cli.remedies import explain
    from licet.core.errors import LicenseUnavailable

    problem, remedy = explain(refusal.reason, refusal.code)
    return UNDECIDED if isinstance(refusal, LicenseUnavailable) else NOT, {
        "code": refusal.code,
        "status": refusal.status,
        "reason": refusal.reason,
        "detail": problem,
        "remedy": remedy,
    }


@contextmanager
def _log() -> Iterator[None]:
    """Show what the logger of Licet warns about: why keys cannot be had, for instance."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    # The refusal itself is what the command prints.
    handler.addFilter(lambda record: not record.getMessage().startswith("license.denied "))
    handler.setFormatter(logging.Formatter("licet: %(message)s"))
    logger = logging.getLogger("licet")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
