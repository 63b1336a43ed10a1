"""One TLS handshake: as Licet would make it, or so that more can be seen of a server.

What is seen by a context that trusts anything is shown, and never believed.
"""

from __future__ import annotations

import socket
import ssl
from typing import NamedTuple

import certifi

from licet.cli.doctor.connection import Place
from licet.cli.doctor.patience import Patience
from licet.core.tls import TlsFailure, TlsOptions, classify

#: Seconds.
WITHIN = 5.0
#: There was none in time.
LATE = TlsFailure("handshake", "timeout")


class Shaken(NamedTuple):
    """A handshake that succeeded.

    Attributes:
        version: of TLS.
        suite: of ciphers.
        certificate: the server's, in DER.
    """

    version: str
    suite: str
    certificate: bytes


def shake(
    place: Place, address: str, context: ssl.SSLContext, patience: Patience
) -> Shaken | TlsFailure:
    """Shake hands with a server, and say nothing more.

    Args:
        place: the server.
        address: the one to connect to.
        context: how TLS is spoken.
        patience: how long it may take.
    """
    try:
        # The time is one for all of the handshake, however a server drips.
        connection = socket.create_connection((address, place.port), patience.left(WITHIN))
        with connection, context.wrap_socket(connection, server_hostname=place.host) as stream:
            suite, presented = stream.cipher(), stream.getpeercert(True)
            return Shaken(str(stream.version()), suite[0] if suite else "", presented or b"")
    except TimeoutError:
        return LATE
    except OSError as error:
        return classify(error)


def believing(options: TlsOptions) -> ssl.SSLContext:
    """Return a context that speaks all there is, and trusts anything."""
    context = _lenient(options)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def trusting(options: TlsOptions, leaf: bytes | None = None) -> ssl.SSLContext:
    """Return one that speaks all there is, and trusts what ours does, or this certificate alone."""
    context = _lenient(options)
    if leaf is None:
        context.load_verify_locations(cafile=options.ca_file or certifi.where())
    else:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=leaf)
    return context


def _lenient(options: TlsOptions) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    if options.client_cert is not None:
        context.load_cert_chain(options.client_cert, options.client_key, password="")
    return context
