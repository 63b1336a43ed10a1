"""`licet issue`: what is typed is what is signed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from licet import Settings, verify
from licet.core.token import base64url, strictjson
from licet.issuer import Issuer
from licet.possession import ProofKey
from tests.commands import Said, licet
from tests.licenses import AUDIENCE, ISSUER_NAME

YEAR = 365 * 86_400


@pytest.fixture(name="keyfile", scope="module")
def _keyfile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "issuer.json"
    Issuer.generate(ISSUER_NAME).save(path)
    return path


def issue(keyfile: Path, *options: object) -> Said:
    """Type the command with the one option that it must have."""
    return licet("issue", keyfile, "--audience", AUDIENCE, *options)


def claims(said: Said) -> dict[str, Any]:
    """Return the claims of the license that a command printed."""
    assert (said.status, said.err) == (0, "")
    return strictjson.loads(base64url.decode(said.out.split(".")[1].encode()))


def test_the_token_alone_is_printed(keyfile: Path) -> None:
    """Standard output is one line, the license, which an application accepts."""
    said = issue(keyfile, "--feature", "analytics")
    settings = Settings(
        issuer=ISSUER_NAME, audience=AUDIENCE, jwks=Issuer.load(keyfile).jwks(), jwks_url=None
    )
    assert verify(said.out.removesuffix("\n"), settings).features == {"analytics"}


def test_json(keyfile: Path) -> None:
    """`--json` prints the license beside its id, its end and the key that signed it."""
    said = issue(keyfile, "--subject", "lic_1", "--expires-in", "1h", "--json")
    document = said.document
    assert document["id"] == "lic_1"
    assert document["kid"] == Issuer.load(keyfile).kid
    assert document["bytes"] == len(document["token"])
    payload = claims(Said(0, document["token"], ""))
    assert document["expires_at"] == time.strftime(
        "%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(payload["exp"])
    )


def test_a_value_that_looks_like_an_option(keyfile: Path) -> None:
    """What has the form of the id of a key is signed as it is typed, whichever option it is for."""
    digest = "-" + "k" * 42
    said = claims(issue(keyfile, "--subject", digest, "--bind-jkt", digest, "--feature", digest))
    assert (said["sub"], said["cnf"], said["features"]) == (digest, {"jkt": digest}, [digest])


def test_every_option(keyfile: Path) -> None:
    """Each option is the claim of the protocol that it says it is."""
    key = ProofKey.generate()
    digest = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    payload = claims(
        issue(
            keyfile,
            *("--audience", "acme-forms"),
            *("--subject", "lic_1", "--customer", "Example GmbH", "--plan", "professional"),
            *("--feature", "a", "--feature", "b, c"),
            *("--limit", "seats=10,apiCalls=50000/month", "--limit", "exports=unlimited"),
            *("--domain", "example.com,www.example.com", "--ip-range", "203.0.113.0/24"),
            *("--region", "DE,US-CA", "--role", "admin", "--role", "a, b"),
            *("--scope", "reports:read", "--scope", "reports:write"),
            *("--time-window", "mon-fri 07:00-19:00 Europe/Berlin"),
            *("--time-window", "08:00-09:00 UTC"),
            *("--bind-jkt", key.jkt, "--bind-x5t", digest),
            *("--status-list", f"{ISSUER_NAME}/status/1#412"),
            *("--expires-at", "2027-12-31T23:59:59Z", "--grace", "7d", "--trial"),
            *("--not-before", "2027-01-01T01:00:00+01:00"),
            *("--claim", 'tenant="acme"', "--claim", 'must_understand=["tenant"]'),
        )
    )
    assert len(payload.pop("jti")) == 32
    assert abs(payload.pop("iat") - time.time()) < 60
    assert payload == {
        "iss": ISSUER_NAME,
        "aud": [AUDIENCE, "acme-forms"],
        "sub": "lic_1",
        "exp": 1_830_297_599,
        "nbf": 1_798_761_600,
        "customer": "Example GmbH",
        "plan": "professional",
        "features": ["a", "b", "c"],
        "limits": {
            "seats": 10,
            "apiCalls": {"max": 50_000, "per": "month"},
            "exports": "unlimited",
        },
        "domains": ["example.com", "www.example.com"],
        "ip_ranges": ["203.0.113.0/24"],
        "regions": ["DE", "US-CA"],
        "time_windows": [
            {"days": "mon-fri", "from": "07:00", "to": "19:00", "tz": "Europe/Berlin"},
            {"from": "08:00", "to": "09:00", "tz": "UTC"},
        ],
        "cnf": {"jkt": key.jkt, "x5t#S256": digest},
        "status": {"status_list": {"idx": 412, "uri": f"{ISSUER_NAME}/status/1"}},
        "must_understand": ["tenant"],
        "tenant": "acme",
        "roles": ["admin", "a, b"],
        "scope": "reports:read reports:write",
        "trial": True,
        "grace": 604_800,
    }


def test_a_digest_may_begin_with_a_dash(keyfile: Path) -> None:
    """One in sixty-four does, and is no option."""
    jkt, x5t = (
        "-PrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "--rK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    )
    payload = claims(issue(keyfile, "--bind-jkt", jkt, "--bind-x5t", x5t))
    assert payload["cnf"] == {"jkt": jkt, "x5t#S256": x5t}


def test_what_is_not_given_is_not_granted(keyfile: Path) -> None:
    """Without options it is a license for a year with an id of its own, and nothing in it."""
    payloads = [claims(issue(keyfile)) for _ in range(2)]
    assert payloads[0].keys() == {"iss", "aud", "sub", "jti", "iat", "exp"}
    assert payloads[0]["exp"] - payloads[0]["iat"] == YEAR
    assert payloads[0]["sub"].startswith("lic_")
    assert payloads[0]["sub"] != payloads[1]["sub"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("365d", YEAR), ("12h", 43_200), ("30m", 1800), ("90s", 90), ("5", 5)]
)
def test_durations(keyfile: Path, text: str, seconds: int) -> None:
    """A number has one of four units, or is seconds."""
    payload = claims(issue(keyfile, "--expires-in", text))
    assert payload["exp"] - payload["iat"] == seconds


@pytest.mark.parametrize(
    "options",
    [
        ["--expires-in", "1y"],
        ["--expires-in", "-5"],
        ["--expires-in", "0"],
        ["--expires-at", "2020-01-01T00:00:00Z"],
        ["--expires-at", "2027-01-01T00:00:00"],
        ["--expires-in", "5d", "--expires-at", "2030-01-01T00:00:00Z"],
        ["--not-before", "soon"],
        ["--not-before", "9" * 12],
        ["--grace", "91d"],
        ["--feature", "two words"],
        ["--limit", "seats"],
        ["--limit", "seats=-1"],
        ["--limit", "seats=1.5"],
        ["--limit", "seats=10/year"],
        ["--limit", "seats=10,seats=11"],
        ["--limit", "seats=9999999999999999"],
        ["--domain", "https://example.com"],
        ["--ip-range", "203.0.113.1/24"],
        ["--region", "Germany"],
        ["--time-window", "always"],
        ["--time-window", "99:00-19:00 UTC"],
        ["--time-window", "07:00-19:00 Nowhere/Atall"],
        ["--bind-jkt", "x"],
        ["--status-list", f"{ISSUER_NAME}/status/1"],
        ["--status-list", "status#1"],
        ["--subject", ""],
        ["--claim", "tenant"],
        ["--claim", "tenant=acme"],
        ["--claim", "tenant=1", "--claim", "tenant=2"],
        ["--claim", "features=[]"],
        ["--claim", "exp=5"],
        ["--claim", "self=1"],
        ["--claim", "level=NaN"],
        ["--claim", 'domain="a.example"', "--domain", "b.example"],
        ["--claim", 'must_understand="tenant"'],
        ["--claim", 'must_understand=["plan"]', "--plan", "x"],
        ["--customer", "\udcff"],
    ],
    ids=ascii,
)
def test_what_no_gate_would_accept_is_not_signed(keyfile: Path, options: list[str]) -> None:
    """It is status 2 with a sentence about it, and nothing on standard output."""
    said = issue(keyfile, *options)
    assert (said.status, said.out) == (2, "")
    assert "licet" in said.err
    assert "Traceback" not in said.err


def test_a_large_license_is_warned_about(keyfile: Path) -> None:
    """Above 4 KiB the license is printed all the same, and standard error says what that means."""
    said = issue(keyfile, "--feature", ",".join(f"feature-number-{n}" for n in range(250)))
    assert said.status == 0
    assert len(said.out) > 4096
    assert "max_token_size" in said.err


def test_without_a_key_file(tmp_path: Path) -> None:
    """It is status 2, and the remedy is the command that makes one."""
    said = issue(tmp_path / "issuer.json")
    assert said.status == 2
    assert f"licet keygen {tmp_path / 'issuer.json'}" in said.err


def test_a_failure_in_json(keyfile: Path) -> None:
    """With `--json` what is wrong and its remedy are an object as well."""
    said = issue(keyfile, "--region", "Germany", "--json")
    assert said.status == 2
    assert "ISO 3166" in said.document["detail"]
    assert "--help" in said.document["remedy"]
