"""Entitlements: a read-only view that follows the clock and lets go of the credential."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from licet.core.entitlements import UNLIMITED, Entitlements, Status
from licet.core.errors import (
    FeatureNotLicensed,
    InstallationUnlicensed,
    LicenseError,
    LicenseExpired,
    LicenseRequired,
    LicenseUnavailable,
)
from licet.core.grants import Grant
from licet.core.grants.reading import read_terms
from licet.core.lifecycle import PLAIN, Ended
from licet.core.token.claims import Claims
from tests.core.hands import Hands
from tests.licenses import ISSUER

LEEWAY, LASTS = 30, 3600


def view(
    hands: Hands, *, source: str = "authorization", error: LicenseError | None = None, **claims: Any
) -> Entitlements:
    """Return a view over a license that begins now and lasts an hour."""
    start = int(hands.wall)
    payload: dict[str, Any] = {
        "sub": "lic_1",
        "plan": "professional",
        "features": ["analytics", "export"],
        "limits": {"seats": 10, "apiCalls": "unlimited"},
        "scope": "reports:read",
        "roles": ["admin"],
        **claims,
    }
    grant = Grant(
        Claims("issuer", "lic_1", "Acme", start, start + LASTS, 0.0, payload),
        read_terms(payload),
        leeway=LEEWAY,
        since=start,
        until=start + 300,
        keys=None,
        thumbprint="",
        generation=0,
        wall=lambda: hands.wall,
        stage=PLAIN if error is None else Ended(error),
    )
    token = ISSUER.sign(payload).encode()
    return Entitlements(grant, token, source)


@pytest.fixture
def hands() -> Hands:
    """A clock to move."""
    return Hands()


def test_the_view_says_what_the_license_says(hands: Hands) -> None:
    """Every word is the license's."""
    view_ = view(hands)
    assert (view_.license_id, view_.customer, view_.plan) == ("lic_1", "Acme", "professional")
    assert view_.features == {"analytics", "export"}
    assert view_.limits == {"seats": 10, "apiCalls": UNLIMITED}
    assert (view_.scopes, view_.roles) == ({"reports:read"}, {"admin"})
    assert view_.issued_at == datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
    assert view_.expires_at == datetime(2027, 1, 15, 9, 0, tzinfo=UTC)
    assert (view_.grace_until, view_.verified_by, view_.source) == (None, "local", "authorization")


def test_features_and_limits_are_asked_by_name(hands: Hands) -> None:
    """A feature is allowed if it is named, exactly; a limit that is not named is 0."""
    view_ = view(hands)
    assert view_.allows("analytics")
    assert not view_.allows("analytic")
    assert not view_.allows("Analytics")
    assert not view_.allows("")
    assert (view_.limit("seats"), view_.limit("rows")) == (10, 0)
    assert view_.limit("apiCalls") > 10**18, "unlimited compares as one expects"


def test_status_follows_the_clock(hands: Hands) -> None:
    """Active until the end and the leeway, to the second; then nothing is allowed any more."""
    view_ = view(hands)
    hands.advance(LASTS + LEEWAY - 1)
    assert (view_.status, bool(view_), view_.allows("analytics")) == (Status.ACTIVE, True, True)
    view_.require("analytics")
    hands.advance(1)
    assert (view_.status, bool(view_), view_.allows("analytics")) == (
        Status.UNLICENSED,
        False,
        False,
    )
    for demand in (view_.require_license, view_.require, lambda: view_.require("analytics")):
        with pytest.raises(LicenseExpired):
            demand()
    assert view_.expires_at == datetime(2027, 1, 15, 9, 0, tzinfo=UTC), "it can still be shown"


def test_require_demands_all_names(hands: Hands) -> None:
    """One missing feature is enough; the error says what was demanded, and of which plan."""
    view_ = view(hands)
    view_.require()
    view_.require("analytics", "export")
    with pytest.raises(FeatureNotLicensed) as caught:
        view_.require("analytics", "sso")
    assert caught.value.members == {"required": ["analytics", "sso"], "plan": "professional"}


def test_an_installations_license_ends_as_its_own(hands: Hands) -> None:
    """Where the end has an error of its own, that one is raised, and a new one each time."""
    ended = InstallationUnlicensed.because("expired")
    view_ = view(hands, source="", error=ended)
    view_.require("analytics")
    hands.advance(LASTS + LEEWAY)
    raised = []
    for _ in range(2):
        with pytest.raises(InstallationUnlicensed) as caught:
            view_.require("analytics")
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    assert [error.members for error in raised] == [{"error": "expired"}] * 2


def test_nothing_can_be_changed(hands: Hands) -> None:
    """Neither the view nor what it hands out can be written to."""
    view_ = view(hands)
    for name in ("plan", "features", "status", "anything"):
        with pytest.raises(AttributeError):
            setattr(view_, name, "mine")
    with pytest.raises(TypeError):
        view_.limits["seats"] = 1_000  # type: ignore[index]
    with pytest.raises(TypeError):
        view_.claims["plan"] = "mine"  # type: ignore[index]


# -- without a license ---------------------------------------------------------------------------


def test_without_a_license_there_is_nothing() -> None:
    """Every word is empty, every question is answered with no."""
    nothing = Entitlements.unlicensed()
    assert (nothing.license_id, nothing.customer, nothing.plan) == ("", None, None)
    assert (nothing.features, nothing.scopes, nothing.roles) == (set(), set(), set())
    assert (nothing.limits, nothing.claims) == ({}, {})
    assert (nothing.issued_at, nothing.expires_at, nothing.grace_until) == (None, None, None)
    assert (nothing.status, bool(nothing), nothing.source) == (Status.UNLICENSED, False, "")
    assert not nothing.allows("analytics")
    assert nothing.limit("seats") == 0


def test_without_a_license_one_is_required() -> None:
    """Whoever demands something is told to bring a license."""
    with pytest.raises(LicenseRequired):
        Entitlements.unlicensed().require("analytics")
    with pytest.raises(LicenseRequired):
        Entitlements.unlicensed().require()


def test_what_made_it_unlicensed_is_what_is_raised() -> None:
    """The same refusal in every respect, a new object each time, without the first one's trace."""
    credential = b"canary-credential"

    def judge(presented: bytes) -> None:
        raise LicenseUnavailable("keys_unavailable", retry_after=9)

    with pytest.raises(LicenseUnavailable) as first:
        judge(credential)
    nothing = Entitlements.unlicensed(first.value)
    raised = []
    for _ in range(2):
        with pytest.raises(LicenseUnavailable) as caught:
            nothing.require("analytics")
        raised.append(caught.value)
        frames = [frame.f_locals for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
        assert not any("presented" in variables for variables in frames)
    assert len({id(error) for error in (first.value, *raised)}) == 3
    assert all(error.__dict__ == first.value.__dict__ for error in raised)


def test_the_error_kept_has_no_trace() -> None:
    """A view that outlives its request does not hold the frames in which the credential was."""
    with pytest.raises(LicenseExpired) as caught:
        raise LicenseExpired
    stage = Entitlements.unlicensed(caught.value)._grant.stage
    assert isinstance(stage, Ended)
    kept = stage.error
    assert kept is not None
    assert (kept.__traceback__, kept.__context__, kept.__cause__) == (None, None, None)


# -- claims --------------------------------------------------------------------------------------


def test_claims_are_what_was_signed(hands: Hands) -> None:
    """All of them, also those nobody here knows, read-only through and through."""
    view_ = view(hands, tenant={"name": "x", "tags": ["a", {"b": None}]})
    claims = view_.claims
    assert claims["plan"] == "professional"
    tenant: Any = claims["tenant"]
    assert isinstance(tenant, Mapping)
    assert tenant["tags"] == ("a", {"b": None})
    with pytest.raises(TypeError):
        tenant["tags"][1]["b"] = 1
    assert view_.claims is claims, "parsed once"


def test_claims_last_as_long_as_the_request(hands: Hands) -> None:
    """Afterwards the credential is gone, and asking says so; what was read before stays."""
    late, early = view(hands), view(hands)
    assert early.claims["sub"] == "lic_1"
    for view_ in (late, early):
        view_.release()
        assert view_._credential is None
    assert early.claims["sub"] == "lic_1"
    with pytest.raises(RuntimeError, match="only while its request lasts"):
        _ = late.claims
    assert late.allows("analytics"), "everything else lives on"


# -- secrets -------------------------------------------------------------------------------------


def test_the_credential_is_not_shown(hands: Hands) -> None:
    """`repr` tells id, status, plan and features, and nothing of the token."""
    view_ = view(hands)
    assert repr(view_) == (
        "<Entitlements 'lic_1' ACTIVE plan='professional' features=['analytics', 'export']>"
    )
    assert f"{view_}" == repr(view_)


@pytest.mark.parametrize("through", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_view_cannot_be_carried_off(hands: Hands, through: Any) -> None:
    """A pickle would carry the credential, and entitlements without an end, somewhere else."""
    with pytest.raises(TypeError, match="belong to one request"):
        through(view(hands))
