"""What settings of TLS may say, and how a client's certificate is kept in step with its files."""

from __future__ import annotations

import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from licet.core.errors import ConfigError
from licet.core.tls import (
    Contexts,
    TlsOptions,
    ciphers,
    client_certificate,
    client_context,
    pins_of,
)
from licet.core.tls.pins import matches
from licet.core.tls.suites import SUITES
from licet.core.transport import Request, Send, Transport
from tests.core.backends import WORLDS, Ask, world
from tests.core.hands import Hands
from tests.core.loopback import until
from tests.core.secure import SecureServer, authority_file, client_files, demanding, pin

ONE, TWO = (f"sha256/{b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))


@pytest.fixture(params=WORLDS)
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    """Send in threads, asyncio and trio."""
    with world(request.param) as asked:
        yield asked


@pytest.fixture(name="authority", scope="module")
def _authority() -> trustme.CA:
    return trustme.CA()


# -- pins ------------------------------------------------------------------------------------------


@pytest.mark.row("I13")
def test_i13_two_pins_are_taken() -> None:
    """Two distinct pins name two digests; one will do where that is said."""
    assert pins_of([ONE, TWO]) == {b"\x01" * 32, b"\x02" * 32}
    assert pins_of([ONE], single=True) == {b"\x01" * 32}


@pytest.mark.row("I13")
@pytest.mark.parametrize(
    "pins", [[], [ONE], [ONE, ONE]], ids=["none", "no backup", "the same one twice"]
)
def test_i13_too_few_pins_are_an_error(pins: list[str]) -> None:
    """None is no way to say "no pinning", and one alone leaves no way to change a key."""
    with pytest.raises(ConfigError, match="tls_pins"):
        pins_of(pins)


@pytest.mark.row("I13")
def test_i13_no_pin_is_too_few_even_where_one_will_do() -> None:
    """An empty list is an error in any case."""
    with pytest.raises(ConfigError, match="is empty"):
        pins_of([], single=True)


@pytest.mark.row("I13")
@pytest.mark.parametrize(
    "bad",
    [
        "",
        "sha256/",
        ONE.removeprefix("sha256/"),
        ONE.replace("sha256", "SHA256"),
        ONE.replace("sha256", "sha1"),
        ONE.rstrip("="),
        ONE + "=",
        ONE + "\n",
        ONE[:-2] + "F=",
        ONE[:20] + "-" + ONE[21:],
        ONE[:20] + " " + ONE[20:],
        "sha256/" + b64encode(b"\x01" * 31).decode(),
        "sha256/" + b64encode(b"\x01" * 33).decode(),
        "sha256/" + "é" * 44,
        "sha256/" + "01" * 32,
    ],
)
def test_i13_what_is_no_pin_is_an_error(bad: str) -> None:
    """One spelling each: 32 bytes in base64 with its padding and without spare bits."""
    with pytest.raises(ConfigError, match="no pin"):
        pins_of([ONE, TWO, bad])


def test_a_context_takes_what_options_hold() -> None:
    """Pins that are none are refused there too."""
    with pytest.raises(ConfigError, match="tls_pins"):
        client_context(pins=("sha256/x",))


# -- cipher suites ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [SUITES, "ECDHE+AESGCM", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_suites_that_are_good_enough_are_taken(value: str) -> None:
    """Among them what is used where nothing is set."""
    assert ciphers("tls_ciphers", value) == value
    chosen = client_context(ciphers=value).get_ciphers()
    assert chosen
    assert all(one["protocol"] == "TLSv1.3" or one["kea"] == "kx-ecdhe" for one in chosen)


@pytest.mark.parametrize(
    "value",
    [
        "DEFAULT",
        "ALL",
        "ECDHE",
        "AESGCM",
        "ECDHE+AESGCM:AES128-SHA",
        "DHE+AESGCM",
        "PSK+AESGCM",
        "ECDHE+AESGCM:@SECLEVEL=0",
        "NULL",
        "no such suite",
        "TLS_AES_128_GCM_SHA256",
        "",
        "ECDHE+AESGCM\0",
    ],
)
def test_no_setting_weakens_tls_1_2(value: str) -> None:
    """What selects nothing, or anything but AEAD suites with ephemeral keys, is an error."""
    with pytest.raises(ConfigError, match="tls_ciphers"):
        ciphers("tls_ciphers", value)
    with pytest.raises(ConfigError, match="tls_ciphers"):
        client_context(ciphers=value)


# -- a client's certificate ------------------------------------------------------------------------


def refusal(cert: Any, key: Any) -> tuple[str, str]:
    with pytest.raises(ConfigError) as caught:
        client_certificate(cert, key)
    with pytest.raises(ConfigError):
        client_context(client_cert=cert, client_key=key)
    return caught.value.setting, caught.value.problem


@pytest.mark.row("I12")
def test_i12_a_certificate_with_its_key_is_taken(authority: trustme.CA, tmp_path: Path) -> None:
    """Both files, or neither; also in one."""
    cert, key = client_files(authority.issue_cert("app.test"), tmp_path)
    client_certificate(cert, key)
    client_certificate(None, None)
    cert.write_bytes(cert.read_bytes() + key.read_bytes())
    client_certificate(str(cert), str(cert))


@pytest.mark.row("I12")
def test_i12_a_certificate_and_its_key_come_together(authority: trustme.CA, tmp_path: Path) -> None:
    """One without the other is an error that names what is missing."""
    cert, key = client_files(authority.issue_cert("app.test"), tmp_path)
    assert refusal(cert, None)[0] == "tls_client_key"
    assert refusal(None, key)[0] == "tls_client_cert"


@pytest.mark.row("I12")
def test_i12_files_that_cannot_be_used(authority: trustme.CA, tmp_path: Path) -> None:
    """Missing, not PEM, of another pair, locked, or open to others: an error of that file."""
    cert, key = client_files(authority.issue_cert("app.test"), tmp_path)
    missing = "cannot be read (FileNotFoundError)"
    assert refusal(tmp_path / "no", key) == ("tls_client_cert", missing)
    assert refusal(cert, tmp_path / "no") == ("tls_client_key", missing)
    assert refusal(key, key) == ("tls_client_cert", "holds no certificate")
    assert refusal(cert, cert) == ("tls_client_key", "holds no usable key")
    (tmp_path / "other").mkdir()
    _, other = client_files(authority.issue_cert("app.test"), tmp_path / "other")
    assert refusal(cert, other) == ("tls_client_key", "is not the key of the certificate")
    private = load_pem_private_key(key.read_bytes(), None)
    locked = private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")
    )
    other.write_bytes(locked)
    assert refusal(cert, other) == ("tls_client_key", "holds no usable key")
    for mode in (0o640, 0o604, 0o620):
        key.chmod(mode)
        assert refusal(cert, key) == ("tls_client_key", "can be read by others")


@pytest.mark.row("I12")
def test_i12_an_expired_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    """A certificate at its end is an error, one second before it none."""
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    cert, key = client_files(authority.issue_cert("app.test", not_after=end), tmp_path)
    client_certificate(cert, key, wall=lambda: end.timestamp() - 1)
    with pytest.raises(ConfigError, match=r"tls_client_cert .* has expired"):
        client_certificate(cert, key, wall=end.timestamp)


# -- replaced while we run -------------------------------------------------------------------------


class Client:
    """A server that demands certificates, and a transport that shows one."""

    def __init__(self, authority: trustme.CA, directory: Path, ask: Ask) -> None:
        self.ask, self.authority, self.directory = ask, authority, directory
        self.hands = Hands()
        self.refused: list[ConfigError] = []
        own = authority.issue_cert("127.0.0.1")
        self.server = SecureServer(demanding(own, authority))
        self.cert, self.key = self.replace()
        options = TlsOptions(
            ca_file=authority_file(authority, directory),
            pins=(pin(own), TWO),
            client_cert=str(self.cert),
            client_key=str(self.key),
        )
        monotonic = self.hands.clock.monotonic
        contexts = Contexts(options, monotonic=monotonic, refused=self.refused.append)
        contexts.current()
        self.transport = Transport(contexts, monotonic=monotonic, keep_alive=4)

    def replace(self) -> tuple[Path, Path]:
        return client_files(self.authority.issue_cert("app.test"), self.directory)

    def send(self) -> int:
        """Send a request; return how many connections there have been."""
        request = Request("POST", self.server.url, {}, b"{}")
        assert self.ask(Send(self.transport, request, 10.0, 100)).status == 200
        return self.server.connections


def test_new_files_are_used_for_new_connections(
    ask: Ask, authority: trustme.CA, tmp_path: Path
) -> None:
    """A replaced certificate is shown within a second, and kept connections are left."""
    client = Client(authority, tmp_path, ask)
    with client.server as server:
        assert client.send() == client.send() == 1
        client.hands.advance(1)
        assert client.send() == 1
        client.replace()
        client.hands.advance(0.9)
        assert client.send() == 1
        client.hands.advance(0.2)
        assert client.send() == client.send() == 2
        assert len(set(server.serials)) == 2
        assert client.refused == []


@pytest.mark.anyio
async def test_a_question_under_way_outlives_a_replacement(
    authority: trustme.CA, tmp_path: Path
) -> None:
    """It is answered over the connection it was asked on, which is closed by who asked last."""
    client, answered = Client(authority, tmp_path, lambda effect: None), threading.Event()
    first = client.server.answer

    def late(request: bytes) -> bytes | None:
        if b"/late" in request:
            answered.wait(20)
        return first(request)

    client.server.answer = late
    statuses: list[int] = []

    async def send(path: str) -> None:
        request = Request("POST", client.server.url + path, {}, b"{}")
        answer = await Send(client.transport, request, 10.0, 100).arun()
        statuses.append(answer.status)

    with client.server as server:
        async with anyio.create_task_group() as group:
            group.start_soon(send, "/late")
            await anyio.to_thread.run_sync(until, lambda: server.received)
            client.replace()
            client.hands.advance(1.1)
            await send("/soon")
            assert (server.connections, server._ended, statuses) == (2, 0, [200])
            answered.set()
        assert statuses == [200, 200]
        await anyio.to_thread.run_sync(until, lambda: server._ended == 1)


def test_a_bad_replacement_displaces_nothing(
    ask: Ask, authority: trustme.CA, tmp_path: Path
) -> None:
    """Half a pair, or none at all, is told of once; what works goes on, until it is whole."""
    client = Client(authority, tmp_path, ask)
    with client.server as server:
        client.send()
        good = client.key.read_bytes()
        client.key.unlink()
        for _ in range(3):
            client.hands.advance(1)
            assert client.send() == 1
        client.cert.write_bytes(b"nonsense")
        for _ in range(3):
            client.hands.advance(1)
            assert client.send() == 1
        assert [(error.setting, error.problem) for error in client.refused] == [
            ("tls_client_key", "cannot be read (FileNotFoundError)"),
            ("tls_client_cert", "holds no certificate"),
        ]
        client.key.write_bytes(good)
        client.key.chmod(0o600)
        client.replace()
        client.hands.advance(1)
        assert client.send() == 2
        assert len(set(server.serials)) == 2
        assert len(client.refused) == 2


def test_a_file_that_fails_between_check_and_use_is_told_of(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with a replacement, what works goes on."""
    hands, refused = Hands(), []
    cert, key = client_files(authority.issue_cert("app.test"), tmp_path)
    contexts = Contexts(
        TlsOptions(client_cert=str(cert), client_key=str(key)),
        monotonic=hands.clock.monotonic,
        refused=refused.append,
    )
    first = contexts.current()

    def fail(self: TlsOptions) -> ssl.SSLContext:
        raise ssl.SSLError

    monkeypatch.setattr(TlsOptions, "context", fail)
    client_files(authority.issue_cert("app.test"), tmp_path)
    hands.advance(1)
    assert contexts.due()
    assert not contexts.due()
    contexts.look()
    assert contexts.current() is first
    assert [error.problem for error in refused] == ["cannot be used (SSLError)"]


def test_a_look_before_the_first_connection_makes_nothing() -> None:
    """What was never used is not made anew: not even authorities that nobody could read."""
    contexts = Contexts(TlsOptions(ca_file="/nowhere/ca.pem"))
    contexts.look()
    with pytest.raises(OSError, match="No such file"):
        contexts.current()


def test_who_shows_no_certificate_has_no_pinned_key() -> None:
    """A connection without a certificate of the server matches no pin."""
    assert not matches(None, pins_of([ONE, TWO]))


def test_a_certificate_that_cannot_be_read_has_no_pinned_key() -> None:
    """What OpenSSL took and this side cannot take apart is refused as any other key."""
    assert not matches(b"\x30\x00", pins_of([ONE, TWO]))


def test_options_are_tried_when_a_transport_is_made(tmp_path: Path) -> None:
    """What cannot be used fails at once, and not at the first question."""
    with pytest.raises(ConfigError, match="tls_client_key"):
        Transport(TlsOptions(client_cert=str(tmp_path / "no")))
    with pytest.raises(OSError, match="No such file"):
        Transport(TlsOptions(ca_file=str(tmp_path / "no")))


@pytest.mark.row("H17")
def test_h17_authorities_of_the_environment_are_not_trusted(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE and SSL_CERT_DIR add nothing to what is trusted."""
    before = {cert["serialNumber"] for cert in client_context().get_ca_certs()}
    monkeypatch.setenv("SSL_CERT_FILE", authority_file(authority, tmp_path))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert {cert["serialNumber"] for cert in client_context().get_ca_certs()} == before
