"""`licet verify`: what an application would say, told to whoever runs it, with a remedy."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.issuer import Issuer
from licet.possession import ProofKey
from tests.commands import Said, licet
from tests.core.license_server import LicenseServer
from tests.licenses import AUDIENCE, FORGER, ISSUER, ISSUER_NAME, OPTIONS, expired, license_token

REQUIRED = ("--issuer", ISSUER_NAME, "--audience", AUDIENCE)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("LICET_"):
            monkeypatch.delenv(name)


@pytest.fixture(name="jwks", scope="module")
def _jwks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_text(json.dumps(ISSUER.jwks()))
    return path


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[LicenseServer]:
    with LicenseServer() as server:
        yield server


def judged(token: str | bytes, jwks: Path, *options: object) -> Said:
    """Judge a token by the issuer's keys in a file."""
    credential = token.encode() if isinstance(token, str) else token
    return licet("verify", "-", *REQUIRED, "--jwks", jwks, *options, stdin=credential)


def refused(token: str | bytes, jwks: Path, *options: object) -> tuple[int, str, int, str]:
    """Return exit status, code, HTTP status and reason of a refusal."""
    said = judged(token, jwks, "--json", *options)
    document = said.document
    assert document["holds"] is ({1: False, 3: None}[said.status])
    assert document["detail"]
    assert document["remedy"]
    return said.status, document["code"], document["status"], document["reason"]


def test_a_license_that_holds(jwks: Path) -> None:
    """It is status 0, with what the license entitles to, for people and for programs."""
    token = license_token(customer="Example GmbH", domains=["example.com"])
    said = judged(token, jwks, "--host", "example.com")
    assert said.status == 0
    assert said.out.startswith("The license holds.\n")
    assert "Example GmbH" in said.out
    document = judged(token, jwks, "--host", "example.com", "--json").document
    assert document["holds"] is True
    assert document["status"] == "ACTIVE"
    assert document["features"] == ["analytics"]
    assert document["limits"] == {"seats": 10}
    assert document["only_for"] == {"domains": ["example.com"]}
    assert document["verified_by"] == "local"


@pytest.mark.parametrize(
    ("token", "code", "reason"),
    [
        (lambda: license_token(FORGER), "license_invalid", f"unknown_kid:{FORGER.kid}"),
        (lambda: license_token()[:-8] + "AAAAAAAA", "license_invalid", "bad_signature"),
        (lambda: license_token(aud="other"), "license_invalid", "bad_audience"),
        (lambda: license_token(iss="https://evil.example"), "license_invalid", "bad_issuer"),
        (lambda: license_token(features="a"), "license_invalid", "bad_claim:features"),
        (expired, "license_expired", "expired"),
        (lambda: license_token(nbf=time.time() + 900), "license_not_active", "not_yet_valid"),
        (lambda: "ABCD-EFGH-1234", "license_invalid", "not_a_jws"),
        (lambda: "x" * 5000, "license_invalid", "token_too_large"),
        (
            lambda: license_token(cnf={"jkt": ProofKey.generate().jkt}),
            "pop_required",
            "outside_a_request",
        ),
    ],
    ids="forged tampered audience issuer claim expired early opaque large bound".split(),
)
def test_a_license_that_does_not_hold(token: Any, code: str, reason: str, jwks: Path) -> None:
    """It is status 1, with the code and status that a caller gets, and the reason beside them."""
    assert refused(token(), jwks) == (1, code, 401, reason)
    said = judged(token(), jwks)
    assert said.out.startswith("The license does not hold.\n")
    assert "remedy:" in said.out


@pytest.mark.parametrize(
    ("claim", "here", "elsewhere", "code"),
    [
        ({"domains": ["a.example"]}, ["--host", "a.example"], ["--host", "b.example"], "domain"),
        ({"ip_ranges": ["192.0.2.0/24"]}, ["--ip", "192.0.2.9"], ["--ip", "192.0.3.9"], "ip"),
        ({"regions": ["DE"]}, ["--region", "DE-BE"], ["--region", "FR"], "region"),
        (
            {"time_windows": [{"from": "07:00", "to": "19:00", "tz": "UTC"}]},
            ["--at", "2030-01-01T08:00:00Z"],
            ["--at", "2030-01-01T20:00:00Z"],
            "time_window",
        ),
    ],
    ids=["host", "ip", "region", "at"],
)
def test_circumstances(
    claim: dict[str, Any], here: list[str], elsewhere: list[str], code: str, jwks: Path
) -> None:
    """A narrow license holds where it is told to be, and not elsewhere."""
    times = {"iat": 1_890_000_000, "exp": 1_900_000_000} if code == "time_window" else {}
    token = license_token(**claim, **times)
    assert judged(token, jwks, *here).status == 0
    status, refusal, http, _ = refused(token, jwks, *elsewhere)
    assert (status, refusal, http) == (1, f"license_{code}", 403)


def test_what_is_not_told_is_unknown(jwks: Path) -> None:
    """A license for one host does not hold where none is told; the remedy names the option."""
    said = judged(license_token(domains=["example.com"]), jwks)
    assert said.status == 1
    assert "--host" in said.out


def test_the_origin(jwks: Path) -> None:
    """`--set` gives any other setting: here what `--origin` is held against."""
    token = license_token(domains=["app.example"])
    options = ("--set", "domain_from=origin", "--origin", "https://app.example")
    assert judged(token, jwks, *options).status == 0


def test_another_moment(jwks: Path) -> None:
    """`--at` judges an old license as of then, in either spelling."""
    now = int(time.time())
    token = license_token(iat=now - 200_000, exp=now - 100_000)
    then = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now - 150_000))
    assert judged(token, jwks).status == 1
    assert judged(token, jwks, "--at", now - 150_000).status == 0
    assert judged(token, jwks, "--at", then).status == 0


# -- settings -----------------------------------------------------------------------------------


def test_by_the_environment(monkeypatch: pytest.MonkeyPatch, jwks: Path) -> None:
    """Without an option for settings those of the environment count."""
    environ = {"ISSUER": ISSUER_NAME, "AUDIENCE": AUDIENCE, "JWKS": str(jwks), "JWKS_URL": ""}
    for name, value in environ.items():
        monkeypatch.setenv(f"LICET_{name}", value)
    assert licet("verify", stdin=license_token().encode()).status == 0
    assert licet("verify", stdin=license_token(aud="other").encode()).status == 1


@pytest.mark.parametrize("mode", ["report", "off"])
def test_it_judges_also_where_nothing_is_enforced(mode: str, jwks: Path) -> None:
    """Whatever the settings let pass, the command says whether the license holds."""
    assert judged(license_token(), jwks, "--set", f"mode={mode}").status == 0
    assert refused("rubbish", jwks, "--set", f"mode={mode}")[:2] == (1, "license_invalid")


def test_options_stand_alone(monkeypatch: pytest.MonkeyPatch, jwks: Path) -> None:
    """With an option for settings nothing of the environment counts."""
    monkeypatch.setenv("LICET_AUDIENCE", "other")
    monkeypatch.setenv("LICET_LEEWAY", "nonsense")
    assert judged(license_token(), jwks).status == 0
    said = licet("verify", "x", "--issuer", ISSUER_NAME)
    assert said.status == 2
    assert "audience" in said.err


def test_settings_in_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`--settings` takes a dotted path, found from the directory where the command is typed."""
    code = f"import licet\nhere = licet.Settings(**{OPTIONS!r})\n"
    (tmp_path / "vendor_licensing.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    # As for a console script, which is elsewhere.
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    token = license_token().encode()
    assert licet("verify", "--settings", "vendor_licensing.here", stdin=token).status == 0
    said = licet("verify", "--settings", "vendor_licensing.there", stdin=token)
    assert said.status == 2
    assert "dotted path" in said.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "issuer"),
        ([*REQUIRED, "--jwks", "/none/such"], "jwks"),
        ([*REQUIRED, "--jwks-url", "ftp://x"], "jwks_url"),
        ([*REQUIRED, "--set", "leewya=1"], "leeway"),
        ([*REQUIRED, "--set", "leeway"], "leeway"),
        ([*REQUIRED, "--set", "leeway=x"], "leeway"),
        ([*REQUIRED, "--set", "issuer=x"], "issuer"),
        ([*REQUIRED, "--settings", "a.b"], "stands alone"),
        ([*REQUIRED, "--set", "license_state=/none/such"], "license_state (LICET_LICENSE_STATE)"),
        ([*REQUIRED, "--host", "a b"], "host"),
        ([*REQUIRED, "--ip", "300.1.1.1"], "ip"),
        ([*REQUIRED, "--region", "Germany"], "region"),
        ([*REQUIRED, "--at", "soon"], "2027"),
    ],
    ids=ascii,
)
def test_what_cannot_work(options: list[str], said: str) -> None:
    """Settings or circumstances that cannot be used are status 2, and named."""
    answer = licet("verify", "x.y.z", *options)
    assert (answer.status, answer.out) == (2, "")
    assert said in answer.err


def test_settings_that_cannot_work_in_json() -> None:
    """With `--json` they are an object as well, with the code that the frameworks' commands use."""
    document = licet("verify", "x.y.z", "--json").document
    assert document["code"] == "config_error"
    assert document["remedy"]


# -- over the network ---------------------------------------------------------------------------


def test_keys_from_the_issuer(server: LicenseServer) -> None:
    """`--jwks-url` fetches the key set."""
    options = (*REQUIRED, "--jwks-url", server.options()["jwks_url"])
    assert licet("verify", *options, stdin=license_token().encode()).status == 0
    forged = licet("verify", "--json", *options, stdin=license_token(FORGER).encode())
    assert (forged.status, forged.document["code"]) == (1, "license_invalid")


def test_a_license_key(server: LicenseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An opaque key is judged by its license server, which the environment names."""
    for name, value in server.options().items():
        monkeypatch.setenv(f"LICET_{name.upper()}", value or "")
    key = server.add("lic_A1")
    assert licet("verify", "--json", stdin=key.encode()).document["verified_by"] == "online"
    revoked = server.add("lic_B2")
    server.revoke(revoked)
    said = licet("verify", "--json", stdin=revoked.encode())
    assert (said.status, said.document["code"]) == (1, "license_revoked")


def test_undecided() -> None:
    """Where the keys cannot be had it is status 3: neither yes nor no, and why is said."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/jwks.json"
    said = licet("verify", "--jwks-url", address, *REQUIRED, stdin=license_token().encode())
    assert said.status == 3
    assert "cannot be told" in said.out
    assert "keys_unavailable:connect" in said.out
    assert "503" in said.out
    assert "license.denied" not in said.err


# -- secrets and garbage ------------------------------------------------------------------------


def test_the_token_is_not_shown(jwks: Path) -> None:
    """Neither the license nor its signature is in any output, whatever comes of it."""
    tokens = (license_token(), license_token(FORGER), license_token(features="x"), expired())
    for token in tokens:
        for options in ((), ("--json",)):
            said = judged(token, jwks, *options)
            for part in token.split("."):
                assert part not in said.out + said.err


def test_a_license_does_not_steer_the_terminal(jwks: Path) -> None:
    """What a license says of itself comes out as escapes where it is not printable."""
    said = judged(license_token(customer="\x1b[2J\nevil", plan="\u202e"), jwks)
    assert said.status == 0
    assert said.out.replace("\n", "").isprintable()
    assert "\nevil" not in said.out


@given(credential=st.binary(min_size=1, max_size=200).filter(bytes.strip))
def test_any_bytes(jwks: Path, credential: bytes) -> None:
    """Garbage is refused, as an application refuses it, and never breaks the command."""
    assert refused(credential, jwks)[:3] == (1, "license_invalid", 401)


def test_a_key_set_with_private_keys_verifies_nothing(tmp_path: Path) -> None:
    """The file of the private keys in the place of the public set is a setting that cannot work."""
    issuer = Issuer.generate(ISSUER_NAME)
    issuer.save(tmp_path / "issuer.json")
    said = judged(license_token(issuer), tmp_path / "issuer.json")
    assert said.status > 0
    private = json.loads((tmp_path / "issuer.json").read_text())["keys"][0]["d"]
    assert private not in said.out + said.err
