"""Rows O: licenses that are bound to a certificate, and who says which one a client has shown."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha1, sha256
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from licet.possession import certificate_thumbprint
from tests.adapters.clients import LOOPBACK, Connection
from tests.attacks.case import Case, row
from tests.attacks.forge import b64
from tests.attacks.placed import ASGI, PLAIN_ASGI, PROXIES, PROXY, STRANGER, WSGI, presented

REQUIRED: Any = (401, "pop_required")
INVALID: Any = (401, "pop_invalid")
AMBIGUOUS: Any = (400, "license_ambiguous")
NO_LICENSE: Any = (401, "license_invalid")
TAKEN: Any = (200, None)
MAX = 16_384
FIELD, VERDICT = "X-SSL-Client-Cert", "X-SSL-Client-Verify"
BY_RFC: dict[str, Any] = {**PROXIES, "client_certificate": "header:client-cert"}
BY_VENDOR: dict[str, Any] = {**PROXIES, "client_certificate": f"header:{FIELD}"}
BY_VARIABLE: dict[str, Any] = {"client_certificate": "wsgi:SSL_CLIENT_CERT"}
BY_EXTENSION: dict[str, Any] = {"client_certificate": "asgi"}

KEY = Ed25519PrivateKey.generate()


@cache
def certificate(serial: int = 1, *, expired: bool = False, key: Ed25519PrivateKey = KEY) -> str:
    """Return a certificate in PEM, self-signed."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    now = datetime.now(UTC)
    end = now - timedelta(days=1) if expired else now + timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), serial)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(end)
        .sign(key, None)
    )
    return made.public_bytes(Encoding.PEM).decode()


PEM = certificate()
DER = ssl.PEM_cert_to_DER_cert(PEM)
DIGEST = certificate_thumbprint(PEM)


def item(der: bytes) -> str:
    """Return a certificate as RFC 9440 writes it."""
    return f":{b64encode(der).decode()}:"


ITEM = item(DER)
OURS, OTHER = ("Client-Cert", ITEM), ("Client-Cert", item(DER + b"\0"))
VERIFIED = (VERDICT, "SUCCESS")


def _shown(
    name: str, answer: Any, *lines: tuple[str, str], digest: object = DIGEST, **case: Any
) -> Case:
    """Return the case of a license bound to a certificate, and what is shown with it."""
    claims = {"cnf": {"x5t#S256": digest}}
    return presented(name, *answer, *lines, claims=claims, **{"over": PROXY, **case})


def _by_rfc(name: str, answer: Any, *lines: tuple[str, str], **case: Any) -> Case:
    return _shown(name, answer, *lines, **{"options": BY_RFC, **case})


def _by_vendor(name: str, answer: Any, *lines: tuple[str, str], **case: Any) -> Case:
    return _shown(name, answer, *lines, **{"options": BY_VENDOR, **case})


def _by_variable(name: str, answer: Any, **variables: object) -> Case:
    over = Connection(variables=variables)
    return _shown(name, answer, options=BY_VARIABLE, over=over, adapters=WSGI)


def _by_extension(name: str, answer: Any, tls: Mapping[str, object] | None, **case: Any) -> Case:
    return _shown(
        name, answer, options=BY_EXTENSION, over=Connection(tls=tls), adapters=ASGI, **case
    )


@row("O01")
def no_certificate() -> Iterable[Case]:
    """A license that names a certificate is of no use without; nor is one found elsewhere."""
    everywhere: Any = {
        "over": Connection(
            peer=PROXY.peer,
            tls={"client_cert_chain": [PEM]},
            variables={"SSL_CLIENT_CERT": PEM, "SSL_CLIENT_VERIFY": "SUCCESS"},
        )
    }
    lines = [OURS, (FIELD, quote(PEM)), VERIFIED]
    yield _shown("no place at all", REQUIRED, *lines, **everywhere)
    yield _by_rfc("none", REQUIRED)
    yield _by_rfc("only elsewhere", REQUIRED, *lines[1:], **everywhere)
    yield _by_rfc("there", TAKEN, OURS)
    yield _by_vendor("none", REQUIRED)
    yield _by_vendor("an empty one", REQUIRED, (FIELD, ""), VERIFIED)
    yield _by_vendor("only elsewhere", REQUIRED, OURS, **everywhere)
    yield _by_vendor("there", TAKEN, *lines[1:])
    yield _by_variable("none", REQUIRED)
    yield _by_variable("an empty one", REQUIRED, SSL_CLIENT_CERT="", SSL_CLIENT_VERIFY="NONE")
    asked: dict[str, Any] = {"options": BY_VARIABLE, "over": PROXY}
    yield _shown("only elsewhere", REQUIRED, *lines, **asked)
    yield _by_variable("there", TAKEN, SSL_CLIENT_CERT=PEM, SSL_CLIENT_VERIFY="SUCCESS")
    yield _by_extension("none", REQUIRED, None)
    yield _by_extension("there", TAKEN, {"client_cert_chain": [PEM], "client_cert_error": None})
    yield _shown("no extension", REQUIRED, *lines, options=BY_EXTENSION)


@row("O02")
def certificates_of_strangers() -> Iterable[Case]:
    """Only a trusted proxy says which certificate it has seen."""
    lines = [
        OURS,
        (FIELD, quote(PEM)),
        VERIFIED,
        ("X-Client-Cert", quote(PEM)),
        ("X-Forwarded-Client-Cert", f"Hash={sha256(DER).hexdigest()};Cert={quote(PEM)}"),
        ("X-Forwarded-Tls-Client-Cert", b64encode(DER).decode()),
        ("SSL-Client-Cert", quote(PEM)),
        ("SSL-Client-Verify", "SUCCESS"),
        ("X-Forwarded-For", "10.9.0.5"),
    ]
    for name, over in {
        "a stranger": STRANGER,
        "this machine": LOOPBACK,
        "a socket": Connection(peer=None),
        "an odd address": Connection(peer="010.9.0.5"),
    }.items():
        for kind, options in {"Client-Cert": BY_RFC, FIELD: BY_VENDOR}.items():
            yield _shown(f"{kind} from {name}", REQUIRED, *lines, options=options, over=over)
        # A header field is no variable of the server's own, and no extension.
        yield _shown(f"fields from {name}", REQUIRED, *lines, options=BY_VARIABLE, over=over)
        yield _shown(f"fields, {name}", REQUIRED, *lines, options=BY_EXTENSION, over=over)
    unix = {**BY_RFC, "trusted_proxies": ["unix"]}
    yield _shown("a trusted socket", TAKEN, OURS, options=unix, over=Connection(peer=None))
    yield _shown("a peer beside it", REQUIRED, OURS, options=unix, over=STRANGER)


@row("O03")
def two_certificates() -> Iterable[Case]:
    """Neither the first nor the last of two is picked; the other place is not looked at."""
    for name, lines in {
        "two": [OURS, OTHER],
        "turned round": [OTHER, OURS],
        "alike": [OURS, OURS],
        "one and an empty one": [OURS, ("Client-Cert", "")],
        "joined": [("Client-Cert", f"{ITEM}, {ITEM}")],
        "joined, tight": [("Client-Cert", f"{ITEM},{OTHER[1]}")],
        "one and a comma": [("Client-Cert", f"{ITEM},")],
    }.items():
        yield _by_rfc(name, AMBIGUOUS, *lines)
        vendor = [(FIELD, value) for _, value in lines]
        yield _by_vendor(f"{name}, a vendor's field", AMBIGUOUS, *vendor, VERIFIED)
    for verdicts in (["SUCCESS", "SUCCESS"], ["FAILED", "SUCCESS"], ["SUCCESS", ""]):
        twice = [(VERDICT, verdict) for verdict in verdicts]
        yield _by_vendor(f"verdicts {verdicts}", AMBIGUOUS, (FIELD, quote(PEM)), *twice)
    both = [OURS, (FIELD, quote(certificate(2))), VERIFIED]
    yield _by_rfc("both fields, one configured", TAKEN, *both)
    yield _by_vendor("both fields, the other one", INVALID, *both)
    # An underscore twin is the same variable in WSGI, and another field in ASGI; what Django makes
    # of it there goes by its release.
    for twins in ([OURS, ("Client_Cert", OTHER[1])], [("Client_Cert", OTHER[1]), OURS]):
        yield _by_rfc("an underscore twin", AMBIGUOUS, *twins, adapters=WSGI)
        yield _by_rfc("an underscore twin", TAKEN, *twins, adapters=PLAIN_ASGI)
    yield _by_rfc("the twin alone", REQUIRED, ("Client_Cert", ITEM), adapters=PLAIN_ASGI)


@row("O04")
def no_byte_sequence() -> Iterable[Case]:
    """`Client-Cert` is one byte sequence and nothing more (RFC 8941, section 3.3.5)."""
    text = b64encode(DER).decode()
    for value in (
        "",
        ":",
        "::",
        text,
        f":{text}",
        f"{text}:",
        f": {text}:",
        f":{text} :",
        f":{text[:-4]}!!!!:",
        f":{text}=:",
        f":{text.rstrip('=')}A:",
        f":{text[:40]} {text[40:]}:",
        f":{text[:40]}\t{text[40:]}:",
        f":{b64(DER)}-_:",
        f"{ITEM};a=1",
        f"{ITEM};",
        f"a={ITEM}",
        f"{ITEM} {ITEM}",
        f"({ITEM})",
        f'"{text}"',
        quote(PEM),
        f":{quote(PEM)}:",
        f":{b64encode(PEM.encode()).decode()}:",
        ITEM.replace(":", "\xb7"),
        f":{'A' * 65_536}:",
        ":" * 65_536,
    ):
        yield _by_rfc(ascii(value)[:24], INVALID, ("Client-Cert", value))
    yield _by_rfc("white space around it", TAKEN, ("Client-Cert", f" {ITEM}\t"))
    for name, value in {
        "two in one text": quote(PEM + certificate(2)),
        "a key": quote(PEM.replace("CERTIFICATE", "PRIVATE KEY")),
        "cut": quote(PEM[:-30]),
        "encoded twice": quote(quote(PEM)),
        "text before": quote("x" + PEM),
        "64 KiB": "A" * 65_536,
    }.items():
        yield _by_vendor(name, INVALID, (FIELD, value), VERIFIED)


@row("O05")
def digests() -> Iterable[Case]:
    """The SHA-256 of the certificate's DER, in its one spelling; another is no license or fails."""
    hashed = sha256(DER).digest()
    swapped = next(each for each in DIGEST if each.isalpha())
    for name, digest in {
        "of the PEM": b64(sha256(PEM.encode()).digest()),
        "of the base64": b64(sha256(b64encode(DER)).digest()),
        "of the public key": b64(sha256(KEY.public_key().public_bytes_raw()).digest()),
        "in another case": DIGEST.replace(swapped, swapped.swapcase(), 1),
        "of nothing": b64(sha256(b"").digest()),
    }.items():
        yield _by_rfc(name, INVALID, OURS, digest=digest)
    for name, other in {
        "padded": f"{DIGEST}=",
        "hexadecimal": hashed.hex(),
        "hexadecimal, base64url": b64(hashed.hex().encode()),
        "SHA-1": b64(sha1(DER).digest()),  # noqa: S324 - refused for it
        "cut": DIGEST[:-1],
        "a list": [DIGEST],
        "empty": "",
        "of other letters": f"+/{DIGEST[2:]}",
    }.items():
        yield _by_rfc(name, NO_LICENSE, OURS, digest=other)
    for claim in ({"x5t": b64(sha1(DER).digest())}, {"x5t#s256": DIGEST}, {"x5c": [PEM]}):  # noqa: S324
        name = f"cnf {[*claim]}"
        case: dict[str, Any] = {"claims": {"cnf": claim}, "options": BY_RFC, "over": PROXY}
        yield presented(name, *NO_LICENSE, OURS, **case)


@row("O06")
def other_certificates() -> Iterable[Case]:
    """A license is bound to the certificate, not to its key: renewed, it is another."""
    renewed = certificate(2)
    stolen = certificate(key=Ed25519PrivateKey.generate())
    for name, pem in {"the same key, renewed": renewed, "another key": stolen}.items():
        der = ssl.PEM_cert_to_DER_cert(pem)
        yield _by_rfc(name, INVALID, ("Client-Cert", item(der)))
        yield _by_vendor(name, INVALID, (FIELD, quote(pem)), VERIFIED)
        yield _by_variable(name, INVALID, SSL_CLIENT_CERT=pem, SSL_CLIENT_VERIFY="SUCCESS")
        yield _by_extension(name, INVALID, {"client_cert_chain": [pem]})
        digest = certificate_thumbprint(pem)
        yield _by_rfc(f"{name}, named", TAKEN, ("Client-Cert", item(der)), digest=digest)
    yield _by_rfc("a byte more", INVALID, OTHER)


@row("O07")
def not_verified() -> Iterable[Case]:
    """What TLS has not verified proves nothing, an expired certificate among it."""
    late = certificate(3, expired=True)
    for verdict in (
        "FAILED",
        "FAILED:certificate has expired",
        "NONE",
        "GENEROUS",
        "success",
        "SUCCESS;",
        "1",
        "",
    ):
        for name, pem in {"": PEM, ", expired": late}.items():
            told, digest = f"{verdict!r}{name}", certificate_thumbprint(pem)
            lines = [(FIELD, quote(pem)), (VERDICT, verdict)]
            yield _by_vendor(told, INVALID, *lines, digest=digest)
        yield _by_variable(told, INVALID, SSL_CLIENT_CERT=PEM, SSL_CLIENT_VERIFY=verdict)
    yield _by_vendor("no verdict", INVALID, (FIELD, quote(PEM)))
    yield _by_vendor(
        "a verdict of another name", INVALID, (FIELD, quote(PEM)), ("X-Verify", "SUCCESS")
    )
    yield _by_variable("no verdict", INVALID, SSL_CLIENT_CERT=PEM)
    variables = {"SSL_CLIENT_CERT": PEM, "HTTP_SSL_CLIENT_VERIFY": "SUCCESS"}
    yield _by_variable("the client's own verdict", INVALID, **variables)
    error = {"client_cert_chain": [late], "client_cert_error": "certificate has expired"}
    yield _by_extension("expired", INVALID, error, digest=certificate_thumbprint(late))


@row("O08")
def extension() -> Iterable[Case]:
    """The first of the chain is the client's own; an error of the server's counts first."""
    other = certificate(4)
    yield _by_extension("leaf first", TAKEN, {"client_cert_chain": [PEM, other]})
    yield _by_extension("leaf last", INVALID, {"client_cert_chain": [other, PEM]})
    for chain in ([], (), None):
        yield _by_extension(f"chain {chain}", REQUIRED, {"client_cert_chain": chain})
        both = {"client_cert_chain": chain, "client_cert_error": "unknown ca"}
        yield _by_extension(f"chain {chain} and an error", INVALID, both)
    yield _by_extension("an empty extension", REQUIRED, {})
    for pem in (PEM + other, other + PEM, "", "x", PEM[:-30], 5, None, []):
        name = f"an entry {str(pem)[-30:]!r}"
        yield _by_extension(name, INVALID, {"client_cert_chain": [pem]})
    error = {"client_cert_chain": [PEM], "client_cert_error": "certificate revoked"}
    yield _by_extension("an error", INVALID, error)
    # Nobody but the server writes into the scope.
    lines = [("Tls", PEM.replace("\n", " ")), ("Client-Cert-Chain", quote(PEM))]
    yield _shown("header fields of that name", REQUIRED, *lines, options=BY_EXTENSION)


@row("O09")
def bombs() -> Iterable[Case]:
    """At most 16 KiB, and hashed as it is: nothing that is inside is parsed."""
    nested = b""
    for _ in range(4_000):
        head = b"\x30" + _length(len(nested))
        if len(head) + len(nested) > MAX:
            break
        nested = head + nested
    negative = b"\x30\x03\x02\x01\xff"
    huge = b"\x30\x82\x3f\xfb\x02\x82\x3f\xf7" + b"\xff" * (MAX - 8)
    for name, der in {"nested": nested, "a negative number": negative, "a number": huge}.items():
        digest = b64(sha256(der).digest())
        # Beyond what some of the ways of writing it may take as a whole.
        yield _by_rfc(name, TAKEN, ("Client-Cert", item(der)), digest=digest)
    for name, size in {"a byte too much": MAX + 1, "1 MB": 1_000_000}.items():
        der = b"\x30" + bytes(size - 1)
        digest = b64(sha256(der).digest())
        yield _by_rfc(name, INVALID, ("Client-Cert", item(der)), digest=digest)
        text = b64encode(der).decode()
        yield _by_vendor(name, INVALID, (FIELD, text), VERIFIED, digest=digest)
        armoured = ssl.DER_cert_to_PEM_cert(der)
        variables = {"SSL_CLIENT_CERT": armoured, "SSL_CLIENT_VERIFY": "SUCCESS"}
        yield _by_variable(name, INVALID, **variables)
        yield _by_extension(name, INVALID, {"client_cert_chain": [armoured]}, digest=digest)


def _length(number: int) -> bytes:
    """Return a length as DER has it (X.690, section 8.1.3)."""
    if number < 128:
        return bytes([number])
    digits = number.to_bytes((number.bit_length() + 7) // 8)
    return bytes([0x80 | len(digits)]) + digits
