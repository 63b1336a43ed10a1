"""What is kept of answers: of a yes, a no and a silence, and never for a place not asked about."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from licet.core.documents.schedule import Instant
from licet.core.errors import LicenseExpired
from licet.core.grants import Grant, Terms
from licet.core.online import memory
from licet.core.online.answers import NoAnswer
from licet.core.online.memory import DOMAINS, Case, Memory, Yes
from licet.core.token.claims import Claims
from tests.core.hands import Hands

TERMS = Terms(None, frozenset(), {}, frozenset(), frozenset())


def grant(hands: Hands, license_id: str = "lic_1", lives: float = 1e6) -> Grant:
    """Return a grant that a license server vouches for."""
    ends = hands.wall + lives
    claims = Claims(
        payload={},
        issuer="https://licenses.acme.example",
        license_id=license_id,
        customer=None,
        issued_at=0,
        expires_at=ends,
        not_before=0,
    )
    return Grant(claims, TERMS, leeway=0, since=hands.wall, until=0, verified_by="online")


def now(hands: Hands) -> Instant:
    return Instant(hands.monotonic, hands.wall)


def yes(hands: Hands, *, anywhere: bool = False, serves: float = 100.0, **named: Any) -> Yes:
    return Yes(grant(hands, **named), now(hands), 50.0, serves, anywhere)


def digest(number: int) -> bytes:
    return number.to_bytes(32)


# -- never for a place that was not asked about ----------------------------------------------------

DOMAIN = st.sampled_from([None, "", "a.example", "b.example", "c.example"])
STEP = st.one_of(
    st.tuples(st.just("yes"), DOMAIN, st.booleans(), st.floats(0, 200)),
    st.tuples(st.just("no"), DOMAIN, st.booleans()),
    st.tuples(st.just("forget")),
    st.tuples(st.just("failure")),
    st.tuples(st.just("pass"), st.floats(0, 120)),
    st.tuples(st.just("suspend"), st.floats(0, 120)),
    st.tuples(st.just("set"), st.floats(-200, 200)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=30), DOMAIN)
def test_no_yes_counts_where_nobody_asked(steps: list[Any], place: str | None) -> None:
    """Whatever was answered, forgotten, and however time went: a yes found is one that was given.

    For this very domain, or for all; after it no refusal of it, none of all, and no forgetting;
    and not later than it serves.
    """
    hands = Hands()
    kept = Memory(hands.clock)
    given: Yes | None = None
    for step in steps:
        match step:
            case ("yes", domain, anywhere, serves):
                answer = yes(hands, anywhere=anywhere, serves=serves)
                kept.keep_yes(Case(digest(1), domain), answer)
                if anywhere or domain == place:
                    given = answer
                elif given is not None and given.anywhere:
                    given = None
            case ("no", domain, anywhere):
                error = LicenseExpired("online:expired")
                kept.keep_no(Case(digest(1), domain), error, anywhere=anywhere)
                if anywhere or domain == place or (given is not None and given.anywhere):
                    given = None
            case ("forget",):
                kept.forget(digest(1))
                given = None
            case ("failure",):
                kept.keep_failure(Case(digest(1), None), NoAnswer("connect"))
            case ("pass", seconds):
                hands.advance(seconds)
            case ("suspend", seconds):
                hands.suspend(seconds)
            case ("set", seconds):
                hands.wall += seconds
        found = kept.yes(Case(digest(1), place), now(hands))
        assert found is None or found is given
        if found is not None:
            assert found.age(now(hands)) < found.serves_for
        else:
            # What has ended once, by whichever clock, has ended.
            given = None
        assert kept.yes(Case(digest(2), place), now(hands)) is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ynqt")), max_size=80))
def test_a_credential_has_a_few_domains(steps: list[tuple[int, str]]) -> None:
    """However many it is presented at: eight are kept as yes, eight as no, none besides."""
    hands = Hands()
    kept = Memory(hands.clock)
    for number, what in steps:
        case = Case(digest(1), f"h{number}.example")
        if what == "t":
            hands.advance(number)
        elif not kept.crowded(case)[0]:
            if what == "y":
                kept.keep_yes(case, yes(hands, serves=1e6))
            elif what == "n":
                kept.keep_no(case, LicenseExpired("no"), anywhere=False)
        assert len(kept._yes.get(digest(1), ())) <= DOMAINS
        assert len(kept._refused.get(digest(1), ())) <= DOMAINS


def test_what_strangers_bring_is_bounded() -> None:
    """Ten thousand and more failures, refusals and answers leave no more than the first few."""
    hands = Hands()
    kept = Memory(hands.clock)
    known = Case(digest(0), "a.example")
    kept.keep_yes(known, yes(hands))
    for number in range(1, memory.GOOD + 100):
        case = Case(digest(number), "a.example")
        kept.keep_failure(Case(case.digest, None), NoAnswer("connect"))
        kept.keep_no(case, LicenseExpired("no"), anywhere=number % 2 == 0)
    assert kept.yes(known, now(hands)) is not None, "no stranger evicts what is good"
    for number in range(1, memory.GOOD + 100):
        kept.keep_yes(Case(digest(number), "a.example"), yes(hands))
    assert len(kept._yes) == memory.GOOD
    for others in (kept._no, kept._failures, kept._refused, kept._crowded):
        assert len(others) <= memory.OTHERS


# -- too many domains ------------------------------------------------------------------------------


def full(hands: Hands) -> Memory:
    """Return a memory in which one credential has as many domains as it may."""
    kept = Memory(hands.clock)
    for number in range(DOMAINS):
        kept.keep_yes(Case(digest(1), f"h{number}.example"), yes(hands, serves=1e6))
    return kept


def test_one_domain_too_many_is_let_in_at_a_time() -> None:
    """After a minute; it stays let in until it has its answer, and the next waits a minute more."""
    hands = Hands()
    kept = full(hands)
    ninth, tenth = Case(digest(1), "ninth.example"), Case(digest(1), "tenth.example")
    assert kept.crowded(ninth) == (60, True)
    assert kept.crowded(tenth) == (60, False)
    hands.advance(60)
    for _ in range(3):
        assert kept.crowded(ninth) == (0, False)
        assert kept.crowded(tenth) == (60, False)
    hands.advance(60)
    assert kept.crowded(tenth) == (0, False)
    kept.keep_yes(tenth, yes(hands, serves=1e6))
    assert kept.crowded(tenth) == (0, False)
    assert kept.crowded(ninth) == (60, True)
    assert kept.crowded(Case(digest(1), "h0.example")) == (60, False), "it gave way"


def test_an_answer_for_a_known_domain_keeps_no_other_waiting() -> None:
    """Who waits for a place is not sent back by what is renewed meanwhile."""
    hands = Hands()
    kept = full(hands)
    ninth = Case(digest(1), "ninth.example")
    assert kept.crowded(ninth) == (60, True)
    for _ in range(6):
        hands.advance(10)
        kept.keep_yes(Case(digest(1), "h3.example"), yes(hands, serves=1e6))
    assert kept.crowded(ninth) == (0, False)


def test_domains_under_way_count() -> None:
    """Eight that are being asked about are as many as eight that were."""
    kept = Memory(Hands().clock)
    under_way = [f"h{number}.example" for number in range(DOMAINS)]
    assert kept.crowded(Case(digest(1), "ninth.example"), under_way) == (60, True)
    assert kept.crowded(Case(digest(1), "h0.example"), under_way) == (0, False)


def test_refused_domains_are_not_collected_for_ever() -> None:
    """Day after day a new domain is refused, the old ones again: it counts eight of them."""
    hands = Hands()
    kept = Memory(hands.clock)
    for number in range(200):
        hands.advance(30)
        kept.keep_no(Case(digest(1), f"h{number}.example"), LicenseExpired("no"), anywhere=False)
    assert len(kept._refused[digest(1)]) == DOMAINS


# -- a no and a silence ----------------------------------------------------------------------------


def test_what_is_kept_of_a_refusal_holds_on_to_nothing() -> None:
    """No trace, whose frames would hold the credential, stays in memory with it."""
    hands = Hands()
    kept = Memory(hands.clock)
    try:
        raise LicenseExpired("online:expired")
    except LicenseExpired as error:
        kept.keep_no(Case(digest(1), None), error, anywhere=True)
    try:
        raise NoAnswer("connect")
    except NoAnswer as nothing:
        kept.keep_failure(Case(digest(1), None), nothing)
    no, failure = kept.no(Case(digest(1), "a.example")), kept.failure(digest(1))
    assert no is not None
    assert failure is not None
    assert no.__traceback__ is failure.__traceback__ is None
    hands.advance(30)
    assert kept.failure(digest(1)) is None
    assert kept.no(Case(digest(1), "a.example")) is not None
    hands.advance(30)
    assert kept.no(Case(digest(1), "a.example")) is None


def test_the_license_of_a_credential_is_told_while_it_is_known() -> None:
    """By any domain it was vouched for at, until that is forgotten."""
    hands = Hands()
    kept = Memory(hands.clock)
    assert kept.license_id(digest(1)) is None
    assert not kept.knows(digest(1))
    kept.keep_yes(Case(digest(1), "a.example"), yes(hands, license_id="sold_1"))
    assert kept.license_id(digest(1)) == "sold_1"
    assert kept.knows(digest(1))
    kept.forget(digest(1))
    assert kept.license_id(digest(1)) is None
