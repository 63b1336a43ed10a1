"""What a page tells its users of the license."""

from __future__ import annotations

from typing import Any

import pytest

from licet import Entitlements, LicenseExpired, LimitExceeded, Settings
from licet.core import flow
from licet.core.entitlements.banner import Banner, Used, banner
from licet.core.gate import Gate
from licet.core.usage import latest as latest_module
from licet.core.usage.account import Account
from licet.core.usage.charge import Charge
from licet.core.usage.latest import Latest
from licet.core.usage.rates import Rate
from tests.core.hands import Hands
from tests.core.worlds import token_of
from tests.licenses import OPTIONS

DAY = 86_400


def entitlements_of(hands: Hands, days: float, **claims: Any) -> Entitlements:
    """Return what a license entitles to that ends in so many days."""
    now = int(hands.wall)
    gate = Gate(Settings(**OPTIONS), clock=hands.clock)
    token = token_of(hands, iat=now, exp=now + int(days * DAY), **claims)
    return flow.run(gate.verify(token.encode()))


@pytest.mark.parametrize(
    ("days", "told"), [(30, 30), (1.001, 2), (1, 1), (0.5, 1), (0.001, 1)], ids=str
)
def test_begun_days_count(days: float, told: int) -> None:
    """Nobody reads that there is no day left on the day itself."""
    assert banner(entitlements_of(Hands(), days)) == Banner("active", told)


def test_the_days_of_a_grace_are_counted_to_its_end() -> None:
    """And a trial is called one, while it lasts."""
    hands = Hands()
    entitlements = entitlements_of(hands, 10, grace=5 * DAY)
    trial = banner(entitlements_of(hands, 10, trial=True))
    assert (trial.on_trial, trial.in_grace, trial.days_left) == (True, False, 10)
    hands.advance(12 * DAY)
    told = banner(entitlements)
    assert (told.on_trial, told.in_grace, told.days_left) == (False, True, 3)
    hands.advance(4 * DAY)
    assert banner(entitlements) == Banner("unlicensed")


def test_the_last_seconds_have_no_day_left() -> None:
    """Between the end and that of the leeway the license still serves."""
    hands = Hands()
    entitlements = entitlements_of(hands, 1)
    hands.advance(DAY + 1)
    assert banner(entitlements) == Banner("active", 0)


def test_without_a_license_there_is_nothing_to_tell() -> None:
    """Outside of requests neither."""
    assert banner(None) == Banner("unlicensed")
    assert banner(Entitlements.unlicensed(LicenseExpired())) == Banner("unlicensed")


# -- limits --------------------------------------------------------------------------------------


def charge(entitlements: Entitlements, name: str, amount: int) -> Charge:
    """Have so much charged, as a view would."""
    charging = entitlements.charged(lambda ledger, account: ledger.charge(account, name, amount))
    made = flow.run(charging)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("used", "told"),
    [(79, ()), (80, (Used("calls", 80),)), (100, (Used("calls", 100),))],
    ids=str,
)
def test_limits_are_told_of_from_four_fifths_on(used: int, told: tuple[Used, ...]) -> None:
    """In whole percent, to all who have the license: also to a request that charges nothing."""
    hands = Hands()
    first = entitlements_of(hands, 3, limits={"calls": 100, "other": 10, "free": "unlimited"})
    assert banner(first).nearly_used == ()
    charge(first, "calls", used)
    charge(first, "free", 1000)
    assert banner(first).nearly_used == told
    assert banner(Entitlements(first.grant)).nearly_used == told


def test_a_limit_of_nothing_is_told_of_who_tried_it() -> None:
    """All of it is used up."""
    entitlements = entitlements_of(Hands(), 3, limits={"calls": 0})
    assert banner(entitlements).nearly_used == ()
    with pytest.raises(LimitExceeded):
        charge(entitlements, "calls", 1)
    assert banner(entitlements).nearly_used == (Used("calls", 100),)


def test_what_is_given_back_is_not_used() -> None:
    """Nor what was refused."""
    entitlements = entitlements_of(Hands(), 3, limits={"calls": 100})
    charge(entitlements, "calls", 50)
    charge(entitlements, "calls", 45).refund()
    with pytest.raises(LimitExceeded):
        charge(entitlements, "calls", 90)
    assert banner(entitlements).nearly_used == ()
    charge(entitlements, "calls", 30)
    assert banner(entitlements).nearly_used == (Used("calls", 80),)


def test_a_period_that_is_over_is_forgotten() -> None:
    """And where less is permitted since, that is what counts."""
    hands = Hands()
    limits = {"calls": {"max": 100, "per": "day"}, "more": 10}
    entitlements = entitlements_of(hands, 90, limits=limits)
    charge(entitlements, "calls", 90)
    charge(entitlements, "more", 8)
    assert [used.limit for used in banner(entitlements).nearly_used] == ["calls", "more"]
    hands.advance(DAY)
    assert [used.limit for used in banner(entitlements).nearly_used] == ["more"]
    hands.advance(31 * DAY)
    assert banner(entitlements).nearly_used == ()


def test_what_is_remembered_is_bounded() -> None:
    """By the number of limits; those that were counted last are kept."""
    latest = Latest(Hands().clock)
    for number in range(latest_module.MOST + 10):
        account = Account("acme", f"lic_{number}", None, {}, {}, 0.0)
        latest.note(account, Rate("calls", 100, 90, 60.0, None))
        latest.give_back(account, "never counted", 1)
    assert len(latest) == latest_module.MOST
    assert latest.used("acme", "lic_9", "calls") is None
    assert latest.used("acme", f"lic_{latest_module.MOST}", "calls") == 90
