"""`licet doctor URL --token …`: everything that is at odds, in one run."""

from __future__ import annotations

import pytest

from licet.cli import findings
from tests.core.loopback import Request, reply
from tests.doctor.licenses import with_claims
from tests.doctor.servers import KEY, named, telling
from tests.doctor.ward import APPLICATION, Ward, codes, found, good, now
from tests.licenses import AUDIENCE, ISSUER_NAME, license_token


def test_a_license_key_is_asked_about(ward: Ward) -> None:
    """An opaque key goes to the license server of the settings, whose word on our key is told."""

    def answer(request: Request) -> bytes:
        return reply(401 if request.method == "POST" else 405)

    url = ward.own(answer) + "/validate"
    said = ward.by_environment(
        url,
        {
            "issuer": ISSUER_NAME,
            "audience": AUDIENCE,
            "jwks_url": ward.serve(good),
            "validation_url": url,
            "validation_credentials": "lvk_CANARY",
            "license_key_pattern": "lic_[A-Za-z0-9]+",
        },
        "--token",
        "-",
        stdin=b"lic_CANARY",
    )
    assert "credentials_refused" in codes(said)
    assert said.status == 1
    assert "CANARY" not in said.out + said.err


def test_a_license_with_every_fault(ward: Ward) -> None:
    """All that is at odds with the settings is found in one run."""
    said = with_claims(
        ward,
        "--set",
        "algorithms=ES256",
        "--set",
        "max_lifetime=60",
        "--set",
        "max_token_size=300",
        aud="another",
        regions=["DE"],
        features="all",
        exp=now() - 100,
        iat=now() - 1000,
    )
    assert codes(said) >= {
        "license_algorithm",
        "license_audience",
        "license_defective",
        "license_expired",
        "license_lifetime",
        "license_needs_regions",
        "license_too_large",
    }


@pytest.mark.parametrize(
    ("days", "whole", "told"),
    [(29, 365, True), (31, 365, False), (1, 7, True), (3, 7, False)],
)
def test_when_a_license_is_soon_to_end(days: int, whole: int, told: bool, ward: Ward) -> None:
    """From thirty days before, of a short one when a quarter is left."""
    end = now() + days * 86_400
    said = with_claims(ward, iat=end - whole * 86_400, exp=end)
    assert ("license_expires_soon" in codes(said)) is told


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({}, "license_in_grace"),
        ({"grace": 60}, "license_expired"),
        ({"trial": True}, "license_expired"),
    ],
)
def test_an_installation_has_its_grace(claims: dict[str, object], code: str, ward: Ward) -> None:
    """Where the license does not say, it is that of the settings; and a trial has none."""
    over = {"iat": now() - 90 * 86_400, "exp": now() - 3600, **claims}
    file = ward.directory / "license.jwt"
    file.write_text(license_token(**over), encoding="ascii")
    url = ward.serve(good)
    installed = (*APPLICATION, "--jwks-url", url, "--set", f"license=file:{file}")
    said = ward.visit(url, *installed)
    assert code in codes(said)
    assert ("license_holds" in codes(said)) is (code == "license_in_grace")
    # One that a request brings has no grace but its own.
    assert "license_expired" in codes(with_claims(ward, **over))


def test_grace_is_earned(ward: Ward) -> None:
    """Where a state remembers what was seen, that is what its grace depends on."""
    (state := ward.directory / "state").mkdir(mode=0o700)
    file = ward.directory / "license.jwt"
    file.write_text(license_token(iat=now() - 90 * 86_400, exp=now() - 3600), encoding="ascii")
    url = ward.serve(good)
    places = ("--set", f"license=file:{file}", "--set", f"license_state={state}")
    said = ward.visit(url, *APPLICATION, "--jwks-url", url, *places)
    assert "if it was seen here" in found(said, "license_in_grace")["detail"]
    assert not any(state.iterdir())


def test_a_trial_is_told_from_others(ward: Ward) -> None:
    """That it is one stands beside when it ends."""
    said = with_claims(ward, trial=True)
    assert "it is a trial, and lasts until" in found(said, "license_current")["detail"]


def test_what_is_not_limited_needs_no_store(ward: Ward) -> None:
    """Nor does a license whose limits are counted where all workers see them."""
    uncounted = {"exports": "unlimited", "rows": {"max": "unlimited", "per": "day"}, "seats": 0}
    free = with_claims(ward, limits=uncounted)
    shared = with_claims(ward, "--set", f"store=sqlite:///{ward.directory}/licet.db")
    for said in (free, shared):
        assert "license_needs_store" not in codes(said)


def test_where_use_is_reported_our_key_is_told(ward: Ward) -> None:
    """The endpoint takes the key of the questions, and is looked at in the same way."""
    url = ward.serve(reply(401), "/usage")
    said = named(
        ward,
        url,
        validation_url=ward.serve(reply(405), "/validate"),
        usage_url=url,
        validation_credentials=KEY,
    )
    assert "credentials_refused" in codes(said)
    assert "CANARY" not in said.out + said.err


def test_who_takes_events_may_take_no_get(ward: Ward) -> None:
    """A 405 is no reason for worry."""
    assert "webhook_not_found" not in codes(telling(ward, 405))


def test_a_license_without_settings(ward: Ward) -> None:
    """Its signature is held against the set that was named, and its times against the clock."""
    said = ward.visit(ward.serve(good), "--token", "-", stdin=license_token().encode())
    assert codes(said) >= {"license_signed", "license_current"}
    assert "license_fits" not in codes(said)
    assert said.status == 0


def test_the_limit_of_common_servers_is_the_one_that_inspect_tells() -> None:
    """8 KiB, here and there."""
    assert findings.COMMON_SERVERS == 8192


def test_a_license_that_cannot_be_judged_in_time(ward: Ward) -> None:
    """It is not judged as a whole where that could take longer than there is time."""
    ward.patch.setattr("licet.cli.doctor.patience.WHOLE", 9.0)
    said = with_claims(ward)
    assert said.status == 3
    assert codes(said) >= {"license_signed", "out_of_time"}


def test_a_status_list_in_clear(ward: Ward) -> None:
    """That an issuer is named by plain http lets nothing be fetched there, as in the gate."""
    issuer = "http://licenses.internal"
    status = {"status_list": {"idx": 7, "uri": f"{issuer}/status/1"}}
    url = ward.serve(good)
    said = ward.by_environment(
        url,
        {"issuer": issuer, "audience": AUDIENCE, "jwks_url": url},
        "--token",
        "-",
        stdin=license_token(iss=issuer, status=status).encode(),
    )
    assert "license_status_origin" in codes(said)
    assert {finding["about"] for finding in said.document["findings"]} >= {url, "license"}
    assert not any(issuer in finding["about"] for finding in said.document["findings"])
