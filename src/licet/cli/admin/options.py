"""Where the license server is and what opens it, as options and in the environment."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from licet.cli import command
from licet.cli.admin.connection import Server
from licet.cli.output import Failed, why

#: Where `licet serve` is unless it is told otherwise.
DEFAULT = "http://127.0.0.1:8000"
#: What is in the environment.
SERVER, KEY = "LICET_SERVER", "LICET_ADMIN_KEY"
#: Bytes that are read of a file that holds a key.
_MOST = 64 * 1024
_WAYS = f"set {KEY}, or write --admin-key @FILE, or --data DIR where `licet serve` runs here"
_STATUSES = """\
Exit status: 0 done, 1 the server says no, 2 that cannot be done as given,
3 the server cannot be had, or does not tell whether it is done."""
#: What goes wrong with options of the core, by the names that they have here.
_NAMES = {"tls_client_cert": "client-cert", "tls_client_key": "client-key", "tls_pins": "pin"}


def group(
    commands: Any,
    name: str,
    add: Callable[[Any], object],
    *,
    help: str,  # noqa: A002 - as argparse calls it
    description: str,
) -> None:
    """Add commands that speak with the server, below one name, as `group` of all commands does."""
    command.group(commands, name, add, help=help, description=description, epilog=_STATUSES)


def add(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    help: str,  # noqa: A002 - as argparse calls it
    description: str,
    epilog: str = _STATUSES,
    json: str = "print one JSON object",
) -> argparse.ArgumentParser:
    """Add a command that speaks with the server, as `command` does; `connect` reads its options.

    Args:
        commands, name, run, help, description, epilog: as `command` takes them.
        json: what `--json` does.
    """
    parser = command.command(commands, name, run, help=help, description=description, epilog=epilog)
    # Behind the command's own options, and only if it is typed.
    parser.fill = lambda parser: _fill(parser, json)
    return parser


def _fill(parser: argparse.ArgumentParser, json: str) -> None:
    command.add_json(parser, json)
    group = parser.add_argument_group("the license server")
    group.add_argument("--server", metavar="URL", help=f"{SERVER} where not given, else {DEFAULT}")
    group.add_argument(
        "--admin-key",
        metavar="@FILE",
        help=f"the file with its admin key, - for standard input; {KEY} where not given",
    )
    group.add_argument(
        "--data",
        metavar="DIR",
        help="instead of both: the directory of `licet serve`, on this machine",
    )
    group.add_argument(
        "--timeout", metavar="SECONDS", type=_seconds, default=30.0, help="for one answer; 30"
    )
    group.add_argument(
        "--ca-file", metavar="FILE", help="the authorities to trust, in PEM; those of certifi"
    )
    group.add_argument(
        "--pin",
        metavar="sha256/…",
        action="append",
        default=[],
        help="of the server's key, which it must have besides; repeat for the one to come",
    )
    group.add_argument("--client-cert", metavar="FILE", help="the certificate to show, in PEM")
    group.add_argument("--client-key", metavar="FILE", help="its private key, in PEM")


def connect(arguments: argparse.Namespace) -> Server:
    """Return the server that options and environment name.

    Raises:
        Failed: they name none that can be asked.
        ConfigError: its address is none, or would have the key go in clear.
    """
    from licet.core.errors import ConfigError
    from licet.core.settings import options
    from licet.core.tls import TlsOptions

    url, key = (None, None) if arguments.data is None else _local(Path(arguments.data))
    url = arguments.server or url or os.environ.get(SERVER) or DEFAULT
    if "?" in options.url("server", url):
        raise Failed("the server's address asks something", "write --server https://host")
    if arguments.admin_key is not None:
        key = secret(arguments.admin_key, _WAYS)
    key = key or os.environ.get(KEY, "").strip()
    if not key:
        raise Failed("no admin key is given", _WAYS)
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise Failed("what is given as the admin key is none", _WAYS)
    tls = TlsOptions(
        ca_file=arguments.ca_file,
        pins=tuple(arguments.pin),
        client_cert=arguments.client_cert,
        client_key=arguments.client_key,
    )
    try:
        return Server(url, key, tls, arguments.timeout)
    except ConfigError as error:
        name = _NAMES.get(error.setting, error.setting)
        raise Failed(f"--{name} {error.problem}", error.remedy) from None
    except OSError as error:
        raise Failed(f"--ca-file cannot be used ({why(error)})", "name a PEM file") from None


def secret(argument: str, ways: str) -> str:
    """Return the secret that an argument names: `@FILE`, or `-` for standard input.

    Args:
        argument: as it was typed.
        ways: how it is given, for the remedy.

    Raises:
        Failed: it cannot be had, or is written out.
    """
    if argument == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise Failed("no secret comes in", ways)
        return _text(sys.stdin.buffer.read(_MOST))
    if not argument.startswith("@"):
        # Not shown again: it may be the secret.
        raise Failed("a secret that is written out is seen in the list of processes", ways)
    return _read(Path(argument[1:]), ways)


def _local(data: Path) -> tuple[str | None, str]:
    """Return where the server of a directory is, if that is known, and its admin key."""
    remedy = "name the directory of `licet serve`, on this machine, whose owner you are"
    address, dev, alone = data / "address", data / "dev-keys.json", data / "admin-key"
    url = _read(address, remedy) if _made(address) else None
    # The later of the two: a new admin key ends the earlier ones.
    if _made(alone) >= _made(dev):
        return url, _read(alone, remedy)
    try:
        made = json.loads(_read(dev, remedy))
    except (ValueError, RecursionError):
        made = None
    if not isinstance(made, dict) or not isinstance(made.get("admin_key"), str):
        raise Failed(f"there is no admin key in {dev}", remedy)
    return url, made["admin_key"]


def _made(path: Path) -> float:
    """Return when a file was made, 0 where none can be seen."""
    try:
        return path.stat().st_mtime
    except (OSError, ValueError):
        return 0.0


def _read(path: Path, remedy: str) -> str:
    try:
        with path.open("rb") as file:
            return _text(file.read(_MOST))
    except (OSError, ValueError) as error:
        raise Failed(f"{path} cannot be read ({why(error)})", remedy) from None


def _text(content: bytes) -> str:
    # Whatever is no ASCII is no key, which is said later on.
    return content.decode("ascii", "replace").strip()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError("write seconds, 3600 at most")
    return seconds
