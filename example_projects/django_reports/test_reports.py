"""What licenses open here. All four examples have this same file; conftest.py has the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from licet.issuer import Issuer

Get = Callable[..., tuple[int, Any]]
Make = Callable[..., str]

LICENSED = ["/", "/me", "/reports", "/export", "/workspace", "/admin-report"]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_health_needs_no_license(get: Get) -> None:
    """Whoever asks for /health gets it."""
    assert get("/health") == (200, {"status": "ok"})


@pytest.mark.parametrize("path", [*LICENSED, "/events"])
def test_everything_else_needs_a_license(get: Get, path: str) -> None:
    """Without a license each page is 401."""
    status, body = get(path)
    assert (status, body["code"]) == (401, "license_required")


@pytest.mark.parametrize("path", LICENSED)
def test_a_full_license_opens_everything(get: Get, make_license: Make, path: str) -> None:
    """A license with both features, the limits and the role opens each page."""
    limits = {"exports": 10, "seats": 10}
    token = make_license(["analytics", "export"], roles=["admin"], limits=limits)
    status, _ = get(path, **bearer(token))
    assert status == 200


def test_me_shows_the_entitlements(get: Get, make_license: Make) -> None:
    """/me says what the license says."""
    token = make_license(
        ["analytics", "export"],
        customer="Example GmbH",
        plan="professional",
        roles=["admin"],
        limits={"seats": 10},
    )
    assert get("/me", **bearer(token)) == (
        200,
        {
            "license": "lic_test",
            "customer": "Example GmbH",
            "plan": "professional",
            "status": "active",
            "features": ["analytics", "export"],
            "roles": ["admin"],
            "seats": 10,
        },
    )


@pytest.mark.parametrize(
    ("path", "code", "required"),
    [
        ("/reports", "feature_not_licensed", "analytics"),
        ("/export", "feature_not_licensed", "export"),
        ("/admin-report", "role_not_granted", "admin"),
    ],
)
def test_a_page_asks_for_what_it_needs(
    get: Get, make_license: Make, path: str, code: str, required: str
) -> None:
    """A license without what a page needs is 403 there, with the name of what is missing."""
    status, body = get(path, **bearer(make_license(["another"], roles=["guest"])))
    assert (status, body["code"]) == (403, code)
    assert required in str(body["required"])


def test_a_license_ends(get: Get, make_license: Make) -> None:
    """A license that ended a minute ago is 401."""
    status, body = get("/me", **bearer(make_license(expires_in=-60)))
    assert (status, body["code"]) == (401, "license_expired")


def test_a_license_may_end_softly(get: Get, make_license: Make) -> None:
    """In its grace it serves as before, and the page tells its users of it."""
    ended = bearer(make_license(["analytics"], expires_in=-60, grace=600))
    assert get("/reports", **ended)[0] == 200
    assert "Days that Reports still serves: 1." in get("/", **ended)[1]


def test_a_trial_is_told_of(get: Get, make_license: Make) -> None:
    """The page tells its users that they are trying, and for how long."""
    trial = bearer(make_license(trial=True))
    assert "You are trying Reports. Days left: 1." in get("/", **trial)[1]


def test_exports_are_counted(get: Get, make_license: Make) -> None:
    """Of two exports of a license for one the second is 429."""
    token = bearer(make_license(["export"], limits={"exports": 1}))
    assert get("/export", **token)[0] == 200
    status, body = get("/export", **token)
    assert (status, body["code"]) == (429, "limit_exceeded")


def test_what_is_nearly_used_up_is_told_of(get: Get, make_license: Make) -> None:
    """From four fifths of a limit on the page tells its users of it."""
    token = bearer(make_license(["export"], limits={"exports": 5}))
    for _ in range(3):
        assert get("/export", **token)[0] == 200
    assert "exports" not in get("/", **token)[1]
    assert get("/export", **token)[0] == 200
    assert "80 % of your exports are used." in get("/", **token)[1]


def test_a_workspace_has_seats(get: Get, make_license: Make) -> None:
    """With one seat there is one user; who has it keeps it, and the next is 429."""
    token = bearer(make_license(limits={"seats": 1}))
    assert get("/workspace", **token, X_User="ann") == (200, {"user": "ann"})
    status, body = get("/workspace", **token, X_User="bob")
    assert (status, body["code"]) == (429, "seat_limit_exceeded")
    assert get("/workspace", **token, X_User="ann")[0] == 200


def test_a_license_for_another_product_is_none(get: Get, make_license: Make) -> None:
    """Another audience is 401."""
    status, body = get("/me", **bearer(make_license(audience="acme-mail")))
    assert (status, body["code"]) == (401, "license_invalid")


def test_a_license_may_hold_for_one_host(get: Get, make_license: Make) -> None:
    """A license for this host opens; one for another is 403, and nobody is told for which."""
    status, _ = get("/me", Host="localhost", **bearer(make_license(domains=["localhost"])))
    assert status == 200
    other = make_license(domains=["elsewhere.example"])
    status, body = get("/me", Host="localhost", **bearer(other))
    assert (status, body["code"]) == (403, "license_domain")
    assert "elsewhere" not in str(body)


def test_a_forged_license_is_none(get: Get, make_license: Make, license_issuer: Issuer) -> None:
    """A license in the issuer's name, signed with a key that it never published, is 401."""
    forger = Issuer.generate(license_issuer.name)
    status, body = get("/me", **bearer(make_license(issuer=forger)))
    assert (status, body["code"]) == (401, "license_invalid")


def test_two_licenses_are_refused(get: Get, make_license: Make) -> None:
    """A request that carries two licenses is 400, even if both are good."""
    token = make_license()
    status, body = get("/me", **bearer(token), X_License_Token=token)
    assert (status, body["code"]) == (400, "license_ambiguous")
