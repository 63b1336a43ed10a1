"""What `licet` promises to everybody who imports it."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import distributions
from importlib.resources import files

import pytest

import licet

#: Frozen: a name that is here stays.
PUBLIC = """
    BadHost Charge ConfigError ConstraintViolated Entitlements FeatureNotLicensed HttpsRequired
    InstallationUnlicensed IssuerSettings LicenseAmbiguous LicenseError LicenseExpired
    LicenseInvalid LicenseNotActive LicenseRejected LicenseRequired LicenseRevoked
    LicenseUnavailable LicetError LimitExceeded PossessionInvalid PossessionRequired
    RoleNotGranted ScopeNotGranted Settings Status UNLIMITED aconsume averify bind constraint
    consume consumes current_entitlements requires_feature requires_role requires_scope verify
""".split()

#: What a process that only uses the names of `licet` should not have to load, or to have.
FOREIGN = """
    django flask werkzeug starlette fastapi asgiref pydantic
    httpx httpx2 httpcore cryptography jwt anyio trio
    licet.asgi licet.wsgi licet.starlette licet.fastapi licet.flask licet.django
    licet.issuer licet.testing licet.cli
""".split()


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after `statement`."""
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    # In a directory of its own a stray module could stand in for a real one: not with -P.
    command = [sys.executable, "-P", "-W", "error", "-c", script]
    process = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return set(process.stdout.split())


def test_the_names_are_frozen() -> None:
    """`__all__` is the table, sorted, and every name in it is there."""
    assert sorted(licet.__all__) == sorted(PUBLIC)
    assert len(set(licet.__all__)) == len(licet.__all__)
    for name in licet.__all__:
        assert getattr(licet, name) is not None


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name: str) -> None:
    """Whoever asks `help()` is answered; a number has its word in the README."""
    documented = getattr(licet, name)
    if name != "UNLIMITED":
        assert (documented.__doc__ or "").strip()


def test_a_star_import_brings_the_public_names_only() -> None:
    """`from licet import *` is exactly `__all__`."""
    names: dict[str, object] = {}
    exec("from licet import *", names)  # noqa: S102 - there is no other way inside a function
    assert set(names) - {"__builtins__"} == set(PUBLIC)


def test_the_import_is_light() -> None:
    """`import licet` loads no framework, no adapter, no HTTP client and no cryptography."""
    assert loaded_by("import licet") & set(FOREIGN) == set()


def test_what_views_use_is_light_too() -> None:
    """Decorating and binding load nothing either; only judging does."""
    statement = "import licet\n@licet.requires_feature('analytics')\ndef view(): pass"
    assert loaded_by(statement) & set(FOREIGN) == set()


def test_importing_starts_nothing() -> None:
    """No thread runs because of an import, so that a server may fork behind it."""
    script = "import licet, licet.core.gate, threading\nassert threading.active_count() == 1"
    assert "licet.core.gate" in loaded_by(script)


def test_type_checkers_are_told() -> None:
    """The marker of PEP 561 is in the package."""
    assert files("licet").joinpath("py.typed").is_file()


def test_the_version() -> None:
    """It is a release number, and that of the distribution where one is installed."""
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", licet.__version__)
    assert {found.version for found in distributions(name="licet")} <= {licet.__version__}
