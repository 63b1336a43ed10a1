"""What a TLS connection of ours must be: new enough, authenticated, and deaf to the environment.

Trusted are the authorities of `certifi`, or those of one file instead; where keys are pinned, the
server must have one of them as well. `SSL_CERT_FILE`, `SSL_CERT_DIR` and `SSLKEYLOGFILE` are not
read: whoever can set a variable shall neither add an authority nor have the session keys written
down.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import certifi

from licet.core.tls import suites
from licet.core.tls.failure import TlsError, TlsFailure, classify
from licet.core.tls.files import StrPath, client_certificate
from licet.core.tls.pins import matches, pins_of

Minimum: TypeAlias = Literal["1.2", "1.3"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How TLS is spoken with one server; the arguments of `client_context`."""

    minimum: Minimum = "1.2"
    ca_file: str | None = None
    ciphers: str | None = None
    pins: tuple[str, ...] = ()
    client_cert: StrPath | None = None
    client_key: StrPath | None = None

    def context(self) -> ssl.SSLContext:
        """Return a new context of these; raises what `client_context` does."""
        return client_context(
            self.minimum,
            self.ca_file,
            ciphers=self.ciphers,
            pins=self.pins,
            client_cert=self.client_cert,
            client_key=self.client_key,
        )


def client_context(
    minimum: Minimum = "1.2",
    ca_file: str | None = None,
    *,
    ciphers: str | None = None,
    pins: Sequence[str] = (),
    client_cert: StrPath | None = None,
    client_key: StrPath | None = None,
) -> ssl.SSLContext:
    """Return a context that checks certificate and host name, and pins inside the handshake.

    A handshake that fails raises `TlsError`.

    Args:
        minimum: the lowest TLS version to speak.
        ca_file: path of a PEM file with the only authorities to trust; None for `certifi`'s.
        ciphers: what `suites.ciphers` takes, instead of every suite that it would.
        pins: what `pins_of` takes, or none; that there are two is the settings' to see to.
        client_cert: path of a PEM file with the certificate to show, and what it is signed by.
        client_key: path of a PEM file with its private key.

    Raises:
        OSError: `ca_file` cannot be read, or (`ssl.SSLError`) holds no certificate.
        ConfigError: another argument cannot be used.
    """
    # `create_default_context` would honour SSLKEYLOGFILE; this constructor does not, and has
    # certificate and name checks on from the start.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[minimum]
    context.set_ciphers(
        suites.SUITES if ciphers is None else suites.ciphers("tls_ciphers", ciphers)
    )
    context.hostname_checks_common_name = False
    digests = pins_of(pins, single=True) if pins else frozenset()
    # Not a class of contexts: anyio hands everything but the plain one to a thread.
    context.sslsocket_class, context.sslobject_class = _handshakes(digests)
    client_certificate(client_cert, client_key)
    if client_cert is not None:
        # An empty password, because without one a locked key would ask at the terminal.
        context.load_cert_chain(client_cert, client_key, password="")
    context.load_verify_locations(cafile=ca_file or certifi.where())
    return context


def _handshakes(
    digests: frozenset[bytes],
) -> tuple[type[ssl.SSLSocket], type[ssl.SSLObject]]:
    """Return what connections are made of, in threads and in event loops."""

    class Socket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            with _judged(self, digests):
                super().do_handshake(block)

    class Object(ssl.SSLObject):
        def do_handshake(self) -> None:
            with _judged(self, digests):
                super().do_handshake()

    return Socket, Object


@contextmanager
def _judged(connection: ssl.SSLSocket | ssl.SSLObject, digests: frozenset[bytes]) -> Iterator[None]:
    """Look at the server's key when the handshake in the block is done, and name its failures."""
    try:
        yield
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        raise
    except ssl.SSLError as error:
        raise TlsError(classify(error, agreed=connection.cipher() is not None)) from None
    if digests and not matches(connection.getpeercert(True), digests):
        raise TlsError(TlsFailure("pin", "mismatch"))
