"""`flask license check` and `flask license install`, by the settings of this application.

    flask license check                  the installation's license
    flask license check --token -        a license from standard input
    flask license check --json           the same, for programs

Exit status: 0 the license holds, or the settings do and there is no installation license to
judge; 1 the license does not hold; 2 that cannot be told: the keys cannot be had, or the
arguments are wrong. `only_for` says for which requests it holds, where these are not all. With
`LICET_MODE = "report"` it is also told how often what would have been refused, by the processes
that share `LICET_STORE`.

    flask license install license.jwt    puts a license into the file that LICET_LICENSE names
    flask license install -              from standard input
    flask license install --force FILE   also where the license in place is better

The license is judged first; what does not hold changes nothing. The file is replaced whole, and
readable by its owner alone (0600). Exit status: 0 it is in place; 1 it is refused; 2 that cannot
be told or done.
"""

from __future__ import annotations

import json
import sys

import click
from flask import current_app
from flask.cli import AppGroup

from licet.core import verdict
from licet.core.installation.install import install as put_into_place

commands = AppGroup("license", help="The license of this application.")


@commands.command()
@click.option("--token", help="Judge this license; - reads it from standard input.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(token: str | None, as_json: bool) -> None:
    """Check the license of this installation, or a given one.

    Exit status: 0 it holds, 1 it does not, 2 that cannot be told.
    """
    found = verdict.judge(current_app.extensions["licet"].gate, token)
    if as_json:
        click.echo(json.dumps(found.document))
    else:
        for line in found.lines:
            click.echo(line, err=found.status > 0)
    sys.exit(found.status)


@commands.command()
@click.argument("file")
@click.option("--force", is_flag=True, help="Also where the license in place is better.")
def install(file: str, force: bool) -> None:
    """Verify a license and put it into the file that LICET_LICENSE names.

    FILE may be - for standard input. Exit status: 0 it is in place, 1 it is refused, 2 that
    cannot be told or done.
    """
    found = put_into_place(current_app.extensions["licet"].gate, file, force=force)
    click.echo(found.told, err=found.status > 0)
    sys.exit(found.status)
