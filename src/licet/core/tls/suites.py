"""Cipher suites: what TLS 1.2 may be spoken with, and which lists choose among that."""

from __future__ import annotations

import ssl

from licet.core.errors import ConfigError

#: For TLS 1.2 only authenticated encryption with forward secrecy (RFC 9325, section 4.2); all
#: suites of TLS 1.3 are of that kind and are not chosen here.
SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"


def ciphers(name: str, value: str) -> str:
    """Return a list of cipher suites for TLS 1.2, in OpenSSL's words, that can be used.

    It chooses among the suites with authenticated encryption and ephemeral keys, and cannot add
    others. The suites of TLS 1.3 are not chosen by it.

    Raises:
        ConfigError: it selects nothing, or a suite of another kind, or a security level.
    """
    if "@" in value:
        raise ConfigError(name, "sets a security level or an order", "name cipher suites only")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.set_ciphers(value)
    except (ssl.SSLError, ValueError):
        raise ConfigError(
            name, "selects no cipher suite", "write a list as OpenSSL's `ciphers` takes it"
        ) from None
    for suite in context.get_ciphers():
        older = suite["protocol"] != "TLSv1.3"
        if older and not (suite["aead"] and suite["kea"] == "kx-ecdhe"):
            raise ConfigError(
                name,
                f"selects {suite['name']}, which is no AEAD suite with ephemeral keys",
                f"choose among {SUITES}",
            )
    return value
