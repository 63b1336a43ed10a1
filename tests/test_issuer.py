"""The vendor's side: keys, their public set, and the licenses signed with them."""

from __future__ import annotations

import base64
import copy
import json
import os
import pickle
import random
import stat
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest

from licet.core.clock import Clock
from licet.core.revocation import statuslist
from licet.issuer import MOST_KEYS, Issuer, KeyFileError, LicenseSizeWarning
from licet.issuer.signing import SigningKey

NAME = "https://licenses.acme.example"
NOW = 1_700_000_000.75
CLOCK = Clock(wall=lambda: NOW)
ALGORITHMS = "EdDSA Ed25519 ES256 ES384 ES512 RS256 RS384 RS512 PS256 PS384 PS512".split()
OFFICE = {"days": "mon-fri", "from": "07:00", "to": "19:00", "tz": "Europe/Berlin"}
STATUS = f"{NAME}/status/1"
#: A SHA-256, base64url.
DIGEST = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
posix = pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")


@pytest.fixture
def issuer() -> Issuer:
    return Issuer.generate(NAME, clock=CLOCK)


def parts(token: str) -> tuple[dict[str, object], dict[str, object]]:
    """Return header and payload, unverified."""
    header, payload, _ = token.split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, payload))


def decode(token: str, jwks: dict[str, object]) -> dict[str, object]:
    """Verify with PyJWT, which knows Ed25519 as EdDSA only."""
    header = jwt.get_unverified_header(token)
    (jwk,) = (key for key in jwks["keys"] if key["kid"] == header["kid"])
    algorithm = "EdDSA" if jwk["alg"] == "Ed25519" else jwk["alg"]
    key = jwt.PyJWK(jwk, algorithm)
    signing_input, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    if not key.Algorithm.verify(signing_input.encode(), key.key, raw):
        raise jwt.InvalidSignatureError
    return parts(token)[1]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_signs_what_its_public_key_verifies(algorithm: str) -> None:
    """The header names the algorithm as given; the published key verifies and is public only."""
    issuer = Issuer.generate(NAME, algorithm=algorithm)
    token = issuer.issue(audience="acme-reports", subject="lic_1")
    (jwk,) = issuer.jwks()["keys"]
    assert parts(token)[0] == {"typ": "license+jwt", "alg": algorithm, "kid": issuer.kid}
    assert (jwk["alg"], jwk["kid"], jwk["use"]) == (algorithm, issuer.kid, "sig")
    assert PRIVATE.isdisjoint(jwk)
    assert decode(token, issuer.jwks())["sub"] == "lic_1"


def test_pyjwt_accepts_what_is_issued() -> None:
    """PyJWT's own `decode`, with the published set, accepts a license."""
    issuer = Issuer.generate(NAME)
    token = issuer.issue(audience="acme-reports", subject="lic_1", expires_in=60)
    key = jwt.PyJWKSet.from_dict(issuer.jwks())[issuer.kid]
    claims = jwt.decode(token, key, audience="acme-reports", issuer=NAME)
    assert 0 <= time.time() - claims["iat"] < 60


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256K", "ed25519", ""])
def test_other_algorithms_make_no_issuer(algorithm: str) -> None:
    """What gates cannot be configured to accept cannot sign, at first or by rotation."""
    with pytest.raises(ValueError, match="cannot sign licenses"):
        Issuer.generate(NAME, algorithm=algorithm)
    with pytest.raises(ValueError, match="cannot sign licenses"):
        Issuer.generate(NAME).rotate(algorithm=algorithm)


def test_an_issuer_has_a_name() -> None:
    """An empty name makes no issuer."""
    with pytest.raises(ValueError, match="name"):
        Issuer.generate("")


def test_the_key_id_is_the_thumbprint() -> None:
    """`kid` is the RFC 7638 thumbprint; RFC 8037, appendix A.3, gives the expected one."""
    jwk = {
        "kty": "OKP",
        "crv": "Ed25519",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "alg": "EdDSA",
    }
    assert SigningKey.from_jwk(jwk).kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_license_says_what_it_was_told(issuer: Issuer) -> None:
    """Every argument becomes its claim, in the form of the profile."""
    token = issuer.issue(
        audience=("acme-reports", "acme-mail"),
        subject="lic_1",
        plan="professional",
        features=("analytics",),
        limits={"apiCalls": {"max": 5, "per": "day"}, "seats": 10, "exports": "unlimited"},
        domains=["*.example.com"],
        ip_ranges=("203.0.113.0/24", "2001:db8::/32"),
        regions=["DE", "US-CA"],
        time_windows=[OFFICE],
        cnf={"jkt": DIGEST, "x5t#S256": DIGEST},
        must_understand=["domains", "tenant"],
        expires_in=timedelta(days=1),
        customer="Müller GmbH",
        scope=["reports:read", "reports:write"],
        roles=["admin"],
        trial=True,
        grace=timedelta(hours=1),
        jti="one",
        not_before=datetime(2023, 11, 15, tzinfo=UTC),
        tenant="example",
    )
    assert parts(token)[1] == {
        "iss": NAME,
        "aud": ["acme-reports", "acme-mail"],
        "sub": "lic_1",
        "jti": "one",
        "iat": 1_700_000_000,
        "exp": 1_700_086_400,
        "nbf": 1_700_006_400.0,
        "plan": "professional",
        "features": ["analytics"],
        "limits": {"apiCalls": {"max": 5, "per": "day"}, "seats": 10, "exports": "unlimited"},
        "domains": ["*.example.com"],
        "ip_ranges": ["203.0.113.0/24", "2001:db8::/32"],
        "regions": ["DE", "US-CA"],
        "time_windows": [OFFICE],
        "cnf": {"jkt": DIGEST, "x5t#S256": DIGEST},
        "must_understand": ["domains", "tenant"],
        "customer": "Müller GmbH",
        "scope": "reports:read reports:write",
        "roles": ["admin"],
        "trial": True,
        "grace": 3600,
        "tenant": "example",
    }


def test_what_is_not_given_is_not_claimed(issuer: Issuer) -> None:
    """A license of two arguments lasts a year, has an id of its own, and claims nothing else."""
    first, second = (parts(issuer.issue(audience="a", subject="s"))[1] for _ in range(2))
    assert first.keys() == {"iss", "aud", "sub", "jti", "iat", "exp"}
    assert first["exp"] - first["iat"] == 365 * 86_400
    assert first["jti"] != second["jti"]


def test_a_license_may_be_dated_back(issuer: Issuer) -> None:
    """`issued_at` moves beginning and end."""
    payload = parts(issuer.issue(audience="a", subject="s", issued_at=1000, expires_in=1.9))[1]
    assert (payload["iat"], payload["exp"]) == (1000, 1001)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"subject": ""}, "subject"),
        ({"subject": "a\nb"}, "subject"),
        ({"subject": "s" * 257}, "subject"),
        ({"audience": []}, "audience"),
        ({"audience": [1]}, "audience"),
        ({"features": "analytics"}, "list of texts"),
        ({"features": ["a b"]}, "features"),
        ({"features": ["x" * 129]}, "features"),
        ({"features": [1]}, "features"),
        ({"features": [f"f{n}" for n in range(1001)]}, "features"),
        ({"limits": {"seats": -1}}, "limit"),
        ({"limits": {"seats": True}}, "limit"),
        ({"limits": {"seats": 1.5}}, "limit"),
        ({"limits": {"seats": 2**53 + 1}}, "2\\^53"),
        ({"limits": {"seats": {"max": 5, "per": "year"}}}, "limit"),
        ({"limits": {"a b": 1}}, "limit"),
        ({"roles": "admin"}, "list of texts"),
        ({"roles": ["a"], "role": "b"}, "role"),
        ({"limits": 5}, "mapping"),
        ({"domains": "example.com"}, "list of texts"),
        ({"domains": []}, "domains"),
        ({"domains": ["https://example.com"]}, "without scheme"),
        ({"domains": ["example.com", "*.co.uk"]}, "public suffix"),
        ({"domain": "*"}, "domains"),
        ({"domains": ["a.example"], "domain": "b.example"}, "domains"),
        ({"ip_ranges": "203.0.113.0/24"}, "list of texts"),
        ({"ip_ranges": ["203.0.113.9/24"]}, "host bits"),
        ({"ip_ranges": ["0.0.0.0/0"]}, "all addresses"),
        ({"regions": "DE"}, "list of texts"),
        ({"regions": ["Germany"]}, "ISO 3166"),
        ({"time_windows": OFFICE}, "list of mappings"),
        ({"time_windows": ["mon-fri"]}, "list of mappings"),
        ({"time_windows": [{**OFFICE, "tz": "Europe/Nowhere"}]}, "IANA"),
        ({"time_windows": [{**OFFICE, "to": "07:00"}]}, "time_windows"),
        ({"cnf": DIGEST}, "mapping"),
        ({"cnf": {"jkt": "short"}}, "SHA-256"),
        ({"cnf": {"jkt": DIGEST, "jwk": {}}}, "jkt"),
        ({"must_understand": "tenant", "tenant": "t"}, "list of texts"),
        ({"must_understand": ["tenant"]}, "must_understand"),
        ({"must_understand": ["features"], "features": ["a"]}, "must_understand"),
        ({"must_understand": ["tenant", "tenants"], "tenant": "t"}, "must_understand"),
        ({"scope": 5}, "scope"),
        ({"scope": [1]}, "scope"),
        ({"features": 5}, "features"),
        ({"plan": 5}, "plan"),
        ({"customer": 5}, "customer"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": -5}, "expires_in"),
        ({"expires_in": float("nan")}, "expires_in"),
        ({"expires_in": "60"}, "expires_in"),
        ({"expires_in": True}, "expires_in"),
        ({"expires_in": 10**12}, "expires_in"),
        ({"issued_at": -1}, "issued_at"),
        ({"issued_at": float("inf")}, "issued_at"),
        ({"issued_at": datetime(2024, 1, 1)}, "time zone"),
        ({"not_before": NOW + 10**9}, "not_before"),
        ({"grace": -1}, "grace"),
        ({"grace": 91 * 86_400}, "grace"),
        ({"jti": ""}, "jti"),
        ({"tenant": float("nan")}, "JSON"),
        ({"tenant": object()}, "JSON"),
        ({"tenant": "\ud800"}, "JSON"),
        ({"tenant": ["x" * 70_000]}, "65536"),
        ({"exp": 1}, "expires_in"),
        ({"iss": "me"}, "issuer"),
    ],
)
def test_what_no_gate_would_accept_is_not_issued(
    issuer: Issuer, wrong: dict[str, object], sentence: str
) -> None:
    """A license outside the profile is refused with a sentence that names the claim at fault."""
    arguments = {"audience": "acme-reports", "subject": "lic_1", **wrong}
    with pytest.raises(ValueError, match=sentence):
        issuer.issue(**arguments)


def test_a_license_has_a_subject(issuer: Issuer) -> None:
    """There is no license without an id."""
    with pytest.raises(TypeError, match="subject"):
        issuer.issue(audience="acme-reports")


def test_claims_are_issued_for_the_gates_that_know_them(issuer: Issuer) -> None:
    """What only the gate of an application can judge passes as it is, also where insisted on."""
    status = {"status_list": {"idx": 1, "uri": "https://licenses.acme.example/status"}}
    token = issuer.issue(
        audience="a",
        subject="s",
        status=status,
        tenant={"any": ["thing"]},
        must_understand=["tenant", "status"],
    )
    payload = parts(token)[1]
    assert (payload["tenant"], payload["status"]) == ({"any": ["thing"]}, status)
    assert payload["must_understand"] == ["tenant", "status"]


@pytest.mark.parametrize(
    "status",
    [
        "revoked",
        {"status_list": {"idx": -1, "uri": STATUS}},
        {"status_list": {"idx": 1}},
        {"status_list": {"idx": 1, "uri": "status/1"}},
        {"status_list": {"idx": 1, "uri": STATUS}, "other": {}},
    ],
)
def test_a_malformed_status_is_not_issued(issuer: Issuer, status: object) -> None:
    """No gate would take the license, and the sentence says what the claim has to be."""
    with pytest.raises(ValueError, match="status is"):
        issuer.issue(audience="a", subject="s", status=status)


def test_a_status_list_says_what_it_was_told(issuer: Issuer) -> None:
    """Its header, its claims, and each license in its place; who is not named is valid."""
    token = issuer.status_list(STATUS, {1: "revoked", 5: "suspended", 6: 3, 7: "valid", 8: 1})
    header, payload = parts(token)
    assert header == {"typ": "statuslist+jwt", "alg": "EdDSA", "kid": issuer.kid}
    listed = payload.pop("status_list")
    assert payload == {
        "iss": NAME,
        "sub": STATUS,
        "iat": 1_700_000_000,
        "exp": 1_700_086_400,
        "ttl": 300,
    }
    packed = zlib.decompress(base64.urlsafe_b64decode(listed["lst"] + "=="))
    assert listed["bits"] == 2
    assert packed.rstrip(b"\0") == bytes([0b0000_0100, 0b0011_1000, 0b0000_0001])
    assert len(packed) == 2**20 // 4
    assert decode(token, issuer.jwks())["sub"] == STATUS


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, 2**17),
        ({"bits": 8}, 2**20),
        ({"size": 8}, 1),
        ({"size": 9}, 2),
        ({"statuses": {2**20 - 1: 1}}, 2**17),
        ({"statuses": {2**20: 1}}, 2**18),
        ({"statuses": {2**21 + 5: 1}}, 2**19),
    ],
)
def test_the_size_of_a_list_tells_nothing_of_its_licenses(
    issuer: Issuer, options: dict[str, object], size: int
) -> None:
    """A million and a bit, or the next power of two; or what the vendor says."""
    listed = issuer.status_list(STATUS, **{"statuses": {}, "bits": 1, **options})
    lst = parts(listed)[1]["status_list"]["lst"]
    assert len(zlib.decompress(base64.urlsafe_b64decode(lst + "=="))) == size


def test_the_newest_key_signs_a_list(issuer: Issuer) -> None:
    """At the time given, for as long as given."""
    issuer.rotate(algorithm="ES256")
    given = {"ttl": timedelta(seconds=1), "expires_in": 60, "issued_at": NOW - 100}
    token = issuer.status_list(STATUS, {}, **given)
    payload = parts(token)[1]
    assert (payload["iat"], payload["exp"], payload["ttl"]) == (1_699_999_900, 1_699_999_960, 1)
    assert decode(token, issuer.jwks())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"uri": "status/1"}, "uri"),
        ({"uri": STATUS + "#1"}, "uri"),
        ({"statuses": ["revoked"]}, "mapping"),
        ({"statuses": {"1": "revoked"}}, "mapping"),
        ({"statuses": {True: "revoked"}}, "mapping"),
        ({"statuses": {-1: "revoked"}}, "below 0"),
        ({"statuses": {8: "revoked"}, "size": 8}, "above every index"),
        ({"size": 0}, "size"),
        ({"size": 8.0}, "size"),
        ({"size": 2**25 + 1}, "8388608 bytes"),
        ({"statuses": {2**40: 1}}, "8388608 bytes"),
        *[({"statuses": {1: status}}, "valid, revoked") for status in ("no", 4, -1, True, None)],
        ({"statuses": {1: "suspended"}, "bits": 1}, "below 2"),
        *[({"bits": bits}, "bits") for bits in (0, 3, 16, "2", True)],
        ({"ttl": 0}, "ttl"),
        ({"ttl": float("nan")}, "ttl"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": 10**12}, "expires_in"),
        ({"issued_at": -1}, "issued_at"),
        ({"issued_at": datetime(2024, 1, 1)}, "time zone"),
    ],
)
def test_a_list_that_no_gate_would_accept_is_not_issued(
    issuer: Issuer, wrong: dict[str, object], sentence: str
) -> None:
    """The sentence names the argument at fault."""
    with pytest.raises(ValueError, match=sentence):
        issuer.status_list(**{"uri": STATUS, "statuses": {}, **wrong})


def test_a_list_that_gates_would_not_read_is_not_issued(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that cannot be compressed is too long before it is too large."""
    # Of what is read a hundredth, or it takes seconds.
    monkeypatch.setattr(statuslist, "MAX_TOKEN", statuslist.MAX_TOKEN // 100)
    noise = random.Random(1).randbytes(24_000)
    with pytest.raises(ValueError, match="divide the licenses"):
        issuer.status_list(STATUS, dict(enumerate(noise)), bits=8)


def test_a_large_license_is_warned_about(issuer: Issuer) -> None:
    """Above 4 KiB a warning tells the size; below there is none."""
    with pytest.warns(LicenseSizeWarning, match="max_token_size") as seen:
        issuer.issue(audience="a", subject="s", note="x" * 4096)
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        issuer.issue(audience="a", subject="s", note="x" * 1024)


def test_sign_signs_anything(issuer: Issuer) -> None:
    """The low level judges nothing; header members are replaced, added, and left out by None."""
    token = issuer.sign({"any": ["thing"]}, header={"typ": "other+jwt", "kid": None, "x": 1})
    header, payload = parts(token)
    assert header == {"typ": "other+jwt", "alg": "EdDSA", "x": 1}
    assert payload == {"any": ["thing"]}


@pytest.mark.parametrize("algorithm", ["none", "HS256", None])
def test_sign_keeps_the_algorithm_of_its_key(issuer: Issuer, algorithm: str | None) -> None:
    """No header says another algorithm than the one that signs."""
    with pytest.raises(ValueError, match="EdDSA and no other"):
        issuer.sign({}, header={"alg": algorithm})


def test_rotation_keeps_what_was_signed(issuer: Issuer) -> None:
    """After a rotation the new key signs, and old licenses verify until their key is retired."""
    old_kid, old = issuer.kid, issuer.issue(audience="a", subject="old")
    new_kid = issuer.rotate(algorithm="ES256")
    new = issuer.issue(audience="a", subject="new")
    assert issuer.kids == (old_kid, new_kid)
    assert parts(new)[0]["kid"] == issuer.kid == new_kid
    assert parts(new)[0]["alg"] == "ES256"
    assert [decode(token, issuer.jwks())["sub"] for token in (old, new)] == ["old", "new"]
    issuer.retire(old_kid)
    assert issuer.kids == (new_kid,)
    assert [key["kid"] for key in issuer.jwks()["keys"]] == [new_kid]


def test_rotation_keeps_the_algorithm() -> None:
    """Without one named the new key has the algorithm of the old."""
    issuer = Issuer.generate(NAME, algorithm="ES384")
    issuer.rotate()
    assert {key["alg"] for key in issuer.jwks()["keys"]} == {"ES384"}


def test_the_signing_key_is_never_retired(issuer: Issuer) -> None:
    """Retiring the signing key, or one that is not there, changes nothing and says so."""
    before = issuer.jwks()
    with pytest.raises(ValueError, match="rotate"):
        issuer.retire(issuer.kid)
    with pytest.raises(KeyError, match="no key"):
        issuer.retire("unknown")
    assert issuer.jwks() == before


def test_no_more_keys_than_gates_read(issuer: Issuer) -> None:
    """A set that gates would refuse whole is never published."""
    while len(issuer.kids) < MOST_KEYS:
        issuer.rotate()
    with pytest.raises(ValueError, match="retire"):
        issuer.rotate()
    assert len(issuer.jwks()["keys"]) == MOST_KEYS


def test_rotation_from_many_threads_loses_no_key(issuer: Issuer) -> None:
    """Each rotation's key is published, and every license meanwhile signed with a published one."""
    with ThreadPoolExecutor(8) as pool:
        kids = pool.map(lambda _: issuer.rotate(), range(40))
        tokens = pool.map(lambda _: issuer.issue(audience="a", subject="s"), range(100))
        assert set(kids) < set(issuer.kids)
    for token in tokens:
        assert decode(token, issuer.jwks())["sub"] == "s"


@pytest.mark.parametrize("algorithm", ["EdDSA", "Ed25519", "ES512", "RS256"])
def test_a_saved_issuer_goes_on(tmp_path: Path, algorithm: str) -> None:
    """What is loaded has the name, the keys and the signing key of what was saved."""
    issuer = Issuer.generate(NAME, algorithm=algorithm)
    issuer.rotate()
    issuer.save(tmp_path / "issuer.json")
    loaded = Issuer.load(tmp_path / "issuer.json", clock=CLOCK)
    assert (loaded.name, loaded.kid, loaded.jwks()) == (NAME, issuer.kid, issuer.jwks())
    assert decode(loaded.issue(audience="a", subject="s"), issuer.jwks())["iat"] == int(NOW)


@posix
def test_the_key_file_is_its_owners_alone(tmp_path: Path, issuer: Issuer) -> None:
    """A new file, and one that replaces a loose one, has mode 0600, and nothing else is left."""
    path = tmp_path / "issuer.json"
    path.write_text("older")
    path.chmod(0o666)
    issuer.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["issuer.json"]


@posix
def test_a_link_is_replaced_not_followed(tmp_path: Path, issuer: Issuer) -> None:
    """Saving onto a link writes no key to where it points."""
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "issuer.json"
    elsewhere.write_text("untouched")
    path.symlink_to(elsewhere)
    issuer.save(path)
    assert elsewhere.read_text() == "untouched"
    assert not path.is_symlink()
    assert Issuer.load(path).kid == issuer.kid


def test_a_failed_save_leaves_what_was_there(tmp_path: Path, issuer: Issuer) -> None:
    """Where the file cannot be replaced the error says so and no part of a key stays behind."""
    path = tmp_path / "issuer.json"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        issuer.save(path)
    assert os.listdir(tmp_path) == ["issuer.json"]


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, issuer: Issuer, mode: int) -> None:
    """Looser than 0600 is refused, also behind a link, with the command that mends it."""
    path, link = tmp_path / "issuer.json", tmp_path / "link"
    issuer.save(path)
    path.chmod(mode)
    link.symlink_to(path)
    for each in (path, link):
        with pytest.raises(KeyFileError, match="chmod 600"):
            Issuer.load(each)
    path.chmod(0o400)
    assert Issuer.load(link).kid == issuer.kid


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"issuer": "x", "keys": []}',
        '{"issuer": "", "keys": [KEY]}',
        '{"issuer": 5, "keys": [KEY]}',
        '{"issuer": "x", "keys": [PUBLIC]}',
        '{"issuer": "x", "keys": [{"kty": "oct", "k": "Y2FuYXJ5", "alg": "HS256"}]}',
        '{"issuer": "x", "keys": [{"kty": "OKP", "crv": "Ed25519", "d": "canary", "alg": 7}]}',
        '{"issuer": "x", "keys": [{"kty": "RSA", "n": "AQ", "d": "canary", "alg": "RS256"}]}',
    ],
)
def test_what_is_no_key_file_is_refused(tmp_path: Path, issuer: Issuer, content: str) -> None:
    """A damaged or foreign file is refused by its path, and nothing of it is quoted."""
    path = tmp_path / "issuer.json"
    issuer.save(path)
    private = json.dumps(json.loads(path.read_text())["keys"][0])
    public = json.dumps(issuer.jwks()["keys"][0])
    path.write_text(content.replace("KEY", private).replace("PUBLIC", public))
    with pytest.raises(KeyFileError, match="no key file") as refusal:
        Issuer.load(path)
    assert "canary" not in str(refusal.value)
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
@pytest.mark.parametrize("damage", ["!", "!!", "!!!", "!!!!", "=!", "="])
def test_a_damaged_key_is_refused_whatever_its_length(
    tmp_path: Path, algorithm: str, damage: str
) -> None:
    """A letter outside base64url in any member of a key is no key file."""
    path = tmp_path / "issuer.json"
    Issuer.generate("https://licenses.example.com", algorithm=algorithm).save(path)
    document = json.loads(path.read_text())
    (key,) = document["keys"]
    for name in set(key) - {"kty", "crv", "alg", "key_ops"}:
        path.write_text(json.dumps({**document, "keys": [{**key, name: key[name] + damage}]}))
        with pytest.raises(KeyFileError):
            Issuer.load(path)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    """A file that is not there is not mistaken for a damaged one."""
    with pytest.raises(FileNotFoundError):
        Issuer.load(tmp_path / "nothing")


@pytest.mark.parametrize("act", [pickle.dumps, copy.copy, copy.deepcopy])
def test_private_keys_are_neither_copied_nor_pickled(issuer: Issuer, act: object) -> None:
    """Neither an issuer nor its key leaves the process by accident."""
    for holder in (issuer, issuer._keys[-1]):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            act(holder)


def test_nothing_shows_a_private_key(tmp_path: Path, issuer: Issuer) -> None:
    """No text form of an issuer or its key holds any private member."""
    issuer.save(tmp_path / "issuer.json")
    secret = json.loads((tmp_path / "issuer.json").read_text())["keys"][0]["d"]
    shown = [repr(issuer), str(issuer), repr(issuer._keys), json.dumps(issuer.jwks())]
    assert NAME in shown[0]
    assert all(secret not in text for text in shown)
