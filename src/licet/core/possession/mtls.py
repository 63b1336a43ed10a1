"""The client's certificate (RFC 8705): the one place it is found, and what it is known by.

Decides whose word is taken for it. TLS has ended before this code runs, so somebody says which
certificate the client has proved to own: the server, in an extension or a variable that no
header field can set, or a trusted proxy, in the one field that is configured. Everybody else's
word counts as no certificate. Nothing is read out of a certificate: its bytes are hashed.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import unquote_to_bytes

from licet.core.errors import ConfigError, PossessionInvalid
from licet.core.request.facts import RequestFacts
from licet.core.request.proxies import Proxies
from licet.core.token import base64url

#: Bytes of a certificate, and characters of any spelling of one.
MAX_CERTIFICATE, MAX_TEXT = 16_384, 32_768
#: The field in which a proxy says whether it has verified the certificate, and the variable.
VERIFY_FIELD, VERIFY_VARIABLE = "x-ssl-client-verify", "SSL_CLIENT_VERIFY"

# How every certificate in DER begins; no base64 of one does.
_SEQUENCE = b"\x30"
_PLACE = re.compile(r"asgi|wsgi:(?!HTTP_)[A-Za-z0-9_.]+|header:[A-Za-z0-9-]+", re.ASCII)
_PEM = re.compile(rb"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")


class Certificates:
    """Finds the certificate of a client; one for each gate.

    Args:
        place: the setting `client_certificate`, checked; None where there is none to be found.
        proxies: whose word counts for a field.
    """

    def __init__(self, place: str | None, proxies: Proxies) -> None:
        kind, _, self._name = (place or "").partition(":")
        self._find = {
            "": lambda facts: None,
            "asgi": self._from_asgi,
            "wsgi": self._from_wsgi,
            "header": self._from_header,
        }[kind]
        self._field = proxies.trusted_field

    @staticmethod
    def checked(name: str, value: str) -> str:
        """Return the setting `client_certificate`, a header name in lower case.

        Raises:
            ConfigError: it is no place, or one that any client could write into.
        """
        if not _PLACE.fullmatch(value):
            raise ConfigError(
                name,
                f"is {value!r}",
                "write asgi, wsgi:NAME with a variable of the server (none of HTTP_…), or "
                "header:NAME with hyphens",
            )
        return value.lower() if value.startswith("header:") else value

    def thumbprint(self, facts: RequestFacts) -> str | None:
        """Return the SHA-256 of the client's certificate, base64url (RFC 8705, section 3.1).

        Returns:
            None where the client showed none, as far as anyone says whose word counts.

        Raises:
            PossessionInvalid: what is said is no certificate, or none that was verified.
            LicenseAmbiguous: it is said twice.
        """
        certificate = self._find(facts)
        return None if certificate is None else digest(certificate)

    def _from_asgi(self, facts: RequestFacts) -> bytes | None:
        """Read the TLS extension of ASGI; the leaf comes first."""
        tls = facts.server_variable("tls")
        if not isinstance(tls, Mapping):
            return None
        if tls.get("client_cert_error"):
            raise PossessionInvalid("cert_unverified")
        chain = list(tls.get("client_cert_chain") or ())
        return read(chain[0]) if chain else None

    def _from_wsgi(self, facts: RequestFacts) -> bytes | None:
        """Read a variable: the connection's socket, as gunicorn has it, or text beside a verdict.

        A socket has verified what it shows, or has not asked for it.
        """
        value = facts.server_variable(self._name)
        if not value:
            return None
        if not isinstance(value, (str, bytes)):
            show = getattr(value, "getpeercert", None)
            return None if show is None else show(True)
        if facts.server_variable(VERIFY_VARIABLE) != "SUCCESS":
            raise PossessionInvalid("cert_unverified")
        return read(value)

    def _from_header(self, facts: RequestFacts) -> bytes | None:
        """Read a trusted proxy's field: `Client-Cert` by RFC 9440, others as proxies write them."""
        value = self._field(facts, self._name)
        if self._name == "client-cert":
            # Who sends this field has authenticated the client (RFC 9440, section 2).
            return None if value is None else _item(value)
        if not value:
            return None
        if self._field(facts, VERIFY_FIELD) != "SUCCESS":
            raise PossessionInvalid("cert_unverified")
        return read(value)


def digest(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate in DER, base64url.

    Raises:
        PossessionInvalid: it is larger than 16 KiB, or begins as no certificate does.
    """
    if not certificate.startswith(_SEQUENCE):
        raise PossessionInvalid("cert_malformed")
    if len(certificate) > MAX_CERTIFICATE:
        raise PossessionInvalid("cert_too_large")
    return base64url.encode(sha256(certificate).digest()).decode("ascii")


def _item(value: str) -> bytes:
    """Return the byte sequence that is the whole of a structured field (RFC 8941, 3.3.5)."""
    if not value.startswith(":") or not value.endswith(":"):
        raise PossessionInvalid("cert_malformed")
    return _base64(value[1:-1].encode("ascii", "replace"))


def read(value: object) -> bytes:
    """Return the one certificate in `value`: DER, its base64, or PEM, which may be URL-encoded.

    Raises:
        PossessionInvalid: there is none, or more than one.
    """
    if isinstance(value, bytes) and value.startswith(_SEQUENCE):
        return value
    text = value.encode("ascii", "replace") if isinstance(value, str) else value
    if not isinstance(text, bytes):
        raise PossessionInvalid("cert_malformed")
    if len(text) > MAX_TEXT:
        raise PossessionInvalid("cert_too_large")
    if b"%" in text:
        text = unquote_to_bytes(text)
    if b"-" not in text:
        return _base64(text)
    armour = _PEM.fullmatch(text)
    if armour is None:
        raise PossessionInvalid("cert_malformed")
    return _base64(b"".join(armour[1].split()))


def _base64(text: bytes) -> bytes:
    if len(text) > MAX_TEXT:
        raise PossessionInvalid("cert_too_large")
    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError:
        raise PossessionInvalid("cert_malformed") from None
