"""What a license may use: counted to the last, by its period, and never silently without limit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.core import flow
from licet.core.entitlements import Entitlements
from licet.core.entitlements.context import bind
from licet.core.environ import EnvironFacts
from licet.core.errors import (
    FeatureNotLicensed,
    LicenseError,
    LicenseExpired,
    LicenseRequired,
    LicenseUnavailable,
    LimitExceeded,
)
from licet.core.flow import Effect
from licet.core.gate import Gate
from licet.core.settings import Settings
from licet.core.stores import Count, Key, StoreUnavailable
from licet.core.stores.memory import MemoryStore
from licet.core.usage.consumption import aconsume, charging, consume
from licet.core.usage.period import LENGTHS, present
from licet.core.usage.rates import Rate, rate_fields
from tests.adapters.clients import environ
from tests.core.counted import Counted
from tests.core.hands import Hands
from tests.licenses import OPTIONS, expired, license_token


class Unsteady(MemoryStore):
    """A store in memory that is sometimes down."""

    down = False
    asked = 0

    def _increment(self, key: Key, amount: int, limit: int, window: float) -> Effect[Count]:
        self.asked += 1
        if self.down:
            raise StoreUnavailable("unreachable")
        return super()._increment(key, amount, limit, window)

    def _admit(self, key: Key, member: Key, limit: int, window: float) -> Effect[Count]:
        self.asked += 1
        if self.down:
            raise StoreUnavailable("unreachable")
        return super()._admit(key, member, limit, window)


@pytest.fixture
def counted(hands: Hands) -> Counted:
    """A ledger of its own."""
    return Counted(hands)


def charge(entitlements: Entitlements, limit: str = "apiCalls", amount: int = 1, **key: Any) -> Any:
    """Charge a license; a key that is None is none here."""
    given = {name: value for name, value in key.items() if value is not None}
    return flow.run(charging(entitlements, limit, amount, **given))


# -- limits ----------------------------------------------------------------------------------------


def test_a_limit_is_used_up_to_the_last_and_no_further(counted: Counted) -> None:
    """As many as the license says pass, and one that asks for more than is left passes not."""
    held = counted.license({"apiCalls": 3})
    assert charge(held, amount=2).rate.used == 2
    with pytest.raises(LimitExceeded):
        charge(held, amount=2)
    assert charge(held).rate.used == 3
    with pytest.raises(LimitExceeded) as refused:
        charge(held)
    error = refused.value
    assert (error.status, error.code, error.members) == (
        429,
        "limit_exceeded",
        {"limit": "apiCalls"},
    )
    assert error.rate is not None
    assert error.rate.maximum == error.rate.used == 3


def test_what_is_used_up_is_told(counted: Counted) -> None:
    """An event names license and limit, and nothing is told of what is within it."""
    held = counted.license({"apiCalls": 1})
    charge(held)
    assert counted.events == []
    with pytest.raises(LimitExceeded):
        charge(held)
    assert [(event.name, dict(event.data)) for event in counted.events] == [
        (
            "usage.exceeded",
            {
                "license_id": "lic_1",
                "issuer": "issuer",
                "limit": "apiCalls",
                "code": "limit_exceeded",
                "maximum": 1,
                "per": "month",
            },
        )
    ]


def test_a_limit_of_zero_is_used_up_from_the_beginning(counted: Counted) -> None:
    """It is 429, also for nothing at all, and no store is asked."""
    held = counted.license({"apiCalls": 0, "seats": 0})
    for amount in (1, 0):
        with pytest.raises(LimitExceeded) as refused:
            charge(held, amount=amount)
        assert refused.value.rate is not None
        assert 0 < refused.value.rate.resets_in <= 31 * 86_400
    with pytest.raises(LimitExceeded) as refused:
        charge(held, "seats", key="alice")
    assert refused.value.code == "seat_limit_exceeded"


def test_a_limit_that_the_license_does_not_name_is_not_licensed(counted: Counted) -> None:
    """It is 403 and says what is missing."""
    held = counted.license({"apiCalls": 1})
    for limit, key in (("exports", None), ("seats", "alice")):
        with pytest.raises(FeatureNotLicensed) as refused:
            charge(held, limit, key=key)
        assert refused.value.members == {"required": [limit], "plan": "professional"}


def test_what_is_unlimited_asks_no_store(hands: Hands) -> None:
    """No limit costs no round trip, and serves while the store is down."""
    store = Unsteady(hands.clock)
    store.down = True
    held = Counted(hands, store).license({"apiCalls": "unlimited", "seats": "unlimited"})
    assert charge(held, amount=2**60).rate is None
    assert charge(held, "seats", key="alice").rate is None
    assert store.asked == 0


def test_no_license_and_one_that_has_ended_use_nothing(counted: Counted, hands: Hands) -> None:
    """What made it so is raised, and nothing is counted."""
    with pytest.raises(LicenseRequired):
        charge(Entitlements.unlicensed())
    held = counted.license({"apiCalls": 1})
    hands.advance(86_400)
    with pytest.raises(LicenseExpired):
        charge(held)


def test_what_nothing_counts_is_a_crash_and_never_a_pass(counted: Counted) -> None:
    """Entitlements that stand still, judged by another time, are charged nothing."""
    held = counted.license({"apiCalls": 1})
    held._grant.fix()
    with pytest.raises(RuntimeError, match="another time"):
        charge(held)


def test_in_report_mode_it_is_counted_and_not_enforced(hands: Hands) -> None:
    """What is beyond the limit passes, is counted, and is told of."""
    refused: list[LicenseError] = []
    counted = Counted(hands, is_enforced=False, refuse=refused.append)
    held = counted.license({"apiCalls": 1, "seats": 0})
    assert [charge(held).rate.used for _ in range(3)] == [1, 2, 3]
    assert charge(held, "seats", key="alice").rate.used == 1
    codes = [event.data["code"] for event in counted.events]
    assert codes == ["limit_exceeded", "limit_exceeded", "seat_limit_exceeded"]
    assert [error.code for error in refused] == codes


# -- whose -----------------------------------------------------------------------------------------


@pytest.mark.row("P03")
def test_a_license_that_is_issued_anew_goes_on_with_what_was_used(counted: Counted) -> None:
    """Another token, other features, another limit: the counters are the license's."""
    charge(counted.license({"apiCalls": 2}))
    anew = counted.license({"apiCalls": 2}, features=["export"], jti="another")
    assert charge(anew).rate.used == 2
    with pytest.raises(LimitExceeded):
        charge(counted.license({"apiCalls": 2}, jti="a third"))
    assert charge(counted.license({"apiCalls": 3})).rate.used == 3


@pytest.mark.row("P02")
def test_each_license_limit_and_user_has_a_counter_of_its_own(counted: Counted) -> None:
    """Names that differ in anything are others; no two run into one another."""
    held = counted.license({"a": 1, "A": 1, "ab": 1, "seats": 2, "b": 1})
    for limit in ("a", "A", "ab", "b"):
        assert charge(held, limit).rate.used == 1
    other = counted.license({"a": 1})
    other._grant.license_id = "lic_1a"
    assert charge(other, "a").rate.used == 1
    other._grant.license_id, other._grant.issuer = "lic_1", "issue"
    assert charge(other, "a").rate.used == 1
    assert charge(held, "seats", key="alice").rate.used == 1
    assert charge(held, "seats", key="Alice").rate.used == 2
    # The same user, however often; a number is the text that it is written as.
    for key in ("alice", "Alice"):
        assert charge(held, "seats", key=key).rate.used == 2
    with pytest.raises(LimitExceeded):
        charge(held, "seats", key="alicE")


@pytest.mark.parametrize("key", [True, 1.5, b"alice", "", ("alice",), object()])
def test_who_is_not_told_takes_no_seat(counted: Counted, key: Any) -> None:
    """A user is a text, a number or a UUID, and nobody is nobody."""
    with pytest.raises(TypeError, match="logged in"):
        charge(counted.license({"seats": 2}), "seats", key=key)
    with pytest.raises(TypeError, match="logged in"):
        charge(counted.license({"seats": 2}), "seats")


@pytest.mark.parametrize("amount", [-1, True, 1.0, "1", None])
def test_what_is_no_amount_is_a_mistake(counted: Counted, amount: Any) -> None:
    """Nobody gives themselves something back by using less than nothing."""
    with pytest.raises(TypeError, match="whole number"):
        charge(counted.license({"apiCalls": 2}), amount=amount)


# -- seats -----------------------------------------------------------------------------------------


def test_a_seat_is_free_again_when_its_user_has_stayed_away(counted: Counted, hands: Hands) -> None:
    """Thirty days without the user, by default; the refusal tells when the next is free."""
    held = counted.license({"seats": 1}, exp_in=90)
    held._grant.ends_at = math.inf
    charge(held, "seats", key="alice")
    hands.advance(86_400)
    with pytest.raises(LimitExceeded) as refused:
        charge(held, "seats", key="bob")
    assert refused.value.rate is not None
    assert refused.value.rate.resets_in == pytest.approx(29 * 86_400)
    hands.advance(29 * 86_400)
    assert charge(held, "seats", key="bob").rate.used == 1


def test_a_license_says_how_long_a_seat_is_kept(counted: Counted, hands: Hands) -> None:
    """`per` is a rolling length of time for seats."""
    held = counted.license({"seats": {"max": 1, "per": "minute"}})
    charge(held, "seats", key="alice")
    hands.advance(59)
    with pytest.raises(LimitExceeded):
        charge(held, "seats", key="bob")
    hands.advance(1)
    charge(held, "seats", key="bob")


# -- periods ---------------------------------------------------------------------------------------

EDGES = {
    "minute": ("2027-03-01T10:20:00", "2027-03-01T10:21:00"),
    "hour": ("2027-03-01T10:00:00", "2027-03-01T11:00:00"),
    "day": ("2028-02-29T00:00:00", "2028-03-01T00:00:00"),
    "month": ("2027-12-01T00:00:00", "2028-01-01T00:00:00"),
}


def at(text: str) -> float:
    """Return a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.row("P05")
@pytest.mark.parametrize("per", EDGES)
def test_a_period_begins_and_ends_on_the_second(counted: Counted, hands: Hands, per: str) -> None:
    """The last moment belongs to a period, its end to the next, in which all is there again."""
    begin, end = map(at, EDGES[per])
    hands.wall = begin
    held = counted.license({"apiCalls": {"max": 1, "per": per}})
    held._grant.ends_at = math.inf
    rate = charge(held).rate
    assert (rate.resets_in, rate.window) == (end - begin, end - begin)
    hands.wall = math.nextafter(end, 0)
    with pytest.raises(LimitExceeded):
        charge(held)
    hands.wall = end
    charge(held)


@given(
    st.sampled_from([*LENGTHS, "month"]), st.floats(0, 253_370_764_799, allow_nan=False), st.data()
)
def test_a_moment_is_in_one_period(per: str, now: float, data: st.DataObject) -> None:
    """Every moment of a period names it alike, and the first one after it names another."""
    period = present(per, now, 0)
    assert period.length is not None
    assert 0 < period.left <= period.length
    begin = float(period.name.partition(":")[2])
    end = begin + period.length
    assert begin <= now < end
    other = data.draw(st.floats(begin, end, exclude_max=True))
    assert present(per, other, 0).name == period.name
    if end < 253_370_764_800:
        assert present(per, end, 0).name != period.name


@pytest.mark.row("P05")
@pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf, -1.0, 1e18])
def test_a_clock_that_tells_no_time_counts_nothing(now: float, hands: Hands) -> None:
    """It is undecided: no such moment has a period."""
    for per in (*LENGTHS, "month", "term"):
        with pytest.raises(LicenseUnavailable):
            present(per, now, 0)


@pytest.mark.row("P05")
def test_a_clock_that_jumps_finds_the_counts_that_were_there(
    counted: Counted, hands: Hands
) -> None:
    """Forward and back again, nothing of a period is forgotten, and nothing counted twice."""
    hands.wall = at("2027-03-10T12:00:00")
    held = counted.license({"apiCalls": {"max": 2, "per": "day"}})
    held._grant.ends_at = math.inf
    charge(held)
    for jump in (1, 3600, 86_400 * 31, 86_400 * 366 * 9):
        hands.wall += jump
        charge(held, amount=0)
        hands.wall -= jump
        assert charge(held, amount=0).rate.used == 1
    charge(held)
    for jump in (-1, -3600, 3600):
        hands.wall += jump
        with pytest.raises(LimitExceeded):
            charge(held)
        hands.wall -= jump


def test_a_bare_number_counts_over_the_period_of_the_settings(hands: Hands) -> None:
    """And a limit with a period of its own over that one."""
    counted = Counted(hands, period="hour")
    held = counted.license({"apiCalls": 5, "exports": {"max": 5, "per": "day"}})
    assert (charge(held).rate.window, charge(held, "exports").rate.window) == (3600, 86_400)


def test_the_term_is_the_license_s_and_not_its_token_s(counted: Counted, hands: Hands) -> None:
    """What was used in a term stays used when the held is renewed."""
    limits = {"exports": {"max": 1, "per": "term"}}
    rate = charge(counted.license(limits), "exports").rate
    assert (rate.resets_in, rate.window) == (3600, None)
    hands.advance(86_400 * 300)
    with pytest.raises(LimitExceeded):
        charge(counted.license(limits), "exports")


def test_who_has_used_up_a_term_that_has_ended_waits_for_long() -> None:
    """In grace or downgraded there is no end to wait for: a month, and not a second."""
    left = {"plan": "free", "features": [], "limits": {"exports": {"max": 1, "per": "term"}}}
    _, entitlements = gated(expired(sub="lic_ended_term"), downgrade_to=left)
    rate = charge(entitlements, "exports").rate
    assert rate.resets_in == 31 * 86_400
    with pytest.raises(LimitExceeded) as refused:
        charge(entitlements, "exports")
    assert refused.value.rate is not None
    assert refused.value.rate.resets_in == 31 * 86_400


@pytest.mark.row("P05")
def test_the_largest_numbers_are_counted_like_any(counted: Counted) -> None:
    """Beyond 2^53 nothing is added, and what does not fit is refused and not cut."""
    held = counted.license({"apiCalls": 2**53})
    charge(held, amount=2**53 - 1)
    for amount in (1, 2**53, 2**63, 2**200):
        with pytest.raises(LimitExceeded):
            charge(held, amount=amount)
    with pytest.raises(LimitExceeded):
        charge(counted.license({"apiCalls": 5}), amount=2**64)


# -- given back ------------------------------------------------------------------------------------


def test_a_charge_is_given_back_once(counted: Counted) -> None:
    """The second refund, and one after `keep`, give nothing."""
    held = counted.license({"apiCalls": 3})
    charge(held)
    made = charge(held, amount=2)
    for _ in range(3):
        made.refund()
        assert charge(held, amount=0).rate.used == 1
    kept = charge(held)
    kept.keep()
    kept.refund()
    assert charge(held, amount=0).rate.used == 2


@pytest.mark.row("P05")
def test_what_is_given_back_late_makes_no_period_richer(counted: Counted, hands: Hands) -> None:
    """It goes to the period that it was charged in, and if that is gone, nowhere."""
    held = counted.license({"apiCalls": {"max": 2, "per": "minute"}})
    held._grant.ends_at = math.inf
    made = charge(held, amount=2)
    hands.advance(60)
    charge(held, amount=2)
    made.refund()
    with pytest.raises(LimitExceeded):
        charge(held)
    late = charge(held, amount=0)
    assert late.rate.used == 2
    made = charge(counted.license({"other": {"max": 9, "per": "minute"}}), "other", 5)
    hands.advance(86_400)
    made.refund()
    hands.wall -= 86_400
    again = counted.license({"other": {"max": 9, "per": "minute"}})
    assert charge(again, "other", 0).rate.used == 0


def test_what_is_given_back_is_told_no_more(counted: Counted) -> None:
    """The rates of a request are those of what it was charged."""
    held = counted.license({"apiCalls": 3, "exports": 3})
    made = charge(held)
    charge(held, "exports")
    assert [rate.limit for rate in held.rates()] == ["apiCalls", "exports"]
    made.refund()
    assert [rate.limit for rate in held.rates()] == ["exports"]


# -- a store that is down --------------------------------------------------------------------------


@pytest.mark.row("P04")
def test_a_store_that_is_down_decides_nothing(hands: Hands) -> None:
    """It is 503, for limits and seats, and what it does not answer is not counted elsewhere."""
    store = Unsteady(hands.clock)
    held = Counted(hands, store).license({"apiCalls": 1, "seats": 1})
    store.down = True
    for limit, key in (("apiCalls", None), ("seats", "alice")):
        with pytest.raises(LicenseUnavailable) as undecided:
            charge(held, limit, key=key)
        assert undecided.value.reason == "store:unreachable"
    store.down = False
    assert charge(held).rate.used == 1
    assert charge(held, "seats", key="bob").rate.used == 1


@pytest.mark.row("P04")
def test_counting_locally_is_bounded_too(hands: Hands) -> None:
    """While the store is down this process counts by itself to the same limit, and then goes on."""
    store = Unsteady(hands.clock)
    counted = Counted(hands, store, locally=True)
    held = counted.license({"apiCalls": 2, "seats": 1})
    assert charge(held).rate.used == 1
    store.down = True
    assert [charge(held).rate.used for _ in range(2)] == [1, 2]
    with pytest.raises(LimitExceeded):
        charge(held)
    charge(held, "seats", key="alice")
    with pytest.raises(LimitExceeded):
        charge(held, "seats", key="bob")
    # Not each request waits for a store that was silent a moment ago.
    assert store.asked == 2
    store.down = False
    hands.advance(1)
    assert charge(held).rate.used == 2


@pytest.mark.row("P06")
def test_a_process_that_has_no_room_left_refuses(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are bounded, and what finds no room is undecided and never unlimited."""
    monkeypatch.setattr("licet.core.usage.counting.ROOM", 50)
    for store in (MemoryStore(hands.clock, 50), Unsteady(hands.clock)):
        counted = Counted(hands, store, locally=isinstance(store, Unsteady))
        if isinstance(store, Unsteady):
            store.down = True
        held = counted.license({"apiCalls": 10, "seats": 10_000})
        for number in range(50):
            held._grant.license_id = f"lic_{number}"
            charge(held)
            charge(held, "seats", key=number)
        held._grant.license_id = "lic_another"
        for key in (None, "alice"):
            with pytest.raises(LicenseUnavailable) as undecided:
                charge(held, "apiCalls" if key is None else "seats", key=key)
            assert undecided.value.reason == "store:full"
        # Whoever was counted before is counted on.
        held._grant.license_id = "lic_0"
        assert charge(held).rate.used == 2


# -- in public -------------------------------------------------------------------------------------


@pytest.fixture
def bound(counted: Counted) -> Iterator[Entitlements]:
    """Run the test under a license."""
    with bind(counted.license({"apiCalls": 2, "seats": 1})) as entitlements:
        yield entitlements


def test_consume_charges_the_current_license(bound: Entitlements) -> None:
    """In a job as in a view, by amount or by user, and the charge can be given back."""
    charge = consume("apiCalls", 2)
    with pytest.raises(LimitExceeded):
        consume("apiCalls")
    charge.refund()
    consume("apiCalls")
    consume("seats", key="alice")
    with pytest.raises(LimitExceeded):
        consume("seats", key="bob")


@pytest.mark.anyio
async def test_aconsume_charges_the_current_license(bound: Entitlements) -> None:
    """As `consume` does, in a coroutine."""
    charge = await aconsume("apiCalls", 2)
    with pytest.raises(LimitExceeded):
        await aconsume("apiCalls")
    await charge.arefund()
    await aconsume("apiCalls")
    await aconsume("seats", key="alice")
    with pytest.raises(LimitExceeded):
        await aconsume("seats", key="bob")


def test_without_a_middleware_consume_is_a_crash() -> None:
    """It says what is missing."""
    with pytest.raises(RuntimeError, match="LicenseMiddleware"):
        consume("apiCalls")


# -- what is told ----------------------------------------------------------------------------------


def test_rates_are_structured_fields() -> None:
    """Names, what is left and for how long, as draft-ietf-httpapi-ratelimit-headers-11 has it."""
    rates = [
        Rate("apiCalls", 10, 3, 59.2, 60.0),
        Rate("exports", 2**53, 0, 0.0, None),
        Rate("apiCalls", 10, 4, 59.1, 60.0),
        Rate("over", 1, 4, 5.0, 60.0),
    ]
    assert rate_fields(rates) == (
        ("RateLimit-Policy", '"apiCalls";q=10;w=60, "exports";q=999999999999999, "over";q=1;w=60'),
        ("RateLimit", '"apiCalls";r=6;t=60, "exports";r=999999999999999;t=1, "over";r=0;t=5'),
    )
    assert rate_fields([]) == ()


# -- in the whole ----------------------------------------------------------------------------------


def gated(token: str, **options: Any) -> tuple[Gate, Entitlements]:
    """Return a gate of these settings, and what a license entitles to there."""
    gate = Gate(Settings(**OPTIONS, **options))
    return gate, flow.run(gate.verify(token.encode()))


def test_a_downgraded_license_has_the_limits_that_are_left_of_it() -> None:
    """And goes on with what it has used."""
    left = {"plan": "free", "features": [], "limits": {"apiCalls": 2}}
    token = expired(limits={"apiCalls": 100, "exports": 5}, sub="lic_downgraded")
    _, entitlements = gated(token, downgrade_to=left)
    assert [charge(entitlements).rate.used for _ in range(2)] == [1, 2]
    with pytest.raises(LimitExceeded):
        charge(entitlements)
    with pytest.raises(FeatureNotLicensed):
        charge(entitlements, "exports")


def test_a_gate_that_reports_counts_what_it_would_have_refused() -> None:
    """Beyond the limit, beyond the license, and without one."""
    token = license_token(limits={"apiCalls": 1}, sub="lic_reported")
    gate, entitlements = gated(token, mode="report")
    assert [charge(entitlements).rate.used for _ in range(3)] == [1, 2, 3]
    assert charge(entitlements, "exports").amount == 0
    assert charge(flow.run(gate.verify(b"none"))).amount == 0
    counts = {"limit_exceeded": 2, "feature_not_licensed": 1, "license_invalid": 1}
    assert gate.would_refuse() == counts


def test_where_nothing_is_judged_nothing_is_counted() -> None:
    """`mode="off"` passes without a store."""
    gate = Gate(Settings(**OPTIONS, mode="off"))
    entitlements = flow.run(gate.decide(EnvironFacts(environ("GET", "/"))))
    assert [charge(entitlements).amount for _ in range(3)] == [0, 0, 0]
