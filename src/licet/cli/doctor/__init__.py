"""`licet doctor`: why licenses do not hold here, or soon will not, each cause with its remedy.

Settings, the servers they name or one URL, and a license. It asks those servers with GET alone,
under their own TLS policy, and shows nothing of licenses, credentials and keys but what is public.
"""

from __future__ import annotations

import argparse
from itertools import chain
from typing import Any

from licet.cli import settings, tokens
from licet.cli.command import add_json, command
from licet.cli.output import Failed, print_json

_DESCRIPTION = """\
Finds out why licenses do not hold here, or soon will not, and says what to do:
clock, DNS, connection, TLS and certificates, pins, key set, caching, license,
settings. It changes nothing and may be run at any time: servers are sent GET
alone, and a license goes to nobody but, where it is an opaque key, the license
server of the settings.

  licet doctor                               what the settings name (LICET_…)
  licet doctor https://licenses.acme.example
                                             an issuer, as its customers see it
  licet doctor https://licenses.acme.example/keys.json
                                             one key set
  licet doctor --token @license.jwt          and whether settings and license fit

A URL whose last part says .json, jwks, certs or keys is taken for a key set,
any other for an issuer or something at its license server. Where nothing names
an issuer, the usual settings are assumed."""
_EPILOG = """\
Exit status: 0 no fault was found (though perhaps warnings), 1 there is one,
2 the arguments cannot be used, 3 no fault was found, and not all could be told
for want of time or of a license server's answer."""


def add_to(commands: Any) -> None:
    """Add the command to those of the parser."""
    parser = command(
        commands,
        "doctor",
        run,
        help="find out why licenses do not hold here, and what to do about it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help="an issuer, its key set, or anything at its license server; without it what the "
        "settings name",
    )
    parser.add_argument(
        "--token",
        metavar="TOKEN",
        help="a license to look at as well: - reads it from standard input, @FILE from a file",
    )
    settings.add_to(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Look, print, and return the exit status."""
    from licet.cli.doctor import chosen as settings_chosen
    from licet.cli.doctor import report, target
    from licet.cli.doctor.credential import installed
    from licet.cli.doctor.examination import Examination
    from licet.cli.doctor.finding import Finding, Group
    from licet.cli.doctor.patience import WHOLE, Patience

    chosen = settings_chosen.read(arguments)
    license = installed(chosen.settings)  # noqa: A001 - what it is
    if arguments.token is not None:
        license = tokens.read(arguments.token, "doctor --token")  # noqa: A001
    targets, found = list(target.configured(chosen.settings)), list[Finding]()
    if arguments.url is not None:
        targets, found = target.of(arguments.url, chosen.settings)
    elif not chosen.given:
        targets = []
        if all(finding.severity == "unchecked" for finding in chosen.findings):
            raise Failed("there is nothing to look at", "give a URL, or set LICET_ISSUER")
    groups: list[Group] = []
    first = [Group("settings", chosen.findings)]
    if found:
        first.append(Group(arguments.url.partition("?")[0], found))
    if isinstance(license, Finding):
        first.append(Group("license", [license]))
        license = None  # noqa: A001
    examination = Examination(chosen, targets, license, Patience(WHOLE))
    for group in chain(first, examination.groups()):
        groups.append(group)
        if not arguments.json:
            report.show(group)
    if arguments.json:
        print_json(report.document(groups))
    else:
        print(report.summary(groups))
    return report.status(groups)
