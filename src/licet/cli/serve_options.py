"""The options of `licet serve`, and what the server makes of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from licet.cli.command import add_json
from licet.cli.moments import duration
from licet.cli.output import Failed

if TYPE_CHECKING:
    from licet.server import Configuration
    from licet.server.running.tls import TlsFiles

DATA, HOST, PORT = "licet-server", "127.0.0.1", 8000
#: Those that go to the configuration as they are, where they are given.
_PASSED_ON = (
    "issuer audience url algorithm key_file jwks_max_age cache_for status_ttl validation_rate"
).split()


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add them to the command."""
    parser.add_argument(
        "--dev",
        action="store_true",
        help="to try it, on this machine alone: issuer and audience are settled by themselves, and "
        "the same two keys are made, kept and printed",
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        default=Path(DATA),
        help=f"the directory that everything is kept in; {DATA} where not given",
    )
    _add_licenses(parser.add_argument_group("its licenses"))
    _add_keys(parser.add_argument_group("its keys"))
    _add_network(parser.add_argument_group("where it listens"))
    _add_answers(parser.add_argument_group("its answers"))
    add_json(parser, "print one JSON object, on one line, once it is ready")


def _add_licenses(group: Any) -> None:
    group.add_argument(
        "--issuer",
        metavar="URL",
        help='who issues: the "iss" of licenses, by which applications find this server; needed '
        "at the first start",
    )
    group.add_argument(
        "--audience",
        metavar="PRODUCT",
        help="what for, where nobody names another product; needed at the first start",
    )
    group.add_argument(
        "--url", metavar="URL", help="where applications find it, if not at the issuer's address"
    )
    group.add_argument(
        "--algorithm",
        metavar="NAME",
        help="of the first key: EdDSA where not given, Ed25519, or ES, PS or RS with 256, 384 or "
        "512 behind it",
    )


def _add_keys(group: Any) -> None:
    place = group.add_mutually_exclusive_group()
    place.add_argument(
        "--key-file",
        metavar="FILE",
        type=Path,
        help="where the private keys are, as `licet keygen` makes it; issuer.json in DIR",
    )
    place.add_argument(
        "--unlock-with",
        metavar="FILE",
        type=Path,
        help="instead: keep them in the database, sealed with this file of 32 bytes or more",
    )
    group.add_argument(
        "--new-admin-key",
        action="store_true",
        help="make another admin key, in the file admin-key of DIR, and refuse all earlier ones",
    )


def _add_network(group: Any) -> None:
    group.add_argument(
        "--host",
        default=HOST,
        help=f"the address to listen on: {HOST}, which only this machine reaches, where not given; "
        "0.0.0.0 or :: for all",
    )
    group.add_argument(
        "--port", metavar="N", type=_port, default=PORT, help=f"{PORT} where not given; 0: any"
    )
    group.add_argument(
        "--tls-cert",
        metavar="FILE",
        type=Path,
        help="speak TLS, with this certificate and those it is signed by, in PEM; all these files "
        "are read again when they change",
    )
    group.add_argument("--tls-key", metavar="FILE", type=Path, help="its private key, in PEM")
    group.add_argument(
        "--tls-client-ca",
        metavar="FILE",
        type=Path,
        help="ask clients for a certificate, which these authorities have to vouch for; licenses "
        "that are bound to one are refreshed by whoever shows it",
    )
    group.add_argument(
        "--tls-client-required",
        action="store_true",
        help="turn clients without a certificate away, also from what is public",
    )
    group.add_argument(
        "--behind-proxy",
        action="store_true",
        help="plain http is not refused, because a proxy in front speaks TLS",
    )


def _add_answers(group: Any) -> None:
    for name, what in [
        ("--cache-for", "how long a yes may be relied on: 1h"),
        ("--status-ttl", "how long a copy of a status list is fresh: 5m"),
        ("--jwks-max-age", "how long the key set may be cached: 5m"),
    ]:
        group.add_argument(name, metavar="TIME", type=duration, help=f"{what} where not given")
    group.add_argument(
        "--validation-rate",
        metavar="N",
        type=int,
        help="questions a second that each validation key has answered at once, before the others "
        "wait: 200 where not given",
    )


def configuration(arguments: argparse.Namespace, passphrase: str | None) -> Configuration:
    """Return what the server is told.

    Args:
        arguments: as they were given.
        passphrase: as it is in the environment.

    Raises:
        ServerError: it cannot work.
    """
    from licet.server import Configuration

    given = {name: getattr(arguments, name) for name in _PASSED_ON}
    return Configuration(
        data=arguments.data,
        passphrase=passphrase,
        unlock_file=arguments.unlock_with,
        **{name: value for name, value in given.items() if value is not None},
    )


def tls(arguments: argparse.Namespace) -> TlsFiles | None:
    """Return the files to speak TLS by, None for plain http.

    Raises:
        Failed: one of them needs another.
    """
    from licet.server.running.tls import TlsFiles

    cert, key, authorities = arguments.tls_cert, arguments.tls_key, arguments.tls_client_ca
    if (cert is None) != (key is None):
        raise Failed("a certificate and its key go together", "give --tls-cert and --tls-key")
    if authorities is None and arguments.tls_client_required:
        raise Failed("nobody vouches for clients", "give --tls-client-ca FILE as well")
    if cert is None:
        if authorities is not None:
            raise Failed(
                "only over TLS a client shows a certificate", "give --tls-cert and --tls-key"
            )
        return None
    return TlsFiles(
        cert=cert, key=key, client_ca=authorities, client_required=arguments.tls_client_required
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= 65_535):
        raise argparse.ArgumentTypeError("write a number from 0 to 65535")
    return int(text)
