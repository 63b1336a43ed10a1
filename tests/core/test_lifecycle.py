"""Where a license stands, to the second."""

from __future__ import annotations

import pytest

from licet.core.errors import LicenseError, LicenseExpired, LicenseInvalid, LicenseNotActive
from licet.core.lifecycle import Status, check_times
from licet.core.token.claims import Claims

ISSUED, BEGIN, END, LEEWAY = 1_000.0, 2_000.0, 3_000.0, 30.0


def license_of(*, issued: float = ISSUED, begin: float = BEGIN, end: float = END) -> Claims:
    return Claims("issuer", "lic_1", None, issued, end, begin, {})


@pytest.mark.parametrize("now", [BEGIN - LEEWAY, BEGIN, 2_500.0, END, END + LEEWAY - 0.001])
def test_it_holds_between_its_beginning_and_its_end(now: float) -> None:
    """From `nbf - leeway` on and before `exp + leeway` nothing is raised."""
    check_times(license_of(), now, LEEWAY)


@pytest.mark.parametrize(
    ("now", "leeway", "error", "reason"),
    [
        (ISSUED - LEEWAY - 0.001, LEEWAY, LicenseInvalid, "issued_in_the_future"),
        (BEGIN - LEEWAY - 0.001, LEEWAY, LicenseNotActive, "not_yet_valid"),
        (END + LEEWAY, LEEWAY, LicenseExpired, "expired"),
        (END, 0.0, LicenseExpired, "expired"),
        (1e12, 0.0, LicenseExpired, "expired"),
    ],
    ids=["E09-iat", "E08-nbf", "E05-exp", "E05-no-leeway", "long-ago"],
)
def test_it_ends_on_the_second(
    now: float, leeway: float, error: type[LicenseError], reason: str
) -> None:
    """E05, E08, E09: the boundary itself belongs to the refusal of `exp`, and to neither other."""
    with pytest.raises(error) as refused:
        check_times(license_of(), now, leeway)
    assert refused.value.reason == reason


def test_a_fraction_of_a_second_is_not_rounded_up() -> None:
    """E04: an end at a fraction ends at that fraction."""
    check_times(license_of(end=END + 0.9), END + 0.8, 0.0)
    with pytest.raises(LicenseExpired):
        check_times(license_of(end=END + 0.9), END + 0.9, 0.0)


def test_an_issue_in_the_future_says_no_more_than_invalid() -> None:
    """E09: a token from the future is invalid, even one that is also not active."""
    with pytest.raises(LicenseInvalid):
        check_times(license_of(issued=5_000.0, begin=6_000.0, end=7_000.0), 1_000.0, LEEWAY)


def test_the_words_are_stable() -> None:
    """The states have the five names that templates and logs compare with."""
    assert [status.value for status in Status] == "active trial grace downgraded unlicensed".split()
