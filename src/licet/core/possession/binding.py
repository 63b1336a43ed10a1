"""To whom a license is bound: the confirmation claim `cnf` (RFC 7800), read once per terms.

Decides which confirmation methods exist here. The claim is the issuer's word; a method that is
not known cannot be enforced, so it refuses the license also beside one that is.
"""

from __future__ import annotations

from dataclasses import dataclass

from licet.core.errors import LicenseInvalid
from licet.core.token import base64url

#: The members of `cnf`: RFC 9449, section 6.1, and RFC 8705, section 3.1.
JKT, CERTIFICATE = "jkt", "x5t#S256"


@dataclass(frozen=True, slots=True)
class Binding:
    """What the presenter of a license has to prove; both, where both are there.

    Attributes:
        jkt: possession of the key with this SHA-256 thumbprint (RFC 7638), base64url.
        certificate: possession of the certificate of this SHA-256, base64url.
    """

    jkt: str | None = None
    certificate: str | None = None


def read_cnf(value: object) -> Binding:
    """Return what the claim `cnf` binds to.

    Args:
        value: the claim, as the JSON of a license has it.

    Raises:
        LicenseInvalid: it is empty, or has a member that is not known or no SHA-256.
    """
    if not isinstance(value, dict) or not value or not value.keys() <= {JKT, CERTIFICATE}:
        raise LicenseInvalid("bad_claim:cnf")
    for member in value.values():
        if not _is_digest(member):
            raise LicenseInvalid("bad_claim:cnf")
    return Binding(value.get(JKT), value.get(CERTIFICATE))


def _is_digest(value: object) -> bool:
    """Return whether this is the canonical spelling of 32 bytes: no other would ever compare."""
    try:
        return isinstance(value, str) and len(base64url.decode(value.encode("ascii"))) == 32
    except ValueError:
        return False
