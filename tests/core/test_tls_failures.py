"""Every way a TLS connection fails, against real servers: told apart, and no request byte sent."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpcore
import pytest
import trustme

from licet.core.tls import TlsFailure, TlsOptions, classify
from licet.core.transport import Request, Send, Transport, TransportError, tasks
from licet.core.transport.messages import TlsBroken
from tests.core.backends import WORLDS, Ask, world
from tests.core.loopback import Loopback, reply
from tests.core.secure import (
    SecureServer,
    authority_file,
    client_files,
    demanding,
    pin,
    server_context,
)

SECRET = "lic_secret"


@pytest.fixture(params=WORLDS)
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    """Send in threads, asyncio and trio."""
    with world(request.param) as asked:
        yield asked


@pytest.fixture(name="authority", scope="module")
def _authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(name="trusting")
def _trusting(authority: trustme.CA, tmp_path: Path) -> TlsOptions:
    return TlsOptions(ca_file=authority_file(authority, tmp_path))


def question(url: str) -> Request:
    return Request("POST", url, {"authorization": f"Bearer {SECRET}"}, b'{"licenseKey": "x"}')


def sent(ask: Ask, options: TlsOptions | Transport, url: str) -> Any:
    transport = options if isinstance(options, Transport) else Transport(options)
    return ask(Send(transport, question(url), 10.0, 1000))


def failure_of(ask: Ask, options: TlsOptions, url: str) -> TlsFailure | None:
    with pytest.raises(TransportError) as caught:
        sent(ask, options, url)
    assert caught.value.reason == "tls"
    assert SECRET not in repr(caught.value)
    assert caught.value.__context__ is None
    return caught.value.tls


def refused(ask: Ask, options: TlsOptions, context: ssl.SSLContext) -> TlsFailure | None:
    """Return why a server is refused; it must have seen no byte of the request."""
    with SecureServer(context) as server:
        failure = failure_of(ask, options, server.url)
        server.rest()
        assert server.received == 0
        assert server.connections >= 1
    return failure


def with_options(options: TlsOptions, **changes: Any) -> TlsOptions:
    names = ("minimum", "ca_file", "ciphers", "pins", "client_cert", "client_key")
    return TlsOptions(**{name: getattr(options, name) for name in names} | changes)


# -- the server's certificate ----------------------------------------------------------------------


def test_a_good_server_is_sent_the_whole_request(
    ask: Ask, authority: trustme.CA, trusting: TlsOptions
) -> None:
    """What the failures below are beside: the same question, answered, and counted."""
    with SecureServer(server_context(authority.issue_cert("127.0.0.1"))) as server:
        assert sent(ask, trusting, server.url).body == b"{}"
        server.rest()
        assert server.received > 100


@pytest.mark.row("H16")
def test_h16_an_expired_certificate(ask: Ask, authority: trustme.CA, trusting: TlsOptions) -> None:
    """A certificate past its end is told as expired."""
    old = authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - timedelta(hours=1))
    assert refused(ask, trusting, server_context(old)) == TlsFailure("certificate", "expired")


@pytest.mark.row("H16")
def test_h16_a_certificate_before_its_time(
    ask: Ask, authority: trustme.CA, trusting: TlsOptions
) -> None:
    """A certificate of the future is told as not yet valid."""
    new = authority.issue_cert(
        "127.0.0.1",
        not_before=datetime.now(UTC) + timedelta(hours=1),
        not_after=datetime.now(UTC) + timedelta(hours=2),
    )
    assert refused(ask, trusting, server_context(new)) == TlsFailure("certificate", "not_yet_valid")


@pytest.mark.row("H16")
def test_h16_an_authority_that_nobody_trusts(ask: Ask, trusting: TlsOptions) -> None:
    """A certificate of another authority is told as untrusted."""
    other = trustme.CA().issue_cert("127.0.0.1")
    assert refused(ask, trusting, server_context(other)) == TlsFailure("certificate", "untrusted")


@pytest.mark.row("H16")
@pytest.mark.parametrize("name", ["other.test", "127.0.0.2"])
def test_h16_the_certificate_of_another_host(
    ask: Ask, authority: trustme.CA, trusting: TlsOptions, name: str
) -> None:
    """A good certificate of another host or address is told as the wrong name."""
    other = authority.issue_cert(name)
    assert refused(ask, trusting, server_context(other)) == TlsFailure("certificate", "name")


@pytest.mark.row("H15")
@pytest.mark.parametrize("trusted", [True, False])
def test_h15_a_name_that_leads_inside(
    ask: Ask,
    authority: trustme.CA,
    trusting: TlsOptions,
    trusted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever turns an issuer's name to an address of ours reaches no server with its certificate.

    What listens there is some other host, or somebody who made a certificate for the name.
    """
    resolve = socket.getaddrinfo

    def turned(host: Any, *rest: Any, **options: Any) -> Any:
        inside = "127.0.0.1" if host in ("licenses.test", b"licenses.test") else host
        return resolve(inside, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", turned)
    if trusted:
        certificate = authority.issue_cert("internal.test", "127.0.0.1")
    else:
        certificate = trustme.CA().issue_cert("licenses.test")
    with SecureServer(server_context(certificate)) as server:
        failure = failure_of(ask, trusting, server.url.replace("127.0.0.1", "licenses.test"))
        assert failure == TlsFailure("certificate", "name" if trusted else "untrusted")
        server.rest()
        assert (server.connections, server.received) == (1, 0)


# -- pins ------------------------------------------------------------------------------------------


@pytest.mark.row("H16")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_h16_another_key_than_the_pinned_ones(
    ask: Ask, authority: trustme.CA, trusting: TlsOptions, version: ssl.TLSVersion
) -> None:
    """A good certificate with a key that is not pinned gets no byte of the request."""
    mine, other = authority.issue_cert("127.0.0.1"), authority.issue_cert("127.0.0.1")
    pinning = with_options(trusting, pins=(pin(other), pin(authority.issue_cert("x.test"))))
    context = server_context(mine, maximum_version=version)
    assert refused(ask, pinning, context) == TlsFailure("pin", "mismatch")


@pytest.mark.parametrize("place", [0, 1])
def test_a_pinned_key_is_accepted(
    ask: Ask, authority: trustme.CA, trusting: TlsOptions, place: int
) -> None:
    """Any of the pinned keys will do."""
    certificates = [authority.issue_cert("127.0.0.1"), authority.issue_cert("127.0.0.1")]
    pinning = with_options(trusting, pins=tuple(pin(one) for one in certificates))
    with SecureServer(server_context(certificates[place])) as server:
        assert sent(ask, pinning, server.url).status == 200


@pytest.mark.row("H16")
def test_h16_a_pin_replaces_no_authority(ask: Ask, trusting: TlsOptions) -> None:
    """A pinned key in a certificate of an unknown authority is refused all the same."""
    other = trustme.CA().issue_cert("127.0.0.1")
    pinning = with_options(trusting, pins=(pin(other),))
    assert refused(ask, pinning, server_context(other)) == TlsFailure("certificate", "untrusted")


# -- versions and suites ---------------------------------------------------------------------------


@pytest.mark.row("H16")
def test_h16_a_server_of_tls_1_1(ask: Ask, authority: trustme.CA, trusting: TlsOptions) -> None:
    """A server that speaks nothing newer is told as the wrong version."""
    context = server_context(
        authority.issue_cert("127.0.0.1"),
        minimum_version=ssl.TLSVersion.TLSv1_1,
        maximum_version=ssl.TLSVersion.TLSv1_1,
    )
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    assert refused(ask, trusting, context) == TlsFailure("protocol", "version")


def test_a_server_of_tls_1_2_where_1_3_is_demanded(
    ask: Ask, authority: trustme.CA, trusting: TlsOptions
) -> None:
    """The minimum of the settings holds."""
    context = server_context(
        authority.issue_cert("127.0.0.1"), maximum_version=ssl.TLSVersion.TLSv1_2
    )
    newer = with_options(trusting, minimum="1.3")
    assert refused(ask, newer, context) == TlsFailure("protocol", "version")


@pytest.mark.parametrize("ciphers", [None, "ECDHE-RSA-AES256-GCM-SHA384"])
def test_a_server_without_a_common_suite(
    ask: Ask, authority: trustme.CA, trusting: TlsOptions, ciphers: str | None
) -> None:
    """A server of CBC suites only is told as having none in common."""
    context = server_context(
        authority.issue_cert("127.0.0.1"), maximum_version=ssl.TLSVersion.TLSv1_2
    )
    context.set_ciphers("ECDHE+AES+SHA256:!AESGCM:!AESCCM")
    choosing = with_options(trusting, ciphers=ciphers)
    assert refused(ask, choosing, context) == TlsFailure("protocol", "cipher")


# -- our certificate -------------------------------------------------------------------------------

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_certificate_is_shown(
    ask: Ask,
    authority: trustme.CA,
    trusting: TlsOptions,
    tmp_path: Path,
    version: ssl.TLSVersion,
) -> None:
    """A server that demands one is shown the certificate of the settings, pins or not."""
    cert, key = client_files(authority.issue_cert("app.test"), tmp_path)
    own = authority.issue_cert("127.0.0.1")
    context = demanding(own, authority)
    context.maximum_version = version
    options = with_options(trusting, client_cert=cert, client_key=key, pins=(pin(own),))
    with SecureServer(context) as server:
        assert sent(ask, options, server.url).status == 200
        assert server.serials[0] is not None


@pytest.mark.row("I12")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wrong", [True, False])
def test_i12_a_server_that_refuses_our_certificate(
    ask: Ask,
    authority: trustme.CA,
    trusting: TlsOptions,
    tmp_path: Path,
    version: ssl.TLSVersion,
    wrong: bool,
) -> None:
    """None where one is demanded, or one of an unknown authority: told as ours.

    Under TLS 1.3 the server says so behind the handshake, with the request under way.
    """
    options = trusting
    if wrong:
        cert, key = client_files(trustme.CA().issue_cert("app.test"), tmp_path)
        options = with_options(trusting, client_cert=cert, client_key=key)
    context = demanding(authority.issue_cert("127.0.0.1"), authority)
    context.maximum_version = version
    failure = refused(ask, options, context)
    assert failure == TlsFailure("handshake", "client_certificate")


@pytest.mark.row("I12")
def test_i12_files_that_are_gone_at_the_first_question(ask: Ask, tmp_path: Path) -> None:
    """A transport without a context has a failure like any other, and no exception of its own."""
    transport = Transport()
    transport._contexts._options = TlsOptions(ca_file=str(tmp_path / "gone"))
    with pytest.raises(TransportError) as caught:
        sent(ask, transport, "https://127.0.0.1:9/")
    assert caught.value.tls == TlsFailure("handshake", "files")


# -- no TLS at all ---------------------------------------------------------------------------------


def test_a_server_that_speaks_no_tls(ask: Ask, trusting: TlsOptions) -> None:
    """A plain HTTP server on the port is told as no TLS."""

    with Raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as server:
        assert failure_of(ask, trusting, server.url) == TlsFailure("handshake", "not_tls")


@pytest.mark.parametrize(("reset", "problem"), [(False, "eof"), (True, "reset")])
def test_a_server_that_hangs_up(ask: Ask, trusting: TlsOptions, reset: bool, problem: str) -> None:
    """A connection that ends in the middle of the handshake is told as such."""
    with Raw(b"", reset=reset) as server:
        assert failure_of(ask, trusting, server.url) == TlsFailure("handshake", problem)


def test_plain_http_is_no_tls_failure(ask: Ask, trusting: TlsOptions) -> None:
    """Where TLS is not spoken, options for it change nothing."""
    with Loopback(lambda _: reply(200, b"{}")) as server:
        assert sent(ask, trusting, server.url).status == 200


class Raw(Loopback):
    """A server that reads the first record of a handshake, says something, and hangs up."""

    def __init__(self, says: bytes, *, reset: bool = False) -> None:
        super().__init__(lambda _: b"")
        self.says, self.reset = says, reset
        self.url = self.url.replace("http:", "https:")

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            connection.sendall(self.says)
            if self.reset:
                option = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)


# -- names that no server here can be brought to say -----------------------------------------------


def verification(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError()
    error.verify_code = code
    return error


def ended(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError()
    error.reason = reason  # type: ignore[assignment]
    return error


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (verification(23), TlsFailure("certificate", "revoked")),
        (verification(26), TlsFailure("certificate", "invalid")),
        (verification(18), TlsFailure("certificate", "untrusted")),
        (ended("UNSUPPORTED_PROTOCOL"), TlsFailure("protocol", "version")),
        (ended("TLSV1_ALERT_INSUFFICIENT_SECURITY"), TlsFailure("protocol", "cipher")),
        (ended("TLSV1_ALERT_INTERNAL_ERROR"), TlsFailure("handshake", "alert")),
        (ended("DECRYPTION_FAILED_OR_BAD_RECORD_MAC"), TlsFailure("handshake", "failed")),
        (ended(None), TlsFailure("handshake", "failed")),
        (ssl.SSLZeroReturnError(), TlsFailure("handshake", "eof")),
        (BrokenPipeError(), TlsFailure("handshake", "reset")),
        (None, TlsFailure("handshake", "reset")),
    ],
)
def test_what_else_a_failure_is_called(error: Any, failure: TlsFailure) -> None:
    """Codes decide; what has none of ours is told in the most general word of its kind."""
    assert classify(error) == failure


class Ended(httpcore.AsyncNetworkStream):
    """A stream whose other side ended TLS in the middle of a request."""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        raise ssl.SSLZeroReturnError(6, "TLS/SSL connection has been closed")


@pytest.mark.anyio
async def test_tls_may_end_while_a_request_is_written() -> None:
    """It is told as a failure of TLS, as it is where an answer is read."""
    with pytest.raises(TlsBroken) as broken:
        await tasks._Stream(Ended()).write(b"{}")
    assert broken.value.failure == TlsFailure("handshake", "eof")
