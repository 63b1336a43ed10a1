"""`licet doctor URL`: what a URL stands for, and what is found at less common ones."""

from __future__ import annotations

import json
import time
from email.utils import formatdate

import pytest

from licet.core.keys.jwk import read_jwks
from licet.core.keys.kept import SnapshotFile
from tests.commands import licet
from tests.core.jwks import ed25519
from tests.core.loopback import Request, reply
from tests.doctor.servers import asked
from tests.doctor.ward import APPLICATION, TYPE, Ward, codes, found, good, now, served
from tests.licenses import AUDIENCE, ISSUER_NAME, license_token


@pytest.mark.parametrize("path", ["", "/", "/v1/licenses/validate", "/status/1", "/healthz"])
def test_an_address_at_a_license_server(path: str, ward: Ward) -> None:
    """Its key set is looked at where issuers have theirs."""
    log: list[str] = []

    def answer(request: Request) -> bytes:
        log.append(request.target)
        return served() if request.target == "/.well-known/jwks.json" else reply(404)

    said = ward.visit(ward.own(answer) + path)
    assert said.status == 0
    assert set(log) == {"/.well-known/jwks.json", "/healthz"}


def test_an_issuer_with_a_path(ward: Ward) -> None:
    """Its key set is below the path, as for the settings."""
    url = ward.serve(good, "/tenant/.well-known/jwks.json")
    assert "keys_ok" in codes(ward.visit(url.removesuffix("/.well-known/jwks.json")))


def test_the_issuer_of_the_settings(ward: Ward) -> None:
    """The name of an issuer stands for the address that the settings have for its keys."""
    url = ward.serve(good)
    assert "keys_ok" in codes(ward.visit(ISSUER_NAME, *APPLICATION, "--jwks-url", url))


def test_without_a_url_all_that_the_settings_name(ward: Ward) -> None:
    """Key set, license server and refresh endpoint are looked at."""
    keys, status = ward.serve(good), ward.serve(reply(405), "/validate")
    refresh = ward.serve(reply(404), "/refresh")
    settings = {
        "issuer": ISSUER_NAME,
        "audience": AUDIENCE,
        "jwks_url": keys,
        "validation_url": status,
        "refresh_url": refresh,
        "license": license_token(),
        "license_state": ward.directory,
        "tls_ca_file": ward.ca_file,
    }
    for name, value in settings.items():
        ward.patch.setenv(f"LICET_{name.upper()}", str(value))
    said = licet("doctor", "--json")
    about = {one["about"]: one["code"] for one in said.document["findings"]}
    assert {keys, status, refresh, "license"} <= about.keys() | {status}
    assert about[refresh] == "endpoint_not_found"
    assert "license_signed" in codes(said)
    assert list(ward.directory.iterdir()) == [ward.directory / "authority.pem"]


def test_settings_that_cannot_work_leave_the_url(ward: Ward) -> None:
    """They are a fault with the remedy of the settings, and the URL is looked at all the same."""
    said = ward.visit(ward.serve(good), *APPLICATION, "--set", "leeway=1000")
    assert "leeway" in found(said, "settings_unusable")["detail"]
    assert "keys_ok" in codes(said)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "nothing to look at"),
        (("ftp://a.example",), "https"),
        (("https://user:CANARY@a.example",), "user information"),
        (("https://a.example/#x",), "fragment"),
        (("keys.json",), "URL"),
        (("http://127.0.0.1:1", "--set", "leewya=1"), "leeway"),
        (("http://127.0.0.1:1", "--token", "@/none/such"), "/none/such"),
    ],
    ids=str,
)
def test_arguments_that_cannot_be_used(arguments: tuple[str, ...], word: str) -> None:
    """They are status 2, without any look."""
    said = licet("doctor", *arguments)
    assert (said.status, said.out) == (2, "")
    assert word in said.err
    assert "CANARY" not in said.err
    assert "looking" not in said.err


@pytest.mark.parametrize("old", [0, 200])
def test_the_clock_behind_a_cache(old: int, ward: Ward) -> None:
    """A copy that says how old it is makes no clock wrong, whoever wrote its date."""
    date = formatdate(time.time() - old, usegmt=True)
    said = ward.visit(ward.serve(served(Date=date, Age="200")))
    assert "clock_ok" in codes(said)


def test_a_set_without_any_key_of_the_last_run(ward: Ward) -> None:
    """The snapshot file of the settings is compared with what is served, and left as it is."""
    path = ward.directory / "snapshot.json"
    keys = read_jwks({"keys": [ed25519("before")]}, ("EdDSA",)).keys.values()
    file = SnapshotFile(str(path), ISSUER_NAME, lambda word: None)
    file.write(keys, confirmed=now() - 60, lifetime=300, withdrawn=(), wall=now())
    before, url = path.read_bytes(), ward.serve(good)
    options = (*APPLICATION, "--jwks-url", url, "--set", f"jwks_snapshot={path}")
    said = ward.visit(url, *options, "--token", "-", stdin=license_token().encode())
    assert "snapshot" in found(said, "keys_disjoint")["detail"]
    assert "license_holds" in codes(said)
    assert path.read_bytes() == before


def test_several_issuers(ward: Ward) -> None:
    """Each has its key set looked at, and a license is held against that of its own."""
    own, other = ward.serve(good), ward.serve(good)
    issuers = {
        ISSUER_NAME: {"audience": AUDIENCE, "jwks_url": own},
        "https://other.example": {"audience": AUDIENCE, "jwks_url": other},
    }
    said = licet(
        "doctor",
        "--json",
        "--set",
        f"issuers={json.dumps(issuers)}",
        "--token",
        "-",
        stdin=license_token().encode(),
    )
    assert {own, other} <= {one["about"] for one in said.document["findings"]}
    assert codes(said) >= {"license_signed", "license_holds"}


@pytest.mark.parametrize("location", ["http://[", "/elsewhere", ""])
def test_redirects_to_anywhere(location: str, ward: Ward) -> None:
    """Whatever a server says of where to go, nobody goes there."""
    said = ward.visit(ward.serve(reply(301, Location=location)))
    assert "http_redirect" in codes(said)


def test_a_license_server_that_breaks_off(ward: Ward) -> None:
    """It is told of like any other answer that is none."""
    url = ward.serve(b"garbage\r\n", "/validate")
    said = ward.visit(url, *APPLICATION, "--set", f"validation_url={url}")
    assert "http_broken" in codes(said)


@pytest.mark.parametrize(
    ("status", "challenge", "code"),
    [
        (401, 'Bearer error="invalid_token"', "credentials_refused"),
        (403, 'Bearer error="insufficient_scope"', "credentials_ok"),
        (403, "Bearer", "credentials_unchecked"),
        (404, "Bearer", "credentials_unchecked"),
        (405, "Bearer", "credentials_ok"),
    ],
)
def test_what_a_server_says_to_our_key(status: int, challenge: str, code: str, ward: Ward) -> None:
    """That it takes no GET is told from not knowing the key, and from neither."""

    def answer(request: Request) -> bytes:
        ours = "authorization" in request.headers
        return reply(status if ours else 401, WWW_Authenticate=challenge)

    assert code in codes(asked(ward, ward.serve(answer, "/validate")))


@pytest.mark.parametrize("name", ["Date", "ETag", "Cache-Control", "Age", "Content-Type"])
@pytest.mark.parametrize(
    "value", [b"\xff\xfe", b'"\xc3\xa9"', b"9" * 5000, b"", b"\x7f", b'W/"\t"']
)
def test_header_fields_of_any_kind(name: str, value: bytes, ward: Ward) -> None:
    """Whatever a server writes into them is told of, and breaks nothing."""
    kept = dict.fromkeys(("Date", "ETag", "Cache_Control"))
    start = served(content_type="" if name == "Content-Type" else TYPE, **kept)
    changed = start.replace(b"\r\n", b"\r\n" + name.encode() + b": " + value + b"\r\n", 1)
    said = ward.visit(ward.serve(lambda request: changed))
    assert said.status in (0, 1)
    assert said.out.isascii()
