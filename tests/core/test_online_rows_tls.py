"""Rows I12, I13 and H15: who a license server has to be, and what proves it."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import licet
from licet import Settings
from licet.core.errors import ConfigError, LicenseUnavailable
from licet.core.events.event import Event
from licet.core.settings.issuers import IssuerSettings
from licet.core.tls import pin_of
from tests.core.hands import Hands
from tests.core.license_server import LicenseServer
from tests.core.worlds import WORLDS, at_once, gate_of, judge
from tests.core.worlds import told as verdict_of
from tests.licenses import AUDIENCE, ISSUER, ISSUER_NAME, OPTIONS

# -- I12, I13: settings ----------------------------------------------------------------------------


class Authority:
    """One authority, its certificates in files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.ca_file = str(path / "ca.pem")
        self.ca.cert_pem.write_to_path(self.ca_file)

    def server(self, *names: str, clients: bool = False) -> tuple[ssl.SSLContext, str]:
        """Return what a server of these names speaks TLS with, and the pin of its key."""
        issued = self.ca.issue_cert(*names, key_type=trustme.KeyType.ECDSA)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        if clients:
            self.ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        leaf = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
        return context, pin_of(leaf.public_bytes(serialization.Encoding.DER))

    def client(self, name: str = "app", **changes: Any) -> tuple[str, str]:
        """Return the paths of a client certificate and of its key."""
        issued = self.ca.issue_cert(
            f"{name}@example.com", key_type=trustme.KeyType.ECDSA, **changes
        )
        cert, key = self.path / f"{name}.pem", self.path / f"{name}.key"
        cert.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        key.chmod(0o600)
        return str(cert), str(key)


@pytest.fixture(name="authority")
def _authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def other_pin() -> str:
    """Return the pin of a key that nobody has."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    day = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(day)
        .not_valid_after(day + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return pin_of(made.public_bytes(serialization.Encoding.DER))


def tls(**options: Any) -> Settings:
    """Return settings of an application that asks a license server over TLS."""
    url = "https://licenses.test/v1/licenses/validate"
    return Settings(**{**OPTIONS, "validation_url": url, **options})


@pytest.mark.row("I12")
def test_a_client_certificate_that_cannot_be_used_fails_at_the_start(
    authority: Authority, tmp_path: Path
) -> None:
    """Missing, without its key, another's, expired, damaged, or readable for others."""
    cert, key = authority.client()
    other, other_key = authority.client("other")
    past = datetime.now(UTC) - timedelta(days=2)
    expired, expired_key = authority.client("expired", not_before=past, not_after=past)
    open_cert, open_key = authority.client("open")
    Path(open_key).chmod(0o644)
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    empty.chmod(0o600)
    assert tls(tls_client_cert=cert, tls_client_key=key)
    assert tls(tls_client_cert=Path(other), tls_client_key=Path(other_key))
    for certificate, private in (
        (cert, None),
        (None, key),
        (str(tmp_path / "missing.pem"), key),
        (cert, str(tmp_path / "missing.key")),
        (cert, other_key),
        (expired, expired_key),
        (open_cert, open_key),
        (str(empty), key),
        (cert, str(empty)),
        (key, cert),
        (str(tmp_path), key),
    ):
        with pytest.raises(ConfigError) as refused:
            tls(tls_client_cert=certificate, tls_client_key=private)
        assert refused.value.setting in ("tls_client_cert", "tls_client_key")
        assert "PRIVATE" not in str(refused.value)


Ask = Callable[[str, Settings], licet.Entitlements]


def _asked_in_a_task(key: str, settings: Settings) -> licet.Entitlements:
    return anyio.run(partial(licet.averify, key, settings))


both_worlds = pytest.mark.parametrize(
    "ask", [licet.verify, _asked_in_a_task], ids=["sync", "async"]
)


@pytest.mark.row("I12")
@both_worlds
def test_a_server_that_demands_a_certificate_gets_the_right_one(
    ask: Ask, authority: Authority, tmp_path: Path
) -> None:
    """With ours it answers; with none, or another authority's, not a byte of a question is sent."""
    context, _ = authority.server("127.0.0.1", clients=True)
    (tmp_path / "elsewhere").mkdir()
    stranger = Authority(tmp_path / "elsewhere").client()
    for files, served in ((authority.client(), True), (stranger, False), (None, False)):
        with LicenseServer(context=context) as server:
            given = dict(zip(("tls_client_cert", "tls_client_key"), files or (), strict=False))
            settings = Settings(
                **server.options(
                    jwks=ISSUER.jwks(), jwks_url=None, tls_ca_file=authority.ca_file, **given
                )
            )
            key = server.add(sub="lic_mtls")
            if served:
                assert ask(key, settings).license_id == "lic_mtls"
            else:
                with pytest.raises(LicenseUnavailable):
                    ask(key, settings)
            assert len(server.log) == served


@pytest.mark.row("H16", "I08")
@pytest.mark.parametrize("world", WORLDS)
def test_what_tls_failed_of_is_told_with_the_decision_that_followed(
    world: str, authority: Authority
) -> None:
    """A wrong pin: the event, the failed question, the denial and the 503 share one number."""
    context, _ = authority.server("127.0.0.1")
    with LicenseServer(context=context) as server:
        gate = gate_of(
            server,
            Hands(wall=time.time()),
            tls_ca_file=authority.ca_file,
            tls_pins=(other_pin(), other_pin()),
        )
        told: dict[str, Event] = {}
        gate.events.subscribe(lambda event: told.__setitem__(event.name, event))
        [refusal] = at_once(world, [judge(gate, server.add())])
        assert server.log == []
    assert isinstance(refusal, LicenseUnavailable)
    number = refusal.members["correlation_id"]
    failure = told["tls.failure"].data
    assert (failure["kind"], failure["problem"]) == ("pin", "mismatch")
    assert failure["host"] == "127.0.0.1"
    for name in ("tls.failure", "online.unavailable", "license.denied"):
        assert told[name].data["correlation_id"] == number


@pytest.mark.row("I12")
@pytest.mark.parametrize("world", WORLDS)
def test_a_replacement_that_cannot_be_used_is_told_and_displaces_nothing(
    world: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate that the server knows goes on being shown, and an event says why."""
    monkeypatch.setattr("licet.core.tls.contexts.LOOK_EVERY", 0.0)
    context, _ = authority.server("127.0.0.1", clients=True)
    cert, private = authority.client()
    with LicenseServer(context=context) as server:
        gate = gate_of(
            server,
            Hands(wall=time.time()),
            tls_ca_file=authority.ca_file,
            tls_client_cert=cert,
            tls_client_key=private,
        )
        told: list[Event] = []
        gate.events.subscribe(told.append)
        assert list(map(verdict_of, at_once(world, [judge(gate, server.add())]))) == ["yes"]
        Path(cert).write_text("nonsense")
        assert list(map(verdict_of, at_once(world, [judge(gate, server.add())]))) == ["yes"]
        assert [event.data for event in told if event.name == "tls.failure"] == [
            {"kind": "certificate", "problem": "holds no certificate"}
        ]


@pytest.mark.row("I13")
def test_pins_that_pin_nothing_fail_at_the_start() -> None:
    """None, one alone, twice the same, and what is no pin; one is enough where that is said."""
    one, two = other_pin(), other_pin()
    assert tls(tls_pins=(one, two))
    assert tls(tls_pins=(one,), tls_single_pin=True)
    digest = one.removeprefix("sha256/")
    for pins in (
        (),
        [],
        (one,),
        (one, one),
        (one, ""),
        (one, "sha256/"),
        (one, digest),
        (one, f"sha1/{digest}"),
        (one, f"SHA256/{digest}"),
        (one, f"sha256/{digest[:-2]}"),
        (one, f"sha256/{digest}="),
        (one, f"sha256/{digest} "),
        (one, f"sha256/{digest[:-2]}!="),
        (one, "sha256/" + "A" * 43),
        (one, "sha256/" + "-_" * 21 + "A="),
        (one, 5),
    ):
        with pytest.raises(ConfigError) as refused:
            tls(tls_pins=pins)
        assert refused.value.setting == "tls_pins"
    for pins in ((), ("sha256/",), (digest,)):
        with pytest.raises(ConfigError):
            tls(tls_pins=pins, tls_single_pin=True)
    with pytest.raises(ConfigError):
        tls(tls_single_pin=True)


# -- H15 -------------------------------------------------------------------------------------------


@pytest.fixture(name="rebound")
def _rebound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every name resolve to this machine, as whoever answers for DNS may have it."""
    resolve = socket.getaddrinfo

    def rebound(host: Any, *args: Any, **named: Any) -> Any:
        return resolve("127.0.0.1", *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)


@pytest.mark.row("H15")
@pytest.mark.usefixtures("rebound")
@both_worlds
def test_a_name_that_leads_elsewhere_is_asked_nothing(ask: Ask, authority: Authority) -> None:
    """Wherever a name resolves to, whoever is there must have its certificate, and its pin."""
    own, pin = authority.server("licenses.test")
    same_name, _ = authority.server("licenses.test")
    attacker, attackers_pin = authority.server("attacker.test", "127.0.0.1")
    by_address, _ = authority.server("127.0.0.1")
    pins = (pin, other_pin())
    for context, pinned, served in (
        (own, pins, True),
        (own, None, True),
        (attacker, None, False),
        (by_address, None, False),
        (attacker, (attackers_pin, pin), False),
        (same_name, pins, False),
    ):
        with LicenseServer(context=context) as server:
            at = {
                name: server.options()[name].replace("127.0.0.1", "licenses.test")
                for name in ("validation_url", "jwks_url")
            }
            settings = Settings(
                **server.options(**at, tls_ca_file=authority.ca_file, tls_pins=pinned)
            )
            key = server.add(sub="lic_named")
            if served:
                assert ask(key, settings).license_id == "lic_named"
            else:
                with pytest.raises(LicenseUnavailable):
                    ask(key, settings)
                assert server.questions == []
                # Keys may be had from elsewhere than the server whose keys are pinned.
                assert pinned or server.log == []


@pytest.mark.row("H15")
@pytest.mark.parametrize(
    "url",
    [
        "http://licenses.acme.example/validate",
        "http://169.254.169.254/validate",
        "http://10.0.0.1/validate",
        "http://127.0.0.1.evil.example/validate",
        "http://localhost.evil.example/validate",
        "HTTP://licenses.acme.example/",
        "file:///etc/licenses",
        "ftp://licenses.acme.example/validate",
        "https://user:secret@licenses.acme.example/validate",
        "https://licenses.acme.example:99999/validate",
        "https:///validate",
        "//licenses.acme.example/validate",
        "",
    ],
)
def test_a_server_is_asked_over_tls_or_on_this_machine(url: str) -> None:
    """Whether it is the one issuer's or one of several."""
    with pytest.raises(ConfigError):
        tls(validation_url=url)
    with pytest.raises(ConfigError):
        Settings(
            issuers={
                ISSUER_NAME: IssuerSettings(
                    AUDIENCE, jwks=ISSUER.jwks(), jwks_url=None, validation_url=url
                )
            }
        )
