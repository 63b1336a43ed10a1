"""What only the `openssl` command can tell of a server: what it staples, and what chain it sends.

Its arguments are a fixed list and no shell is asked; it gets nothing to read.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from ipaddress import ip_address

from licet.cli.doctor.connection import Place
from licet.cli.doctor.patience import Patience
from licet.core.tls import TlsOptions

#: Seconds.
WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What the server said.

    Args:
        certificates: how many it sends.
        stapled: whether a statement of its authority came with them (RFC 6066, section 8).
        revoked: whether that says that it is good no longer.
    """

    certificates: int
    stapled: bool
    revoked: bool


def ask(place: Place, address: str, options: TlsOptions, patience: Patience) -> Heard | str:
    """Shake hands with a server through `openssl`.

    Args:
        place: the server.
        address: the one to connect to.
        options: whose client certificate is shown.
        patience: how long it may take.

    Returns:
        What was heard, or why nothing was.
    """
    command = shutil.which("openssl")
    if command is None:
        return "the command openssl is not installed"
    connect = f"[{address}]:{place.port}" if ":" in address else f"{address}:{place.port}"
    arguments = [command, "s_client", "-connect", connect, "-status", "-showcerts"]
    if not _is_address(place.host):
        # Addresses are no server names (RFC 6066, section 3).
        arguments += ["-servername", place.host]
    if options.client_cert is not None and options.client_key is not None:
        arguments += ["-cert", str(options.client_cert), "-key", str(options.client_key)]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed list
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=patience.left(WITHIN),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the command openssl came to no end ({type(error).__name__})"
    certificates = done.stdout.count(b"-----BEGIN CERTIFICATE-----")
    # The server's own is printed once more behind the chain.
    certificates -= b"\nServer certificate\n-----BEGIN CERTIFICATE-----" in done.stdout
    if not certificates:
        return "the command openssl could not connect to it"
    stapled = b"OCSP Response Status: successful" in done.stdout
    return Heard(certificates, stapled, stapled and b"Cert Status: revoked" in done.stdout)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
