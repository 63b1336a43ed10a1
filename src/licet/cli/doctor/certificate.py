"""What a server's certificate says for itself, whoever issued it (RFC 5280)."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from licet.cli.doctor.finding import Finding, Kind
from licet.cli.moments import told

DAY = 86_400
#: Days before its end that a certificate should have been renewed.
RENEWED = 14

EXPIRED = Kind(
    "tls_certificate_expired",
    "fault",
    "renew it, have the server load the new one, and see why it was not renewed by itself",
)
EARLY = Kind(
    "tls_certificate_not_yet_valid",
    "fault",
    "compare the clocks of this machine and of the one that issued it",
)
ENDS = Kind(
    "tls_certificate_ends_soon",
    "warning",
    "renew it, and have the server load the new one",
)
VALID = Kind("tls_certificate_valid", "ok")


def dates(certificate: x509.Certificate, now: float) -> Finding:
    """Return what is to be said of when a certificate is valid.

    Args:
        certificate: the server's own.
        now: wall time, seconds since the epoch.
    """
    begin = certificate.not_valid_before_utc.timestamp()
    end = certificate.not_valid_after_utc.timestamp()
    if now < begin:
        return EARLY(f"its certificate begins {told(begin, now)}")
    if now > end:
        return EXPIRED(f"its certificate ended {told(end, now)}")
    if end - now < RENEWED * DAY:
        return ENDS(f"its certificate ends {told(end, now)}")
    return VALID(f"its certificate is valid until {told(end, now)}")


def names(certificate: x509.Certificate) -> str:
    """Return the names and addresses that a certificate is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return "nothing"
    return ", ".join(str(each.value) for each in found) or "nothing"


def issuer(certificate: x509.Certificate) -> str:
    """Return who issued a certificate, as it says."""
    return certificate.issuer.rfc4514_string()


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Return whether a certificate is vouched for by nothing but its own key."""
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
