"""The client's certificate: rows O of the attack table, where no framework is needed."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha1, sha256
from socket import socketpair
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from licet.core.errors import ConfigError, LicenseAmbiguous, PossessionInvalid
from licet.core.possession.mtls import MAX_CERTIFICATE, MAX_TEXT, Certificates
from licet.core.request.facts import RequestFacts
from licet.core.request.proxies import Proxies
from tests.core.jwks import text
from tests.core.presented import Presented

CA = trustme.CA()
LEAF = CA.issue_cert("client@example.org")
PEM = LEAF.cert_chain_pems[0].bytes().decode()
OTHER_PEM = CA.issue_cert("other@example.org").cert_chain_pems[0].bytes().decode()
DER = ssl.PEM_cert_to_DER_cert(PEM)
DIGEST = text(sha256(DER).digest())
BASE64 = b64encode(DER).decode()
ITEM = f":{BASE64}:"
LARGE = b"\x30" + bytes(MAX_CERTIFICATE)
PLACES = ["asgi", "wsgi:SSL_CLIENT_CERT", "wsgi:gunicorn.socket", "header:client-cert"]
VERIFIED = {"x-ssl-client-verify": ["SUCCESS"]}


def found(place: str | None, *, trusted: bool = True, **facts: Any) -> str | None:
    """Return the thumbprint found at `place` in a request with these facts."""
    proxies = Proxies(("server",) if trusted else ())
    return Certificates(place, proxies).thumbprint(Presented(**facts))


def by_header(value: str, *, name: str = "client-cert", **more: Sequence[str]) -> str | None:
    lines = {name: [value], **VERIFIED, **more}
    return found(f"header:{name}", lines=lines)


def by_wsgi(value: object, verify: object = "SUCCESS") -> str | None:
    variables = {"SSL_CLIENT_CERT": value, "SSL_CLIENT_VERIFY": verify}
    return found("wsgi:SSL_CLIENT_CERT", variables=variables)


@contextmanager
def refused(reason: str) -> Iterator[None]:
    with pytest.raises(PossessionInvalid) as refusal:
        yield
    assert refusal.value.reason == reason


# -- the places -------------------------------------------------------------------------------


@pytest.mark.row("O01")
@pytest.mark.parametrize("place", [None, *PLACES, "header:x-ssl-client-cert"])
def test_no_certificate_is_none(place: str | None) -> None:
    """Where nobody says anything, the client showed no certificate."""
    assert found(place) is None


def test_the_only_place_is_the_one_configured() -> None:
    """Whatever stands in the others counts for nothing; without a setting all of them do."""
    lines = {"client-cert": [ITEM], "x-ssl-client-cert": [quote(PEM)], **VERIFIED}
    variables = {
        "tls": {"client_cert_chain": [PEM]},
        "SSL_CLIENT_CERT": PEM,
        "SSL_CLIENT_VERIFY": "SUCCESS",
    }
    assert found(None, lines=lines, variables=variables) is None
    for place in ("asgi", "wsgi:SSL_CLIENT_CERT"):
        assert found(place, lines=lines) is None
        assert found(place, lines=lines, variables=variables) == DIGEST
    for place in ("header:client-cert", "header:x-ssl-client-cert"):
        assert found(place, variables=variables) is None
        assert found(place, lines=lines) == DIGEST


@pytest.mark.row("O08")
@pytest.mark.parametrize(
    ("tls", "thumbprint"),
    [
        ({"client_cert_chain": [PEM]}, DIGEST),
        ({"client_cert_chain": (PEM, OTHER_PEM), "client_cert_error": None}, DIGEST),
        ({"client_cert_chain": []}, None),
        ({"client_cert_chain": None}, None),
        ({}, None),
        (None, None),
        ("tls", None),
    ],
    ids=["leaf", "chain", "empty", "none", "nothing", "no-extension", "no-mapping"],
)
def test_asgi_servers_say_it_in_their_extension(tls: object, thumbprint: str | None) -> None:
    """The first of the chain is the client's own; an empty chain is none."""
    assert found("asgi", variables={"tls": tls}) == thumbprint


@pytest.mark.row("O07", "O08")
@pytest.mark.parametrize("chain", [[], [PEM]], ids=["empty", "leaf"])
def test_what_the_server_could_not_verify_does_not_count(chain: list[str]) -> None:
    """An error of the handshake refuses, whatever stands beside it."""
    tls = {"client_cert_chain": chain, "client_cert_error": "certificate has expired"}
    with refused("cert_unverified"):
        found("asgi", variables={"tls": tls})


@pytest.mark.row("O08")
@pytest.mark.parametrize(
    "leaf",
    [PEM + OTHER_PEM, "", "x", PEM.replace("CERTIFICATE", "PRIVATE KEY"), PEM[:-30], 5, None, []],
    ids=["two", "empty", "letter", "key", "cut", "number", "none", "list"],
)
def test_an_entry_of_the_chain_is_one_certificate(leaf: object) -> None:
    """Not two in one text, of which only a server could say which is the leaf, and nothing else."""
    with refused("cert_malformed"):
        found("asgi", variables={"tls": {"client_cert_chain": [leaf]}})


@pytest.mark.parametrize(
    "value",
    [PEM, PEM.encode(), DER, BASE64, quote(PEM), PEM.replace("\n", "\r\n"), f"\n{PEM}"],
    ids="PEM bytes DER base64 quoted CRLF newline".split(),
)
def test_wsgi_servers_say_it_in_a_variable(value: object) -> None:
    """PEM or DER, text or bytes, beside the verdict on it."""
    assert by_wsgi(value) == DIGEST


@pytest.mark.row("O07")
@pytest.mark.parametrize("verify", [None, "", "NONE", "FAILED:expired", "GENEROUS", "success", 1])
def test_a_variable_counts_only_when_it_was_verified(verify: object) -> None:
    """The server says SUCCESS, or the certificate is refused."""
    with refused("cert_unverified"):
        by_wsgi(PEM, verify)


@pytest.mark.parametrize(
    "value",
    [None, "", b"", 5, {"a": 1}, object()],
    ids=["null", "empty", "no-bytes", "number", "mapping", "object"],
)
def test_a_variable_that_says_nothing_is_none(value: object) -> None:
    """Empty, as servers leave it where no certificate came, or something else entirely."""
    assert by_wsgi(value, "NONE") is None


def connection() -> tuple[Any, Any]:
    """Return client and server side of a TLS connection on which the client showed `LEAF`."""
    server, client = (ssl.SSLContext(p) for p in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
    CA.configure_trust(client)
    CA.configure_trust(server)
    CA.issue_cert("server.example").configure_cert(server)
    LEAF.configure_cert(client)
    server.verify_mode = ssl.CERT_REQUIRED
    near, far = socketpair()
    # Without a bound a handshake that stalls would hang the suite.
    near.settimeout(20)
    far.settimeout(20)
    sides: list[Any] = []
    thread = Thread(target=lambda: sides.append(server.wrap_socket(far, server_side=True)))
    thread.start()
    ours = client.wrap_socket(near, server_hostname="server.example")
    thread.join(20)
    return ours, sides[0]


def test_gunicorn_says_it_by_its_socket() -> None:
    """A real connection: the peer's certificate is the one bound to; a plain socket has none."""
    client, server = connection()
    assert found("wsgi:gunicorn.socket", variables={"gunicorn.socket": server}) == DIGEST
    plain, other = socketpair()
    with plain, other:
        assert found("wsgi:gunicorn.socket", variables={"gunicorn.socket": plain}) is None
    client.close()
    server.close()


# -- proxies ----------------------------------------------------------------------------------


def test_client_cert_is_a_byte_sequence() -> None:
    """RFC 9440, section 2.2: DER in base64 between colons, and white space around the field."""
    assert by_header(ITEM) == DIGEST
    assert by_header(f" {ITEM}\t") == DIGEST


def test_client_cert_needs_no_verdict() -> None:
    """A proxy that sends it has authenticated the client (RFC 9440, section 2)."""
    assert found("header:client-cert", lines={"client-cert": [ITEM]}) == DIGEST


@pytest.mark.parametrize(
    "value",
    [
        quote(PEM),
        quote(PEM, safe="+=/"),
        BASE64,
        quote(BASE64),
        PEM.replace("\n", " "),
        PEM.replace("\n", "\t"),
    ],
    ids=["nginx", "aws", "caddy", "quoted", "spaces", "tabs"],
)
def test_other_fields_are_read_as_proxies_write_them(value: str) -> None:
    """URL-encoded PEM, PEM on one line, or bare base64; all are the same DER."""
    assert by_header(value, name="x-client-certificate") == DIGEST


@pytest.mark.row("O02")
@pytest.mark.parametrize("name", ["client-cert", "x-ssl-client-cert"])
def test_strangers_are_not_believed(name: str) -> None:
    """From anybody but a trusted proxy the field counts as none, even malformed or repeated."""
    for lines in ([ITEM], [quote(PEM)], ["x"], [ITEM, ITEM]):
        assert found(f"header:{name}", trusted=False, lines={name: lines, **VERIFIED}) is None


@pytest.mark.row("O02")
def test_trust_is_asked_of_this_request() -> None:
    """Whose word counts is told by the request's own facts."""
    asked = []

    class Asked(Proxies):
        def trusts(self, facts: RequestFacts) -> bool:
            asked.append(facts)
            return facts.peer == "192.0.2.7"

    certificates = Certificates("header:client-cert", Asked())
    facts = [Presented(lines={"client-cert": [ITEM]}, peer=f"192.0.2.{n}") for n in (7, 8)]
    assert [certificates.thumbprint(one) for one in facts] == [DIGEST, None]
    assert asked == facts


@pytest.mark.row("O03")
@pytest.mark.parametrize(
    "lines",
    [[ITEM, ITEM], [f"{ITEM}, {ITEM}"], [f"{ITEM},{ITEM}"], [f"{ITEM},"], [ITEM, ""]],
    ids=["two", "joined", "tight", "comma", "empty-second"],
)
@pytest.mark.parametrize("name", ["client-cert", "x-ssl-client-cert"])
def test_two_certificates_are_ambiguous(name: str, lines: list[str]) -> None:
    """In two lines, or in one as WSGI servers join them, also an underscore twin: 400."""
    with pytest.raises(LicenseAmbiguous) as refusal:
        found(f"header:{name}", lines={name: lines, **VERIFIED})
    assert refusal.value.reason == "repeated_field"


@pytest.mark.row("O03")
@pytest.mark.parametrize("verify", [["SUCCESS", "SUCCESS"], ["FAILED, SUCCESS"]])
def test_two_verdicts_are_ambiguous(verify: list[str]) -> None:
    """A client that writes its own verdict does not get it past the proxy's."""
    with pytest.raises(LicenseAmbiguous):
        by_header(quote(PEM), name="x-ssl-client-cert", **{"x-ssl-client-verify": verify})


@pytest.mark.row("O04")
@pytest.mark.parametrize(
    "value",
    [
        "",
        ":",
        "::",
        BASE64,
        f":{BASE64}",
        f"{BASE64}:",
        f":{BASE64}A",
        f"A{BASE64}:",
        f": {BASE64}:",
        f"{ITEM};a=1",
        f"{ITEM} {ITEM}",
        f":{BASE64.rstrip('=')[:-1]}:",
        f":{BASE64[:40]}\n{BASE64[40:]}:",
        f":{BASE64[:40]}-_{BASE64[42:]}:",
        f":{PEM}:",
        PEM,
        quote(PEM),
        f":{b64encode(PEM.encode()).decode()}:",
        f'"{BASE64}"',
        f"X{ITEM}X",
        f"\xa0{ITEM}",
        f":{BASE64}\N{LATIN SMALL LETTER E WITH ACUTE}:",
        ":" + "A" * 65_536 + ":",
    ],
    ids="empty colon colons bare open closed unclosed unopened space parameter two cut newline "
    "base64url armoured PEM quoted PEM-twice string letters blank accent large".split(),
)
def test_anything_but_a_byte_sequence_is_refused(value: str) -> None:
    """Wrong base64, PEM, parameters, two items in one, or too much."""
    with pytest.raises(PossessionInvalid) as refusal:
        by_header(value)
    assert refusal.value.reason in ("cert_malformed", "cert_too_large")


@pytest.mark.row("O04")
@pytest.mark.parametrize(
    "value",
    [
        "(null)",
        "x",
        "%",
        "%zz",
        ITEM,
        quote(PEM + OTHER_PEM),
        quote(PEM)[:-1],
        quote("x" + PEM),
        quote(PEM + "x"),
        quote(PEM.replace("-----BEGIN", "----BEGIN")),
        quote(PEM.replace("CERTIFICATE", "TRUSTED CERTIFICATE")),
        quote(PEM.replace("A", "*")),
        quote(quote(PEM)),
        f"Hash={sha256(DER).hexdigest()};Cert={quote(PEM)}",
    ],
    ids="null letter percent escape item two cut before after dashes label letters twice "
    "envoy".split(),
)
def test_what_is_no_certificate_is_refused(value: str) -> None:
    """Two, none, a part, or the syntax of something else."""
    with refused("cert_malformed"):
        by_header(value, name="x-ssl-client-cert")


@pytest.mark.row("O07")
@pytest.mark.parametrize("verify", ["NONE", "FAILED", "FAILED:expired", "", "0", "success", None])
def test_a_vendors_field_counts_only_when_it_was_verified(verify: str | None) -> None:
    """`X-SSL-Client-Verify: SUCCESS` beside it, or the certificate is refused."""
    lines = {"x-ssl-client-cert": [quote(PEM)]}
    lines |= {} if verify is None else {"x-ssl-client-verify": [verify]}
    with refused("cert_unverified"):
        found("header:x-ssl-client-cert", lines=lines)


def test_an_empty_field_is_none() -> None:
    """What proxies send where the client showed none, whatever the verdict."""
    lines = {"x-ssl-client-cert": [""], "x-ssl-client-verify": ["NONE"]}
    assert found("header:x-ssl-client-cert", lines=lines) is None


# -- the digest -------------------------------------------------------------------------------


@pytest.mark.row("O05")
def test_the_digest_is_of_the_der_bytes() -> None:
    """SHA-256, base64url without padding (RFC 8705, section 3.1): no other digest or spelling."""
    assert by_header(ITEM) == DIGEST
    wrong = {
        text(sha256(PEM.encode()).digest()),
        sha256(DER).hexdigest(),
        text(sha1(DER).digest()),  # noqa: S324 - it must not be this one
        DIGEST + "=",
        DIGEST.upper(),
    }
    assert by_header(ITEM) not in wrong


@pytest.mark.row("O06")
def test_a_renewed_certificate_is_another() -> None:
    """The same key and name, certified again: a license is bound to the certificate."""
    key, like = generate_private_key(SECP256R1()), x509.load_der_x509_certificate(DER)
    builder = x509.CertificateBuilder(like.issuer, like.subject, key.public_key())
    builder = builder.not_valid_before(like.not_valid_before_utc)
    builder = builder.not_valid_after(like.not_valid_after_utc)
    digests = set()
    for number in (1, 2):
        renewed = builder.serial_number(number).sign(key, SHA256()).public_bytes(Encoding.DER)
        digests.add(by_header(f":{b64encode(renewed).decode()}:"))
    assert len(digests) == 2


@pytest.mark.row("O09")
@pytest.mark.parametrize(
    "der",
    [b"\x30\x80" * 4_000, b"\x30\x03\x02\x01\x80", LARGE[:MAX_CERTIFICATE], b"\x30"],
    ids=["nested", "negative", "largest", "one-byte"],
)
def test_certificates_are_hashed_and_not_parsed(der: bytes) -> None:
    """Whatever is in them costs one SHA-256 of 16 KiB at most."""
    assert by_header(f":{b64encode(der).decode()}:") == text(sha256(der).digest())


@pytest.mark.row("O09")
@pytest.mark.parametrize("der", [LARGE, b"\x30" + bytes(1_000_000)], ids=["one-more", "megabyte"])
def test_large_certificates_are_refused(der: bytes) -> None:
    """Beyond 16 KiB, in each place; text is not decoded to find out."""
    with refused("cert_too_large"):
        by_header(f":{b64encode(der).decode()}:")
    with refused("cert_too_large"):
        by_header(quote(ssl.DER_cert_to_PEM_cert(der)), name="x-ssl-client-cert")
    with refused("cert_too_large"):
        by_wsgi(der)
    with refused("cert_too_large"):
        found("asgi", variables={"tls": {"client_cert_chain": [ssl.DER_cert_to_PEM_cert(der)]}})


def test_text_is_read_up_to_its_bound() -> None:
    """32 KiB of it: PEM with room to spare, and base64 that turns out to be none."""
    assert by_wsgi(PEM.ljust(MAX_TEXT, "\n")) == DIGEST
    with refused("cert_too_large"):
        by_wsgi(PEM.ljust(MAX_TEXT + 1, "\n"))
    whole = bytes(MAX_TEXT // 4 * 3)
    for der, reason in ((whole, "cert_malformed"), (whole + b"\0", "cert_too_large")):
        with refused(reason):
            by_header(f":{b64encode(der).decode()}:")


# -- the setting ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("asgi", "asgi"),
        ("wsgi:SSL_CLIENT_CERT", "wsgi:SSL_CLIENT_CERT"),
        ("wsgi:gunicorn.socket", "wsgi:gunicorn.socket"),
        ("header:Client-Cert", "header:client-cert"),
        ("header:X-SSL-Client-Cert", "header:x-ssl-client-cert"),
    ],
)
def test_places_that_can_be_configured(value: str, kept: str) -> None:
    """Header names are kept in lower case, as requests are asked for them."""
    assert Certificates.checked("client_certificate", value) == kept


@pytest.mark.row("O03")
@pytest.mark.parametrize(
    "value",
    [
        "",
        "ASGI",
        "asgi:tls",
        "wsgi",
        "wsgi:",
        "header:",
        "header",
        "Client-Cert",
        "wsgi:HTTP_CLIENT_CERT",
        "wsgi:HTTP_X",
        "wsgi:a b",
        "header:Client_Cert",
        "header:a:b",
        "header:a\n",
        "cookie:cert",
    ],
    ids=repr,
)
def test_places_that_cannot(value: str) -> None:
    """No place, or one that strangers write into: a field's own variable, a name with a twin."""
    with pytest.raises(ConfigError) as caught:
        Certificates.checked("client_certificate", value)
    assert caught.value.setting == "client_certificate"
    assert caught.value.problem == f"is {value!r}"
    assert caught.value.remedy == (
        "write asgi, wsgi:NAME with a variable of the server (none of HTTP_…), or header:NAME with"
        " hyphens"
    )


@given(st.sampled_from(["client-cert", "x-ssl-client-cert"]), st.text(max_size=100))
def test_any_field_is_a_refusal_or_a_digest(name: str, value: str) -> None:
    """Whatever a proxy passes on, never a crash."""
    with suppress(PossessionInvalid, LicenseAmbiguous):
        thumbprint = by_header(value, name=name)
        assert thumbprint is None or len(thumbprint) == 43
