"""What a caller presents, and what the proxy in front of the applications says of the request."""

from __future__ import annotations

from licet.cli.demo.connections import Headers
from licet.possession import ProofKey

#: What the proxy is called, from outside.
HOST = "reports.example"
#: What it says of a request: for which host it was, from where, and from which country.
FORWARDED = {"Host": HOST, "X-Forwarded-For": "203.0.113.9", "X-Country": "DE"}


def bearer(token: str) -> Headers:
    """Return the header lines that present `token` (RFC 6750, section 2.1)."""
    return [("Authorization", f"Bearer {token}")]


def dpop(token: str, key: ProofKey) -> Headers:
    """Return the header lines that present `token` with a proof (RFC 9449, section 7.1)."""
    proof = key.proof("GET", f"https://{HOST}/reports", token)
    return [("Authorization", f"DPoP {token}"), ("DPoP", proof)]


def forwarded(**changes: str) -> Headers:
    """Return what the proxy says of a request."""
    return [*{**FORWARDED, **changes}.items()]
