"""`licet serve`: runs the reference license server, on this machine alone or for others.

No secret is an argument, because arguments are seen in the list of processes: a passphrase comes
from the environment, a key from a file. Which keys open the server is told once, by a file that
only its owner may read; but for `--dev`, which prints them.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from licet.cli import serve_options, welcome
from licet.cli.command import command
from licet.cli.output import DONE, Failed, print_json, tell

if TYPE_CHECKING:
    import socket

#: The variable that a passphrase comes from.
PASSPHRASE = "LICET_SERVER_PASSPHRASE"  # noqa: S105 - its name
_DESCRIPTION = f"""\
Runs a license server: it issues licenses, says whether they hold, and tells
of changes. To try it:

  licet serve --dev                      prints its keys, and what to do next

For your customers, behind a proxy that speaks TLS or with TLS of its own:

  licet serve --data /var/lib/licet --issuer https://licenses.acme.example \\
      --audience acme-reports --host 0.0.0.0 --port 443 \\
      --tls-cert server.pem --tls-key server.key

Issuer and audience are settled at the first start. Everything is kept in the
directory of --data: back it up, and let nobody else read it. At the first
start it also gets the file admin-key, with the key that opens everything:

  licet licenses issue --data /var/lib/licet --customer "Example GmbH" …

Private keys are in issuer.json there, or where --key-file says; or in the
database, sealed with {PASSPHRASE} or --unlock-with."""
_EPILOG = """\
Exit status: 0 it was told to end (SIGTERM, Ctrl-C), 2 it cannot run as given."""


def add_to(commands: Any) -> None:
    """Add the command to those of the parser."""
    parser = command(
        commands,
        "serve",
        run,
        help="run a license server",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    serve_options.add_to(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to end, and return the exit status."""
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        needed = " and ".join(missing)
        raise Failed(f"a license server needs {needed}", 'pip install "licet[server]"')

    from licet.server import ServerError
    from licet.server.storage.database import StorageError

    with _log():
        try:
            _serve(arguments)
        except ServerError as error:
            raise Failed(error.problem, error.remedy) from None
        except StorageError as error:
            remedy = f"see whether {arguments.data} has room, and whether this user may write there"
            raise Failed(f"nothing can be kept ({error})", remedy) from None
    return DONE


def _serve(arguments: argparse.Namespace) -> None:
    from licet.server import LicenseServer
    from licet.server.running import keyfiles
    from licet.server.running.development import opened
    from licet.server.running.reloading import Reloading
    from licet.server.running.serving import Serving
    from licet.server.running.sockets import listen, url_of

    files = serve_options.tls(arguments)
    tls = None if files is None else Reloading(files)
    configuration = serve_options.configuration(arguments, os.environ.get(PASSPHRASE))
    renew: bool = arguments.new_admin_key
    with ExitStack() as stack:
        listening = stack.enter_context(listen(arguments.host, arguments.port))
        _check_reach(arguments, listening, has_tls=tls is not None)
        url = arguments.url or url_of(listening, tls=tls is not None)
        keys: dict[str, str] = {}
        if arguments.dev:
            server = stack.enter_context(opened(replace(configuration, url=url), url))
            keys = keyfiles.dev_keys(server.api_keys, configuration.data, renew=renew)
        else:
            server = stack.enter_context(LicenseServer(configuration))
            made = keyfiles.admin_key(server.api_keys, configuration.data, renew=renew)
            if made is not None:
                tell(f"its admin key is in {made}: keep it, it opens everything")
        keyfiles.leave_address(configuration.data, url)
        told = {"url": url, "issuer": server.issuer, "audience": server.audience, **keys}
        # What was made until now stays: no collection while callers wait needs to look at it.
        gc.freeze()
        Serving(server.app, listening, tls=tls, ready=lambda: _tell(arguments, told)).run()


def _check_reach(arguments: argparse.Namespace, listening: socket.socket, *, has_tls: bool) -> None:
    """Refuse to hand keys and licenses to whoever listens on the way."""
    from licet.server.running.sockets import is_loopback

    if is_loopback(listening):
        return
    if arguments.dev:
        raise Failed("--dev is for this machine alone", "leave --host out, or run it without --dev")
    if not (has_tls or arguments.behind_proxy):
        raise Failed(
            f"on {arguments.host} others would talk to it over plain http, keys included",
            "give --tls-cert and --tls-key, or --behind-proxy if a proxy in front speaks TLS",
        )


def _tell(arguments: argparse.Namespace, told: dict[str, str]) -> None:
    """Say, once it is ready, where it is."""
    if arguments.json:
        print_json(told)
    elif arguments.dev:
        print(welcome.text(told, arguments.data))
    else:
        print(f"The license server is at {told['url']}. Ctrl-C ends it.")
    sys.stdout.flush()


@contextmanager
def _log() -> Iterator[None]:
    """Show on standard error what the server logs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in ("licet", "uvicorn")]
    own = logging.getLogger("licet.server")
    level = own.level
    own.setLevel(logging.INFO)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        own.setLevel(level)
        for logger in loggers:
            logger.removeHandler(handler)
