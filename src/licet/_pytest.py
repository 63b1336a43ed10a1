"""The pytest plugin: the names of `licet.testing` as fixtures, and each test with nothing used.

Every pytest run of whoever has Licet installed loads this module, so it imports nothing until a
test asks for a fixture, and does nothing before something was counted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from licet.issuer import Issuer


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Begin each test with nothing used of any license."""
    if "licet.core.stores.memory" in sys.modules:
        from licet import testing

        testing.forget_usage()


@pytest.fixture(scope="session")
def license_issuer() -> Issuer:
    """The issuer of this test run; to test rotation make one with `Issuer.generate`."""
    from licet import testing

    return testing.license_issuer()


@pytest.fixture(scope="session")
def make_license(license_issuer: Issuer) -> Callable[..., str]:
    """`make_license(features=[…], expires_in=…, …)` signs a license for `license_settings`."""
    from licet import testing

    def make_license(features: Any = (), **arguments: Any) -> str:
        return testing.make_license(features, **{"issuer": license_issuer, **arguments})

    return make_license


@pytest.fixture(scope="session")
def license_settings(license_issuer: Issuer) -> dict[str, Any]:
    """Options with which any adapter accepts those licenses, offline."""
    from licet import testing

    return testing.license_settings(license_issuer)
