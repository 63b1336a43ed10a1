"""`licet demo`: the example applications on real servers, expected beside observed.

Everything happens on loopback, with keys made for the run. The license server tells its two API
keys to whoever started it; the validation key passes through the environment of those who ask it,
the secret that signs webhooks through that of those who take them; none is shown.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import tempfile
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from licet.cli.command import add_json, command

if TYPE_CHECKING:
    from licet.cli.demo.process import Server

ISSUER = "https://licenses.acme.example"
_DESCRIPTION = """\
Starts a license server and the example applications on loopback, plays
licenses of every kind before each, in the right and the wrong place and
hands, and prints expected beside observed."""
_EPILOG = """\
Exit status: 0 if all answers are the expected ones, 1 if not or if a server
failed, 2 if something is not installed."""


def add_to(commands: Any) -> None:
    """Add the command to those of the parser."""
    parser = command(
        commands,
        "demo",
        run,
        help="play the example applications on real servers and print one table",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("--serve", action="store_true", help="keep everything up until Ctrl-C")
    add_json(parser, "print JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Play, print, and return the exit status."""
    from licet.cli.demo import programs

    if missing := programs.missing():
        _tell(f'the demo needs {", ".join(missing)}: pip install "licet[demo]"')
        return 2

    from licet.cli.demo.process import ServerFailed

    try:
        return _play(arguments)
    except ServerFailed as error:
        _tell(str(error))
        return 1


def _play(arguments: argparse.Namespace) -> int:
    from licet.cli.demo import programs, table
    from licet.cli.demo.licenses import Vendor
    from licet.cli.demo.play import Play
    from licet.cli.demo.questions import CACHE_FOR, ONLINE
    from licet.cli.demo.scenes import AUDIENCE, SETTINGS, scenes
    from licet.cli.demo.servers import SERVER, Servers
    from licet.cli.demo.withdrawals import STATUS_TTL

    with (
        tempfile.TemporaryDirectory(prefix="licet-demo-") as directory,
        Servers(Path(directory), _announce) as servers,
    ):
        program = programs.license_server(
            Path(directory, "license-server"),
            issuer=ISSUER,
            audience=AUDIENCE,
            cache_for=CACHE_FOR,
            status_ttl=STATUS_TTL,
        )
        (license_server,) = servers.start(program)
        settings = {
            **SETTINGS,
            "LICET_STORE": f"sqlite:///{Path(directory).as_posix()}/{SERVER}.db",
            "LICET_STATUS_ORIGINS": license_server.url,
            "LICET_WEBHOOK_RECEIVE_SECRET": f"whsec_{b64encode(secrets.token_bytes(32)).decode()}",
            "LICET_ISSUER": ISSUER,
            "LICET_JWKS_URL": f"{license_server.url}/.well-known/jwks.json",
        }
        asking = {
            **settings,
            **ONLINE,
            "LICET_VALIDATION_URL": f"{license_server.url}/v1/licenses/validate",
            "LICET_VALIDATION_CREDENTIALS": license_server.told["validation_key"],
            "LICET_VALIDATION_JWKS": str(Path(directory, "validation.json")),
        }
        apps = servers.start(*programs.applications(), **settings)
        token = None
        with (
            Vendor(license_server.url, license_server.told["admin_key"]) as vendor,
            Play(servers, license_server, apps, vendor, settings, asking) as play,
        ):
            rows = list(scenes(play))
            if arguments.serve:
                token = play.full()
        report = (rows, [play.license_server, *apps], _curl(apps, token))
        if arguments.json:
            print(json.dumps(table.document(*report), indent=1), flush=True)
        else:
            print(table.text(*report, colour=_colour()), flush=True)
        servers.check()
        if arguments.serve:
            _tell("Serving until Ctrl-C.")
            try:
                while True:
                    servers.check()
                    time.sleep(0.5)
            except KeyboardInterrupt:
                _tell("Stopping.")
        return 0 if all(row.agrees for row in rows) else 1


def _curl(apps: list[Server], token: str | None) -> list[str]:
    """Return lines for a shell; `token` where somebody is there to answer."""
    held = "$LICENSE"
    hint = "# `licet demo --serve` keeps the servers up and prints a LICENSE for these lines"
    return [
        f"LICENSE={token}" if token else hint,
        f"curl -i {apps[0].url}/health",
        f"curl -i {apps[0].url}/me",
        *(f'curl -i -H "Authorization: Bearer {held}" {app.url}/reports' for app in apps),
        f'curl -i -H "Authorization: Bearer {held}" {apps[0].url}/export',
        f'curl -i -H "Authorization: Bearer {held}" -H "X-License-Token: {held}" {apps[0].url}/me',
    ]


def _colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _announce(server: Server) -> None:
    _tell(f"started {server.program!s:<26} pid {server.pid:<8} {server.url}")


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
