"""The transport, against real servers that misbehave."""

from __future__ import annotations

import gzip
import os
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trustme

from licet.core.tls import client_context
from licet.core.transport import Response, Transport, TransportError
from tests.core.loopback import Loopback, Request, Reset, reply, until

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def fetch(
    transport: Transport, url: str, deadline: float = 5.0, max_bytes: int = 1000, **headers: str
) -> Response:
    return transport.fetch(url, headers=headers, deadline=deadline, max_bytes=max_bytes)


def reason_of(url: str, deadline: float = 5.0, transport: Transport | None = None) -> str:
    with pytest.raises(TransportError) as caught:
        fetch(transport or Transport(), url, deadline)
    return caught.value.reason


def test_an_answer_comes_back_whole() -> None:
    """Status, lower-case headers and body arrive; our own headers are sent."""
    with Loopback(lambda _: reply(200, b"{}", ETag='"1"')) as server:
        response = fetch(Transport(), server.url, accept="application/json")
    assert (response.status, response.body, response.headers["etag"]) == (200, b"{}", '"1"')
    [request] = server.log
    assert (request.method, request.target) == ("GET", "/jwks.json")
    assert request.headers["accept"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"] == "licet"


@pytest.mark.row("H02")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_h02_redirects_are_not_followed(status: int) -> None:
    """A redirect is an answer like any other, and its target is never asked."""
    with Loopback(lambda _: reply(status, Location="/elsewhere")) as server:
        assert fetch(Transport(), server.url).status == status
    assert [request.target for request in server.log] == ["/jwks.json"]


@pytest.mark.row("H04")
@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX: ", b"x", id="header"),
        pytest.param(HEAD + b"Content-Length: 900\r\n\r\n", b"x", id="body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", id="chunks"),
        pytest.param(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", id="interim answers"),
    ],
)
def test_h04_a_drip_ends_at_the_deadline(start: bytes, piece: bytes) -> None:
    """However slowly a server drips, the deadline is for all of it together."""
    with Loopback(lambda _: server.drip(start, piece, 0.1)) as server:
        began = time.monotonic()
        assert reason_of(server.url, deadline=1.0) == "timeout"
        assert 0.9 < time.monotonic() - began < 4


def test_a_server_that_says_nothing_ends_at_the_deadline() -> None:
    """A connection that is accepted and never answered holds nobody longer than the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert reason_of(url, deadline=0.5) == "timeout"
        assert time.monotonic() - began < 3


def test_a_handshake_that_hangs_ends_at_the_deadline() -> None:
    """TLS that never answers counts against the same deadline."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        assert reason_of(url, deadline=0.5) == "timeout"
        assert time.monotonic() - began < 3


def test_the_deadline_counts_time_that_is_spent_before_a_wait() -> None:
    """What the resolver or anything else took is missing from what is left."""
    readings = iter([0.0, 10.0, 10.0, 10.0])
    with Loopback(lambda _: reply()) as server:
        transport = Transport(monotonic=lambda: next(readings))
        assert reason_of(server.url, deadline=5.0, transport=transport) == "timeout"
        assert server.log == []


def test_a_second_address_is_tried_with_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first address of a host refuses, the next one serves."""
    resolve = socket.getaddrinfo

    def two(host: str, port: int, *rest: Any, **options: Any) -> list[Any]:
        hosts = ["127.0.0.2", "127.0.0.1"] if host == "keys.test" else [host]
        return [found for one in hosts for found in resolve(one, port, *rest, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    with Loopback(lambda _: reply(200, b"{}")) as server:
        url = server.url.replace("127.0.0.1", "keys.test")
        assert fetch(Transport(), url).status == 200


@pytest.mark.row("H07")
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(200, b"x" * 1001), id="declared"),
        pytest.param(HEAD + b"Content-Length: " + b"9" * 20 + b"\r\n\r\n", id="absurd"),
        pytest.param(HEAD + b"\r\n" + b"x" * 100_000, id="until the end"),
        pytest.param(
            [
                HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
                *[b"200\r\n" + b"x" * 512 + b"\r\n"] * 9,
            ],
            id="chunked",
        ),
    ],
)
def test_h07_a_long_body_is_not_read_to_its_end(answer: bytes | list[bytes]) -> None:
    """Beyond the cap nothing is kept, whatever the length is said to be."""
    with Loopback(lambda _: answer) as server:
        assert reason_of(server.url) == "too_large"


def test_a_body_of_exactly_the_cap_is_taken() -> None:
    """The cap is the longest body, not the first one refused."""
    with Loopback(lambda _: reply(200, b"x" * 1000)) as server:
        assert len(fetch(Transport(), server.url).body) == 1000


@pytest.mark.row("H07")
def test_h07_a_body_without_end_is_given_up_at_the_cap() -> None:
    """A server that never stops sending is left as soon as the cap is passed."""

    def endless(request: Request) -> Iterator[bytes]:
        yield HEAD + b"\r\n"
        while not server.stopping.is_set():
            yield b"x" * 65536

    with Loopback(endless) as server:
        assert reason_of(server.url) == "too_large"


@pytest.mark.row("H06")
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, gzip", "GZIP"])
def test_h06_an_encoded_body_is_refused(encoding: str) -> None:
    """No encoding was asked for, so none is decoded: a bomb stays folded."""
    bomb = gzip.compress(b"0" * 10_000_000)[:900]
    with Loopback(lambda _: reply(200, bomb, Content_Encoding=encoding)) as server:
        assert reason_of(server.url) == "encoding"


def raise_reset(_: Request) -> Iterable[bytes]:
    raise Reset


def reset_in_the_body(_: Request) -> Iterator[bytes]:
    yield HEAD + b"Content-Length: 100\r\n\r\n{"
    raise Reset


@pytest.mark.row("H05")
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(raise_reset, id="reset"),
        pytest.param(reset_in_the_body, id="reset in the body"),
        pytest.param(lambda _: b"", id="closed"),
        pytest.param(lambda _: HEAD + b"Content-Length: 100\r\n\r\n{}", id="truncated"),
        pytest.param(
            lambda _: HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", id="two lengths"
        ),
        pytest.param(lambda _: HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", id="bad chunk"),
        pytest.param(lambda _: b"SSH-2.0-OpenSSH_9.6\r\n", id="another protocol"),
        pytest.param(lambda _: b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, id="endless header"),
    ],
)
def test_h05_a_broken_answer_is_a_protocol_error(answer: Any) -> None:
    """Whatever breaks in the middle is one reason, and no exception of the libraries below."""
    with Loopback(answer) as server:
        assert reason_of(server.url) == "protocol"


def test_nobody_there_is_a_connect_error() -> None:
    """A port on which nobody listens is told apart from a server that misbehaves."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    assert reason_of(f"http://127.0.0.1:{port}/") == "connect"


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "keys.invalid"])
def test_a_name_without_address_is_a_connect_error(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that does not resolve, or cannot, is a connect error."""

    def no_such_host(*_: Any, **__: Any) -> Any:
        if len(host) > 63:
            raise UnicodeError
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    assert reason_of(f"http://{host}/") == "connect"


@pytest.mark.row("H01")
@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd", "http://[::1/", "/x"])
def test_h01_another_scheme_is_no_address(url: str) -> None:
    """Only http and https are spoken."""
    assert reason_of(url) == "url"


@pytest.mark.row("H18")
def test_h18_cookies_are_not_kept() -> None:
    """What one answer sets, the next request does not send."""
    with Loopback(lambda _: reply(200, Set_Cookie="session=1; Path=/")) as server:
        transport = Transport()
        fetch(transport, server.url)
        fetch(transport, server.url)
    assert all("cookie" not in request.headers for request in server.log)
    assert len(server.log) == 2


@pytest.mark.row("H17")
def test_h17_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Proxies and credentials of the environment change nothing."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Loopback(lambda _: reply(200)) as server:
        assert fetch(Transport(), server.url).status == 200
    assert "authorization" not in server.log[0].headers


def test_the_client_is_made_late_and_left_behind_by_a_fork() -> None:
    """Making a transport opens nothing; a child uses a client of its own."""
    transport = Transport()
    assert transport._client is None
    with Loopback(lambda _: reply(200, b"{}")) as server:
        fetch(transport, server.url)
        made = transport._client
        with warnings.catch_warnings():
            # From 3.12 on a fork beside threads warns, which is what is tested here.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            status = 1
            try:
                response = fetch(transport, server.url)
                own = transport._client is not None and transport._client is not made
                status = 0 if response.status == 200 and own else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert transport._client is made
        assert len(server.log) == 2


def test_threads_keep_their_own_deadlines() -> None:
    """A short deadline in one thread does not shorten the fetch of another."""
    released = threading.Event()

    def answer(request: Request) -> Iterator[bytes]:
        if request.target.endswith("/slow"):
            released.wait(10)
        yield reply(200, b"{}")

    with Loopback(answer) as server:
        transport, results = Transport(), []
        slow = threading.Thread(
            target=lambda: results.append(
                fetch(transport, server.url.replace("/jwks.json", "/slow"), deadline=10).status
            )
        )
        slow.start()
        assert fetch(transport, server.url, deadline=2).status == 200
        released.set()
        slow.join(10)
        assert results == [200]


@pytest.fixture(name="authority", scope="module")
def _authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def trusting(authority: trustme.CA, tmp_path: Any, **options: Any) -> Transport:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return Transport(client_context(ca_file=str(path), **options))


def test_tls_of_an_authority_of_ours_is_accepted(authority: trustme.CA, tmp_path: Any) -> None:
    """A certificate of the authority in `ca_file` is good for the host it names."""
    with Loopback(lambda _: reply(200), server_context(authority, "127.0.0.1")) as server:
        assert fetch(trusting(authority, tmp_path), server.url).status == 200


@pytest.mark.row("H16")
def test_h16_an_unknown_authority_is_refused(
    authority: trustme.CA, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `ca_file` the authority is unknown, even if the environment names it."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with Loopback(lambda _: reply(200), server_context(authority, "127.0.0.1")) as server:
        assert reason_of(server.url) == "tls"
    assert server.log == []


@pytest.mark.row("H16")
def test_h16_another_name_is_refused(authority: trustme.CA, tmp_path: Any) -> None:
    """A good certificate of another host is none."""
    with Loopback(lambda _: reply(200), server_context(authority, "other.test")) as server:
        assert reason_of(server.url, transport=trusting(authority, tmp_path)) == "tls"
    assert server.log == []


@pytest.mark.row("H16")
def test_h16_an_old_version_is_refused(authority: trustme.CA, tmp_path: Any) -> None:
    """With a minimum of 1.3 a server that only speaks 1.2 gets no request; with 1.2 it does."""
    context = server_context(authority, "127.0.0.1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Loopback(lambda _: reply(200), context) as server:
        newer = trusting(authority, tmp_path, minimum="1.3")
        assert reason_of(server.url, transport=newer) == "tls"
        assert server.log == []
        assert fetch(trusting(authority, tmp_path), server.url).status == 200


@pytest.mark.row("H16")
def test_h16_a_suite_without_forward_secrecy_is_refused(
    authority: trustme.CA, tmp_path: Any
) -> None:
    """A server that offers only CBC suites is refused."""
    context = server_context(authority, "127.0.0.1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AES+SHA256:!AESGCM:!AESCCM")
    with Loopback(lambda _: reply(200), context) as server:
        assert reason_of(server.url, transport=trusting(authority, tmp_path)) == "tls"


@pytest.mark.row("H17")
def test_h17_session_keys_are_not_written_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """SSLKEYLOGFILE is ignored."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    context = client_context()
    assert context.keylog_filename is None
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_an_authority_file_that_is_not_there_is_an_error() -> None:
    """A path that cannot be read fails when the context is made."""
    with pytest.raises(OSError, match="No such file"):
        client_context(ca_file="/nonexistent/ca.pem")


def test_an_error_says_nothing_of_the_address() -> None:
    """Neither text nor cause of the error carries the URL."""
    with pytest.raises(TransportError) as caught:
        fetch(Transport(), "http://127.0.0.1:9/secret-path")
    assert "secret" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_client_that_was_replaced_is_closed_by_its_last_user() -> None:
    """Whoever is done first leaves the connection of another alone."""
    held = threading.Event()
    transport = Transport(ssl.create_default_context(), keep_alive=2)

    def answer(request: Request) -> bytes:
        if request.target.endswith("/slow"):
            held.wait(20)
        else:
            # As where a certificate has changed.
            transport._client = None
        return reply(200)

    with Loopback(answer) as server, ThreadPoolExecutor(1) as thread:
        slow = thread.submit(fetch, transport, f"{server.url}/slow")
        until(lambda: server.log)
        client = transport._client
        assert client is not None
        assert fetch(transport, f"{server.url}/quick").status == 200
        assert [one.is_idle() for one in client.pool.connections] == [False]
        held.set()
        assert slow.result(20).status == 200
        assert client.pool.connections == []
