"""Whether a server brings its authority's word that its certificate was not revoked (RFC 6960)."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from licet.cli.doctor.finding import Finding, Kind
from licet.cli.doctor.openssl import Heard

STAPLED = Kind("tls_stapling_ok", "ok")
NOT_NEEDED = Kind("tls_stapling_not_needed", "ok")
MISSING = Kind(
    "tls_stapling_missing", "warning", "switch OCSP stapling on at the server (ssl_stapling on)"
)
REVOKED = Kind("tls_certificate_revoked", "fault", "have another issued, with another key, at once")
UNCHECKED = Kind("tls_stapling_unchecked", "unchecked", "install openssl to have that checked")


def is_due(certificate: x509.Certificate) -> bool:
    """Return whether a certificate names somebody who knows of its revocation."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return any(each.access_method == AuthorityInformationAccessOID.OCSP for each in access.value)


def examine(certificate: x509.Certificate, heard: Heard | str) -> Iterator[Finding]:
    """Find out whether a server staples what it should.

    Args:
        certificate: its own.
        heard: what the command `openssl` heard, or why it heard nothing.
    """
    if not is_due(certificate):
        yield NOT_NEEDED("its certificate names no OCSP responder, so nothing has to be stapled")
    elif isinstance(heard, str):
        yield UNCHECKED(f"whether it staples an OCSP response: {heard}")
    elif heard.revoked:
        yield REVOKED("it staples an OCSP response by which its certificate was revoked")
    elif heard.stapled:
        yield STAPLED("it staples an OCSP response")
    else:
        yield MISSING("it staples no OCSP response, although its certificate names a responder")
