"""Licenses outside any request."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import anyio
import pytest

from licet.core.entitlements import Entitlements, Status
from licet.core.errors import LicenseExpired, LicenseInvalid
from licet.core.gates import gate_for
from licet.core.settings import Settings
from licet.core.verify import averify, verify
from tests.licenses import FORGER, OPTIONS, expired, license_token

SETTINGS = Settings(**OPTIONS)
NOON = 1_800_000_000
#: From noon on for an hour.
NOON_TOKEN = license_token(iat=NOON, exp=NOON + 3600)


def averified(*arguments: Any, **options: Any) -> Entitlements:
    async def main() -> Entitlements:
        return await averify(*arguments, **options)

    return anyio.run(main)


both = pytest.mark.parametrize("judge", [verify, averified], ids=["verify", "averify"])


@both
def test_a_good_license(judge: Any) -> None:
    """Text or bytes, the license is judged and its entitlements are handed out."""
    token = license_token()
    for credential in (token, token.encode()):
        entitlements = judge(credential, SETTINGS)
        assert (entitlements.license_id, entitlements.status) == ("lic_1", Status.ACTIVE)
        assert entitlements.claims["plan"] == "professional"


@pytest.mark.anyio
async def test_the_loop_goes_on() -> None:
    """`averify` works under asyncio and trio."""
    assert (await averify(license_token(), SETTINGS)).license_id == "lic_1"


@both
def test_a_bad_license(judge: Any) -> None:
    """Refusals are those of a request."""
    with pytest.raises(LicenseInvalid):
        judge(license_token(FORGER), SETTINGS)
    with pytest.raises(LicenseExpired):
        judge(expired(), SETTINGS)


@both
@pytest.mark.parametrize("credential", ["", "abc", "\N{SNOWMAN}", "\ud800", b"\xff", "a.b.c"])
def test_what_is_no_token(judge: Any, credential: str | bytes) -> None:
    """Any text is a credential, if only an invalid one."""
    with pytest.raises(LicenseInvalid):
        judge(credential, SETTINGS)


@both
@pytest.mark.parametrize("credential", [None, 1, ["x"], bytearray(b"x")], ids=repr)
def test_what_is_no_text(judge: Any, credential: object) -> None:
    """Anything else is a mistake of the program."""
    with pytest.raises(TypeError, match="a credential is str or bytes, not"):
        judge(credential, SETTINGS)


def test_memory_is_the_gates() -> None:
    """What was verified here is known to the middleware of equal settings."""
    token = license_token(sub="lic_shared")
    verify(token, Settings(**OPTIONS))
    assert gate_for(SETTINGS).recall(token.encode()) is not None


# -- at another moment ---------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "at",
    [
        NOON,
        float(NOON),
        datetime.fromtimestamp(NOON, UTC),
        datetime.fromtimestamp(NOON, timezone(timedelta(hours=-7))),
    ],
    ids=["int", "float", "UTC", "another zone"],
)
def test_a_moment_has_many_spellings(judge: Any, at: datetime | float) -> None:
    """Seconds and zoned datetimes of one moment are one moment."""
    entitlements = judge(NOON_TOKEN, SETTINGS, at=at)
    assert entitlements.status is Status.ACTIVE
    assert entitlements.issued_at == datetime.fromtimestamp(NOON, UTC)


@both
@pytest.mark.parametrize(
    ("seconds", "kind"),
    [
        (-31, LicenseInvalid),
        (-30, None),
        (3629, None),
        (3630, LicenseExpired),
        (-NOON, LicenseInvalid),
    ],
)
def test_the_license_is_judged_as_of_then(judge: Any, seconds: float, kind: Any) -> None:
    """The leeway included, to the second."""
    if kind is None:
        assert judge(NOON_TOKEN, SETTINGS, at=NOON + seconds).allows("analytics")
    else:
        with pytest.raises(kind):
            judge(NOON_TOKEN, SETTINGS, at=NOON + seconds)


@both
def test_then_is_not_remembered_now(judge: Any) -> None:
    """A license that held then holds no longer for that reason now, and the other way round."""
    past = expired()
    assert judge(past, SETTINGS, at=time.time() - 90_000)
    with pytest.raises(LicenseExpired):
        judge(past, SETTINGS)
    now = license_token()
    judge(now, SETTINGS)
    with pytest.raises(LicenseExpired):
        judge(now, SETTINGS, at=time.time() + 90_000)


@both
def test_entitlements_stand_still(judge: Any) -> None:
    """What was judged for a moment in the past stays as it was then."""
    entitlements = judge(expired(), SETTINGS, at=time.time() - 90_000)
    entitlements.require("analytics")
    assert entitlements


@both
@pytest.mark.parametrize(
    ("at", "error", "sentence"),
    [
        (datetime(2030, 1, 1), ValueError, "no time zone"),
        ("2030-01-01", TypeError, "not str"),
        (True, TypeError, "not bool"),
        (math.nan, ValueError, "outside the years"),
        (math.inf, ValueError, "outside the years"),
        (-1, ValueError, "outside the years"),
        (10**400, ValueError, "outside the years"),
        (datetime(1969, 1, 1, tzinfo=UTC), ValueError, "outside the years"),
    ],
    ids=["naive", "text", "bool", "NaN", "infinity", "negative", "huge", "before 1970"],
)
def test_what_is_no_moment(judge: Any, at: Any, error: type[Exception], sentence: str) -> None:
    """A time that could be meant in two ways, or is none, is refused: NaN is past no end."""
    with pytest.raises(error, match=sentence):
        judge(NOON_TOKEN, SETTINGS, at=at)
