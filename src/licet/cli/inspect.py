"""`licet inspect`: what a license says, and what is wrong with it, believing nothing.

No key is looked for and nothing is asked of anybody. Token and signature are not shown.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from licet.cli import tokens
from licet.cli.command import add_json, command
from licet.cli.moments import iso, span, told
from licet.cli.output import DONE, NOT, print_json, printable, shown

if TYPE_CHECKING:
    from licet.cli.findings import Reading

_DESCRIPTION = """\
Shows what a license says and everything that is wrong with it, by the settings
that applications have unless they say otherwise. Nothing is verified and nobody
is asked: whoever can type could have written it. `licet verify` judges it.

  licet inspect @license.jwt
  licet issue … | licet inspect"""
_EPILOG = "Exit status: 0 nothing was found, 1 something was, 2 there is nothing to read."
_UNVERIFIED = "NOT VERIFIED: anybody could have written this. `licet verify` judges a license."
_TIMES = ("iat", "nbf", "exp")


def add_to(commands: Any) -> None:
    """Add the command to those of the parser."""
    parser = command(
        commands,
        "inspect",
        run,
        help="show what a license says and what is wrong with it, without trusting it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    tokens.add_to(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show, and return the exit status."""
    from licet.cli import findings

    now = time.time()
    reading = findings.read(tokens.read(arguments.token, "inspect"), now)
    if arguments.json:
        print_json(_document(reading))
    else:
        _print(reading, now)
    return NOT if reading.findings else DONE


def _document(reading: Reading) -> dict[str, Any]:
    times = {name: iso(value) for name, value in _dates(reading.claims or {}).items()}
    return {
        "verified": False,
        "bytes": reading.size,
        "header": reading.header,
        "claims": reading.claims,
        "times": times,
        "findings": [asdict(finding) for finding in reading.findings],
    }


def _print(reading: Reading, now: float) -> None:
    print(_UNVERIFIED)
    wrong = {finding.at for finding in reading.findings}
    if reading.header is not None:
        print("\nheader")
        _print_part({name: shown(value) for name, value in reading.header.items()}, wrong)
    if reading.claims is not None:
        print("\nclaims")
        dates = {name: told(at, now) for name, at in _dates(reading.claims).items()}
        said = {name: dates.get(name) or _said(name, v) for name, v in reading.claims.items()}
        _print_part(said, wrong)
    print(f"\n{reading.size:,} bytes; {_count(len(reading.findings))}")
    for finding in reading.findings:
        print(f"\n! {printable(finding.reason)}{_at(finding.at)}: {printable(finding.problem)}")
        print(f"  remedy: {printable(finding.remedy)}")


def _print_part(members: Mapping[str, str], wrong: Collection[str]) -> None:
    names = {name: printable(name) for name in members}
    width = max((len(name) for name in names.values()), default=0)
    for name, value in members.items():
        print(f"{'!' if name in wrong else ' '} {names[name]:<{width}}  {value}")


def _said(name: str, value: object) -> str:
    if isinstance(value, list):
        # Not as `shown` does: a text and a list of one text are not the same here.
        return printable(json.dumps(value, ensure_ascii=False))
    if name == "grace" and type(value) is int and value >= 0:
        return f"{span(value)} after exp"
    return shown(value)


def _count(number: int) -> str:
    if not number:
        return "nothing wrong was found, as far as that can be told without keys"
    return f"{number} {'thing is' if number == 1 else 'things are'} wrong"


def _at(at: str) -> str:
    return f" ({printable(at)})" if at else ""


def _dates(claims: Mapping[str, Any]) -> dict[str, float]:
    from licet.core.errors import LicenseInvalid
    from licet.core.token.claims import numeric_date

    dates = {}
    for name in _TIMES:
        try:
            dates[name] = numeric_date(claims, name)
        except LicenseInvalid:
            # It is among the findings, and shown as it is written.
            continue
    return dates
