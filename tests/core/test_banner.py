"""What a page tells its users of the license."""

from __future__ import annotations

from typing import Any

import pytest

from licet import Entitlements, LicenseExpired, Settings
from licet.core import flow
from licet.core.banner import Banner, Used, banner
from licet.core.gate import Gate
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


@pytest.mark.parametrize(
    ("used", "maximum", "told"),
    [
        (79, 100, ()),
        (80, 100, (Used("calls", 80),)),
        (100, 100, (Used("calls", 100),)),
        (130, 100, (Used("calls", 100),)),
        (0, 0, (Used("calls", 100),)),
    ],
    ids=str,
)
def test_limits_are_told_of_from_four_fifths_on(
    used: int, maximum: int, told: tuple[Used, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those that this request was charged to, in whole percent."""
    rate = Rate("calls", maximum, used, 1.0, None)
    monkeypatch.setattr(Entitlements, "rates", lambda self: (rate,))
    assert banner(entitlements_of(Hands(), 3)).nearly_used == told
