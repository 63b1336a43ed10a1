"""Whether Licet could speak TLS with a server; where not, everything that is in the way of it.

The core's own handshake decides. What it refused is looked at once more in a handshake that
believes everything and sends nothing.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from cryptography import x509

from licet.cli.doctor import certificate as certificates
from licet.cli.doctor import openssl, pins, stapling
from licet.cli.doctor.connection import Place
from licet.cli.doctor.finding import Finding, Kind
from licet.cli.doctor.handshake import LATE, Shaken, believing, shake, trusting
from licet.cli.doctor.patience import Patience
from licet.core.tls import TlsFailure, TlsOptions

_SERVER = "mend the configuration of TLS at the server"
_AUTHORITY = "; where that is an authority of your own, name its file in LICET_TLS_CA_FILE"

SPOKEN = Kind("tls_ok", "ok")
OLD = Kind("tls_old_version", "fault", "have the server speak TLS 1.2 and 1.3")
WEAK = Kind(
    "tls_weak_suites",
    "fault",
    "have the server offer suites with ECDHE and AES-GCM or ChaCha20 (RFC 9325)",
)
NAME = Kind(
    "tls_certificate_name",
    "fault",
    "have a certificate issued that names this host, or write a name that this one has",
)
SELF_SIGNED = Kind(
    "tls_certificate_self_signed",
    "fault",
    "have an authority issue one, or name this one's file in LICET_TLS_CA_FILE",
)
INCOMPLETE = Kind(
    "tls_certificate_chain_incomplete",
    "fault",
    f"have the server send the intermediate certificates as well (fullchain.pem){_AUTHORITY}",
)
CHAIN = Kind(
    "tls_chain_expired",
    "fault",
    "have the server send the intermediate certificates that the authority issues with now",
)
UNTRUSTED = Kind(
    "tls_certificate_untrusted",
    "fault",
    f"have an authority issue one that everybody knows{_AUTHORITY}",
)
INVALID = Kind(
    "tls_certificate_invalid",
    "fault",
    "have another issued, for servers (serverAuth) and with a key of 2048 bits or more",
)
DEMANDED = Kind(
    "tls_client_certificate",
    "fault",
    "set LICET_TLS_CLIENT_CERT and LICET_TLS_CLIENT_KEY to a pair that the server knows",
)
NOT_TLS = Kind("tls_not_spoken", "fault", "correct the port, or have the server speak TLS there")
SLOW = Kind("tls_timeout", "fault", f"{_SERVER}; something on the way may hold it up")
BROKEN = Kind("tls_handshake_failed", "fault", _SERVER)


_UNTRUSTED, _MISNAMED = TlsFailure("certificate", "untrusted"), TlsFailure("certificate", "name")
_OUTDATED = (TlsFailure("certificate", "expired"), TlsFailure("certificate", "not_yet_valid"))


def examine(
    place: Place,
    address: str,
    options: TlsOptions,
    context: ssl.SSLContext,
    patience: Patience,
    now: float,
) -> Iterator[Finding]:
    """Find what is wrong with the TLS of a server.

    Args:
        place: the server.
        address: the one to connect to.
        options: how TLS is spoken.
        context: made from them.
        patience: how long it may take.
        now: wall time, seconds since the epoch.
    """
    shaken = shake(place, address, context, patience)
    failure = None
    if isinstance(shaken, TlsFailure):
        failure = shaken
        if failure != LATE:
            shaken = shake(place, address, believing(options), patience)
    if isinstance(shaken, TlsFailure):
        # Nothing can be seen of it.
        yield failed(failure or shaken)
        return
    if failure is None:
        yield SPOKEN(f"it speaks {shaken.version} with {shaken.suite}")
    elif failure.kind == "protocol":
        yield _too_old(failure, shaken, options)
        # Nothing was said of the certificate yet.
        again = shake(place, address, trusting(options), patience)
        failure = again if isinstance(again, TlsFailure) else None
    try:
        leaf = x509.load_der_x509_certificate(shaken.certificate)
    except ValueError:
        yield INVALID("it shows no certificate that can be read")
        return
    heard: openssl.Heard | str = ""
    if stapling.is_due(leaf) or failure == _UNTRUSTED:
        heard = openssl.ask(place, address, options, patience)
    if failure == _UNTRUSTED:
        yield _untrusted(leaf, heard)
        # A name is looked at where the chain is good: as if this certificate were trusted.
        again = shake(place, address, trusting(options, shaken.certificate), patience)
        failure = again if isinstance(again, TlsFailure) else None
    if failure == _MISNAMED:
        yield NAME(f"its certificate is for {certificates.names(leaf)}, and not for {place.host}")
    elif failure is not None and failure not in _OUTDATED and failure.kind != "pin":
        yield failed(failure)
    dates = certificates.dates(leaf, now)
    yield dates
    if failure in _OUTDATED and dates.severity != "fault":
        yield CHAIN("its certificate is valid, and one between it and its authority is not")
    yield from pins.examine(shaken.certificate, options.pins)
    yield from stapling.examine(leaf, heard)


def failed(failure: TlsFailure) -> Finding:
    """Return what a handshake that failed means, where there is nothing else to look at."""
    match failure:
        case TlsFailure("handshake", "client_certificate"):
            return DEMANDED("it demands a certificate of its clients, or does not take ours")
        case TlsFailure("handshake", "not_tls"):
            return NOT_TLS("what answers there does not speak TLS; perhaps it is plain http")
        case TlsFailure("handshake", _) if failure == LATE:
            return SLOW("it begins no TLS in time")
        case TlsFailure("certificate", problem):
            return INVALID(f"its certificate cannot be used ({problem})")
    return BROKEN(f"it speaks no TLS with us ({failure.kind}: {failure.problem})")


def _too_old(failure: TlsFailure, shaken: Shaken, options: TlsOptions) -> Finding:
    said = f"{shaken.version} with {shaken.suite} is the best that it speaks"
    if failure.problem == "cipher":
        return WEAK(f"{said}, which Licet does not")
    if options.minimum == "1.3" and shaken.version == "TLSv1.2":
        return OLD(
            f"{said}, and the settings demand 1.3",
            "have the server speak TLS 1.3, or set LICET_TLS_MINIMUM to 1.2",
        )
    return OLD(said)


def _untrusted(leaf: x509.Certificate, heard: openssl.Heard | str) -> Finding:
    issuer = certificates.issuer(leaf)
    if certificates.is_self_signed(leaf):
        return SELF_SIGNED("its certificate is vouched for by nobody but itself")
    if isinstance(heard, openssl.Heard) and heard.certificates == 1:
        return INCOMPLETE(f"it sends its own certificate alone, and nobody here knows {issuer}")
    return UNTRUSTED(f"its certificate is issued by {issuer}, and leads to no trusted authority")
