"""Cases: a license that does not hold, soon will not, or does not fit the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from licet.core.clock import SYSTEM_CLOCK
from licet.core.constraints.domain import suffixes
from licet.core.installation.mark import PLACE, Mark
from licet.core.installation.state import FILE, State
from licet.possession import ProofKey
from tests.commands import Said
from tests.doctor.documents import status_list
from tests.doctor.table import shows
from tests.doctor.ward import APPLICATION, KEY_SET, Ward, now, served
from tests.licenses import FORGER, ISSUER, claims, expired, license_token, tampered

DAY = 86_400


def with_claims(ward: Ward, *options: object, **changes: Any) -> Said:
    """Have a license looked at that is good but for these claims."""
    return ward.checked(ward.serve(served()), license_token(**changes), *options)


@shows("license_unreadable")
def garbage(ward: Ward) -> Said:
    return ward.checked(ward.serve(served()), "CANARY.CANARY.CANARY")


@shows("license_defective")
def misread(ward: Ward) -> Said:
    return with_claims(ward, features="all")


@shows("license_opaque")
def a_key(ward: Ward) -> Said:
    return ward.checked(ward.serve(served()), "CANARY-1234")


@shows("license_missing")
def gone(ward: Ward) -> Said:
    url = ward.serve(served())
    options = (*APPLICATION, "--jwks-url", url, "--set", "license=file:/none/such")
    return ward.visit(url, *options)


@shows("license_is_a_path")
def without_a_kind(ward: Ward) -> Said:
    url = ward.serve(served())
    options = (*APPLICATION, "--jwks-url", url, "--set", f"license={__file__}")
    return ward.visit(url, *options)


@shows("license_expired")
def over(ward: Ward) -> Said:
    return ward.checked(ward.serve(served()), expired())


@shows("license_in_grace")
def in_grace(ward: Ward) -> Said:
    return with_claims(ward, iat=now() - 2 * DAY, exp=now() - 3600, grace=DAY)


@shows("license_downgraded")
def downgraded(ward: Ward) -> Said:
    left = 'downgrade_to={"plan": "free"}'
    return with_claims(ward, "--set", left, iat=now() - 2 * DAY, exp=now() - 3600)


@shows("license_not_active")
def early(ward: Ward) -> Said:
    return with_claims(ward, nbf=now() + 900)


@shows("license_issued_in_the_future")
def from_the_future(ward: Ward) -> Said:
    return with_claims(ward, iat=now() + 900)


@shows("license_expires_soon")
def ending(ward: Ward) -> Said:
    return with_claims(ward, iat=now() - 300 * DAY, exp=now() + 7 * DAY)


@shows("license_current")
def current(ward: Ward) -> Said:
    return with_claims(ward, iat=now() - 3 * DAY, exp=now() + 300 * DAY)


@shows("license_large")
def large(ward: Ward) -> Said:
    return with_claims(ward, "--set", "max_token_size=16384", note="x" * 4000)


@shows("license_too_large_for_servers")
def larger(ward: Ward) -> Said:
    return with_claims(ward, "--set", "max_token_size=16384", note="x" * 8000)


@shows("license_too_large")
def too_large(ward: Ward) -> Said:
    return with_claims(ward, note="x" * 4000)


@shows("license_fits")
def fitting(ward: Ward) -> Said:
    return with_claims(ward)


@shows("license_issuer")
def of_another(ward: Ward) -> Said:
    return with_claims(ward, iss="https://evil.example")


@shows("license_audience")
def for_another(ward: Ward) -> Said:
    return with_claims(ward, aud="another-product")


@shows("license_algorithm")
def otherwise_signed(ward: Ward) -> Said:
    return with_claims(ward, "--set", "algorithms=ES256")


@shows("license_type")
def of_another_type(ward: Ward) -> Said:
    token = ISSUER.sign(claims(), header={"typ": "at+jwt"})
    return ward.checked(ward.serve(served()), token)


@shows("license_lifetime")
def too_long(ward: Ward) -> Said:
    return with_claims(ward, "--set", "max_lifetime=60")


@shows("license_key_unknown")
def forged(ward: Ward) -> Said:
    return ward.checked(ward.serve(served()), license_token(FORGER))


@shows("license_signature")
def changed(ward: Ward) -> Said:
    return ward.checked(ward.serve(served()), tampered(license_token()))


@shows("license_signed")
def signed(ward: Ward) -> Said:
    return with_claims(ward)


# -- what it needs ---------------------------------------------------------------------------------


@shows("license_needs_certificates")
def bound_to_a_certificate(ward: Ward) -> Said:
    return with_claims(ward, cnf={"x5t#S256": ProofKey.generate().jkt})


@shows("license_needs_address")
def bound_to_a_key(ward: Ward) -> Said:
    return with_claims(ward, cnf={"jkt": ProofKey.generate().jkt})


@shows("license_needs_regions")
def somewhere(ward: Ward) -> Said:
    return with_claims(ward, regions=["DE"])


@shows("license_needs_proxies")
def for_addresses(ward: Ward) -> Said:
    return with_claims(ward, ip_ranges=["192.0.2.0/24"])


@shows("license_needs_origin")
def for_pages(ward: Ward) -> Said:
    return with_claims(ward, "--set", "domain_from=origin", domains=["app.example"])


@shows("license_needs_store")
def counted(ward: Ward) -> Said:
    return with_claims(ward, limits={"apiCalls": 50_000, "exports": "unlimited"})


@shows("license_needs_extra")
def without_the_list(ward: Ward) -> Said:
    ward.patch.setattr(suffixes, "_list", None)
    ward.patch.setattr(suffixes, "_missing", True)
    return with_claims(ward, domains=["*.app.example"])


@shows("license_status_origin")
def listed_elsewhere(ward: Ward) -> Said:
    return with_claims(ward, status=_status("https://elsewhere.example/status/1"))


@shows("license_status_unfetched")
def listed_in_vain(ward: Ward) -> Said:
    bundled = ward.directory / "jwks.json"
    bundled.write_bytes(KEY_SET)
    token = license_token(status=_status("https://licenses.acme.example/status/1"))
    return ward.visit(
        ward.serve(served()),
        *APPLICATION,
        "--jwks",
        bundled,
        "--token",
        "-",
        stdin=token.encode(),
    )


def _status(uri: str) -> dict[str, Any]:
    return {"status_list": {"idx": 7, "uri": uri}}


# -- as a whole ------------------------------------------------------------------------------------


@shows("license_holds")
def good(ward: Ward) -> Said:
    return with_claims(ward)


@shows("license_holds_somewhere")
def narrow(ward: Ward) -> Said:
    return with_claims(ward, domains=["app.example"])


@shows("license_refused")
def revoked(ward: Ward) -> Said:
    uri = status_list(ward, {7: "revoked"})
    origin = f"status_origins=http://127.0.0.1:{ward.plain.port}"
    return with_claims(ward, "--set", origin, status=_status(uri))


def remembering(ward: Ward, state: Path) -> Said:
    """Have an installation looked at that remembers the time."""
    url, file = ward.serve(served()), ward.directory / "license.jwt"
    file.write_text(license_token(), encoding="ascii")
    installed = ("--set", f"license=file:{file}", "--set", f"license_state={state}")
    return ward.visit(url, *APPLICATION, "--jwks-url", url, *installed)


@shows("clock_behind_state")
def set_back(ward: Ward) -> Said:
    directory = ward.directory / "state"
    state = State(str(directory), SYSTEM_CLOCK, print)
    state.change(PLACE, Mark(now() + 2.0 * DAY).added, DAY).run()
    return remembering(ward, directory)


@shows("state_unreadable")
def damaged(ward: Ward) -> Said:
    directory = ward.directory / "state"
    directory.mkdir(0o700)
    (directory / FILE).touch(0o666)
    (directory / FILE).chmod(0o666)
    return remembering(ward, directory)
