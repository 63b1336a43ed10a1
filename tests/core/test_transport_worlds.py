"""Requests in threads, asyncio and trio: the same rules in all of them, against real servers."""

from __future__ import annotations

import copy
import gc
import gzip
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest

from licet.core.tls import TlsFailure, TlsOptions
from licet.core.transport import Request, Response, Send, Transport, TransportError
from tests.core import loopback
from tests.core.backends import WORLDS, Ask, world
from tests.core.license_server import AUTHORITY
from tests.core.loopback import Loopback, Reset, reply, until

#: Trusts nobody here, and is made faster than what trusts all that `certifi` does.
TLS = TlsOptions(ca_file=str(AUTHORITY))
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(params=WORLDS)
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    """Send in threads, asyncio and trio."""
    with world(request.param) as asked:
        yield asked


def post(url: str, body: bytes = b"{}", **headers: str) -> Request:
    return Request("POST", url, headers, body)


def sent(
    ask: Ask, url: str, *, transport: Transport | None = None, deadline: float = 5.0
) -> Response:
    answer: Response = ask(Send(transport or Transport(TLS), post(url), deadline, 1000))
    return answer


def reason_of(ask: Ask, url: str, **options: Any) -> str:
    with pytest.raises(TransportError) as caught:
        sent(ask, url, **options)
    assert caught.value.__context__ is None
    return caught.value.reason


def test_a_request_goes_out_and_its_answer_comes_back_whole(ask: Ask) -> None:
    """Method, target, fields and body arrive; status, lower-case fields and body come back."""
    with Loopback(lambda _: reply(201, b"{}", ETag='"1"')) as server:
        request = post(server.url + "?a=%2F", b'{"a":1}', authorization="Bearer secret")
        answer = ask(Send(Transport(TLS), request, 5.0, 1000))
    assert (answer.status, answer.body, answer.headers["etag"]) == (201, b"{}", '"1"')
    [got] = server.log
    assert (got.method, got.target, got.body) == ("POST", "/jwks.json?a=%2F", b'{"a":1}')
    assert got.headers == {
        "host": f"127.0.0.1:{server.port}",
        "accept-encoding": "identity",
        "user-agent": "licet",
        "authorization": "Bearer secret",
        "connection": "close",
        "content-length": "7",
    }


def test_a_post_without_content_says_so(ask: Ask) -> None:
    """An empty body has the length 0."""
    with Loopback(lambda _: reply()) as server:
        ask(Send(Transport(TLS), post(server.url, b""), 5.0, 1000))
    assert server.log[0].headers["content-length"] == "0"


@pytest.mark.row("I07")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_i07_redirects_are_not_followed(ask: Ask, status: int) -> None:
    """A redirect is an answer like any other; the credentials go nowhere else."""
    with Loopback(lambda _: reply(status, Location="/elsewhere")) as server:
        assert sent(ask, server.url).status == status
    assert len(server.log) == 1


@pytest.mark.row("I07")
@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX: ", b"x", id="header"),
        pytest.param(HEAD + b"Content-Length: 900\r\n\r\n", b"x", id="body"),
        pytest.param(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", id="interim answers"),
    ],
)
def test_i07_a_drip_ends_at_the_deadline(ask: Ask, start: bytes, piece: bytes) -> None:
    """However slowly a server drips, the deadline is for all of it together."""
    with Loopback(lambda _: server.drip(start, piece, 0.05)) as server:
        began = time.monotonic()
        assert reason_of(ask, server.url, deadline=0.5) == "timeout"
        assert 0.4 < time.monotonic() - began < 4


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_says_nothing_ends_at_the_deadline(ask: Ask, scheme: str) -> None:
    """Silence costs the deadline, before a handshake and after a request."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/"
        assert reason_of(ask, url, deadline=0.4) == "timeout"
        assert time.monotonic() - began < 3


def test_the_deadline_is_the_only_limit_of_a_read(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes longer than documents may is waited for, where there is time."""
    monkeypatch.setattr("licet.core.transport.READ_TIMEOUT", 0.1)

    def slow(request: loopback.Request) -> Iterator[bytes]:
        server.stopping.wait(0.3)
        yield reply(200, b"{}")

    with Loopback(slow) as server:
        assert sent(ask, server.url, deadline=10).status == 200
        with pytest.raises(TransportError, match="timeout"):
            Transport(TLS).fetch(server.url, headers={}, deadline=10, max_bytes=1000)


@pytest.mark.row("I07")
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([reply(200, b"x" * 1001)], id="declared"),
        pytest.param([HEAD + b"\r\n" + b"x" * 300_000], id="until the end"),
        pytest.param(
            [
                HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
                *[b"200\r\n" + b"x" * 512 + b"\r\n"] * 9,
                b"0\r\n\r\n",
            ],
            id="chunked",
        ),
    ],
)
def test_i07_a_long_body_is_not_read_to_its_end(ask: Ask, answer: list[bytes]) -> None:
    """Beyond the cap nothing is kept, whatever the length is said to be."""
    with Loopback(lambda _: answer) as server:
        assert reason_of(ask, server.url) == "too_large"
    gc.collect()


@pytest.mark.row("I07")
def test_i07_a_body_without_end_is_given_up_at_the_cap(ask: Ask) -> None:
    """A server that never stops sending is left as soon as the cap is passed."""

    def endless(_: loopback.Request) -> Iterator[bytes]:
        yield HEAD + b"\r\n"
        while not server.stopping.is_set():
            yield b"x" * 65536

    with Loopback(endless) as server:
        assert reason_of(ask, server.url) == "too_large"


@pytest.mark.row("I07")
@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP"])
def test_i07_an_encoded_body_is_refused(ask: Ask, encoding: str) -> None:
    """No encoding was asked for, so none is decoded: a bomb stays folded."""
    bomb = gzip.compress(b"0" * 10_000_000)[:900]
    with Loopback(lambda _: reply(200, bomb, Content_Encoding=encoding)) as server:
        assert reason_of(ask, server.url) == "encoding"


def reset_in_the_body(_: loopback.Request) -> Iterator[bytes]:
    yield HEAD + b"Content-Length: 100\r\n\r\n{"
    raise Reset


@pytest.mark.row("I07")
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reset_in_the_body, id="reset in the body"),
        pytest.param(lambda _: b"", id="closed"),
        pytest.param(lambda _: HEAD + b"Content-Length: 100\r\n\r\n{}", id="truncated"),
        pytest.param(lambda _: b"SSH-2.0-OpenSSH_9.6\r\n", id="another protocol"),
        pytest.param(lambda _: b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, id="endless header"),
    ],
)
def test_i07_a_broken_answer_is_a_protocol_error(ask: Ask, answer: Any) -> None:
    """Whatever breaks in the middle is one reason, and no exception of the libraries below."""
    with Loopback(answer) as server:
        assert reason_of(ask, server.url) == "protocol"


def test_nobody_there_is_a_connect_error(ask: Ask) -> None:
    """A port on which nobody listens is told apart from a server that misbehaves."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    assert reason_of(ask, f"http://127.0.0.1:{port}/") == "connect"


@pytest.mark.parametrize("error", [socket.gaierror(), UnicodeError()])
def test_a_name_without_address_is_a_connect_error(
    ask: Ask, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that does not resolve, or cannot, is a connect error."""
    resolve = socket.getaddrinfo

    def no_such_host(host: Any, *rest: Any, **options: Any) -> Any:
        if "keys" in str(host):
            raise error
        return resolve(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    assert reason_of(ask, "http://keys.invalid/") == "connect"


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "file:///etc/passwd", "http://[::1/", "/x", "http:///x"]
)
def test_another_scheme_is_no_address(ask: Ask, url: str) -> None:
    """Only http and https are spoken, and to somebody."""
    assert reason_of(ask, url) == "url"


def test_a_field_that_is_none_is_not_sent_and_not_told(ask: Ask) -> None:
    """A line break in a credential ends in an error without a trace of it."""
    with Loopback(lambda _: reply()) as server:
        request = post(server.url, authorization="Bearer secret\r\nX: 1")
        with pytest.raises(TransportError) as caught:
            ask(Send(Transport(TLS), request, 5.0, 1000))
    assert server.log == []
    assert caught.value.reason == "protocol"
    assert caught.value.__context__ is None


@pytest.mark.row("H18")
def test_h18_cookies_are_not_kept(ask: Ask) -> None:
    """What one answer sets, the next request does not send, on a kept connection or another."""
    with Loopback(lambda _: reply(200, Set_Cookie="session=1; Path=/")) as server:
        transport = Transport(TLS, keep_alive=2)
        sent(ask, server.url, transport=transport)
        sent(ask, server.url, transport=transport)
    assert len(server.log) == 2
    assert all("cookie" not in request.headers for request in server.log)


@pytest.mark.row("H18")
def test_h18_no_field_of_one_server_reaches_another(ask: Ask) -> None:
    """A request carries what it was given and nothing of an earlier one."""
    with Loopback(lambda _: reply()) as one, Loopback(lambda _: reply()) as other:
        transport = Transport(TLS)
        ask(Send(transport, post(one.url, authorization="Bearer secret"), 5.0, 1000))
        ask(Send(transport, post(other.url), 5.0, 1000))
    assert "authorization" not in other.log[0].headers


@pytest.mark.row("H17")
def test_h17_the_environment_is_not_read(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Proxies and credentials of the environment, and of the address, change nothing."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Loopback(lambda _: reply(200)) as server:
        assert sent(ask, server.url.replace("127", "user:word@127", 1)).status == 200
    assert "authorization" not in server.log[0].headers


def test_a_request_does_not_show_its_secrets() -> None:
    """Fields and body are not in its repr, where logs and traces would find them."""
    request = post("https://licenses.test/validate", b"lic_secret", authorization="secret")
    assert "secret" not in repr(request)
    assert "secret" not in repr(Send(Transport(TLS), request, 1.0, 1))


def test_an_error_survives_a_copy() -> None:
    """Reason and TLS failure are in what it is rebuilt from."""
    error = copy.copy(TransportError("tls", TlsFailure("pin", "mismatch")))
    assert (error.reason, error.tls) == ("tls", TlsFailure("pin", "mismatch"))


# -- event loops -----------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_waiting_tasks_occupy_no_threads(anyio_backend_name: str) -> None:
    """A hundred questions that wait at once are a hundred connections and no thread more."""
    go = threading.Event()

    def held(_: loopback.Request) -> Iterator[bytes]:
        go.wait(20)
        yield reply(200, b"{}")

    def others() -> int:
        return sum("_serve" not in each.name for each in threading.enumerate())

    with Loopback(held) as server:
        transport, done = Transport(TLS), []
        before = others()

        async def one() -> None:
            answer = await transport.asend(post(server.url), deadline=20, max_bytes=1000)
            done.append(answer.status)

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(one)
            await anyio.to_thread.run_sync(until, lambda: len(server.log) == 100)
            during = others()
            go.set()
    assert done == [200] * 100
    # That of the wait above, and what trio keeps for the next ones.
    assert during < before + 10


@pytest.mark.anyio
@pytest.mark.parametrize("keep", [0, 2])
async def test_a_cancelled_task_closes_its_connection(anyio_backend_name: str, keep: int) -> None:
    """Whoever is cancelled in the middle leaves no connection behind, at any point of it."""
    hung_up = threading.Event()

    def held(_: loopback.Request) -> Iterator[bytes]:
        yield HEAD + b"Content-Length: 900\r\n\r\n"
        try:
            while not server.stopping.wait(0.01):
                yield b"x"
        finally:
            hung_up.set()

    with Loopback(held) as server:
        transport = Transport(TLS, keep_alive=keep)
        with anyio.move_on_after(10) as scope:
            async with anyio.create_task_group() as group:

                async def one() -> None:
                    await transport.asend(post(server.url), deadline=20, max_bytes=10_000)

                group.start_soon(one)
                await anyio.to_thread.run_sync(until, lambda: server.log)
                group.cancel_scope.cancel()
        assert not scope.cancelled_caught
        await anyio.to_thread.run_sync(until, hung_up.is_set)
        pool = transport._in_loop.get()._pool
        assert pool is not None
        assert pool.connections == []
    gc.collect()


@pytest.mark.anyio
async def test_a_cancelled_handshake_closes_its_connection(anyio_backend_name: str) -> None:
    """A server that never answers the handshake sees the end of the connection."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(10)
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        with anyio.move_on_after(0.3) as scope:
            await Transport(TLS).asend(post(url), deadline=20, max_bytes=1)
        assert scope.cancelled_caught
        connection, _ = silent.accept()
        with connection:
            connection.settimeout(10)
            assert connection.recv(1) == b"\x16"
            while connection.recv(65536):
                pass
    gc.collect()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_each_event_loop_has_its_own_connections(backend: str) -> None:
    """One transport serves loop after loop, and threads; each loop closes what it kept."""
    transport = Transport(TLS, keep_alive=4)
    kept: list[Any] = []

    async def twice(url: str) -> None:
        for _ in range(2):
            await transport.asend(post(url), deadline=5, max_bytes=1000)
        kept.append(transport._in_loop.get()._pool)
        assert len(kept[-1].connections) == 1

    with KeepAlive() as server:
        for _ in range(2):
            anyio.run(twice, server.url, backend=backend)
        for _ in range(2):
            transport.send(post(server.url), deadline=5, max_bytes=1000)
        assert server.connections == 3
        assert kept[0] is not kept[1]
        assert all(pool.connections == [] for pool in kept)
        gc.collect()


# -- kept connections ------------------------------------------------------------------------------


class KeepAlive(Loopback):
    """A server that answers request after request on one connection."""

    def __init__(self) -> None:
        super().__init__(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        self.url = self.url.removesuffix("jwks.json")
        self.persists = True
        self._open: list[socket.socket] = []

    def _converse(self, stream: socket.socket) -> None:
        self._open.append(stream)
        before = -1
        while len(self.log) > before and self.persists:
            before = len(self.log)
            super()._converse(stream)

    def hang_up(self) -> None:
        """End every connection."""
        while self._open:
            self._open.pop().shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(("keep", "connections"), [(0, 3), (1, 1)])
def test_connections_are_kept_where_that_is_asked_for(
    ask: Ask, keep: int, connections: int
) -> None:
    """By default each request has a connection of its own."""
    with KeepAlive() as server:
        transport = Transport(TLS, keep_alive=keep)
        for _ in range(3):
            assert sent(ask, server.url, transport=transport).body == b"{}"
        assert server.connections == connections


def test_a_kept_connection_that_the_server_closed_is_not_used(ask: Ask) -> None:
    """What has visibly ended is left, and another connection serves."""
    with KeepAlive() as server:
        transport = Transport(TLS, keep_alive=1)
        sent(ask, server.url, transport=transport)
        server.hang_up()
        assert sent(ask, server.url, transport=transport).status == 200
        assert server.connections == 2


def test_a_kept_connection_that_dies_under_a_request_is_a_protocol_error(ask: Ask) -> None:
    """Whether to ask again is the caller's to say."""
    with KeepAlive() as server:
        transport = Transport(TLS, keep_alive=1)
        sent(ask, server.url, transport=transport)

        def die(_: loopback.Request) -> bytes:
            server.persists = False
            raise Reset

        server.answer, answer = die, server.answer
        assert reason_of(ask, server.url, transport=transport) == "protocol"
        assert server.connections == 1
        server.answer, server.persists = answer, True
        assert sent(ask, server.url, transport=transport).status == 200


def test_a_child_leaves_kept_connections_alone() -> None:
    """After a fork each process goes on with connections of its own."""
    with KeepAlive() as server:
        transport = Transport(TLS, keep_alive=1)
        sent(lambda effect: effect.run(), server.url, transport=transport)
        made = transport._client
        assert made is not None
        # As in a child: the process is another one.
        transport._client = made._replace(process=os.getpid() + 1)
        sent(lambda effect: effect.run(), server.url, transport=transport)
        assert server.connections == 2
        assert len(made.pool.connections) == 1
        assert made.pool.connections[0].is_idle()
        made.pool.close()
