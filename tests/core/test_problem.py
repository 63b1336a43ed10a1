"""Refusals as answers: what is in them, and above all what is not."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from licet.core.errors import (
    FeatureNotLicensed,
    InstallationUnlicensed,
    KeysUnavailable,
    LicenseAmbiguous,
    LicenseError,
    LicenseExpired,
    LicenseInvalid,
    LicenseRequired,
    LicenseRevoked,
    LicenseUnavailable,
    PossessionInvalid,
    PossessionRequired,
)
from licet.core.possession.dpop import ALGORITHMS
from licet.core.problem import Problem, may_tell, problem
from licet.core.settings import Settings
from tests.core.test_errors import SAMPLES
from tests.licenses import OPTIONS

SETTINGS = Settings(**OPTIONS)
ALGS = 'algs="ES256 Ed25519 EdDSA PS256 RS256"'
INVALID_TOKEN = 'Bearer realm="licet", error="invalid_token"'


def answer(error: LicenseError, *, tell: bool = False, **options: Any) -> Problem:
    return problem(error, Settings(**{**OPTIONS, **options}) if options else SETTINGS, tell=tell)


def field(answer: Problem, name: str) -> str | None:
    values = [value for key, value in answer.headers if key == name]
    assert len(values) <= 1, "no field is repeated"
    return values[0] if values else None


@pytest.mark.parametrize("error", SAMPLES.values(), ids=SAMPLES)
def test_every_refusal_is_a_problem_document(error: LicenseError) -> None:
    """Status, type, code and the fields that keep it out of caches and sniffers (RFC 9457)."""
    told = answer(error)
    body = json.loads(told.body)
    assert told.status == body["status"] == error.status
    assert body["type"] == f"urn:licet:problem:{error.code}".replace("_", "-")
    assert (body["code"], body["title"], body["detail"]) == (error.code, error.title, error.detail)
    assert error.members.items() <= body.items()
    assert set(body) == {"type", "title", "status", "detail", "code", *error.members}
    assert field(told, "Content-Type") == "application/problem+json"
    assert field(told, "Content-Length") == str(len(told.body))
    assert field(told, "Cache-Control") == "no-store"
    assert field(told, "X-Content-Type-Options") == "nosniff"
    assert field(told, "Vary") == "Authorization, X-License-Token"
    assert (field(told, "WWW-Authenticate") is not None) == (error.status == 401)
    assert (field(told, "Retry-After") is not None) == isinstance(error, LicenseUnavailable)


def test_reasons_stay_here() -> None:
    """Two refusals of one code are the same to the byte, whatever their reasons."""
    assert answer(LicenseInvalid("bad_signature")) == answer(LicenseInvalid("canary"))
    assert answer(KeysUnavailable("canary")) == answer(LicenseUnavailable())


@pytest.mark.parametrize(
    ("error", "challenge"),
    [
        (LicenseRequired(), 'Bearer realm="licet"'),
        (LicenseInvalid(), 'Bearer realm="licet", error="invalid_token"'),
        (LicenseExpired(), 'Bearer realm="licet", error="invalid_token"'),
        (PossessionRequired(), f'DPoP realm="licet", {ALGS}, {INVALID_TOKEN}'),
        (
            PossessionInvalid(),
            f'DPoP realm="licet", error="invalid_dpop_proof", {ALGS}, {INVALID_TOKEN}',
        ),
        (
            PossessionInvalid(code="use_dpop_nonce"),
            f'DPoP realm="licet", error="use_dpop_nonce", {ALGS}',
        ),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_challenges(error: LicenseError, challenge: str) -> None:
    """RFC 6750, section 3: no error code where nothing was presented; RFC 9449, section 7.1.

    A license bound to a certificate is an invalid bearer token (RFC 8705, section 3).
    """
    assert field(answer(error), "WWW-Authenticate") == challenge


@pytest.mark.row("N20")
def test_a_nonce_is_told_in_its_own_field() -> None:
    """RFC 9449, section 9: the client learns what its next proof has to carry; else nothing."""
    told = answer(PossessionInvalid("dpop_nonce", code="use_dpop_nonce", nonce="eyJ-_~"))
    assert (told.status, field(told, "DPoP-Nonce")) == (401, "eyJ-_~")
    assert field(answer(PossessionInvalid("dpop_iat")), "DPoP-Nonce") is None
    assert field(answer(PossessionRequired()), "DPoP-Nonce") is None
    assert b"eyJ" not in told.body


def test_the_challenge_names_what_proofs_may_be_signed_with() -> None:
    """The list in the challenge is the one that proofs are checked by."""
    told = field(answer(PossessionRequired()), "WWW-Authenticate") or ""
    assert f'algs="{" ".join(ALGORITHMS)}"' in told


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (300, "300")]
)
def test_retry_after_is_whole_and_never_zero(seconds: float, said: str) -> None:
    """Seconds are rounded up (RFC 9110, section 10.2.3): nobody is told to come back too early."""
    assert field(answer(LicenseUnavailable(retry_after=seconds)), "Retry-After") == said


def test_upgrade_url_is_told_where_an_upgrade_helps() -> None:
    """402 and 403 carry it where it is set, others never."""
    url = "https://acme.example/upgrade"
    for error in (FeatureNotLicensed(), LicenseRevoked(), InstallationUnlicensed()):
        assert json.loads(answer(error, upgrade_url=url).body)["upgrade_url"] == url
    for error in (LicenseRequired(), LicenseAmbiguous(), LicenseUnavailable()):
        assert "upgrade_url" not in json.loads(answer(error, upgrade_url=url).body)


def test_nothing_varies_without_sources() -> None:
    """An installation license is in no request, so its answers vary by none of its fields."""
    assert field(answer(InstallationUnlicensed(), license="x"), "Vary") is None


def test_the_reason_is_told_only_when_asked() -> None:
    """`tell` adds it as one field, escaped and cut."""
    error = LicenseInvalid("x\r\nSet-Cookie: a=b\N{SNOWMAN}" + "y" * 1_000)
    assert field(answer(error), "X-Licet-Reason") is None
    told = field(answer(error, tell=True), "X-Licet-Reason") or ""
    assert told.startswith(r"x\r\nSet-Cookie: a=b\u2603y")
    assert told.isascii()
    assert told.isprintable()
    assert len(told) < 300


@pytest.mark.parametrize(
    ("debug", "peer", "told"),
    [
        (True, "127.0.0.1", True),
        (True, "127.9.9.9", True),
        (True, "::1", True),
        (False, "127.0.0.1", False),
        (True, "192.0.2.1", False),
        (True, "0.0.0.0", False),
        (True, "localhost", False),
        (True, "", False),
        (True, None, False),
    ],
)
def test_whom_the_reason_is_told(debug: bool, peer: str | None, told: bool) -> None:
    """In debug mode, and only to an address of this machine; names and nothing are none."""
    assert may_tell(debug, peer) is told


def test_whatever_a_view_puts_into_members_is_rendered() -> None:
    """A value JSON does not know becomes its text: a refusal must not turn into a crash."""
    error = FeatureNotLicensed(members={"since": date(2030, 1, 2), "name": "\ud800"})
    body = json.loads(answer(error).body)
    assert (body["since"], body["name"]) == ("2030-01-02", "\ud800")


def test_fields_are_ascii() -> None:
    """Every field can be put on the wire as it is."""
    for error in SAMPLES.values():
        for name, value in answer(error, tell=True).headers:
            assert (name + value).isascii()
            assert (name + value).isprintable()


def test_the_reason_is_not_told_by_default() -> None:
    """R04: whoever does not ask for it does not send it."""
    assert field(problem(LicenseInvalid("canary"), SETTINGS), "X-Licet-Reason") is None


def test_a_long_reason_is_cut_to_256_characters() -> None:
    """A field of an answer stays short, whatever made the reason long."""
    assert field(answer(LicenseInvalid("y" * 1_000), tell=True), "X-Licet-Reason") == "y" * 256
