"""TLS of the license server: whose certificate is shown, and files that are replaced meanwhile."""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

pytest.importorskip("uvicorn")

from licet.core.tls import classify
from licet.server.errors import ServerError
from licet.server.running import connection as connections
from licet.server.running import extension
from licet.server.running.connection import Parser
from licet.server.running.reloading import Reloading
from licet.server.running.serving import END_WITHIN
from licet.server.running.tls import TlsFiles
from tests.core.loopback import until
from tests.server.running import Echo, ask, connected, serving, shown_by
from tests.server.tls import CLIENTS, OTHERS, Site, client, put

HOLDER = CLIENTS.issue_cert("holder@client.example")
STRANGER = OTHERS.issue_cert("holder@client.example")
SECOND = CLIENTS.issue_cert("127.0.0.1")
EXPIRED = CLIENTS.issue_cert("127.0.0.1", not_after=datetime(2020, 1, 1, tzinfo=UTC))
SOON = 0.02
TURNED_AWAY = (ssl.SSLError, ConnectionError)
PARSERS: list[Parser] = ["h11", "httptools"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def address(site: Site, echo: Echo) -> Iterator[tuple[str, int]]:
    with serving(echo, tls=Reloading(site.files), look_every=SOON) as where:
        yield where


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A server whose files nobody replaces."""
    with serving(Echo(), tls=Reloading(Site(tmp_path_factory.mktemp("site")).files)) as where:
        yield where


def test_clients_that_idle_do_not_hold_up_the_end(
    site: Site, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that are kept for later, and not looked at, are ended with the server."""
    monkeypatch.setattr(connections, "CLOSED_WITHIN", 0.05)
    with ExitStack() as kept:
        with serving(echo, tls=Reloading(site.files)) as address:
            for _ in range(3):
                assert ask(kept.enter_context(connected(address, client()))) == b"hello"
            begun = time.monotonic()
        assert time.monotonic() - begun < END_WITHIN / 2
    assert echo.has_ended


@pytest.mark.parametrize("parser", PARSERS)
def test_the_application_is_told_of_the_certificate(parser: Parser, site: Site, echo: Echo) -> None:
    """Who shows one is named in the TLS extension of ASGI; who shows none has none there."""
    if parser == "httptools":
        pytest.importorskip("httptools")
    with serving(echo, tls=Reloading(site.files), parser=parser) as address:
        for shown in (HOLDER, None):
            with connected(address, client(shown)) as connection:
                # Twice: the second request of a connection says the same as the first.
                assert ask(connection) == ask(connection) == b"hello"
                agreed = connection.cipher()
    first, again, without = (each["extensions"]["tls"] for each in echo.scopes[:3])
    assert first == again
    (pem,) = first["client_cert_chain"]
    assert pem.strip() == HOLDER.cert_chain_pems[0].bytes().decode().strip()
    assert "holder@client.example" not in str(without)
    assert first["client_cert_name"].endswith(f"O=trustme v{trustme.__version__}")
    assert without["client_cert_chain"] == []
    assert without["client_cert_name"] is None
    for tls in (first, without):
        assert tls["client_cert_error"] is None
        assert tls["tls_version"] == 0x0304
        assert agreed is not None
        assert tls["cipher_suite"] in range(0x1301, 0x1304)
    assert echo.scopes[0]["scheme"] == "https"


def test_a_subject_that_cannot_be_read_is_left_out() -> None:
    """What OpenSSL has verified and another library cannot read is known by its digest alone."""
    assert extension._name(b"0\x00") is None


def test_nobody_is_named_where_tls_ends_elsewhere(echo: Echo) -> None:
    """Over plain HTTP there is no such extension, whatever header fields say."""
    with serving(echo) as address, connected(address) as connection:
        assert ask(connection) == b"hello"
    assert "tls" not in echo.scopes[0].get("extensions", {})


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_of_nobody_is_turned_away(
    lasting: tuple[str, int], version: ssl.TLSVersion
) -> None:
    """Who shows a certificate that the authorities do not vouch for is not served at all."""
    assert not _is_served(lasting, client(STRANGER, version))
    assert _is_served(lasting, client(HOLDER, version))


def test_a_certificate_can_be_demanded(tmp_path: Path, echo: Echo) -> None:
    """With `client_required` who shows none is not served, and a holder is."""
    with serving(echo, tls=Reloading(Site(tmp_path, client_required=True).files)) as address:
        assert _is_served(address, client(HOLDER))
        assert not _is_served(address, client())


@pytest.mark.parametrize(
    ("shown", "version"),
    # In TLS 1.2 who shows none is told of a failure, and not of which.
    [(None, 0x0304), (STRANGER, 0x0304), (STRANGER, 0x0303)],
    ids=["none", "a stranger's", "a stranger's in TLS 1.2"],
)
def test_who_is_turned_away_is_told_why(
    tmp_path: Path, shown: trustme.LeafCert | None, version: int
) -> None:
    """The alert about a certificate gets out, so that clients do not take it for an outage."""
    context = client(shown, ssl.TLSVersion(version))
    with (
        serving(Echo(), tls=Reloading(Site(tmp_path, client_required=True).files)) as address,
        pytest.raises(ssl.SSLError) as raised,
        connected(address, context) as connection,
    ):
        ask(connection)
    assert classify(raised.value).problem == "client_certificate"


@pytest.mark.parametrize("ciphers", ["AES128-SHA256", "ECDHE-ECDSA-AES128-SHA256"])
def test_old_suites_are_not_spoken(lasting: tuple[str, int], ciphers: str) -> None:
    """In TLS 1.2 a client that has no AEAD suite with ephemeral keys gets no connection."""
    context = client(version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(ciphers)
    with pytest.raises(TURNED_AWAY), connected(lasting, context):
        pass


def test_a_new_certificate_is_shown_to_new_connections(
    address: tuple[str, int], site: Site
) -> None:
    """Once the files are replaced new connections see it; an open one goes on, unbroken."""
    with connected(address, client()) as before:
        old = shown_by(before)
        site.renew()
        until(lambda: _certificate(address) != old)
        assert ask(before) == b"hello"
        assert shown_by(before) == old


def test_links_are_followed_when_they_are_swapped(tmp_path: Path, echo: Echo) -> None:
    """A certificate that is mounted, and replaced by turning one link, is taken as well."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        Site(tmp_path / name)
    (tmp_path / "..data").symlink_to("first")
    files = TlsFiles(cert=tmp_path / "server.pem", key=tmp_path / "server.key")
    for path in files.paths:
        path.symlink_to(f"..data/{path.name}")
    with serving(echo, tls=Reloading(files), look_every=SOON) as address:
        old = _certificate(address)
        (tmp_path / "..next").symlink_to("second")
        os.replace(tmp_path / "..next", tmp_path / "..data")
        until(lambda: _certificate(address) != old)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_authority_that_is_taken_out_vouches_for_nobody(
    address: tuple[str, int], site: Site, version: ssl.TLSVersion
) -> None:
    """Its clients are turned away, even with a session from before; another's are let in."""
    context = client(HOLDER, version)
    with connected(address, context) as connection:
        assert ask(connection) == b"hello"
        session = connection.session
    with connected(address, context, session) as connection:
        assert ask(connection) == b"hello"
        assert connection.session_reused
        session = connection.session
    site.vouch(OTHERS)
    until(lambda: _is_served(address, client(STRANGER, version)))
    assert not _is_served(address, client(HOLDER, version))
    assert not _is_served(address, context, session)


def test_a_broken_replacement_is_told_once_and_not_used(
    address: tuple[str, int], site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither halves, nor an unlike pair, nor a missing file displace what works."""
    caplog.set_level(logging.INFO, "licet.server")
    old, good = _certificate(address), site.files.cert.read_bytes()
    put(site.files.cert, good[: len(good) // 2])
    until(lambda: "tls.reload_refused" in caplog.text)
    foreign = trustme.CA().issue_cert("127.0.0.1")
    put(site.files.cert, foreign.cert_chain_pems[0].bytes())
    until(lambda: caplog.text.count("tls.reload_refused") == 2)
    site.files.cert.unlink()
    until(lambda: caplog.text.count("tls.reload_refused") == 3)
    assert _certificate(address) == old
    site.renew()
    until(lambda: "tls.reloaded" in caplog.text)
    assert caplog.text.count("tls.reload_refused") == 3
    assert _certificate(address) != old


def test_what_is_mended_before_the_next_look_is_not_told(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Between a new key and its certificate the two are unlike: that alone is no trouble."""
    reloading = Reloading(site.files)
    before = reloading.context.current
    key, cert = site.files.key.read_bytes(), site.files.cert.read_bytes()
    site.renew()
    new = site.files.key.read_bytes()
    put(site.files.key, key)
    reloading.look()
    put(site.files.key, new)
    reloading.look()
    assert reloading.context.current is not before
    assert site.files.cert.read_bytes() != cert
    assert "reload_refused" not in caplog.text


def test_an_unreadable_moment_does_not_end_the_looking(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a look fails by, the next one takes place."""
    reloading = Reloading(site.files)
    looks = []

    def fail() -> None:
        looks.append(time.monotonic())
        raise RuntimeError("no look")

    monkeypatch.setattr(reloading, "look", fail)
    with reloading.kept(0.001):
        until(lambda: len(looks) > 1)
    assert "tls.reload_failed" in caplog.text


#: What is wrong with a file, and what is said of it.
FAULTS: dict[str, Callable[[TlsFiles], object]] = {
    "server.pem holds no certificate": lambda files: put(files.cert, b"text"),
    "server.pem cannot be read (No such file": lambda files: files.cert.unlink(),
    "server.pem has expired": lambda files: put(files.cert, EXPIRED.cert_chain_pems[0].bytes()),
    "server.key cannot be read (No such file": lambda files: files.key.unlink(),
    "server.key can be read by everybody": lambda files: files.key.chmod(0o644),
    "cannot be used together": lambda files: put(files.key, b"text"),
    "server.key is not the key of the certificate": (
        lambda files: put(files.key, SECOND.private_key_pem.bytes())
    ),
    "clients.pem holds no certificates": lambda files: put(files.paths[2], b"text"),
    "clients.pem cannot be read (No such file": lambda files: files.paths[2].unlink(),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_files_that_cannot_be_used_are_named(site: Site, sentence: str) -> None:
    """Each fault of a file has a sentence of its own, with what to do."""
    FAULTS[sentence](site.files)
    with pytest.raises(ServerError) as raised:
        site.files.context()
    assert sentence in str(raised.value)
    assert raised.value.remedy


def _certificate(address: tuple[str, int]) -> bytes:
    with connected(address, client()) as connection:
        return shown_by(connection)


def _is_served(
    address: tuple[str, int], context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> bool:
    try:
        with connected(address, context, session) as connection:
            return ask(connection) == b"hello"
    except TURNED_AWAY:
        return False
