"""Claims: what no signature could make a license, and what is read once somebody has signed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.core.errors import LicenseInvalid
from licet.core.grants.reading import read_terms
from licet.core.token.claims import LATEST, Claims, Profile, read, screen
from licet.core.token.compact import CompactToken, Header

ISSUER = "https://licenses.acme.example"
PROFILE = Profile(
    issuer=ISSUER,
    audiences=frozenset({"acme-reports", "acme-admin"}),
    algorithms=frozenset({"EdDSA", "Ed25519"}),
    types=frozenset({"license+jwt"}),
    max_lifetime=1_000_000,
)
PROFILES = {ISSUER: PROFILE}
HEADER = Header("EdDSA", "k1", "license+jwt")
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "acme-reports",
    "sub": "lic_1",
    "iat": 1_700_000_000,
    "exp": 1_700_086_400,
}
GONE = object()


def payload(**changes: Any) -> dict[str, Any]:
    whole = {**CLAIMS, **changes}
    return {name: value for name, value in whole.items() if value is not GONE}


def screened(header: Header = HEADER, **changes: Any) -> Profile:
    token = CompactToken(header, b"", payload(**changes), b"", b"")
    return screen(token, PROFILES)


def judged(**changes: Any) -> Claims:
    """Return the claims after both steps, as the gate takes them."""
    return read(payload(**changes), screened(**changes))


def reason(**changes: Any) -> str:
    with pytest.raises(LicenseInvalid) as refused:
        judged(**changes)
    return refused.value.reason


def test_a_license_is_read() -> None:
    """Every license has these claims; what it does not say is None or zero."""
    claims = judged(customer="Example GmbH", nbf=1_700_000_001.5, jti="9f0c", tenant={"a": [1]})
    assert (claims.issuer, claims.license_id, claims.customer) == (ISSUER, "lic_1", "Example GmbH")
    assert (claims.issued_at, claims.expires_at) == (1_700_000_000, 1_700_086_400)
    assert claims.not_before == 1_700_000_001.5
    assert claims.payload["tenant"] == {"a": [1]}
    assert (judged().customer, judged().not_before) == (None, 0.0)


@pytest.mark.parametrize(
    "issuer",
    [
        *(GONE, None, 1, True, [ISSUER], {}, "", "https://evil.example", ISSUER + "/", ISSUER[:-1]),
        *(ISSUER.upper(), ISSUER + "\0", " " + ISSUER, ISSUER.replace("e", "\u0435", 1)),
    ],
    ids=lambda value: "gone" if value is GONE else ascii(value),
)
def test_the_issuer_is_compared_exactly(issuer: object) -> None:
    """E11: missing, another, a part, another case or another type is `bad_issuer`."""
    assert reason(iss=issuer) == "bad_issuer"


@pytest.mark.parametrize(
    "alg",
    [
        *("none", "None", "NONE", "nOnE", "none ", "none\0", "", "eddsa", "EDDSA", "EdDSA "),
        *(" EdDSA", "HS256", "HS384", "HS512", "RS256", "RS1", "ES256K", "RSA1_5", "dir"),
        *("Ed448", "ML-DSA-44"),
    ],
)
def test_another_algorithm_is_refused(alg: str) -> None:
    """B08, B09, B11, B12: only a configured name, letter by letter."""
    with pytest.raises(LicenseInvalid, match="not valid here") as refused:
        screened(Header(alg, "k1", "license+jwt"))
    assert refused.value.reason == "alg_not_allowed"


@pytest.mark.parametrize("typ", [None, "", "jwt", "at+jwt", "dpop+jwt", "logout+jwt", "license+jw"])
def test_another_type_is_refused(typ: str | None) -> None:
    """B26, E17, N21: tokens of the same issuer for other purposes are no licenses."""
    with pytest.raises(LicenseInvalid) as refused:
        screened(Header("EdDSA", "k1", typ))
    assert refused.value.reason == "wrong_type"


NO_DATES = [None, True, False, "", "9999999999", " 99 ", "9_999", "+99", "٩٩٩٩٩", [], [1], {}]
NO_DATES += [-1, -0.5, LATEST + 1, LATEST + 0.5, 1e18, 1e308, float("inf"), float("nan"), 10**400]


@pytest.mark.parametrize("value", NO_DATES, ids=lambda value: str(value)[:12])
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_a_date_is_a_number_of_this_era(name: str, value: object) -> None:
    """E02, E03, E04, E08, E09: text, booleans, nothing and what no calendar has are refused."""
    assert reason(**{name: value}) == f"bad_claim:{name}"


@pytest.mark.parametrize("name", ["exp", "iat"])
def test_a_license_has_a_beginning_and_an_end(name: str) -> None:
    """E01: without `exp` or `iat` there is no license."""
    assert reason(**{name: GONE}) == f"missing_claim:{name}"


def test_milliseconds_are_no_date() -> None:
    """E06: thirteen digits lie beyond every calendar."""
    assert reason(exp=1_700_086_400_000) == "bad_claim:exp"


def test_the_times_fit_each_other() -> None:
    """E07, E08: no end before the beginning, none too far off, no beginning after the end."""
    assert reason(exp=1_699_999_999.5) == "bad_claim:exp"
    assert judged(exp=1_700_000_000).expires_at == 1_700_000_000
    assert judged(exp=1_701_000_000).expires_at == 1_701_000_000
    assert reason(exp=1_701_000_000.5) == "lifetime_too_long"
    assert judged(nbf=1_700_086_400).not_before == 1_700_086_400
    assert reason(nbf=1_700_086_400.5) == "bad_claim:nbf"
    assert reason(nbf="0") == "bad_claim:nbf"


def test_fractions_and_the_edges_of_the_era_are_dates() -> None:
    """E04: a fraction is kept, zero is a date, and so is the last second of the year 9999."""
    assert judged(exp=1_700_000_000.9).expires_at == 1_700_000_000.9
    assert judged(iat=0, exp=0.5).issued_at == 0
    assert judged(iat=LATEST - 1, exp=LATEST).expires_at == LATEST


@pytest.mark.parametrize(
    "audience",
    [
        *(
            GONE,
            None,
            1,
            True,
            {},
            {"acme-reports": 1},
            "",
            "acme",
            "acme-reports ",
            "ACME-REPORTS",
        ),
        *([], ["other"], [["acme-reports"]], ["acme-reports", 1], [None], ["acme-reports"] * 1001),
    ],
    ids=lambda value: "gone" if value is GONE else repr(value)[:30],
)
def test_another_audience_is_refused(audience: object) -> None:
    """E13: missing, another, a part, or a list with anything but text or too much of it."""
    assert reason(aud=audience) == "bad_audience"


@pytest.mark.parametrize(
    "audience",
    ["acme-reports", ["acme-reports"], ["other", "acme-admin"], ["acme-reports"] * 1000],
    ids=lambda value: repr(value)[:30],
)
def test_one_of_the_audiences_is_enough(audience: object) -> None:
    """E13, E14: ours alone, or ours among others."""
    assert judged(aud=audience).license_id == "lic_1"


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        True,
        [],
        ["lic"],
        {},
        "",
        "x" * 257,
        "a\nb",
        "a\0",
        "\x1b[31m",
        "\u202eabc",
        "\u2028",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("name", ["sub", "jti"])
def test_an_identifier_is_short_printable_text(name: str, value: object) -> None:
    """D12, E15: other types, nothing, too much and control characters are refused."""
    assert reason(**{name: value}) == f"bad_claim:{name}"


def test_identifiers_may_be_of_any_script() -> None:
    """E15: 256 printable characters pass, `sub` may not be missing and `jti` may."""
    assert judged(sub="ü" * 256, jti="x" * 256).license_id == "ü" * 256
    assert judged(sub="x").license_id == "x"
    assert reason(sub=GONE) == "bad_claim:sub"


@pytest.mark.parametrize("value", [None, 1, True, [], {}])
def test_the_customer_is_text_where_there_is_one(value: object) -> None:
    """Present and no text refuses the license."""
    assert reason(customer=value) == "bad_claim:customer"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([ISSUER, "acme-reports", "lic_1", 1_700_000_000, 1_700_000_001])
    | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(
    "iss aud sub jti iat exp nbf customer plan features limits scope role roles trial grace"
    " must_understand domains cnf".split()
)


@given(changes=st.dictionaries(NAMES, JSON, max_size=5), header=st.builds(
    Header, st.sampled_from(["EdDSA", "none"]), st.just("k"), st.sampled_from(["license+jwt", None])
))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_json_is_a_license_or_invalid(changes: dict[str, Any], header: Header) -> None:
    """D01, D05: no payload at all raises anything but LicenseInvalid, in any step."""
    whole = json.loads(json.dumps(payload(**changes)))
    try:
        profile = screen(CompactToken(header, b"", whole, b"", b""), PROFILES)
        claims = read(whole, profile)
        read_terms(whole)
    except LicenseInvalid:
        return
    assert whole["iss"] == claims.issuer == ISSUER
    assert 0 <= claims.issued_at <= claims.expires_at <= LATEST
    assert not {"domains", "cnf"} & whole.keys()


@given(whole=st.dictionaries(NAMES, JSON, max_size=8))
@settings(max_examples=200, deadline=None)
def test_what_somebody_vouched_for_is_judged_all_the_same(whole: dict[str, Any]) -> None:
    """E17: `read` alone, on any object at all, returns claims or raises LicenseInvalid."""
    try:
        claims = read(whole, PROFILE)
    except LicenseInvalid:
        return
    assert claims.license_id == whole["sub"]
