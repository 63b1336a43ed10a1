"""`licet licenses revoke|suspend|resume`: what becomes of licenses, one by one.

Done is what the server has acknowledged, and nothing else. Behind the first of them that cannot be
told about no other is asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

from licet.cli.admin import options
from licet.cli.admin.answers import Refused, Unsure
from licet.cli.admin.connection import Server
from licet.cli.output import DONE, Failed, print_json, printable, tell

_STATUSES = """\
Exit status: 0 the server has acknowledged each, 1 it says no to one, 2 that
cannot be done as given, 3 the server cannot be had, or does not tell whether it
is done."""


class _Step(NamedTuple):
    """What becomes of a license: the command, its word for people, the server's, and help."""

    name: str
    word: str
    state: str
    help: str
    description: str


_STEPS = (
    _Step(
        "revoke",
        "revoked",
        "revoked",
        "end licenses for good",
        "Ends licenses for good. Applications learn of it by webhook, status list or the\n"
        "next validation; a revoked license stays revoked:\n\n"
        '  licet licenses revoke lic_1 --reason "charged back"\n'
        "  licet licenses revoke lic_1 lic_2 lic_3",
    ),
    _Step(
        "suspend",
        "suspended",
        "suspended",
        "end licenses until they are resumed",
        "Ends licenses until they are resumed:\n\n"
        '  licet licenses suspend lic_1 --reason "invoice 4711"',
    ),
    _Step(
        "resume",
        "active again",
        "active",
        "have suspended licenses hold again",
        "Has suspended licenses hold again; revoked ones stay revoked:\n\n"
        "  licet licenses resume lic_1",
    ),
)


def add_to(licenses: Any) -> None:
    """Add the commands to those about licenses."""
    for step in _STEPS:
        parser = options.add(
            licenses,
            step.name,
            _runner(step),
            help=step.help,
            description=step.description,
            epilog=_STATUSES,
        )
        parser.add_argument("id", metavar="ID", nargs="+", help="of a license")
        parser.add_argument("--reason", metavar="TEXT", help="for the record and for who is told")


def _runner(step: _Step) -> Callable[[argparse.Namespace], int]:
    return lambda arguments: _run(step, arguments)


def _run(step: _Step, arguments: argparse.Namespace) -> int:
    server = options.connect(arguments)
    body = {} if arguments.reason is None else {"reason": arguments.reason}
    left = list(dict.fromkeys(arguments.id))
    results: list[dict[str, Any]] = []
    status = DONE
    try:
        while left:
            license_id = left.pop(0)
            try:
                results.append(_done(server, step, license_id, body))
            except Failed as failed:
                results.append({"id": license_id, **failed.document})
                tell(f"{license_id}: {failed}")
                status = failed.status
                if not isinstance(failed, Refused):
                    break
            except KeyboardInterrupt:
                what, remedy = _unsure(step, license_id)
                unsure = Unsure(f"{what} is unknown", remedy)
                results.append({"id": license_id, **unsure.document})
                tell(str(unsure))
                raise
            else:
                if not arguments.json:
                    print(f"{printable(license_id)}: {step.word}", flush=True)
    finally:
        if left:
            tell(f"not asked for: {', '.join(left)}")
        results += [{"id": each, "code": "not_asked"} for each in left]
        if arguments.json:
            print_json({"licenses": results})
    return status


def _done(server: Server, step: _Step, license_id: str, body: dict[str, object]) -> dict[str, Any]:
    answer = server.change(
        "POST",
        "licenses",
        license_id,
        step.name,
        done=lambda answer: answer.get("state") == step.state,
        body=body,
        unsure=_unsure(step, license_id),
    )
    return {**answer, "id": license_id}


def _unsure(step: _Step, license_id: str) -> tuple[str, str]:
    return (
        f"whether {license_id} is {step.word}",
        f"`licet licenses show {license_id}` tells; repeating it does no harm",
    )
