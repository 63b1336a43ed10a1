"""The tree of refusals: its codes and statuses are API."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable

import pytest

import licet
from licet.core import errors
from licet.core.errors import (
    ConfigError,
    InstallationUnlicensed,
    KeysUnavailable,
    LicenseError,
    LicenseInvalid,
    LicenseRevoked,
    LicenseUnavailable,
    LicetError,
    RoleNotGranted,
)

#: Frozen: whoever changes a line here breaks the clients that read it.
FROZEN = {
    "LicenseRequired": (401, ["license_required"]),
    "LicenseInvalid": (401, ["license_invalid"]),
    "LicenseExpired": (401, ["license_expired"]),
    "LicenseNotActive": (401, ["license_not_active"]),
    "PossessionRequired": (401, ["pop_required"]),
    "PossessionInvalid": (401, ["pop_invalid", "use_dpop_nonce"]),
    "LicenseAmbiguous": (400, ["license_ambiguous"]),
    "BadHost": (400, ["bad_host"]),
    "HttpsRequired": (400, ["https_required"]),
    "LicenseRevoked": (403, ["license_revoked", "license_suspended"]),
    "LicenseRejected": (403, ["license_rejected"]),
    "FeatureNotLicensed": (403, ["feature_not_licensed"]),
    "ScopeNotGranted": (403, ["scope_not_granted"]),
    "RoleNotGranted": (403, ["role_not_granted"]),
    "ConstraintViolated": (
        403,
        [
            "license_constraint",
            "license_domain",
            "license_ip",
            "license_region",
            "license_time_window",
        ],
    ),
    "LimitExceeded": (429, ["limit_exceeded", "seat_limit_exceeded"]),
    "InstallationUnlicensed": (402, ["installation_unlicensed"]),
    "LicenseUnavailable": (503, ["license_unavailable"]),
    "KeysUnavailable": (503, ["license_unavailable"]),
}
REFUSALS = [getattr(errors, name) for name in FROZEN]
by_name = pytest.mark.parametrize("kind", REFUSALS, ids=lambda kind: str(kind.__name__))


def defined() -> set[type[Exception]]:
    """Return every class that `errors` defines."""
    return {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__
    }


def test_the_table_is_whole() -> None:
    """No refusal exists beside those of the table, and all descend from `LicenseError`."""
    refusals = {kind for kind in defined() if issubclass(kind, LicenseError)}
    assert refusals == {*REFUSALS, LicenseError}
    assert defined() == refusals | {LicetError, ConfigError}


@by_name
def test_codes_and_statuses_are_frozen(kind: type[LicenseError]) -> None:
    """Each refusal has exactly the status and the codes that the specification names."""
    assert (kind.status, list(kind.codes)) == FROZEN[kind.__name__]


def test_codes_belong_to_one_class() -> None:
    """A code tells the class, but for the one that says why the same answer was given."""
    kinds = [kind for kind in REFUSALS if kind is not KeysUnavailable]
    codes = [code for kind in kinds for code in kind.codes]
    assert len(codes) == len(set(codes))


@by_name
def test_a_refusal_tells_people_no_more_than_its_code(kind: type[LicenseError]) -> None:
    """`detail` is a sentence of the class; the reason appears in neither text nor repr."""
    error = kind("canary")
    assert error.detail == str(error) == kind.detail
    assert kind.detail.endswith(".")
    assert kind.title
    assert not kind.title.endswith(".")
    assert "canary" not in repr(error)
    assert (error.reason, error.code) == ("canary", kind.codes[0])


@by_name
def test_the_tree_in_the_docstring_is_the_tree(kind: type[LicenseError]) -> None:
    """The drawing at the top of the module names every class with its status."""
    lines = (errors.__doc__ or "").splitlines()
    [line] = [line for line in lines if f"── {kind.__name__} " in line]
    assert str(kind.status) in line.split()


@by_name
def test_refusals_are_public(kind: type[LicenseError]) -> None:
    """`licet` exports every refusal but the one that is only a reason."""
    assert (kind.__name__ in licet.__all__) == (kind is not KeysUnavailable)


def test_without_a_reason_the_code_is_the_reason() -> None:
    """The log always has something to say."""
    assert LicenseRevoked().reason == "license_revoked"
    assert LicenseRevoked(code="license_suspended").reason == "license_suspended"


def test_a_foreign_code_is_refused() -> None:
    """Only codes of the class can be given, so that no new one slips into answers."""
    with pytest.raises(ValueError, match="LicenseInvalid has no code 'license_revoked'"):
        LicenseInvalid(code="license_revoked")


def test_members_are_the_errors_own() -> None:
    """Changing the mapping an error was made with changes no error."""
    members: dict[str, object] = {"required": ["x"]}
    error = RoleNotGranted(members=members)
    members["plan"] = "y"
    assert error.members == {"required": ["x"]}


def test_an_installation_says_why() -> None:
    """`because` puts the word into the body, and into the log unless that knows more."""
    error = InstallationUnlicensed.because("invalid", "bad_signature")
    assert (error.members, error.reason) == ({"error": "invalid"}, "bad_signature")
    assert InstallationUnlicensed.because("expired").reason == "expired"


class Own(LicenseError):
    """A user's own refusal, with a constructor of its own."""

    status, codes, title, detail = 418, ("teapot",), "Teapot", "It is a teapot."

    def __init__(self, size: int) -> None:
        super().__init__("short", members={"size": size})


SAMPLES = {
    **{name: getattr(errors, name)("why") for name in FROZEN},
    "another code": LicenseRevoked("why", code="license_suspended"),
    "members": RoleNotGranted("why", members={"required": ["x"], "plan": None}),
    "retry after": LicenseUnavailable("why", retry_after=17.5),
    "because": InstallationUnlicensed.because("missing"),
    "of a user": Own(3),
}


def pickled(error: LicenseError) -> LicenseError:
    twin: LicenseError = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    return twin


@pytest.mark.parametrize("error", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize("through", [pickled, copy.copy, copy.deepcopy, LicenseError.again])
def test_refusals_survive_a_copy(
    error: LicenseError, through: Callable[[LicenseError], LicenseError]
) -> None:
    """Task queues and test runners hand errors on: nothing is lost but the traceback."""
    with pytest.raises(type(error)):
        raise error
    twin = through(error)
    assert twin is not error
    assert type(twin) is type(error)
    assert (str(twin), twin.__dict__) == (str(error), error.__dict__)
    assert twin.__traceback__ is None
    assert twin.__context__ is None


def test_a_config_error_names_setting_problem_and_remedy() -> None:
    """Its text has the field, its spelling elsewhere, what is wrong and what to do."""
    error = ConfigError("leeway", "is 900", "write at most 300")
    assert str(error) == "leeway (LICET_LEEWAY) is 900: write at most 300"
    assert (error.setting, error.problem, error.remedy) == ("leeway", "is 900", "write at most 300")
    assert isinstance(error, ValueError)
    assert not isinstance(error, LicenseError)


def test_a_config_error_survives_a_pickle() -> None:
    """A worker process can tell its parent what is wrong."""
    error = ConfigError("leeway", "is 900", "write at most 300")
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(twin), str(twin), twin.remedy) == (ConfigError, str(error), error.remedy)
