"""What users need to test licensed code: an issuer, licenses, and entitlements without either.

Decides nothing about licenses: they are signed and read by the same code as real ones. With
pytest the same names are fixtures; elsewhere call the functions.
"""

from licet.possession import ProofKey
from licet.testing.entitlements import entitled
from licet.testing.licenses import (
    AUDIENCE,
    ISSUER,
    forget_usage,
    license_issuer,
    license_settings,
    make_license,
)

__all__ = [
    "AUDIENCE",
    "ISSUER",
    "ProofKey",
    "entitled",
    "forget_usage",
    "license_issuer",
    "license_settings",
    "make_license",
]
