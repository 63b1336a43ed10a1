"""What a TLS connection of ours must be: new enough, authenticated, and deaf to the environment.

Trusted are the authorities of `certifi`, or those of one file instead. `SSL_CERT_FILE`,
`SSL_CERT_DIR` and `SSLKEYLOGFILE` are not read: whoever can set a variable shall neither add an
authority nor have the session keys written down.
"""

from __future__ import annotations

import ssl
from typing import Literal

import certifi

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# For TLS 1.2 only authenticated encryption with forward secrecy (RFC 9325, section 4.2); all
# suites of TLS 1.3 are of that kind and are not chosen here.
_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"


def client_context(
    minimum: Literal["1.2", "1.3"] = "1.2", ca_file: str | None = None
) -> ssl.SSLContext:
    """Return a context that checks certificate and host name.

    Args:
        minimum: the lowest TLS version to speak.
        ca_file: path of a PEM file with the only authorities to trust; None for `certifi`'s.

    Raises:
        OSError: the file cannot be read, or (`ssl.SSLError`) holds no certificate.
    """
    # `create_default_context` would honour SSLKEYLOGFILE; this constructor does not, and has
    # certificate and name checks on from the start.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[minimum]
    context.set_ciphers(_SUITES)
    context.hostname_checks_common_name = False
    context.load_verify_locations(cafile=ca_file or certifi.where())
    return context
