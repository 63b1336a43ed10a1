"""Which claims narrow a license, and that none of them is ever skipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from licet.core.constraints import custom
from licet.core.constraints.custom import constraint
from licet.core.constraints.registry import MOST_PLACES, Conditions, Rule, read_conditions
from licet.core.errors import BadHost, ConstraintViolated, LicenseInvalid
from licet.core.grants.reading import _TERM_CLAIMS
from licet.core.request.circumstances import Circumstances, Where
from tests.core.observed import observer
from tests.core.presented import Presented

JKT = "A" * 43
WINDOW = {"from": "00:00", "to": "24:00", "tz": "UTC"}
CLAIMS: dict[str, Any] = {
    "domains": ["reports.example"],
    "ip_ranges": ["203.0.113.0/24"],
    "regions": ["DE"],
    "time_windows": [WINDOW],
}
HERE = Where(host="reports.example", ip="203.0.113.9", region="DE-BY")
ELSEWHERE = Where(host="evil.example", ip="198.51.100.1", region="US-CA")


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Forget what a test registers."""
    before = dict(custom._judges)
    yield
    custom._judges.clear()
    custom._judges.update(before)


def conditions(payload: dict[str, Any]) -> Conditions:
    read = read_conditions(payload)
    assert read is not None
    return read


def denial(payload: dict[str, Any], where: Where = ELSEWHERE) -> ConstraintViolated:
    with pytest.raises(ConstraintViolated) as caught:
        conditions(payload).check(observer().told(where, 0.0))
    return caught.value


def test_a_license_without_such_claims_demands_nothing() -> None:
    """Most licenses have no conditions at all, so a hit has nothing to look at."""
    assert read_conditions({"features": ["a"], "tenant": "t"}) is None


def test_all_of_them_together_may_hold() -> None:
    """A request that meets every constraint passes."""
    conditions(CLAIMS).check(observer().told(HERE, 0.0))


@pytest.mark.parametrize(
    ("claim", "code", "seen"),
    [
        ("domains", "license_domain", "evil.example"),
        ("ip_ranges", "license_ip", "198.51.100.1"),
        ("regions", "license_region", "US-CA"),
    ],
)
def test_a_denial_names_the_rule_and_not_what_it_permits(claim: str, code: str, seen: str) -> None:
    """Answer: which claim. Log: what was seen instead. Neither: the permitted values."""
    error = denial({claim: CLAIMS[claim]})
    assert error.code == code
    assert error.members == {"constraint": claim}
    assert error.reason == f"{claim}:{seen}"


def test_what_was_seen_is_cut() -> None:
    """A host may have 253 characters; 128 of them are enough for the log."""
    long = ".".join(["a" * 63, "b" * 63, "example"])
    assert denial({"domains": ["x.example"]}, Where(host=long)).reason == f"domains:{long[:128]}"
    assert len(long) > 128


def test_outside_the_window_the_moment_is_in_the_log() -> None:
    """The time judged by is what was seen."""
    window = {**WINDOW, "to": "00:01"}
    with pytest.raises(ConstraintViolated) as caught:
        conditions({"time_windows": [window]}).check(observer().told(HERE, 60.0))
    assert (caught.value.code, caught.value.reason) == ("license_time_window", "time_windows:60.0")


def test_the_first_rule_that_does_not_hold_is_named() -> None:
    """Domain, network, region, time: in this order, whatever the license's."""
    assert denial(dict(reversed(CLAIMS.items()))).code == "license_domain"


@pytest.mark.parametrize(
    ("singular", "plural", "value"),
    [
        ("domain", "domains", "reports.example"),
        ("ip_range", "ip_ranges", "203.0.113.0/24"),
        ("region", "regions", "DE"),
        ("time_window", "time_windows", WINDOW),
        ("time_limit", "time_windows", WINDOW),
    ],
)
def test_a_singular_name_is_the_same_claim(singular: str, plural: str, value: Any) -> None:
    """One entry, or a list of them; beside the plural it refuses the license."""
    for spelt in (value, [value]):
        (rule,) = conditions({singular: spelt}).rules
        assert rule.claim == plural
    with pytest.raises(LicenseInvalid) as caught:
        read_conditions({singular: value, plural: [value]})
    assert caught.value.reason == f"bad_claim:{plural}"


def test_two_singular_names_of_one_claim_refuse() -> None:
    """`time_window` and `time_limit` are one claim twice."""
    with pytest.raises(LicenseInvalid):
        read_conditions({"time_window": WINDOW, "time_limit": WINDOW})


@pytest.mark.row("F07", "F08")
@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("value", [[], [""], None, 0, True, {}, "*", ["*"], "x" * 5, [[]]])
def test_a_malformed_claim_refuses_the_license_also_beside_good_ones(
    claim: str, value: object
) -> None:
    """An empty list permits nothing, and a text is no list."""
    with pytest.raises(LicenseInvalid):
        read_conditions({**CLAIMS, claim: value})


def test_a_binding_is_a_condition() -> None:
    """`cnf` is kept apart from the rules: it is judged last, and takes a store."""
    read = conditions({"cnf": {"jkt": JKT}})
    assert read.binding is not None
    assert (read.rules, read.binding.jkt) == ((), JKT)
    with pytest.raises(LicenseInvalid):
        read_conditions({"cnf": {"jkt": JKT, "jwk": {}}})


# -- must_understand ------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["tenant", {}, [1], [None], ["a"] * 1001, None])
def test_a_list_of_names_is_a_list_of_names(names: object) -> None:
    """Anything else refuses the license."""
    with pytest.raises(LicenseInvalid) as caught:
        read_conditions({"must_understand": names})
    assert caught.value.reason == "bad_claim:must_understand"


@pytest.mark.row("F06")
@pytest.mark.parametrize("name", ["tenant", "domains", "plan", "exp", "cnf", "status", ""])
def test_what_is_insisted_on_is_enforced_here(name: str) -> None:
    """Neither a claim that nobody judges nor one that is absent can be insisted on."""
    payload = {"tenant": "t", "plan": "p", "exp": 1, "domain": "reports.example"}
    with pytest.raises(LicenseInvalid) as caught:
        read_conditions({**payload, "must_understand": ["domain", name]})
    assert caught.value.reason == "must_understand"


def test_what_is_enforced_may_be_insisted_on() -> None:
    """The constraints in either spelling, the binding, and what was registered."""
    constraint("tenant")(lambda value, facts: True)
    payload = {"domain": "reports.example", "regions": ["DE"], "tenant": "t", "cnf": {"jkt": JKT}}
    assert len(conditions({**payload, "must_understand": [*payload]}).rules) == 3
    assert len(conditions({**payload, "must_understand": ["domain"] * 1000}).rules) == 3


def test_an_empty_list_insists_on_nothing() -> None:
    """It is no condition."""
    assert read_conditions({"must_understand": []}) is None


# -- constraints of one's own ---------------------------------------------------------------------


def test_a_function_is_given_the_raw_value_and_the_circumstances() -> None:
    """It is enforced wherever the claim stands, insisted on or not."""
    given: list[Any] = []

    @constraint("tenant")
    def tenant(value: Any, facts: Any) -> bool:
        given.append((value, facts.host(), str(facts.address()), facts.region(), facts.now))
        return bool(value["name"] == "acme")

    conditions({"tenant": {"name": "acme"}}).check(observer().told(HERE, 5.0))
    assert given == [({"name": "acme"}, "reports.example", "203.0.113.9", "DE-BY", 5.0)]
    error = denial({"tenant": {"name": "evil"}})
    assert (error.code, error.reason) == ("license_constraint", "tenant:refused")
    assert error.members == {"constraint": "tenant"}


@pytest.mark.parametrize("answer", [None, 0, "", False])
def test_a_falsy_answer_is_no(answer: object) -> None:
    """A function that forgot to return refuses."""
    constraint("tenant")(lambda value, facts: answer)
    assert denial({"tenant": 1}).code == "license_constraint"


@pytest.mark.parametrize("answer", [True, 1, "yes", [0]])
def test_a_truthy_answer_is_yes(answer: object) -> None:
    """Whatever is true to Python, as a match of a pattern is."""
    constraint("tenant")(lambda value, facts: answer)
    conditions({"tenant": 1}).check(observer().told(HERE, 0.0))


def test_an_exception_is_neither_yes_nor_no() -> None:
    """It leaves the check as it is; the gate makes it a 503."""

    @constraint("tenant")
    def tenant(value: Any, facts: Any) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        conditions({"tenant": 1}).check(observer().told(HERE, 0.0))


def test_a_class_is_made_once_for_a_license() -> None:
    """Its instances are called; a value it cannot read makes the license invalid."""
    made: list[int] = []

    @constraint("floor")
    class Floor:
        def __init__(self, value: Any) -> None:
            self.floor = int(value)
            made.append(self.floor)

        def __call__(self, facts: Any) -> bool:
            return self.floor < 3

    read = conditions({"floor": "2"})
    for _ in range(3):
        read.check(observer().told(HERE, 0.0))
    assert made == [2]
    assert denial({"floor": 3}).code == "license_constraint"
    for value in ("x", None, {}):
        with pytest.raises(LicenseInvalid) as caught:
            read_conditions({"floor": value})
        assert caught.value.reason == "bad_claim:floor"


def test_what_would_have_to_be_awaited_is_refused() -> None:
    """A coroutine is true whatever it comes to: refused at import, or as an error."""

    async def later(value: Any, facts: Any) -> bool:
        return True

    with pytest.raises(TypeError, match="coroutine"):
        constraint("tenant")(later)

    class Later:
        def __init__(self, value: Any) -> None: ...

        async def __call__(self, facts: Any) -> bool:
            return True

    with pytest.raises(TypeError, match="coroutine"):
        constraint("tenant")(Later)
    assert "tenant" not in custom.custom_names()

    class Awaitable:
        def __await__(self) -> Any:
            yield

    constraint("tenant")(lambda value, facts: Awaitable())
    with pytest.raises(TypeError, match=r"^a constraint answered with .*awaited"):
        conditions({"tenant": 1}).check(observer().told(HERE, 0.0))


@pytest.mark.parametrize("name", ["domains", "domain", "iss", "cnf", "features", "", "a b", "é"])
def test_a_claim_with_a_meaning_gets_no_other(name: str) -> None:
    """Nobody can replace what Licet enforces, or name what no license says."""
    with pytest.raises(ValueError, match="constraint of your own"):
        constraint(name)


def test_every_claim_that_is_read_here_is_taken() -> None:
    """A function of an application's own can stand in for none of them."""
    assert frozenset(_TERM_CLAIMS) <= custom.TAKEN


def test_two_functions_cannot_judge_one_claim() -> None:
    """The second one is told, and the first one stays."""
    constraint("tenant")(lambda value, facts: False)
    with pytest.raises(ValueError, match="already"):
        constraint("tenant")(lambda value, facts: True)
    assert denial({"tenant": 1}).code == "license_constraint"


def test_parentheses_are_not_forgotten() -> None:
    """Used bare it fails at import, as does a thing that cannot be called."""
    with pytest.raises(TypeError, match=r"^write @constraint\('name'\), with parentheses$"):
        constraint(lambda value, facts: True)  # type: ignore[arg-type]

    class Mute:
        def __init__(self, value: Any) -> None: ...

    for judge in (3, Mute):
        with pytest.raises(TypeError) as caught:
            constraint("tenant")(judge)  # type: ignore[type-var]
        assert str(caught.value) == (
            "@constraint goes on a plain function, or a class with a plain __call__:"
            " no coroutine, no generator"
        )


# -- what is remembered of circumstances ----------------------------------------------------------


def requested(host: str = "reports.example", peer: str = "203.0.113.9", **lines: list[str]) -> Any:
    facts = Presented(peer=peer, lines={"host": [host], **lines})
    return observer().of(facts, 0.0)


def test_what_held_once_holds_for_equal_evidence_alone() -> None:
    """Another host, another peer, a second line or another target is judged by itself."""
    read = conditions({"domains": ["reports.example"], "ip_ranges": ["203.0.113.0/24"]})
    for _ in range(2):
        read.check(requested())
    for circumstances in (
        requested(host="evil.example"),
        requested(peer="198.51.100.1"),
        observer().of(Presented(peer="203.0.113.9"), 0.0),
        requested(host="reports.example,evil.example"),
        observer().of(Presented(peer="203.0.113.9", lines={"host": ["reports.example"] * 2}), 0.0),
        observer().of(
            Presented(
                peer="203.0.113.9",
                lines={"host": ["reports.example"]},
                absolute_target="http://evil.example/",
            ),
            0.0,
        ),
    ):
        with pytest.raises((ConstraintViolated, BadHost)):
            read.check(circumstances)
    read.check(requested())


@dataclass
class Counted:
    """Holds everywhere, and counts for how many requests it was asked."""

    code = "license_domain"
    asked: int = 0

    def holds(self, circumstances: Circumstances) -> bool:
        self.asked += 1
        return True


def test_equal_evidence_is_judged_once() -> None:
    """Where there is evidence and the rule is steady; else for each request."""
    steady, unsteady = Counted(), Counted()
    rules = (Rule("a", steady, str, steady=True), Rule("b", unsteady, str))
    read = Conditions(rules)
    for _ in range(3):
        read.check(requested(host="a.example"))
        read.check(requested(host="b.example"))
    assert (steady.asked, unsteady.asked) == (2, 6)
    for _ in range(3):
        read.check(requested(host="x" * 600))
    assert (steady.asked, unsteady.asked) == (5, 9)
    assert len(read._met) == 2


def test_domain_and_network_alone_are_steady() -> None:
    """By when and where from, the same request may be another."""
    constraint("tenant")(lambda value, facts: True)
    rules = conditions({**CLAIMS, "tenant": "t"}).rules
    assert [rule.claim for rule in rules if rule.steady] == ["domains", "ip_ranges"]
    assert len(rules) == 5


def test_what_did_not_hold_is_not_remembered() -> None:
    """The same refusal each time, and nothing is kept of it."""
    read = conditions({"domains": ["reports.example"]})
    for _ in range(2):
        with pytest.raises(ConstraintViolated):
            read.check(requested(host="evil.example"))
    assert not read._met


def test_time_and_region_are_judged_each_time() -> None:
    """Neither stands still: no evidence vouches for them."""
    window = {"from": "00:00", "to": "00:01", "tz": "UTC"}
    read = conditions({"domains": ["reports.example"], "time_windows": [window]})
    facts = Presented(lines={"host": ["reports.example"]})
    read.check(observer().of(facts, 59.0))
    with pytest.raises(ConstraintViolated):
        read.check(observer().of(facts, 60.0))
    there = conditions({"regions": ["DE"]})
    proxied = observer(trusted_proxies=("192.0.2.0/24",), region_header="x-region")
    there.check(proxied.of(Presented(lines={"x-region": ["DE"]}), 0.0))
    with pytest.raises(ConstraintViolated):
        there.check(proxied.of(Presented(lines={"x-region": ["AT"]}), 0.0))


def test_behind_a_proxy_its_fields_are_evidence_too() -> None:
    """What it says of another client or host is judged by itself, from the same peer."""
    read = conditions({"domains": ["reports.example"], "ip_ranges": ["203.0.113.0/24"]})
    proxied = observer(trusted_proxies=("192.0.2.0/24",))

    def said(client: str, host: str) -> Any:
        lines = {"x-forwarded-for": [client], "x-forwarded-host": [host]}
        return proxied.of(Presented(lines=lines), 0.0)

    for _ in range(2):
        read.check(said("203.0.113.9", "reports.example"))
        for client, host in (
            ("198.51.100.1", "reports.example"),
            ("203.0.113.9", "evil.example"),
            ("203.0.113.9, 198.51.100.1", "reports.example"),
        ):
            with pytest.raises(ConstraintViolated):
                read.check(said(client, host))


def test_a_judged_host_is_asked_for_each_time() -> None:
    """The framework may change its mind: `override_settings`, for one."""
    read = conditions({"domains": ["reports.example"]})
    read.check(observer().of(Presented(host="reports.example", is_judged=True), 0.0))
    with pytest.raises(ConstraintViolated):
        read.check(observer().of(Presented(host="evil.example", is_judged=True), 0.0))


def test_what_is_remembered_is_bounded() -> None:
    """However many hosts a wildcard covers, and however long what a stranger sends."""
    read = conditions({"ip_ranges": ["203.0.113.0/24"]})
    for number in range(2 * MOST_PLACES + 1):
        read.check(requested(host=f"h{number}.example"))
        assert len(read._met) == number % MOST_PLACES + 1
    assert observer().of(Presented(lines={"host": ["x" * 600]}), 0.0).evidence() is None
    assert observer().of(Presented(absolute_target="x" * 600), 0.0).evidence() is None
