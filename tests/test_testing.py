"""What users test their licensed code with."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.util import setup_testing_defaults

import jwt
import pytest

from licet import consumes, testing, verify
from licet.core.entitlements import UNLIMITED, Status
from licet.core.entitlements.context import current_entitlements, find_entitlements
from licet.core.entitlements.requirements import requires_feature, requires_role, requires_scope
from licet.core.errors import (
    ConfigError,
    ConstraintViolated,
    FeatureNotLicensed,
    LicenseExpired,
    LicenseInvalid,
    LimitExceeded,
)
from licet.core.settings import Settings
from licet.issuer import Issuer
from licet.wsgi import LicenseMiddleware

pytest_plugins = ["pytester"]

INSTALLED = bool(entry_points(group="pytest11", name="licet"))
HEAVY = (
    "jwt cryptography httpx httpcore httpx2 anyio django flask werkzeug starlette fastapi asgiref"
)


@requires_feature("analytics")
def report() -> str:
    return "the report"


@requires_feature("analytics")
async def report_async() -> str:
    return "the report"


def decode(token: str, settings: dict[str, object]) -> dict[str, object]:
    key = jwt.PyJWKSet.from_dict(settings["jwks"])[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, audience=settings["audience"], issuer=settings["issuer"])


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    """A pytest run that uses no fixture of ours pays for no library and no framework."""
    script = f"import licet._pytest, sys; print(*sys.modules.keys() & set({HEAVY!r}.split()))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert loaded.stdout.split() == []


def test_the_fixtures_fit_together(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a user's test run the three fixtures exist, agree, and may be used by session fixtures.

    What one test has used of a license is not missing in the next; elsewhere one says so.
    """
    pytester.makepyfile(
        """
        import pytest
        from licet import LicenseExpired, LimitExceeded, Settings, bind, consume, verify
        from licet.testing import forget_usage

        @pytest.fixture(scope="session")
        def settings(license_settings):
            return Settings(**license_settings)

        def test_license(settings, make_license, license_issuer):
            entitlements = verify(make_license(features=["analytics"], plan="pro"), settings)
            assert (entitlements.features, entitlements.plan) == ({"analytics"}, "pro")
            assert settings.issuer == license_issuer.name

        def test_ended(settings, make_license):
            with pytest.raises(LicenseExpired):
                verify(make_license(expires_in=-60), settings)

        @pytest.mark.parametrize("turn", [1, 2])
        def test_use(turn, settings, make_license):
            entitlements = verify(make_license(limits={"exports": 1, "seats": 1}), settings)
            with bind(entitlements):
                for _ in range(2):
                    consume("exports")
                    consume("seats", key=f"user {turn}")
                    with pytest.raises(LimitExceeded):
                        consume("exports")
                    forget_usage()
                consume("exports")
        """
    )
    plugin = () if INSTALLED else ("-p", "licet._pytest")
    monkeypatch.setenv("PYTHONPATH", str(Path(testing.__file__).parents[2]))
    # In a process of its own: pytester unloads modules afterwards, and cryptography loads once.
    result = pytester.runpytest_subprocess(*plugin, "-W", "error", timeout=60)
    result.assert_outcomes(passed=4)


def test_another_issuer_may_be_given() -> None:
    """Settings and licenses made for one issuer fit each other and no other issuer's."""
    issuer = Issuer.generate("https://other.test")
    settings = testing.license_settings(issuer)
    assert decode(testing.make_license(issuer=issuer), settings)["iss"] == "https://other.test"
    with pytest.raises(KeyError):
        decode(testing.make_license(), settings)


def test_a_license_made_for_a_test_may_have_ended() -> None:
    """A negative `expires_in` dates the license back; it is otherwise as any other."""
    with pytest.raises(jwt.ExpiredSignatureError):
        decode(testing.make_license(expires_in=-60), testing.license_settings())


@pytest.mark.parametrize(
    ("narrow", "here", "there", "code"),
    [
        (
            {"domains": ["app.example"]},
            {"host": "app.example:8443"},
            {"host": "copy.example"},
            "license_domain",
        ),
        (
            {"ip_ranges": ["203.0.113.0/24"]},
            {"ip": "203.0.113.9"},
            {"ip": "198.51.100.7"},
            "license_ip",
        ),
        ({"regions": ["DE"]}, {"region": "DE-BY"}, {"region": "FR"}, "license_region"),
        ({"regions": ["DE"]}, {"region": "DE"}, {}, "license_region"),
        (
            {
                "time_windows": [{"from": "07:00", "to": "19:00", "tz": "UTC"}],
                "issued_at": datetime(2026, 1, 1, tzinfo=UTC),
                "expires_in": 365 * 86_400,
            },
            {"at": datetime(2026, 7, 1, 18, 59, tzinfo=UTC)},
            {"at": datetime(2026, 7, 1, 19, 0, tzinfo=UTC)},
            "license_time_window",
        ),
    ],
)
def test_a_license_may_hold_for_some_requests_only(
    narrow: dict[str, Any], here: dict[str, Any], there: dict[str, Any], code: str
) -> None:
    """What narrows a license is an argument, and is enforced as in production."""
    settings = Settings(**testing.license_settings())
    token = testing.make_license(["analytics"], **narrow)
    assert verify(token, settings, **here).allows("analytics")
    with pytest.raises(ConstraintViolated) as refusal:
        verify(token, settings, **there)
    assert refusal.value.code == code


def test_a_license_may_be_bound_to_a_key() -> None:
    """A `ProofKey` makes the proofs that a request with a bound license needs, one for each."""
    key = testing.ProofKey.generate()
    token = testing.make_license(["analytics"], cnf={"jkt": key.jkt})
    application = LicenseMiddleware(
        lambda environ, start: (start("200 OK", []), [b"the report"])[1],
        external_url="https://app.example",
        **testing.license_settings(),
    )

    def status(authorization: str, proof: str) -> str:
        environ = {"HTTP_AUTHORIZATION": authorization, "HTTP_DPOP": proof}
        setup_testing_defaults(environ)
        answers: list[str] = []
        for _ in application(environ, lambda status, *_: answers.append(status)):
            pass
        return answers[0][:3]

    proof = key.proof("GET", "https://app.example/", token)
    assert status(f"DPoP {token}", proof) == "200"
    assert status(f"DPoP {token}", proof) == "401"
    another = testing.ProofKey.generate().proof("GET", "https://app.example/", token)
    assert status(f"DPoP {token}", another) == "401"
    assert status(f"Bearer {token}", key.proof("GET", "https://app.example/", token)) == "401"


def test_the_settings_are_settings() -> None:
    """The options are accepted as they are and never fetch."""
    settings = Settings(**testing.license_settings())
    assert settings.by_issuer[testing.ISSUER].jwks_url is None


def test_without_entitled_there_is_nothing() -> None:
    """A requirement outside `entitled` is the crash that a missing middleware is."""
    with pytest.raises(RuntimeError, match="LicenseMiddleware"):
        report()


def test_entitled_binds_what_it_is_given() -> None:
    """Inside the block the entitlements are those named, afterwards there are none."""
    with testing.entitled(
        ["analytics"],
        plan="pro",
        limits={"seats": 10, "exports": "unlimited"},
        scopes=["reports:read"],
        roles=["admin"],
        customer="Example GmbH",
        license_id="lic_1",
    ) as entitlements:
        assert current_entitlements() is entitlements
        assert entitlements.status is Status.ACTIVE
        assert entitlements.features == {"analytics"}
        assert (entitlements.plan, entitlements.customer) == ("pro", "Example GmbH")
        assert entitlements.license_id == "lic_1"
        assert entitlements.limit("seats") == 10
        assert entitlements.limit("exports") == UNLIMITED
        assert entitlements.claims["sub"] == "lic_1"
        assert report() == "the report"
        assert requires_scope("reports:read")(len)("ab") == 2
        assert requires_role("admin")(len)("ab") == 2
    assert find_entitlements() is None


def test_a_feature_that_is_not_named_is_refused() -> None:
    """`entitled` grants what it names and nothing else."""
    with testing.entitled(["other"]), pytest.raises(FeatureNotLicensed):
        report()


def test_a_license_may_have_ended() -> None:
    """With a negative `expires_in` requirements raise what they raise after the end."""
    with testing.entitled(["analytics"], expires_in=-1) as entitlements:
        assert entitlements.status is Status.UNLICENSED
        with pytest.raises(LicenseExpired):
            report()


def test_a_license_may_be_a_trial() -> None:
    """What a trial shows is tested without one."""
    with testing.entitled(["analytics"], trial=True) as entitlements:
        assert entitlements.status is Status.TRIAL
        assert report() == "the report"


def test_a_license_may_be_in_grace() -> None:
    """It has ended and serves, until its grace is over."""
    week = 7 * 86_400
    with testing.entitled(["analytics"], expires_in=-60, grace=week) as entitlements:
        assert entitlements.status is Status.GRACE
        assert entitlements.expires_at is not None
        assert entitlements.grace_until == entitlements.expires_at + timedelta(days=7)
        assert report() == "the report"
    with testing.entitled(["analytics"], expires_in=-week - 1, grace=week) as entitlements:
        assert entitlements.status is Status.UNLICENSED


def test_a_license_may_be_downgraded() -> None:
    """What is left of it is what the setting would leave, and no more."""
    left = {"plan": "free", "features": ["export"]}
    with testing.entitled(["analytics"], expires_in=-60, downgrade_to=left) as entitlements:
        assert entitlements.status is Status.DOWNGRADED
        assert (entitlements.plan, entitlements.features) == ("free", {"export"})
        with pytest.raises(FeatureNotLicensed):
            report()
    with pytest.raises(ConfigError):
        testing.entitled(downgrade_to={"roles": ["admin"]})


def test_the_licenses_of_a_test_have_such_lives_too() -> None:
    """A token of `make_license` is a trial or in grace as one of a vendor is."""
    settings = Settings(**testing.license_settings())
    assert verify(testing.make_license(trial=True), settings).status is Status.TRIAL
    graceful = testing.make_license(expires_in=-5 * 86_400, grace=7 * 86_400)
    assert verify(graceful, settings).status is Status.GRACE


@pytest.mark.parametrize("name", ["features", "roles"])
def test_a_text_is_no_list(name: str) -> None:
    """What no license can say cannot be bound either."""
    with pytest.raises(LicenseInvalid):
        testing.entitled(**{name: "analytics"})


def test_entitled_decorates_functions_and_keeps_them() -> None:
    """A decorated function runs entitled, each time, and keeps its name."""
    decorated = testing.entitled(["analytics"])(report)
    assert [decorated(), decorated()] == ["the report"] * 2
    assert decorated.__name__ == "report"
    assert find_entitlements() is None


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_entitled_decorates_coroutines(anyio_backend: str) -> None:
    """A decorated coroutine function is entitled while it is awaited, not only while called."""
    decorated = testing.entitled(["analytics"])(report_async)
    pending = decorated()
    assert find_entitlements() is None
    assert await pending == "the report"
    assert find_entitlements() is None


def test_blocks_nest_and_are_shared() -> None:
    """One `entitled` may be entered again inside itself, and others inside it."""
    outer = testing.entitled(["analytics"])
    with outer, outer:
        with testing.entitled(["other"]), pytest.raises(FeatureNotLicensed):
            report()
        assert report() == "the report"
    assert find_entitlements() is None


def test_another_thread_sees_nothing() -> None:
    """What is bound here is not bound in another thread."""
    seen: list[object] = []
    with testing.entitled(["analytics"]):
        thread = Thread(target=lambda: seen.append(find_entitlements()))
        thread.start()
        thread.join(timeout=10)
    assert seen == [None]


def test_what_cannot_be_decorated_says_so() -> None:
    """Classes and generators are refused at once rather than run without entitlements."""

    def generator():
        yield

    for target in (type, generator):
        with pytest.raises(TypeError, match="entitled"):
            testing.entitled()(target)


def test_what_is_consumed_is_counted_for_one_entitled_alone() -> None:
    """Views that consume are tested without a gate, to the limit and beyond."""

    @consumes("exports")
    def export() -> str:
        return "exported"

    for _ in range(2):
        with testing.entitled(limits={"exports": 1}):
            assert export() == "exported"
            with pytest.raises(LimitExceeded):
                export()
    with testing.entitled(limits={"exports": "unlimited"}):
        assert [export() for _ in range(3)] == ["exported"] * 3
    with testing.entitled(), pytest.raises(FeatureNotLicensed):
        export()
