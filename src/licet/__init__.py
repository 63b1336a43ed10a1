"""Licet enforces software licenses inside web applications.

It verifies a signed license against cached keys, asks the license server only when it cannot
know by itself, and hands the view its entitlements. Each framework's middleware has a module of
its own: `licet.django`, `licet.flask`, `licet.starlette`, `licet.fastapi`, `licet.asgi` and
`licet.wsgi`.
"""

from licet.core.constraints.custom import constraint
from licet.core.entitlements import UNLIMITED, Entitlements, Status
from licet.core.entitlements.context import bind, current_entitlements
from licet.core.entitlements.requirements import requires_feature, requires_role, requires_scope
from licet.core.errors import (
    BadHost,
    ConfigError,
    ConstraintViolated,
    FeatureNotLicensed,
    HttpsRequired,
    InstallationUnlicensed,
    LicenseAmbiguous,
    LicenseError,
    LicenseExpired,
    LicenseInvalid,
    LicenseNotActive,
    LicenseRejected,
    LicenseRequired,
    LicenseRevoked,
    LicenseUnavailable,
    LicetError,
    LimitExceeded,
    PossessionInvalid,
    PossessionRequired,
    RoleNotGranted,
    ScopeNotGranted,
)
from licet.core.settings import IssuerSettings, Settings
from licet.core.usage.charge import Charge
from licet.core.usage.consumption import aconsume, consume
from licet.core.usage.views import consumes
from licet.core.verify import averify, verify

__version__ = "0.1.0"

__all__ = [
    "UNLIMITED",
    "BadHost",
    "Charge",
    "ConfigError",
    "ConstraintViolated",
    "Entitlements",
    "FeatureNotLicensed",
    "HttpsRequired",
    "InstallationUnlicensed",
    "IssuerSettings",
    "LicenseAmbiguous",
    "LicenseError",
    "LicenseExpired",
    "LicenseInvalid",
    "LicenseNotActive",
    "LicenseRejected",
    "LicenseRequired",
    "LicenseRevoked",
    "LicenseUnavailable",
    "LicetError",
    "LimitExceeded",
    "PossessionInvalid",
    "PossessionRequired",
    "RoleNotGranted",
    "ScopeNotGranted",
    "Settings",
    "Status",
    "aconsume",
    "averify",
    "bind",
    "constraint",
    "consume",
    "consumes",
    "current_entitlements",
    "requires_feature",
    "requires_role",
    "requires_scope",
    "verify",
]
