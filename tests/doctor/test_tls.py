"""`licet doctor https://…`: all about TLS in one run, and nothing believed without it."""

from __future__ import annotations

import os
import ssl
import time
from datetime import UTC, datetime, timedelta
from itertools import repeat

import pytest
import trustme

from tests.core.loopback import Loopback
from tests.core.secure import SecureServer, client_files, demanding, server_context
from tests.doctor.certificates import issued
from tests.doctor.handshakes import HOST, RESPONDER, old, unstapled
from tests.doctor.ward import JWKS, Ward, codes, found, served


def test_a_certificate_with_every_fault(ward: Ward) -> None:
    """Expired, for another name, of nobody's authority, and in old TLS: all of it in one run."""
    certificate = trustme.CA().issue_cert(
        "other.example", not_after=datetime.now(UTC) - timedelta(hours=1)
    )
    said = ward.visit(ward.secure(old(certificate, ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0")))
    assert codes(said) >= {
        "tls_old_version",
        "tls_certificate_expired",
        "tls_certificate_name",
        "tls_certificate_chain_incomplete",
        "tls_pin_none",
        "unreached",
    }
    assert "TLSv1.1" in found(said, "tls_old_version")["detail"]
    assert "other.example" in found(said, "tls_certificate_name")["detail"]


def test_a_server_without_a_certificate(ward: Ward) -> None:
    """Suites without authentication are weak, and there is no certificate to look at."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AECDH-AES128-SHA:@SECLEVEL=0")
    assert codes(ward.visit(ward.secure(context))) >= {"tls_weak_suites", "tls_certificate_invalid"}


def test_the_versions_that_the_settings_demand(ward: Ward) -> None:
    """TLS 1.2 is old where the settings say so, and the remedy names the setting."""
    context = server_context(
        ward.authority.issue_cert(HOST), maximum_version=ssl.TLSVersion.TLSv1_2
    )
    url = ward.secure(context)
    assert "tls_ok" in codes(ward.visit(url))
    finding = found(ward.visit(url, "--set", "tls_minimum=1.3"), "tls_old_version")
    assert "LICET_TLS_MINIMUM" in finding["remedy"]


def test_a_client_certificate_that_is_there(ward: Ward) -> None:
    """Where the settings have the certificate that a server demands nothing is wrong."""
    paths = client_files(ward.authority.issue_cert("client.example"), ward.directory)
    url = ward.secure(demanding(ward.authority.issue_cert(HOST), ward.authority))
    cert, key = paths
    said = ward.visit(url, "--set", f"tls_client_cert={cert}", "--set", f"tls_client_key={key}")
    assert "keys_ok" in codes(said)
    assert said.status == 0


def test_nothing_is_believed_that_was_not_authenticated(ward: Ward) -> None:
    """Over a connection that Licet would not have made no request is sent."""
    other = server_context(trustme.CA().issue_cert(HOST))
    with SecureServer(other, lambda request: served()) as server:
        said = ward.visit(f"https://{HOST}:{server.port}{JWKS}")
        server.rest()
        assert server.received == 0
    assert "unreached" in codes(said)
    assert not {code for code in codes(said) if code.startswith(("keys", "caching", "clock"))}


def test_the_pin_that_can_be_set(ward: Ward) -> None:
    """The pin that is told is the one that settings take."""
    url = ward.secure(server_context(ward.authority.issue_cert(HOST)))
    told = found(ward.visit(url), "tls_pin_none")["detail"]
    pin = told[told.index("sha256/") :]
    said = ward.visit(url, "--set", f"tls_pins={pin}", "--set", "tls_single_pin=true")
    assert "tls_pin_ok" in codes(said)


def test_who_drips_is_not_waited_for(ward: Ward) -> None:
    """A server that begins TLS and never ends it costs the time for one handshake."""
    ward.patch.setattr("licet.cli.doctor.handshake.WITHIN", 0.2)
    server = Loopback(lambda request: b"")

    def converse(stream: ssl.SSLSocket) -> None:
        stream.sendall(b"\x16\x03\x03\x40\x00")
        for _ in repeat(None, 200):
            stream.sendall(b"\x02")
            time.sleep(0.05)

    server._converse = converse  # type: ignore[method-assign]
    with server:
        begun = time.monotonic()
        said = ward.visit(f"https://{HOST}:{server.port}{JWKS}")
        assert time.monotonic() - begun < 5
    assert "tls_timeout" in codes(said)


def test_a_server_by_its_name(ward: Ward) -> None:
    """`openssl` asks for the name as Licet does; of several addresses one is enough."""
    name = "localhost"
    files = issued(ward.directory, ward.authority, name=name, responder=RESPONDER)
    url = ward.secure(server_context(files)).replace("127.0.0.1", name)
    said = ward.visit(url)
    assert codes(said) >= {"tls_ok", "tls_stapling_missing", "keys_ok"}
    assert said.status == 0


def test_stapling_behind_a_client_certificate(ward: Ward) -> None:
    """`openssl` shows the certificate of the settings as well."""
    files = issued(ward.directory, ward.authority, responder=RESPONDER)
    context = demanding(files, ward.authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    cert, key = client_files(ward.authority.issue_cert("client.example"), ward.directory)
    options = ("--set", f"tls_client_cert={cert}", "--set", f"tls_client_key={key}")
    assert "tls_stapling_missing" in codes(ward.visit(ward.secure(context), *options))


@pytest.mark.parametrize(
    ("does", "said"), [("exit 1", "could not connect"), ("exec sleep 9", "no end")], ids=str
)
def test_an_openssl_that_does_not_work(does: str, said: str, ward: Ward) -> None:
    """What it was to tell is not checked, and why is said; the rest is as ever."""
    (ward.directory / "openssl").write_text(f"#!/bin/sh\n{does}\n")
    (ward.directory / "openssl").chmod(0o755)
    ward.patch.setenv("PATH", str(ward.directory), prepend=os.pathsep)
    ward.patch.setattr("licet.cli.doctor.openssl.WITHIN", 0.2)
    visit = unstapled(ward)
    assert said in found(visit, "tls_stapling_unchecked")["detail"]
    assert "keys_ok" in codes(visit)
