"""A server's files for TLS, which tests replace, and clients that show certificates."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import trustme

from licet.server.running.tls import TlsFiles

#: Vouches for the server, and for its clients; and another one for clients.
SERVERS, CLIENTS, OTHERS = trustme.CA(), trustme.CA(), trustme.CA()


class Site:
    """The files of one server, in a directory.

    Attributes:
        files: what the server is given.
    """

    def __init__(self, directory: Path, *, client_required: bool = False) -> None:
        self.files = TlsFiles(
            cert=directory / "server.pem",
            key=directory / "server.key",
            client_ca=directory / "clients.pem",
            client_required=client_required,
        )
        self.renew()
        self.vouch(CLIENTS)

    def renew(self) -> None:
        """Put a new certificate and its key in place."""
        own = SERVERS.issue_cert("127.0.0.1", "::1")
        put(self.files.key, own.private_key_pem.bytes())
        put(self.files.cert, own.cert_chain_pems[0].bytes())

    def vouch(self, *authorities: trustme.CA) -> None:
        """Have these vouch for clients, and no others."""
        assert self.files.client_ca is not None
        put(self.files.client_ca, b"".join(each.cert_pem.bytes() for each in authorities))


def put(path: Path, content: bytes) -> None:
    """Replace a file as a whole; only its owner may read it."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.chmod(0o600)
    os.replace(part, path)


def client(
    shown: trustme.LeafCert | None = None,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> ssl.SSLContext:
    """Return the context of a client.

    Args:
        shown: the certificate that it shows if it is asked.
        version: the highest that it speaks.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = version
    SERVERS.configure_trust(context)
    if shown is not None:
        shown.configure_cert(context)
    return context
