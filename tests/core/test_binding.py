"""The claim `cnf`: what a license can be bound to, and that nothing else is overlooked."""

from __future__ import annotations

import pytest

from licet.core.errors import LicenseInvalid
from licet.core.possession.binding import Binding, read_cnf
from licet.core.token import base64url

JKT = base64url.encode(bytes(range(32))).decode()
CERTIFICATE = base64url.encode(bytes(32)).decode()


@pytest.mark.row("N03")
@pytest.mark.parametrize(
    ("claim", "binding"),
    [
        ({"jkt": JKT}, Binding(jkt=JKT)),
        ({"x5t#S256": CERTIFICATE}, Binding(certificate=CERTIFICATE)),
        ({"jkt": JKT, "x5t#S256": CERTIFICATE}, Binding(JKT, CERTIFICATE)),
    ],
    ids=["jkt", "x5t#S256", "both"],
)
def test_what_a_license_may_be_bound_to(claim: object, binding: Binding) -> None:
    """A key, a certificate, or both."""
    assert read_cnf(claim) == binding


@pytest.mark.row("N03", "O05")
@pytest.mark.parametrize(
    "claim",
    [
        None,
        "",
        JKT,
        [],
        [JKT],
        True,
        {},
        {"jwk": {"kty": "OKP"}},
        {"kid": "a"},
        {"jkt": JKT, "kid": "a"},
        {"jkt": JKT, "x5t#S256": None},
        {"JKT": JKT},
        {"x5t": "AAAAAAAAAAAAAAAAAAAAAAAAAAA"},
        {"x5t#s256": CERTIFICATE},
        {"jkt": None},
        {"jkt": 1},
        {"jkt": [JKT]},
        {"jkt": ""},
        {"jkt": JKT + "="},
        {"jkt": JKT[:-1]},
        {"jkt": JKT + "A"},
        {"jkt": JKT[:-1] + "9"},
        {"jkt": " " + JKT},
        {"jkt": JKT[:-1] + "\N{LATIN SMALL LETTER LONG S}"},
        {"x5t#S256": bytes(32).hex()},
        {"x5t#S256": CERTIFICATE[:-1] + "+"},
    ],
    ids=repr,
)
def test_anything_else_refuses_the_license(claim: object) -> None:
    """What cannot be enforced, or never compares equal, is no license, also beside good members."""
    with pytest.raises(LicenseInvalid) as refusal:
        read_cnf(claim)
    assert refusal.value.reason == "bad_claim:cnf"
