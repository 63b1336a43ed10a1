"""Why a TLS connection could not be had, in fixed words.

Told apart by OpenSSL's codes alone: its texts vary by version, and hold names that the other side
chose.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["handshake", "certificate", "protocol", "pin"]


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """Why there is no connection.

    Args:
        kind: `certificate`, the server's is not good; `pin`, it is, but its key is none of the
            pinned ones; `protocol`, no common version or cipher suite; `handshake`, anything else.
        problem: of a certificate `expired`, `not_yet_valid`, `name`, `untrusted`, `revoked` or
            `invalid`; of a protocol `version` or `cipher`; of a pin `mismatch`; of a handshake
            `client_certificate` (the server demands one, or refuses ours), `not_tls`, `eof`,
            `reset`, `alert`, `files` (those of the settings cannot be used) or `failed`.
    """

    kind: Kind
    problem: str


class TlsError(ssl.SSLError):
    """A handshake that failed, raised from inside it.

    Args:
        failure: why.
    """

    def __init__(self, failure: TlsFailure) -> None:
        super().__init__(f"{failure.kind}:{failure.problem}")
        self.failure = failure


#: X509_V_ERR_… of OpenSSL's x509_vfy.h; part of its interface, the same in every version.
_VERIFY = {
    10: "expired",
    9: "not_yet_valid",
    62: "name",
    64: "name",
    2: "untrusted",
    18: "untrusted",
    19: "untrusted",
    20: "untrusted",
    21: "untrusted",
    27: "untrusted",
    23: "revoked",
}
_VERSION = frozenset(
    "UNSUPPORTED_PROTOCOL TLSV1_ALERT_PROTOCOL_VERSION UNKNOWN_PROTOCOL VERSION_TOO_LOW "
    "VERSION_TOO_HIGH WRONG_SSL_VERSION NO_PROTOCOLS_AVAILABLE TLSV1_ALERT_INAPPROPRIATE_FALLBACK "
    "INAPPROPRIATE_FALLBACK".split()
)
_CIPHER = frozenset(
    "NO_SHARED_CIPHER NO_CIPHERS_AVAILABLE UNKNOWN_CIPHER_RETURNED WRONG_CIPHER_RETURNED "
    "TLSV1_ALERT_INSUFFICIENT_SECURITY".split()
)
#: What a server says of its client's certificate; it has no other to speak of.
_CLIENT = frozenset(
    "TLSV13_ALERT_CERTIFICATE_REQUIRED SSLV3_ALERT_NO_CERTIFICATE SSLV3_ALERT_BAD_CERTIFICATE "
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE SSLV3_ALERT_CERTIFICATE_REVOKED "
    "SSLV3_ALERT_CERTIFICATE_EXPIRED SSLV3_ALERT_CERTIFICATE_UNKNOWN TLSV1_ALERT_UNKNOWN_CA "
    "TLSV1_ALERT_ACCESS_DENIED".split()
)
_NOT_TLS = frozenset("WRONG_VERSION_NUMBER PACKET_LENGTH_TOO_LONG HTTP_REQUEST".split())


def classify(error: BaseException | None, *, agreed: bool = False) -> TlsFailure:
    """Return what `error`, which ended a TLS connection, means.

    Args:
        error: as it was raised; anything that is no `ssl.SSLError` is a broken connection.
        agreed: whether version and cipher suite were settled before.
    """
    match error:
        case TlsError():
            return error.failure
        case ssl.SSLCertVerificationError():
            return TlsFailure("certificate", _VERIFY.get(error.verify_code, "invalid"))
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return TlsFailure("handshake", "eof")
        case ssl.SSLError():
            return _by_reason(getattr(error, "reason", None) or "", agreed)
        case _:
            return TlsFailure("handshake", "reset")


def _by_reason(reason: str, agreed: bool) -> TlsFailure:
    if reason in _VERSION:
        return TlsFailure("protocol", "version")
    if reason in _CIPHER:
        return TlsFailure("protocol", "cipher")
    if reason in _CLIENT:
        return TlsFailure("handshake", "client_certificate")
    if reason in _NOT_TLS:
        return TlsFailure("handshake", "not_tls")
    if reason == "SSLV3_ALERT_HANDSHAKE_FAILURE":
        # Says "nothing in common" until there is something; behind that, TLS 1.2 has no other
        # word for a client without a certificate (RFC 5246, section 7.4.6).
        if agreed:
            return TlsFailure("handshake", "client_certificate")
        return TlsFailure("protocol", "cipher")
    return TlsFailure("handshake", "alert" if "_ALERT_" in reason else "failed")
