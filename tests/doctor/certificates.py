"""Certificates that no authority for tests would issue, and the word of one about them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
DAY = timedelta(days=1)


class Files(NamedTuple):
    """A certificate and its key, where a server finds them."""

    certificate: Path
    key: Path

    def configure_cert(self, context: ssl.SSLContext) -> None:
        """Have a server show it, as `trustme.LeafCert` does."""
        context.load_cert_chain(self.certificate, self.key)


def issued(
    directory: Path,
    authority: trustme.CA | tuple[x509.Name, Any] | None,
    *,
    name: str = "127.0.0.1",
    responder: str | None = None,
    usage: x509.ObjectIdentifier = SERVER,
    days: tuple[float, float] = (-1, 90),
) -> Files:
    """Issue a certificate.

    Args:
        directory: where its files go.
        authority: signs it, or a name and a key do; None for its own key.
        name: the host it is for.
        responder: where its revocation would be known.
        usage: what it is for.
        days: from when to when it is valid, from now.
    """
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server")])
    issuer, signer = subject, key
    if authority is not None:
        issuer, signer = authority if isinstance(authority, tuple) else _issuer(authority)
    begin, end = (datetime.now(UTC) + each * DAY for each in days)
    building = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([_name(name)]), False)
        .add_extension(x509.ExtendedKeyUsage([usage]), False)
    )
    if responder is not None:
        access = x509.AccessDescription(
            AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(responder)
        )
        building = building.add_extension(x509.AuthorityInformationAccess([access]), False)
    certificate = building.sign(signer, SHA256())
    files = Files(directory / "server.pem", directory / "server.key")
    files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def chained(directory: Path, authority: trustme.CA, days: tuple[float, float]) -> Files:
    """Issue a certificate by way of another, which is valid from when to when, from now."""
    key = generate_private_key(SECP256R1())
    issuer, signer = _issuer(authority)
    begin, end = (datetime.now(UTC) + each * DAY for each in days)
    between = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "between")]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(signer, SHA256())
    )
    files = issued(directory, (between.subject, key))
    with files.certificate.open("ab") as chain:
        chain.write(between.public_bytes(Encoding.PEM))
    return files


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def word(files: Files, authority: trustme.CA, *, revoked: bool) -> Path:
    """Return the path of what the authority says of a certificate (RFC 6960)."""
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    signer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    now = datetime.now(UTC).replace(microsecond=0)
    said = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=certificate,
            issuer=signer,
            algorithm=SHA256(),
            cert_status=ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
            this_update=now,
            next_update=now + DAY,
            revocation_time=now if revoked else None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.NAME, signer)
        .sign(_issuer(authority)[1], SHA256())
    )
    path = files.certificate.with_name("word.der")
    path.write_bytes(said.public_bytes(Encoding.DER))
    return path


def _issuer(authority: trustme.CA) -> tuple[x509.Name, Any]:
    certificate = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    return certificate.subject, load_pem_private_key(authority.private_key_pem.bytes(), None)
