"""What TLS the server speaks: TLS 1.2 with the suites of `licet.core.tls`, and TLS 1.3.

It believes a client's certificate when an authority of one file vouches for it, and refuses every
other one inside the handshake; whether there has to be one is an option.
"""

from __future__ import annotations

import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from licet.core.tls.suites import SUITES
from licet.server.errors import ServerError


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The files that TLS is spoken by.

    Args:
        cert: a PEM file: the server's certificate, and below it what it is signed by.
        key: a PEM file: its private key, not encrypted and not for everybody to read.
        client_ca: a PEM file: the authorities that vouch for clients; None asks for no certificate.
        client_required: whether a client without a certificate is turned away.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None
    client_required: bool = False

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.cert, self.key, *([] if self.client_ca is None else [self.client_ca]))

    def context(self) -> ssl.SSLContext:
        """Return a new context of what the files hold now.

        Raises:
            ServerError: one of them cannot be used.
        """
        _check_certificate(self.cert)
        _check_key(self.key)
        # Not `create_default_context`, which honours SSLKEYLOGFILE: nobody who can set a variable
        # shall have the session keys written down.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(SUITES)
        context.set_alpn_protocols(["http/1.1"])
        context.sslobject_class = AlertingObject
        self._load_own(context)
        if self.client_ca is not None:
            _load_authorities(context, self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED if self.client_required else ssl.CERT_OPTIONAL
        return context

    def _load_own(self, context: ssl.SSLContext) -> None:
        try:
            # An empty password, because without one a locked key would ask at the terminal.
            context.load_cert_chain(self.cert, self.key, password="")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ServerError(
                    f"{self.key} is not the key of the certificate in {self.cert}",
                    "give the key that it was issued for",
                ) from None
            raise ServerError(
                f"{self.cert} and {self.key} cannot be used together",
                "give a certificate and its key, which is not encrypted, as PEM files",
            ) from None
        except OSError as error:
            raise _unreadable(self.key, error) from None


class AlertingObject(ssl.SSLObject):
    """Tells its client why a handshake fails, which event loops do not wait for.

    They drop a connection with the alert unsent (RFC 8446, section 6.2). So a failure that has one
    wants more at first: then they send what there is, and it fails as soon as they ask again.

    Attributes:
        outgoing: what is to be sent.
    """

    outgoing: ssl.MemoryBIO
    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """Go on with the handshake, as any connection does."""
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if not self.outgoing.pending:
                raise
            self._failure = error
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert is sent") from error


def _check_certificate(path: Path) -> None:
    try:
        own = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError:
        raise ServerError(f"{path} holds no certificate", "give a PEM file") from None
    if own.not_valid_after_utc.timestamp() <= time.time():
        raise ServerError(f"the certificate in {path} has expired", "put a new one in its place")


def _check_key(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise _unreadable(path, error) from None
    # A group may read it: mounted secrets are handed to one.
    if os.name == "posix" and mode & 0o007:
        raise ServerError(
            f"{path} can be read by everybody", f"chmod 600 {path}, or mount it with mode 0400"
        )


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ServerError(
            f"{path} holds no certificates of authorities", "give a PEM file"
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> ServerError:
    return ServerError(f"{path} cannot be read ({error.strerror})", "give the path of a PEM file")
