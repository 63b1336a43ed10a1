"""Real TLS servers on loopback that count what they are sent, and the files that go with them."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme

from licet.core.tls import pin_of
from tests.core.loopback import until

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def server_context(certificate: trustme.LeafCert, **options: Any) -> ssl.SSLContext:
    """Return what a server speaks TLS with; `options` are attributes of the context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with warnings.catch_warnings():
        # Old versions are what some servers here are for.
        warnings.simplefilter("ignore", DeprecationWarning)
        for name, value in options.items():
            setattr(context, name, value)
    return context


def demanding(certificate: trustme.LeafCert, *authorities: trustme.CA) -> ssl.SSLContext:
    """Return what a server speaks TLS with that wants a certificate of its clients."""
    context = server_context(certificate, verify_mode=ssl.CERT_REQUIRED)
    for authority in authorities:
        authority.configure_trust(context)
    return context


def pin(certificate: trustme.LeafCert) -> str:
    """Return the pin of a certificate's key."""
    return pin_of(ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode()))


def authority_file(authority: trustme.CA, directory: Path) -> str:
    """Return the path of a file with the certificate of `authority`."""
    path = directory / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def client_files(certificate: trustme.LeafCert, directory: Path) -> tuple[Path, Path]:
    """Return the paths of files with a client's certificate and key; they are replaced whole."""
    pems = (
        b"".join(blob.bytes() for blob in certificate.cert_chain_pems),
        certificate.private_key_pem.bytes(),
    )
    paths = (directory / "client.pem", directory / "client.key")
    for path, pem in zip(paths, pems, strict=True):
        new = path.with_suffix(".new")
        new.write_bytes(pem)
        new.chmod(0o600)
        new.replace(path)
    return paths


class SecureServer:
    """A TLS server that keeps connections open, and counts.

    Args:
        context: how it speaks TLS; may be replaced at any time.
        answer: called with each request as it came; returns the answer, or None to hang up.

    Attributes:
        connections: how many were accepted.
        shaken: how many handshakes succeeded.
        received: how many bytes of requests came.
        serials: of the certificates that clients showed, one for each handshake.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        answer: Callable[[bytes], bytes | None] = lambda request: ANSWER,
    ) -> None:
        self.context, self.answer = context, answer
        self.connections = self.shaken = self.received = self._ended = 0
        self.serials: list[str | None] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}/validate"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._stopping = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping = True
        with socket.create_connection(("127.0.0.1", self.port)):
            self._thread.join(10)
        self._socket.close()
        self.hang_up()
        self.rest()

    def hang_up(self) -> None:
        """End every connection."""
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    socket.socket.shutdown(each, socket.SHUT_RDWR)

    def rest(self) -> None:
        """Wait until every connection has ended."""
        until(lambda: self._ended == self.connections)

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if self._stopping:
                connection.close()
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream: socket.socket = connection
        try:
            stream = self.context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
            try:
                stream.do_handshake()
            except ssl.SSLError:
                # Read to the end, as good servers do: a reset could overtake what was said.
                while socket.socket.recv(stream, 65536):
                    pass
                raise
            with self._lock:
                self._open.add(stream)
                self.shaken += 1
                shown = stream.getpeercert() or {}
                self.serials.append(str(shown["serialNumber"]) if shown else None)
            while request := self._request(stream):
                answer = self.answer(request)
                if answer is None:
                    break
                stream.sendall(answer)
        except OSError:
            # The client does not like us: its affair.
            pass
        finally:
            with self._lock:
                self._open.discard(stream)
                stream.close()
                self._ended += 1

    def _request(self, stream: socket.socket) -> bytes:
        got = b""
        while True:
            head, end, body = got.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            if end and len(body) >= int(fields.get(b"content-length", b"0")):
                return got
            piece = stream.recv(65536)
            if not piece:
                return b""
            self.received += len(piece)
            got += piece
