"""Cases: TLS that Licet would not speak, and certificates that it would not take."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import trustme

from tests.commands import Said
from tests.core.loopback import Loopback, reply
from tests.core.secure import client_files, demanding, pin, server_context
from tests.doctor.certificates import CLIENT, chained, issued, word
from tests.doctor.table import shows
from tests.doctor.ward import APPLICATION, JWKS, Ward
from tests.served import ended

HOST = "127.0.0.1"
RESPONDER = "http://127.0.0.1:9/ocsp"
needs_openssl = shutil.which("openssl")


def old(certificate: trustme.LeafCert, version: ssl.TLSVersion, suites: str) -> ssl.SSLContext:
    """Return what a server speaks TLS with that was never renewed."""
    context = server_context(certificate, minimum_version=version, maximum_version=version)
    context.set_ciphers(suites)
    return context


@shows("tls_ok")
def well(ward: Ward) -> Said:
    return ward.visit(ward.secure(server_context(ward.authority.issue_cert(HOST))))


@shows("tls_old_version")
def only_old(ward: Ward) -> Said:
    certificate = ward.authority.issue_cert(HOST)
    context = old(certificate, ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0")
    return ward.visit(ward.secure(context))


@shows("tls_weak_suites")
def only_weak(ward: Ward) -> Said:
    """RSA key exchange has no forward secrecy."""
    certificate = ward.authority.issue_cert(HOST, key_type=trustme.KeyType.RSA)
    return ward.visit(ward.secure(old(certificate, ssl.TLSVersion.TLSv1_2, "kRSA+AESGCM")))


@shows("tls_certificate_valid")
def valid(ward: Ward) -> Said:
    return ward.visit(ward.secure(server_context(issued(ward.directory, ward.authority))))


@shows("tls_certificate_expired")
def expired(ward: Ward) -> Said:
    ended_at = datetime.now(UTC) - timedelta(hours=1)
    certificate = ward.authority.issue_cert(HOST, not_after=ended_at)
    return ward.visit(ward.secure(server_context(certificate)))


@shows("tls_certificate_not_yet_valid")
def early(ward: Ward) -> Said:
    return ward.visit(
        ward.secure(server_context(issued(ward.directory, ward.authority, days=(1, 90))))
    )


@shows("tls_certificate_ends_soon")
def ending(ward: Ward) -> Said:
    return ward.visit(
        ward.secure(server_context(issued(ward.directory, ward.authority, days=(-60, 13))))
    )


@shows("tls_certificate_name")
def other_name(ward: Ward) -> Said:
    return ward.visit(ward.secure(server_context(ward.authority.issue_cert("other.example"))))


@shows("tls_certificate_self_signed")
def self_signed(ward: Ward) -> Said:
    return ward.visit(ward.secure(server_context(issued(ward.directory, None))))


@shows("tls_certificate_chain_incomplete")
def incomplete(ward: Ward) -> Said:
    assert needs_openssl, "openssl is part of every distribution"
    stranger = ward.authority.create_child_ca().issue_cert(HOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key, leaf = ward.directory / "leaf.key", ward.directory / "leaf.pem"
    stranger.private_key_pem.write_to_path(str(key))
    stranger.cert_chain_pems[0].write_to_path(str(leaf))
    context.load_cert_chain(leaf, key)
    return ward.visit(ward.secure(context))


@shows("tls_chain_expired")
def outdated_chain(ward: Ward) -> Said:
    files = chained(ward.directory, ward.authority, days=(-60, -1))
    return ward.visit(ward.secure(server_context(files)))


@shows("tls_certificate_untrusted")
def untrusted(ward: Ward) -> Said:
    stranger = trustme.CA().create_child_ca().issue_cert(HOST)
    return ward.visit(ward.secure(server_context(stranger)))


@shows("tls_certificate_invalid")
def for_clients(ward: Ward) -> Said:
    return ward.visit(
        ward.secure(server_context(issued(ward.directory, ward.authority, usage=CLIENT)))
    )


@shows("tls_client_certificate")
def demanded(ward: Ward) -> Said:
    return ward.visit(ward.secure(demanding(ward.authority.issue_cert(HOST), ward.authority)))


@shows("tls_not_spoken")
def plain(ward: Ward) -> Said:
    return ward.visit(f"https://{HOST}:{greeting(ward, reply(400))}{JWKS}")


@shows("tls_timeout")
def dumb(ward: Ward) -> Said:
    """It is connected to, and never accepts."""
    server = ward.stack.enter_context(socket.create_server((HOST, 0)))
    ward.patch.setattr("licet.cli.doctor.handshake.WITHIN", 0.1)
    return ward.visit(f"https://{HOST}:{server.getsockname()[1]}{JWKS}")


@shows("tls_handshake_failed")
def hanging_up(ward: Ward) -> Said:
    return ward.visit(f"https://{HOST}:{greeting(ward, b'')}{JWKS}")


def greeting(ward: Ward, answer: bytes) -> int:
    """Serve this to whoever says anything; return the port."""

    def converse(stream: socket.socket) -> None:
        stream.recv(65536)
        stream.sendall(answer)

    server = Loopback(lambda request: b"")
    server._converse = converse  # type: ignore[method-assign]
    return ward.stack.enter_context(server).port


@shows("tls_pin_none")
def unpinned(ward: Ward) -> Said:
    return well(ward)


@shows("tls_pin_ok")
def pinned(ward: Ward) -> Said:
    certificate = ward.authority.issue_cert(HOST)
    url = ward.secure(server_context(certificate))
    return ward.visit(url, *_pin(pin(certificate)))


@shows("tls_pin_mismatch")
def mispinned(ward: Ward) -> Said:
    url = ward.secure(server_context(ward.authority.issue_cert(HOST)))
    return ward.visit(url, *_pin(pin(ward.authority.issue_cert(HOST))))


def _pin(value: str) -> tuple[str, ...]:
    return ("--set", f"tls_pins={value}", "--set", "tls_single_pin=true")


@shows("tls_stapling_not_needed")
def no_responder(ward: Ward) -> Said:
    return well(ward)


@shows("tls_stapling_missing")
def unstapled(ward: Ward) -> Said:
    files = issued(ward.directory, ward.authority, responder=RESPONDER)
    return ward.visit(ward.secure(server_context(files)))


@shows("tls_stapling_unchecked")
def without_openssl(ward: Ward) -> Said:
    ward.patch.setenv("PATH", str(ward.directory))
    return unstapled(ward)


@shows("tls_stapling_ok")
def stapled(ward: Ward) -> Said:
    return stapling(ward, revoked=False)


@shows("tls_certificate_revoked")
def revoked(ward: Ward) -> Said:
    return stapling(ward, revoked=True)


def stapling(ward: Ward, *, revoked: bool) -> Said:
    """Have a server looked at that staples; its pages are of no use to anybody."""
    assert needs_openssl, "openssl is part of every distribution"
    files = issued(ward.directory, ward.authority, responder=RESPONDER)
    arguments = ["-cert", files.certificate, "-key", files.key]
    arguments += ["-status_file", word(files, ward.authority, revoked=revoked)]
    process = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"{HOST}:0", "-www", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    ward.stack.enter_context(ended(process))
    lines: Any = process.stdout
    ward.stack.callback(lines.close)
    listening = next(line for line in lines if line.startswith(b"ACCEPT")).decode()
    return ward.visit(f"https://{listening.split()[1]}{JWKS}")


@shows("environment_authorities")
def elsewhere_trusted(ward: Ward) -> Said:
    ward.patch.setenv("SSL_CERT_FILE", "/nowhere/CANARY.pem")
    return self_signed(ward)


@shows("settings_client_certificate_ends")
def own_ending(ward: Ward) -> Said:
    ends = datetime.now(UTC) + timedelta(days=5)
    paths = client_files(
        ward.authority.issue_cert("client.example", not_after=ends), ward.directory
    )
    url = ward.secure(demanding(ward.authority.issue_cert(HOST), ward.authority))
    files = zip(("cert", "key"), paths, strict=True)
    options = [("--set", f"tls_client_{name}={path}") for name, path in files]
    return ward.visit(url, *APPLICATION, "--jwks-url", url, *options[0], *options[1])
