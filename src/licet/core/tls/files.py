"""The certificate that we show, and its key: two files, which are replaced while we run."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from typing import TypeAlias

from cryptography import x509

from licet.core.clock import SYSTEM_CLOCK
from licet.core.errors import ConfigError

StrPath: TypeAlias = str | os.PathLike[str]

CERT, KEY = "tls_client_cert", "tls_client_key"


def client_certificate(
    cert: StrPath | None,
    key: StrPath | None,
    *,
    wall: Callable[[], float] = SYSTEM_CLOCK.wall,
) -> None:
    """Check the files of a client certificate (RFC 8446, section 4.4.2) and its key.

    Args:
        cert: path of a PEM file, the client's own certificate first; None for no certificate.
        key: path of a PEM file with its private key, not encrypted and nobody else's to read.
        wall: returns seconds since the Unix epoch.

    Raises:
        ConfigError: one is missing or cannot be used.
    """
    if cert is None and key is None:
        return
    if cert is None:
        raise ConfigError(CERT, "is not set, but its key is", "set both, or neither")
    if key is None:
        raise ConfigError(KEY, "is not set, but its certificate is", "set both, or neither")
    _check_certificate(cert, wall)
    _check_key(cert, key)


def stamp(*paths: StrPath) -> tuple[int, ...] | None:
    """Return what changes when one of the files does; None if one cannot be looked at."""
    seen: list[int] = []
    try:
        for path in paths:
            # Follows links: mounted secrets are swapped by replacing one.
            status = os.stat(path)
            seen += (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            seen.append(status.st_mode)
    except OSError:
        return None
    return tuple(seen)


def _check_certificate(path: StrPath, wall: Callable[[], float]) -> None:
    try:
        with open(path, "rb") as file:
            own = x509.load_pem_x509_certificates(file.read())[0]
    except OSError as error:
        raise _unreadable(CERT, error) from None
    except ValueError:
        raise ConfigError(CERT, "holds no certificate", "write the path of a PEM file") from None
    if own.not_valid_after_utc.timestamp() <= wall():
        raise ConfigError(CERT, "has expired", "put a new certificate in its place")


def _check_key(cert: StrPath, key: StrPath) -> None:
    try:
        mode = os.stat(key).st_mode
        if os.name == "posix" and mode & 0o077:
            raise ConfigError(KEY, "can be read by others", "chmod 600 the file")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                KEY, "is not the key of the certificate", "write the one it was issued for"
            ) from None
        raise ConfigError(
            KEY, "holds no usable key", "write the path of a PEM file, not encrypted"
        ) from None
    except OSError as error:
        raise _unreadable(KEY, error) from None


def _unreadable(name: str, error: OSError) -> ConfigError:
    return ConfigError(
        name, f"cannot be read ({type(error).__name__})", "write the path of a PEM file"
    )
