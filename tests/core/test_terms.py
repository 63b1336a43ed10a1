"""Terms: what a license grants, and that whatever narrows it is never passed over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.core.constraints import custom
from licet.core.errors import LicenseInvalid
from licet.core.grants import UNLIMITED, Terms
from licet.core.grants.reading import TermsTable, read_terms


def reason(**claims: Any) -> str:
    with pytest.raises(LicenseInvalid) as refused:
        read_terms(claims)
    return refused.value.reason


def test_a_license_that_says_nothing_grants_nothing() -> None:
    """Absent and empty claims grant nothing and refuse nothing."""
    nothing = Terms(None, frozenset(), {}, frozenset(), frozenset())
    assert read_terms({}) == nothing
    assert read_terms({"features": [], "limits": {}, "roles": [], "must_understand": []}) == nothing


def test_what_a_license_says_is_what_it_grants() -> None:
    """Each claim of the profile arrives as the type its reader needs."""
    terms = read_terms(
        {
            "plan": "professional",
            "features": ["analytics", "custom-domains", "analytics"],
            "limits": {
                "apiCalls": {"max": 50_000, "per": "month"},
                "seats": 10,
                "exports": "unlimited",
                "zero": 0,
                "most": 2**53,
                "all": {"max": "unlimited", "per": "term"},
            },
            "roles": ["admin", "größe"],
            "scope": "reports:read  reports:write",
            "trial": True,
            "grace": 604_800,
            "tenant": "ignored",
        }
    )
    assert terms.plan == "professional"
    assert terms.features == {"analytics", "custom-domains"}
    assert terms.limits == {
        "apiCalls": 50_000,
        "seats": 10,
        "exports": UNLIMITED,
        "zero": 0,
        "most": 2**53,
        "all": UNLIMITED,
    }
    assert terms.roles == {"admin", "größe"}
    assert terms.scopes == {"reports:read", "reports:write"}


def test_scopes_are_parted_by_spaces_alone() -> None:
    """RFC 6749, section 3.3: white space of other kinds makes no second scope."""
    assert read_terms({"scope": "a\u2003b c"}).scopes == {"a\u2003b", "c"}
    assert read_terms({"scope": ""}).scopes == frozenset()


def test_the_singular_of_a_role_is_a_role() -> None:
    """`role` may be one text or a list; together with `roles` it refuses."""
    assert read_terms({"role": "admin"}).roles == {"admin"}
    assert read_terms({"role": ["admin", "x"]}).roles == {"admin", "x"}
    assert reason(role="admin", roles=["admin"]) == "bad_claim:role"
    assert reason(role="") == "bad_claim:role"
    assert reason(roles="admin") == "bad_claim:roles"


@pytest.mark.parametrize(
    "value",
    [
        *("superadmin", None, True, 1, {}, {"admin": False}, [["admin"]], [1], [None], ["a", 1]),
        *([{}], [""], ["a" * 129], ["a b"], ["*"], ["\u0430"], ["a\n"], ["a\u200b"], ["x"] * 1001),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_features_are_a_list_of_names(value: object) -> None:
    """F01, F02, D08, D12: text, other types, odd letters and long lists refuse the license."""
    assert reason(features=value) == "bad_claim:features"


def test_features_are_compared_as_they_are_spelt() -> None:
    """F03: names of 128 letters pass, 1,000 of them pass, and case is kept."""
    names = ["A._:-" + "a" * 123, *(f"f{n}" for n in range(999))]
    assert read_terms({"features": names}).features == set(names)
    assert "a" not in read_terms({"features": ["A"]}).features


@pytest.mark.parametrize(
    "value",
    [
        *(True, False, None, "10", "Unlimited", "", -1, 9.5, 10.0, float("nan"), float("inf")),
        *(2**53 + 1, 10**400, [], [1], {}, {"max": 1}, {"per": "day"}, {"max": 1, "per": "year"}),
        *({"max": 1, "per": ["day"]}, {"max": 1, "per": None}, {"max": 1, "per": "day", "x": 1}),
        *({"max": True, "per": "day"}, {"max": -1, "per": "day"}, {"max": {}, "per": "day"}),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_limit_is_a_count(value: object) -> None:
    """F04: anything but a whole number from 0 to 2^53, or `unlimited`, refuses the license."""
    assert reason(limits={"seats": value}) == "bad_claim:limits"


@pytest.mark.parametrize(
    "value", [None, True, 1, "seats", [], ["seats"], {"": 1}, {"a b": 1}, {"x" * 129: 1}], ids=str
)
def test_limits_are_named(value: object) -> None:
    """F04: limits that are no object, or one with names that are none, refuse the license."""
    assert reason(limits=value) == "bad_claim:limits"


def test_there_are_at_most_a_thousand_limits() -> None:
    """D08: 1,000 limits pass and one more refuses."""
    assert len(read_terms({"limits": {f"n{n}": n for n in range(1000)}}).limits) == 1000
    assert reason(limits={f"n{n}": n for n in range(1001)}) == "bad_claim:limits"


#: Every claim that narrows a license, in either number.
NARROWING = (
    "domain domains ip_range ip_ranges region regions time_window time_windows time_limit cnf"
    " status"
).split()


@pytest.mark.parametrize("name", NARROWING)
@pytest.mark.parametrize("value", [[], {}, "", [{}], False, [None]], ids=repr)
def test_a_constraint_that_says_nothing_refuses(name: str, value: object) -> None:
    """F07, F08, F10: no claim that narrows a license is skipped because it is odd."""
    assert reason(**{name: value}) != ""


def test_what_narrows_a_license_is_part_of_its_terms() -> None:
    """Two licenses that differ in one constraint share nothing; equal ones share all."""
    table = TermsTable()
    free = table.intern({"features": ["a"]})
    bound = table.intern({"features": ["a"], "regions": ["DE"]})
    assert free.conditions is None
    assert bound.conditions is not None
    assert table.intern({"features": ["a"], "regions": ["AT"]}) is not bound
    assert table.intern({"regions": ["DE"], "features": ["a"]}) is bound


def test_a_constraint_of_ones_own_is_part_of_the_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that becomes one is read anew: terms from before it was do not stand for it."""
    table = TermsTable()
    first = table.intern({"tenant": "a"})
    monkeypatch.setitem(custom._judges, "tenant", lambda value, facts: False)
    for tenant in ("a", "b"):
        terms = table.intern({"tenant": tenant})
        assert terms is not first
        assert terms.conditions is not None
        assert table.intern({"tenant": tenant}) is terms
    assert table.intern({}).conditions is None


def test_what_must_be_understood_refuses() -> None:
    """F06: a name in `must_understand` that is not known refuses; so does a malformed list."""
    assert reason(must_understand=["tenant"], tenant="x") == "must_understand"
    assert reason(must_understand=[""]) == "must_understand"
    for value in ("tenant", None, [1], {"a": 1}):
        assert reason(must_understand=value) == "bad_claim:must_understand"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("trial", value) for value in (None, 0, 1, "true", [])),
        *(("grace", value) for value in (None, True, -1, 90 * 86_400 + 1, 1.5, "1", [], 10**400)),
        *(("plan", value) for value in (None, 1, [], {}, True)),
        *(("scope", value) for value in (None, 1, ["a"], {})),
        *(("roles", value) for value in (None, 1, {}, [1], [""], ["a\n"], ["x"] * 1001)),
    ],
    ids=lambda value: str(value)[:16],
)
def test_every_other_claim_has_its_type(name: str, value: object) -> None:
    """F02, F11: a claim of another type, sign or size refuses, also where it grants nothing yet."""
    assert reason(**{name: value}) == f"bad_claim:{name}"


def test_the_longest_grace_is_ninety_days() -> None:
    """F11: none and 90 days pass, and none is not the same as nothing said."""
    for grace in (0, 90 * 86_400):
        assert read_terms({"grace": grace}).grace == grace
    assert read_terms({}).grace is None


def test_a_limit_may_name_its_period() -> None:
    """Only those that do are counted otherwise than the settings say."""
    terms = read_terms({"limits": {"seats": 5, "apiCalls": {"max": 100, "per": "day"}}})
    assert dict(terms.limits) == {"seats": 5, "apiCalls": 100}
    assert dict(terms.periods) == {"apiCalls": "day"}


def test_a_trial_says_so() -> None:
    """Whatever does not is none."""
    assert [read_terms(claims).trial for claims in ({}, {"trial": False}, {"trial": True})] == [
        False,
        False,
        True,
    ]


def test_terms_cannot_be_changed() -> None:
    """F12: neither a field nor a limit can be set, and what they were read from is not kept."""
    claims: dict[str, Any] = {"limits": {"seats": 1}, "features": ["a"]}
    terms = read_terms(claims)
    claims["limits"]["seats"] = 2
    claims["features"].append("b")
    assert (terms.limits["seats"], terms.features) == (1, {"a"})
    with pytest.raises(TypeError):
        terms.limits["seats"] = 3  # type: ignore[index]
    with pytest.raises(AttributeError):
        terms.plan = "x"  # type: ignore[misc]


def test_equal_terms_are_one_object() -> None:
    """What differs between two licenses of one plan makes no second terms; what matters does."""
    table = TermsTable()
    first = table.intern({"sub": "lic_1", "exp": 1, "features": ["a"], "limits": {"n": 1}})
    assert table.intern({"sub": "lic_2", "exp": 2, "features": ["a"], "limits": {"n": 1}}) is first
    assert table.intern({"features": ["a"], "limits": {"n": 2}}) is not first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"limits": {"n": 1}}, {"limits": {"n": True}}),
        ({"limits": {"n": 1}}, {"limits": {"n": 1.0}}),
        ({}, {"features": None}),
        ({}, {"plan": None}),
        ({"grace": 0}, {"grace": False}),
        ({}, {"domains": []}),
        *(({}, {name: None}) for name in ("role", "trial", "grace", "must_understand", "cnf")),
        ({"plan": "a"}, {"plan": "a", "trial": 1}),
    ],
    ids=str,
)
def test_a_known_good_license_does_not_vouch_for_a_bad_one(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """F02, F04: what Python holds for equal is read anew where JSON differs."""
    table = TermsTable()
    table.intern(one)
    with pytest.raises(LicenseInvalid):
        table.intern(other)


def test_the_table_is_bounded_and_keeps_no_bad_terms() -> None:
    """P06: beyond its capacity older terms give way; a refused license leaves nothing behind."""
    table = TermsTable(capacity=2)
    first = table.intern({"plan": "0"})
    for n in range(1, 4):
        table.intern({"plan": str(n)})
    with pytest.raises(LicenseInvalid):
        table.intern({"plan": 1})
    assert len(table._terms) == 2
    assert table.intern({"plan": "0"}) == first


def test_threads_agree_on_one_object() -> None:
    """S02: however many threads read the same new terms at once, all get the same object."""
    table = TermsTable()
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda _: table.intern({"features": ["a", "b"]}), range(200))
        assert len({id(terms) for terms in found}) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("maxper", max_size=3), inner)
    ),
    max_leaves=5,
)


@given(
    claims=st.dictionaries(
        st.sampled_from(
            "plan features limits scope role roles trial grace must_understand".split()
        ),
        JSON | st.sampled_from([["a"], {"a": 1}, "a", {"a": {"max": 1, "per": "day"}}]),
    )
)
@settings(max_examples=200, deadline=None)
def test_any_claims_are_terms_or_invalid(claims: dict[str, Any]) -> None:
    """F02: no value of any claim raises anything but LicenseInvalid, read or interned."""
    try:
        terms = TermsTable().intern(claims)
    except LicenseInvalid:
        with pytest.raises(LicenseInvalid):
            read_terms(claims)
        return
    assert terms == read_terms(claims)
    assert all(type(limit) is int and limit >= 0 for limit in terms.limits.values())
