"""An application on its own socket: when it is ready, how it ends, and requests without an end."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from licet.server.errors import ServerError
from licet.server.running import connection as connections
from licet.server.running import lock
from licet.server.running.connection import MOST_HEAD, Parser
from licet.server.running.serving import Serving
from licet.server.running.sockets import is_loopback, listen, url_of
from tests.core.loopback import until
from tests.server.running import PATIENCE, REQUEST, Echo, ask, connected, serving

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
PARSERS: list[Parser] = ["h11", "httptools"]


@pytest.fixture(scope="module", params=PARSERS)
def parsing(request: pytest.FixtureRequest) -> Iterator[tuple[Echo, tuple[str, int]]]:
    """Each parser, for all tests that do not end the server."""
    pytest.importorskip(request.param)
    echo = Echo()
    with serving(echo, parser=request.param) as address:
        yield echo, address


@pytest.fixture
def echo(parsing: tuple[Echo, tuple[str, int]]) -> Echo:
    parsing[0].scopes.clear()
    return parsing[0]


@pytest.fixture
def address(parsing: tuple[Echo, tuple[str, int]]) -> tuple[str, int]:
    return parsing[1]


def test_it_is_ready_when_the_application_is() -> None:
    """The port is known before; `ready` is called when the lifespan has begun; it ends with it."""
    echo, listening, told = Echo(), listen("127.0.0.1", 0), []
    port = listening.getsockname()[1]
    assert port
    server = Serving(echo, listening, ready=lambda: told.append(echo.has_started))
    thread = threading.Thread(target=server.run)
    thread.start()
    # Accepted by the system already, and served as soon as somebody serves.
    with connected(("127.0.0.1", port)) as connection:
        assert ask(connection) == b"hello"
    assert told == [True]
    server.stop()
    thread.join(PATIENCE)
    assert echo.has_ended
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)


def test_an_application_that_does_not_start_is_an_error() -> None:
    """Its failure is no silent end: `run` raises, nothing was ready, and nobody listens."""

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": ""})

    listening, told = listen("127.0.0.1", 0), []
    address = listening.getsockname()
    with pytest.raises(ServerError, match="did not start"):
        Serving(broken, listening, ready=lambda: told.append(True)).run()
    assert told == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 1)


def test_nobody_hears_that_it_is_ready(caplog: pytest.LogCaptureFixture) -> None:
    """Where `ready` cannot tell, as to a pipe that is broken, it ends well, and `run` says why."""

    def unheard() -> None:
        raise BrokenPipeError

    echo = Echo()
    with pytest.raises(BrokenPipeError):
        Serving(echo, listen("127.0.0.1", 0), ready=unheard).run()
    assert echo.has_ended
    assert "Traceback" not in caplog.text


def test_a_request_under_way_is_answered_before_the_end() -> None:
    """Who is told to stop lets requests end that have come in whole."""
    begun, go_on = threading.Event(), threading.Event()
    echo = Echo()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            import anyio.to_thread

            begun.set()
            await anyio.to_thread.run_sync(go_on.wait)
        await echo(scope, receive, send)

    listening = listen("127.0.0.1", 0)
    server = Serving(slow, listening)
    thread = threading.Thread(target=server.run)
    thread.start()
    with connected(listening.getsockname()) as connection:
        connection.sendall(REQUEST)
        assert begun.wait(PATIENCE)
        server.stop()
        go_on.set()
        answer = b""
        while received := connection.recv(65_536):
            answer += received
    assert answer.endswith(b"\r\n\r\nhello")
    thread.join(PATIENCE)
    assert echo.has_ended


def test_it_says_nothing_of_itself(address: tuple[str, int]) -> None:
    """An answer has a date and no name of the server."""
    with connected(address) as connection:
        connection.sendall(REQUEST)
        answer = connection.recv(65_536).lower()
        assert b"\r\ndate:" in answer
        assert b"uvicorn" not in answer


@pytest.mark.parametrize(
    "part", [b"", b"POST / HTTP/1.1\r\nHost: a", REQUEST[:-1]], ids=["nothing", "head", "body"]
)
def test_a_request_that_does_not_arrive_in_time_ends_its_connection(
    address: tuple[str, int], part: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether nothing comes, half a head or half a body; and the second as the first."""
    with connected(address) as connection:
        assert ask(connection) == b"hello"
        monkeypatch.setattr(connections, "REQUEST_WITHIN", 0.05)
        assert _is_ended_after(connection, part or REQUEST[:1])
    with connected(address) as connection:
        assert _is_ended_after(connection, part)


def test_time_that_the_application_takes_is_its_own(
    echo: Echo, address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is on what the client sends, and on nothing that comes after."""
    with connected(address) as connection:
        assert ask(connection) == b"hello"
        monkeypatch.setattr(connections, "REQUEST_WITHIN", 0.25)
        monkeypatch.setattr(echo, "takes", 0.35)
        connection.sendall(REQUEST[:-1])
        connection.sendall(REQUEST[-1:])
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_head_without_an_end_is_bounded(echo: Echo, address: tuple[str, int]) -> None:
    """A field that goes on and on is cut off, long before it fills the memory."""
    with connected(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ")
        sent = 0
        with suppress(OSError):
            while sent < 100 * MOST_HEAD:
                sent += connection.send(b"a" * 4096)
                # Or else the system would take it all before the server has seen any.
                time.sleep(0.0005)
        assert sent < 100 * MOST_HEAD
    assert echo.scopes == []


@pytest.mark.parametrize("begun", [b"0\r\nT: ", b"0\r\n", b"5;"], ids=["field", "fields", "size"])
def test_what_stands_around_a_body_is_bounded(address: tuple[str, int], begun: bytes) -> None:
    """Neither a trailer field, nor many of them, nor what describes a part goes on and on."""
    part = b"T: a\r\n" * 1000 if begun == b"0\r\n" else b"a" * 6000
    with connected(address) as connection:
        connection.sendall(CHUNKED + begun)
        sent = 0
        with suppress(OSError):
            while sent < 100 * MOST_HEAD:
                sent += connection.send(part)
                time.sleep(0.0005)
        assert sent < 100 * MOST_HEAD


def test_what_comes_while_a_request_is_answered_is_bounded(
    echo: Echo, address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head of the next request has its end, or none of it is read before."""
    monkeypatch.setattr(echo, "takes", 2.0)
    with connected(address) as connection:
        connection.settimeout(0.1)
        connection.sendall(REQUEST + b"GET / HTTP/1.1\r\nX-Long: ")
        sent = 0
        with suppress(OSError):
            while sent < 500 * MOST_HEAD:
                sent += connection.send(b"a" * 65_536)
        assert sent < 500 * MOST_HEAD


def test_trailers_are_no_header_fields(echo: Echo, address: tuple[str, int]) -> None:
    """What is sent behind a body is not what the application is told stood before it."""
    with connected(address) as connection:
        connection.sendall(CHUNKED + b"5\r\nhello\r\n0\r\nAuthorization: late\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        (scope,) = echo.scopes
        assert [name for name, _ in scope["headers"]] == [b"host", b"transfer-encoding"]
        assert ask(connection) == b"hello"


def test_who_reads_no_answer_is_hung_up_on(
    echo: Echo, address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes nothing of an answer is let go; who takes it slowly gets all of it."""
    body = b"a" * (16 << 20)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    monkeypatch.setattr(connections, "TAKEN_WITHIN", 0.2)
    with connected(address) as connection:
        connection.sendall(head + body)
        answer = 0
        while answer < len(body):
            received = connection.recv(1 << 20)
            assert received
            answer += len(received)
            time.sleep(0.01)
    with connected(address) as connection:
        connection.sendall(head + body)
        until(lambda: len(echo.scopes) == 2)
        time.sleep(0.6)
        answer = 0
        with suppress(ConnectionError):
            while received := connection.recv(1 << 20):
                answer += len(received)
        assert answer < len(body)


def test_a_body_is_not_bounded_as_a_head_is(address: tuple[str, int]) -> None:
    """How much is read of a body is for the application to say."""
    body = b"a" * (4 * MOST_HEAD)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    with connected(address) as connection:
        for _ in range(2):
            connection.sendall(head + body)
            answer = b""
            while not answer.endswith(b"\r\n\r\n" + body):
                received = connection.recv(1 << 20)
                assert received
                answer += received


def test_plain_words_to_a_tls_port_do_no_harm(tmp_path: Path) -> None:
    """A client that speaks no TLS gets nothing, and the next one is served."""
    pytest.importorskip("trustme")
    from licet.server.running.reloading import Reloading
    from tests.server.tls import Site, client

    with serving(Echo(), tls=Reloading(Site(tmp_path).files)) as address:
        with connected(address) as connection:
            connection.sendall(REQUEST)
            assert b"200" not in connection.recv(65_536)
        with connected(address, client()) as connection:
            assert ask(connection) == b"hello"
            assert isinstance(connection, ssl.SSLSocket)


def test_a_socket_says_where_it_is_and_who_can_reach_it() -> None:
    """IPv4 and IPv6; what listens everywhere is reached by the loopback address, and by others."""
    for host, tls, begins, loopback in [
        ("127.0.0.1", False, "http://127.0.0.1:", True),
        ("::1", True, "https://[::1]:", True),
        ("0.0.0.0", False, "http://127.0.0.1:", False),
        ("::", False, "http://[::1]:", False),
    ]:
        if ":" in host and not socket.has_ipv6:
            continue
        with listen(host, 0) as listening:
            port = listening.getsockname()[1]
            assert url_of(listening, tls=tls) == f"{begins}{port}"
            assert is_loopback(listening) == loopback


def test_an_address_that_cannot_be_had_is_named() -> None:
    """A taken port, a foreign address and no address at all: each has its sentence and remedy."""
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        for host, wanted, sentence in [
            ("127.0.0.1", port, f"port {port} of 127.0.0.1 is in use: end what uses it"),
            ("192.0.2.1", 0, "192.0.2.1 cannot be listened on"),
            ("not an address", 0, "not an address is no address"),
        ]:
            with pytest.raises(ServerError) as raised:
                listen(host, wanted)
            assert sentence in str(raised.value)


def test_one_process_at_a_time_holds_the_lock(tmp_path: Path) -> None:
    """Another one is told who holds it; when that one lets go, it is free; the file is private."""
    data = tmp_path / "new" / "data"
    with lock.held(data):
        with pytest.raises(ServerError) as raised, lock.held(data):
            pass
        assert f"process {os.getpid()}" in str(raised.value)
        assert "--data" in raised.value.remedy
        if os.name == "posix":
            assert (data / lock.NAME).stat().st_mode & 0o077 == 0
            assert data.stat().st_mode & 0o077 == 0
    with lock.held(data):
        pass


def test_a_directory_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    """A file where the directory should be is a sentence, not a traceback."""
    (tmp_path / "data").write_text("")
    with pytest.raises(ServerError, match="cannot be used"), lock.held(tmp_path / "data"):
        pass


def test_ending_twice_or_before_the_start_is_no_error() -> None:
    """A signal may come at any moment, also before anything runs."""
    echo = Echo()
    server = Serving(echo, listen("127.0.0.1", 0))
    server.stop()
    server.stop()
    server.run()


def _is_ended_after(connection: socket.socket, part: bytes) -> bool:
    """Return whether the server ends a connection without a word, after some bytes."""
    try:
        connection.sendall(part)
        return connection.recv(65_536) == b""
    except ConnectionError:
        return True
