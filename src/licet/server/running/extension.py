"""What a TLS connection is, in the words of ASGI (asgi.readthedocs.io/en/latest/specs/tls.html).

Says nothing of a certificate that was not verified: such a handshake has failed.
"""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import Any

from cryptography import x509

from licet.core.tls.suites import SUITES

#: RFC 5246, appendix A.1, and RFC 8446, section 4.1.2.
_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def extension(connection: ssl.SSLObject) -> dict[str, Any]:
    """Return the members of the extension `tls` for a connection whose handshake is done."""
    shown = connection.getpeercert(True)
    cipher = connection.cipher()
    return {
        "server_cert": None,  # May be left out, and nobody asks for it.
        "client_cert_chain": [] if shown is None else [ssl.DER_cert_to_PEM_cert(shown)],
        "client_cert_name": None if shown is None else _name(shown),
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(connection.version() or ""),
        "cipher_suite": None if cipher is None else _suites().get(cipher[0]),
    }


def _name(certificate: bytes) -> str | None:
    """Return its subject (RFC 4514)."""
    try:
        return x509.load_der_x509_certificate(certificate).subject.rfc4514_string()
    except ValueError:
        # OpenSSL has verified it; what it is known by is its digest.
        return None


@lru_cache(maxsize=1)
def _suites() -> dict[str, int]:
    """Return the numbers that IANA has given to cipher suites, by OpenSSL's names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(SUITES)
    # Above these two bytes OpenSSL keeps a prefix of its own.
    return {suite["name"]: suite["id"] & 0xFFFF for suite in context.get_ciphers()}
