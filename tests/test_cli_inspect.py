"""`licet inspect`: all that is wrong is found, nothing is believed, and nothing breaks it."""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.cli import findings
from licet.cli.moments import distance
from licet.core.errors import LicenseError
from licet.core.gate import Gate
from licet.core.judge import Judge
from licet.core.settings import Settings
from licet.core.token import base64url
from tests.commands import licet
from tests.core.vendor import segment
from tests.licenses import FORGER, ISSUER, ISSUER_NAME, OPTIONS, claims, license_token

DAY = 86_400
INSISTED = "must_understand"
DIGEST = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def found(token: str | bytes) -> list[tuple[str, str]]:
    """Return reason and place of what is found wrong with a token, sorted."""
    credential = token.encode() if isinstance(token, str) else token
    said = licet("inspect", "-", "--json", stdin=credential)
    assert said.status == (1 if said.document["findings"] else 0)
    for finding in said.document["findings"]:
        assert finding["problem"]
        assert finding["remedy"]
    return sorted((each["reason"], each["at"]) for each in said.document["findings"])


def with_header(**header: object) -> str:
    """Return a good license but for its header; a member that is None is left out."""
    return ISSUER.sign(claims(), header=header)


def test_nothing_is_found_wrong_with_a_good_license() -> None:
    """It is status 0, and the first line says that nothing was verified."""
    said = licet("inspect", "-", stdin=license_token().encode())
    assert said.status == 0
    assert said.out.startswith("NOT VERIFIED")


def test_whoever_signed_it() -> None:
    """A forged license is shown like any other: no key is looked for."""
    assert found(license_token(FORGER)) == []
    assert licet("inspect", license_token(FORGER), "--json").document["verified"] is False


def test_what_is_shown() -> None:
    """Header, claims and times are there, for programs as they are and for people as dates."""
    now = int(time.time())
    token = license_token(iat=now - 3 * DAY, exp=now + 12 * DAY + 60, grace=7 * DAY)
    said = licet("inspect", token)
    assert "kid" in said.out
    assert '["analytics"]' in said.out
    assert "UTC, 3 days ago" in said.out
    assert "UTC, in 12 days" in said.out
    assert "7 days after exp" in said.out
    document = licet("inspect", token, "--json").document
    assert document["header"]["typ"] == "license+jwt"
    assert document["claims"]["features"] == ["analytics"]
    assert document["bytes"] == len(token)
    assert document["times"]["exp"].endswith("+00:00")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "in 0 seconds"),
        (1, "in 1 second"),
        (-1, "1 second ago"),
        (-119, "119 seconds ago"),
        (120, "in 2 minutes"),
        (2 * 3600, "in 2 hours"),
        (-2 * DAY, "2 days ago"),
        (365 * DAY - 1, "in 365 days"),
        (5000 * DAY, "in 5,000 days"),
    ],
)
def test_distances(seconds: float, said: str) -> None:
    """A time is so far off as one would say it."""
    assert distance(seconds) == said


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (lambda: with_header(typ="at+jwt"), ("wrong_type", "typ")),
        (lambda: with_header(typ=None), ("wrong_type", "typ")),
        (lambda: with_header(kid=None), ("kid_required", "kid")),
        (lambda: with_header(kid=""), ("bad_kid", "kid")),
        (lambda: with_header(crit=["exp"]), ("header_param_forbidden:crit", "crit")),
        (lambda: with_header(jku="https://evil"), ("header_param_forbidden:jku", "jku")),
        (lambda: with_header(note="x" * 2048), ("header_too_large", "note")),
        (lambda: license_token(iss=None), ("bad_issuer", "iss")),
        (lambda: license_token(iss=5), ("bad_issuer", "iss")),
        (lambda: license_token(aud=[]), ("bad_audience", "aud")),
        (lambda: license_token(aud={"a": 1}), ("bad_audience", "aud")),
        (lambda: license_token(sub=None), ("bad_claim:sub", "sub")),
        (lambda: license_token(sub="a\nb"), ("bad_claim:sub", "sub")),
        (lambda: license_token(exp=None), ("missing_claim:exp", "exp")),
        (lambda: license_token(exp="1743465600"), ("bad_claim:exp", "exp")),
        (lambda: license_token(iat=True), ("bad_claim:iat", "iat")),
        (lambda: license_token(iat=50, exp=40), ("bad_claim:exp", "exp")),
        (lambda: license_token(nbf=2**40), ("bad_claim:nbf", "nbf")),
        (lambda: license_token(nbf=time.time() + DAY), ("bad_claim:nbf", "nbf")),
        (lambda: license_token(exp=time.time() + 500 * DAY), ("lifetime_too_long", "exp")),
        (lambda: license_token(iat=50, exp=time.time() - DAY), ("expired", "exp")),
        (lambda: license_token(iat=time.time() + 90), ("issued_in_the_future", "iat")),
        (lambda: license_token(nbf=time.time() + 90), ("not_yet_valid", "nbf")),
        (lambda: license_token(jti=5), ("bad_claim:jti", "jti")),
        (lambda: license_token(plan=5), ("bad_claim:plan", "plan")),
        (lambda: license_token(features="analytics"), ("bad_claim:features", "features")),
        (lambda: license_token(limits={"seats": -1}), ("bad_claim:limits", "limits")),
        (lambda: license_token(roles=[""]), ("bad_claim:roles", "roles")),
        (lambda: license_token(scope=["a"]), ("bad_claim:scope", "scope")),
        (lambda: license_token(trial=1), ("bad_claim:trial", "trial")),
        (lambda: license_token(grace=91 * DAY), ("bad_claim:grace", "grace")),
        (lambda: license_token(domains=[]), ("bad_claim:domains", "domains")),
        (lambda: license_token(domain="a.b", domains=["a.b"]), ("bad_claim:domains", "domains")),
        (lambda: license_token(role="a"), ("bad_claim:role", "role")),
        (lambda: license_token(ip_ranges=["0.0.0.0/0"]), ("bad_claim:ip_ranges", "ip_ranges")),
        (lambda: license_token(regions=["Mars"]), ("bad_claim:regions", "regions")),
        (lambda: license_token(time_windows=[{}]), ("bad_claim:time_windows", "time_windows")),
        (lambda: license_token(cnf={"jwk": {}}), ("bad_claim:cnf", "cnf")),
        (lambda: license_token(status={}), ("bad_claim:status", "status")),
        (lambda: license_token(status=listed("https://elsewhere")), ("status_origin", "status")),
        (lambda: license_token(must_understand=["tenant"]), ("must_understand", INSISTED)),
        (lambda: license_token(must_understand=[[]]), ("bad_claim:must_understand", INSISTED)),
        (lambda: license_token(must_understand="x"), ("bad_claim:must_understand", INSISTED)),
        (lambda: license_token(note="x" * 5000), ("token_too_large", "")),
        (lambda: license_token(note="x" * 99_999), ("token_too_large", "")),
        (lambda: license_token(note=2**54), ("malformed", "note")),
        (lambda: "ABCD-EFGH-1234", ("not_a_jws", "")),
    ],
    ids=[f"{n}" for n in range(47)],
)
def test_what_is_wrong(token: Any, expected: tuple[str, str]) -> None:
    """Each fault is found, by the word that a gate would log, in its place."""
    assert expected in found(token())


def listed(origin: str) -> dict[str, Any]:
    """Return the claim of a license on a status list."""
    return {"status_list": {"idx": 1, "uri": f"{origin}/status/1"}}


def test_every_fault_is_found_at_once() -> None:
    """Where a gate stops at the first, the command goes on to the last."""
    token = ISSUER.sign(
        {
            "iss": ISSUER_NAME,
            "iat": 0,
            "exp": 1,
            "features": "a",
            "limits": {"b": -1},
            "grace": 0.5,
        },
        header={"typ": None, "kid": None},
    )
    assert found(token) == [
        ("bad_audience", "aud"),
        ("bad_claim:features", "features"),
        ("bad_claim:grace", "grace"),
        ("bad_claim:limits", "limits"),
        ("bad_claim:sub", "sub"),
        ("expired", "exp"),
        ("kid_required", "kid"),
        ("wrong_type", "typ"),
    ]


def test_sizes() -> None:
    """What is too large is said by whom it would be refused."""
    for size, whose in ((5_000, "LICET_MAX_TOKEN_SIZE"), (9_000, "servers"), (99_999, "setting")):
        said = licet("inspect", license_token(note="x" * size), "--json").document
        assert [whose in each["problem"] for each in said["findings"]] == [True]


def test_two_spellings_of_one_claim() -> None:
    """Each alone would be good: it is said that it is the two together."""
    token = license_token(region="DE", regions=["DE"])
    assert found(token) == [("bad_claim:regions", "regions")]
    assert "two spellings" in licet("inspect", token).out


def test_too_many_members() -> None:
    """A license with more members than any gate reads is shown, and that is what is found."""
    token = license_token(**{f"claim{n}": n for n in range(1_200)})
    assert ("malformed", "payload") in found(token)
    assert "claim1199" in licet("inspect", "-", stdin=token.encode()).out


def test_an_issuer_that_is_no_address() -> None:
    """Its status list is at another origin, wherever that is."""
    assert found(license_token(iss="acme", status=listed("https://a.example"))) == [
        ("status_origin", "status")
    ]
    assert found(license_token(iss="http://[", status=listed("https://a.example"))) == [
        ("status_origin", "status")
    ]


def test_good_claims_that_others_insist_on() -> None:
    """A license that insists on what it is bound to has nothing wrong with it."""
    cnf = {"jkt": DIGEST}
    token = license_token(
        domains=["example.com"], cnf=cnf, must_understand=["domains", "cnf"], tenant=1
    )
    assert found(token) == []
    assert found(license_token(status=listed(ISSUER_NAME))) == []


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b'{"a":1,"a":2}', "duplicate member"),
        (b'{"a":NaN}', "not a number"),
        (b'{"a":1e999}', "out of range"),
        (b'{"a":\xff}', "no UTF-8"),
        (b'{"a":', "no JSON"),
        (b"[]", "not an object"),
        (b'{"a":' + b"[" * 99 + b"]" * 99 + b"}", "nested too deeply"),
    ],
)
def test_what_cannot_be_read_in_one_way(payload: bytes, said: str) -> None:
    """It is said why no gate reads it, and shown as far as it can be."""
    header, _, signature = license_token().encode().split(b".")
    token = b".".join((header, base64url.encode(payload), signature))
    assert ("malformed", "payload") in found(token)
    assert said in licet("inspect", "-", stdin=token).out


def test_a_token_cut_off_or_unsigned() -> None:
    """A signature that is missing or damaged is found; what stands before it is still shown."""
    head = license_token().rpartition(".")[0]
    for token, said in ((head + ".", "no signature"), (head + ".A", "not canonical base64url")):
        assert found(token) == [("malformed", "signature")]
        shown = licet("inspect", "-", stdin=token.encode()).out
        assert said in shown
        assert "analytics" in shown


def test_the_token_itself_is_not_shown() -> None:
    """Neither the license nor its signature is in the output, which can be passed on."""
    for token in (license_token(), license_token(features="x"), "lic_" + "A1" * 16):
        for options in ((), ("--json",)):
            said = licet("inspect", *options, stdin=token.encode())
            for part in token.split("."):
                assert part not in said.out + said.err


def test_nothing_in_a_token_steers_the_terminal() -> None:
    """Escape sequences, line breaks and marks of direction in any member come out as escapes."""
    evil = "\x1b[2J\r\n\u202eevil\x07"
    payload = claims(**{"customer": evil, "features": [evil], f"x{evil}": {evil: evil}})
    token = ISSUER.sign(payload, header={f"h{evil}": evil, "typ": evil})
    for options in ((), ("--json",)):
        said = licet("inspect", *options, stdin=token.encode())
        assert said.out.replace("\n", "").isprintable()
        assert "\nevil" not in said.out


# -- where a token comes from -------------------------------------------------------------------


def test_from_a_file_an_argument_or_standard_input(tmp_path: Any) -> None:
    """`@FILE`, `-`, nothing with a pipe, and the token itself are one and the same."""
    token = license_token()
    path = tmp_path / "license.jwt"
    path.write_text(f"\n {token}\r\n")
    said = {
        licet("inspect", "--json", f"@{path}").out,
        licet("inspect", "--json", token).out,
        licet("inspect", "--json", "-", stdin=token.encode()).out,
        licet("inspect", "--json", stdin=f"{token}\n".encode()).out,
    }
    assert len(said) == 1


@pytest.mark.parametrize("command", ["inspect", "verify"])
@pytest.mark.parametrize(
    ("argument", "stdin"),
    [
        ([], None),
        ([], b""),
        (["-"], b" \n"),
        (["-"], b"x" * (2**20 + 1)),
        (["@"], None),
        (["@/none/such"], None),
        (["@."], None),
        (["@a\0b"], None),
        ([""], None),
    ],
    ids=["terminal", "nothing", "blank", "huge", "no_name", "missing", "folder", "null", "empty"],
)
def test_without_a_token(command: str, argument: list[str], stdin: bytes | None) -> None:
    """Where there is nothing to read it is status 2, and the remedy shows the ways."""
    options = ["--issuer", ISSUER_NAME, "--audience", "a"] if command == "verify" else []
    said = licet(command, *argument, *options, stdin=stdin)
    assert (said.status, said.out) == (2, "")
    assert f"licet {command} @FILE" in said.err


# -- garbage ------------------------------------------------------------------------------------


def check(credential: bytes) -> None:
    """Nothing but an answer comes of a credential, and no gate is kinder to it than the answer."""
    said = licet("inspect", "-", "--json", stdin=credential)
    if not credential.strip():
        assert said.status == 2
        return
    assert said.status == (1 if said.document["findings"] else 0)
    text = licet("inspect", "-", stdin=credential)
    assert text.status == said.status
    assert text.out.replace("\n", "").isprintable()


@given(st.binary(max_size=300))
def test_any_bytes(credential: bytes) -> None:
    """Whatever the bytes are, the answer is one object and one of the three statuses."""
    check(credential)


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(DIGEST)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(
    "iss aud sub iat exp nbf jti customer plan features limits scope roles role trial grace "
    "domains domain ip_ranges regions time_windows cnf status must_understand tenant".split()
)
HEADERS = st.dictionaries(st.sampled_from("alg kid typ crit x5c note".split()), VALUES, max_size=3)


@given(HEADERS, st.dictionaries(NAMES | st.text(max_size=5), VALUES, max_size=4))
def test_any_claims(header: dict[str, Any], changes: dict[str, Any]) -> None:
    """Claims of any kind in any place are answered, in text and in JSON."""
    good = {"typ": "license+jwt", "alg": "EdDSA", "kid": "1"}
    parts = (json.dumps({**good, **header}), json.dumps({**claims(), **changes}))
    check(b".".join((*(base64url.encode(part.encode()) for part in parts), b"AA")))


@given(st.dictionaries(NAMES, VALUES, max_size=3))
def test_no_gate_is_stricter(changes: dict[str, Any]) -> None:
    """Where nothing is found, a gate of these issuer and audience takes the license, if signed."""
    payload = {**claims(), **changes}
    payload["iss"], payload["aud"] = ISSUER_NAME, OPTIONS["audience"]
    token = f"{segment({'typ': 'license+jwt', 'alg': 'EdDSA', 'kid': '1'})}.{segment(payload)}.AA"
    reasons = {finding.reason for finding in findings.read(token.encode(), time.time()).findings}
    refusal = refused(token.encode())
    if refusal is None:
        # What a license says of its status list, a gate looks at once it has verified it.
        assert reasons <= {"status_origin"}
    elif refusal != "missing_extra:domains":
        assert refusal in reasons


def refused(credential: bytes) -> str | None:
    """Return why a gate would refuse a token even if its signature held."""
    try:
        judge().forecast(*judge().open(credential))
    except LicenseError as refusal:
        return refusal.reason
    return None


@cache
def judge() -> Judge:
    """Return what a gate judges tokens with."""
    return Gate(Settings(**OPTIONS))._judge
